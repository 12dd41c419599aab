//! Verdicts, cancellations and erasures, the only ways in which the control API changes a record (D3-D5, T4), and the history barrier (T5).

use axum::{Extension, Json, extract::State};
use onceward_core::{
    actor::LookupId,
    outcome::Policy,
    record::{self, Denial, Epoch},
    refusal::Refusal,
};
use onceward_engine::{Erased, Finding, Resolved};
use onceward_store::PageCursor;

use super::intake::{ActorInPath, EffectId, Told, checked_cursor, checked_reason, checked_time};
use crate::{control::Control, gate::Entrance, present, refused::Refused, wire};

pub(super) async fn resolve(
    State(control): State<Control>,
    Extension(entrance): Extension<Entrance>,
    EffectId(id): EffectId,
    Told(told): Told<wire::Resolve>,
) -> Result<Json<wire::Change>, Refused> {
    let evidence = evidence(&entrance, &told.reason)?;
    let finding = match told.verdict {
        wire::Verdict::Happened => Finding::Happened(None),
        wire::Verdict::Absent => Finding::Absent,
    };
    let judged = Epoch(told.epoch);
    let verdict = finding.as_str();
    let (_, label) = control.read(id).await?;
    let result = match control.engine().resolve(id, &label, finding, judged, &evidence).await? {
        Resolved::Applied => wire::ChangeResult::Resolved,
        Resolved::Denied(Denial::NotInDoubt) => return Err(not_in_doubt(&control, id, judged).await),
        Resolved::Denied(denial) => return Err(refused(denial)),
        Resolved::AlreadyDone => return Err(Refused::NotInDoubt),
        Resolved::Corrupt => return Err(Refused::Protocol(Refusal::RecordCorrupt)),
    };
    tracing::info!(key = %label.key, actor = %label.actor, verdict, by = %entrance, "resolved");
    Ok(Json(wire::Change { id: present::id(id), result }))
}

pub(super) async fn cancel(
    State(control): State<Control>,
    Extension(entrance): Extension<Entrance>,
    EffectId(id): EffectId,
    Told(told): Told<wire::Cancel>,
) -> Result<Json<wire::Change>, Refused> {
    let evidence = evidence(&entrance, &told.reason)?;
    let (record, label) = control.read(id).await?;
    let remember = record.terms.map_or(Policy::middleware().remember, |terms| terms.remember);
    let result = match control.engine().cancel(id, &label, remember, &evidence).await? {
        Resolved::Applied => wire::ChangeResult::Cancelled,
        Resolved::Denied(Denial::InDoubt { .. }) => wire::ChangeResult::Abandoned,
        Resolved::Denied(denial) => return Err(refused(denial)),
        Resolved::AlreadyDone => wire::ChangeResult::AlreadyDone,
        Resolved::Corrupt => return Err(Refused::Protocol(Refusal::RecordCorrupt)),
    };
    tracing::info!(key = %label.key, actor = %label.actor, ?result, by = %entrance, "cancelled");
    Ok(Json(wire::Change { id: present::id(id), result }))
}

pub(super) async fn erase(
    State(control): State<Control>,
    Extension(entrance): Extension<Entrance>,
    ActorInPath(actor): ActorInPath,
    Told(told): Told<wire::Erase>,
) -> Result<Json<wire::Erased>, Refused> {
    let evidence = evidence(&entrance, &told.reason)?;
    let after = told.after.as_deref().map(checked_cursor).transpose()?;
    let erased = control.engine().erase(actor, after, &evidence).await?;
    let Erased { erased, running, unreadable, next } = erased;
    tracing::info!(%actor, erased, running, unreadable, by = %entrance, "erased");
    let next = next.map(|PageCursor(place)| place.to_string());
    Ok(Json(wire::Erased { actor: actor.to_string(), erased, running, unreadable, next }))
}

pub(super) async fn raise_barrier(
    State(control): State<Control>,
    Extension(entrance): Extension<Entrance>,
    Told(told): Told<wire::RaiseBarrier>,
) -> Result<Json<wire::Barrier>, Refused> {
    let at = told.at.as_deref().map(checked_time).transpose()?;
    let barrier = control.engine().raise_barrier(at, &entrance.to_string()).await?;
    tracing::info!(%barrier, by = %entrance, "history barrier raised");
    Ok(Json(wire::Barrier { history_barrier: Some(barrier.to_string()) }))
}

/// Who says so, and how it was found out (D4).
fn evidence(entrance: &Entrance, reason: &str) -> Result<String, Refused> {
    Ok(format!("{entrance}: {}", checked_reason(reason)?))
}

/// Says whether another attempt is in doubt instead; so it may have come to be since the effect was listed.
async fn not_in_doubt(control: &Control, id: LookupId, judged: Epoch) -> Refused {
    match control.read(id).await {
        Ok((record, _)) if matches!(record.state, record::State::InDoubt { .. }) => {
            Refused::OtherInDoubt { judged: judged.0 }
        }
        Ok(_) => Refused::NotInDoubt,
        Err(refused) => refused,
    }
}

fn refused(denial: Denial) -> Refused {
    match denial {
        Denial::InProgress => Refused::StillRunning,
        Denial::Expired => Refused::LongOver,
        // A verdict or a cancellation carries no fingerprint, and a cancelled key refuses arrivals alone.
        Denial::NotInDoubt | Denial::InDoubt { .. } | Denial::KeyReused | Denial::Cancelled => {
            Refused::NotInDoubt
        }
    }
}
