//! Domain values as they look on the wire.

use onceward_core::{
    actor::LookupId,
    outcome::{Content, Fields, Outcome},
    record::{DoubtReason, Interest, Settlement, State, TombstoneKind},
};
use onceward_engine::state_name;
use onceward_store::{Entry, Health, Page, PageCursor};

use crate::wire;

pub(crate) fn effect_page(page: &Page) -> wire::EffectPage {
    wire::EffectPage {
        effects: page.entries.iter().map(effect).collect(),
        corrupt: page.corrupt,
        next: page.next.map(|PageCursor(position)| position.to_string()),
    }
}

pub(crate) fn effect(entry: &Entry) -> wire::Effect {
    let Entry { id: lookup_id, label, record } = entry;
    let (reason, how, interest) = match &record.state {
        State::Absent | State::Claimed { .. } => (None, None, None),
        State::Done { how, .. } => (None, Some(settlement_name(*how)), None),
        State::InDoubt { reason, interest, .. } => {
            (Some(reason.as_str()), None, Some(interest_name(*interest)))
        }
        State::Tombstone { kind, .. } => (Some(tombstone_name(*kind)), None, None),
    };
    wire::Effect {
        id: id(*lookup_id),
        key: label.key.to_string(),
        actor: label.actor.to_string(),
        tenant: label.tenant.as_str().to_owned(),
        effect: label.effect.clone(),
        state: state_name(&record.state).to_owned(),
        reason: reason.map(str::to_owned),
        ambiguous_status: match record.state {
            State::InDoubt { reason: DoubtReason::AmbiguousStatus(status), .. } => Some(status),
            _ => None,
        },
        since: record.since.to_string(),
        // Only an attempt has terms.
        sent_at: record.terms.map(|_| record.claimed_at.to_string()),
        epoch: record.epoch.0,
        how: how.map(str::to_owned),
        interest: interest.map(str::to_owned),
        expires_at: record.due_at().map(|at| at.to_string()),
    }
}

pub(crate) fn outcome(outcome: &Outcome) -> wire::Outcome {
    wire::Outcome::Answer {
        status: outcome.status,
        sent_at: outcome.sent_at.to_string(),
        fields: fields(&outcome.fields),
        content: match &outcome.content {
            Content::Kept(bytes) => wire::Content::Kept { len: bytes.len() },
            Content::NotKept { len, sha256 } => wire::Content::NotKept { len: *len, sha256: hex(sha256) },
            Content::None { announced_len } => wire::Content::None { announced_len: *announced_len },
        },
        trailers: fields(&outcome.trailers),
    }
}

pub(crate) fn store_stats(health: &Health) -> wire::StoreStats {
    let [absent, claimed, done, in_doubt, tombstone] = health.records;
    wire::StoreStats {
        kind: health.kind.to_owned(),
        durability: health.durability.to_owned(),
        records: wire::RecordCounts { absent, claimed, done, in_doubt, tombstone },
        bytes: health.bytes,
        history_barrier: health.history_barrier.map(|barrier| barrier.to_string()),
    }
}

/// A lookup id as its 64 hexadecimal digits.
pub(crate) fn id(id: LookupId) -> String {
    hex(id.as_bytes())
}

fn fields(fields: &Fields) -> Vec<wire::Field> {
    fields.iter().map(|(name, value)| wire::Field { name: (**name).to_owned(), len: value.len() }).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const fn settlement_name(how: Settlement) -> &'static str {
    match how {
        Settlement::Answered => "answered",
        Settlement::AnsweredLate => "answered-late",
        Settlement::Vouched => "vouched",
        Settlement::Diverged => "diverged",
    }
}

const fn interest_name(interest: Interest) -> &'static str {
    match interest {
        Interest::Wanted => "wanted",
        Interest::Abandoned => "abandoned",
    }
}

const fn tombstone_name(kind: TombstoneKind) -> &'static str {
    match kind {
        TombstoneKind::Expired => "expired",
        TombstoneKind::Cancelled => "cancelled",
    }
}
