//! Lists and shows effects.

use axum::{Json, extract::State};
use http::HeaderMap;
use onceward_core::{
    actor::Label,
    record::{Record, Settlement, State as RecordState},
};
use onceward_store::{AuditCursor, Entry, EntryFilter, PageCursor};
use serde::Deserialize;

use super::intake::{Asked, EffectId, asked_key, checked_actor, page_len};
use crate::{control::Control, limits::EFFECT_AUDIT_LINES_MAX, present, refused::Refused, wire};

/// The query of `GET /v1/effects`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<ListedState>,
    key: Option<String>,
    actor: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

/// The one state that a store can list by.
#[derive(Deserialize)]
enum ListedState {
    #[serde(rename = "in-doubt")]
    InDoubt,
}

/// `GET /v1/effects/{id}` takes no parameters. In particular none shows a body: a verdict needs the status and the log, and what an
/// operator's terminal or a build's log shows is kept by others (K6).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {}

pub(super) async fn list(
    State(control): State<Control>,
    headers: HeaderMap,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<wire::EffectPage>, Refused> {
    let actor = query.actor.as_deref().map(checked_actor).transpose()?;
    let filter = EntryFilter {
        in_doubt_only: matches!(query.state, Some(ListedState::InDoubt)),
        key: asked_key(control.engine(), &headers, query.key.as_deref())?,
        actor,
    };
    let entries_max = page_len(query.limit)?;
    let page = control.engine().list(filter, query.after.map(PageCursor), entries_max).await?;
    Ok(Json(present::effect_page(&page)))
}

pub(super) async fn show(
    State(control): State<Control>,
    EffectId(id): EffectId,
    Asked(ShowQuery {}): Asked<ShowQuery>,
) -> Result<Json<wire::EffectDetail>, Refused> {
    let (record, label) = control.read(id).await?;
    let entry = Entry { id, label, record };
    let (audit, audit_next) = audit_of(&control, &entry.label).await?;
    Ok(Json(wire::EffectDetail {
        effect: present::effect(&entry),
        outcome: outcome_of(&control, &entry),
        audit,
        audit_next,
    }))
}

fn outcome_of(control: &Control, entry: &Entry) -> Option<wire::Outcome> {
    let Record { state: RecordState::Done { outcome, how, .. }, .. } = &entry.record else { return None };
    let Some(sealed) = outcome else {
        return Some(match how {
            Settlement::Answered | Settlement::AnsweredLate => wire::Outcome::Erased,
            Settlement::Vouched | Settlement::Diverged => wire::Outcome::Vouched,
        });
    };
    Some(match control.engine().open(entry, sealed) {
        Ok(outcome) => present::outcome(&outcome),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, id = ?entry.id, "outcome not shown");
            wire::Outcome::Unreadable
        }
    })
}

/// The log's lines about this key, without those of other actors who chose the same one.
async fn audit_of(
    control: &Control,
    label: &Label,
) -> Result<(Vec<serde_json::Value>, Option<String>), Refused> {
    let start = AuditCursor::default();
    let lines = control.engine().audit(start, Some(label.key), EFFECT_AUDIT_LINES_MAX).await?;
    let next = (lines.len() == EFFECT_AUDIT_LINES_MAX)
        .then(|| lines.last().map(|(AuditCursor(position), _)| position.to_string()))
        .flatten();
    let (tenant, actor) = (label.tenant.as_str(), label.actor.to_string());
    let lines = lines
        .into_iter()
        .filter_map(|(_, line)| serde_json::from_str::<serde_json::Value>(&line.json).ok())
        .filter(|line| {
            line.get("tenant").is_some_and(|of| of == tenant)
                && line.get("actor").is_some_and(|of| *of == actor)
        })
        .collect();
    Ok((lines, next))
}
