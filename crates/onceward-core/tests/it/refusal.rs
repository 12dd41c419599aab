//! What a caller may conclude from each refusal, against `vectors/problem.json`.

use std::collections::BTreeSet;
use std::time::Duration;

use onceward_core::actor::{KeyTag, LookupId};
use onceward_core::key::KeyInvalid;
use onceward_core::outcome::Untouched;
use onceward_core::precondition::{PreconditionInvalid, Snapshot};
use onceward_core::record::{Denial, DoubtReason, Epoch, Seen};
use onceward_core::refusal::{Doubt, Duplicate, Earlier, Effect, PROBLEM_SLUGS, Refusal, Retry, Sent, Told};
use onceward_core::secret::Secret;
use onceward_core::time::Timestamp;
use onceward_core::twin::{CONFIRMATION_TIME, Confirmation, Confirmed, Holder, TwinId};
use serde::Deserialize;

use crate::vectors;

#[derive(Deserialize)]
struct Vectors {
    types: Vec<TypeRow>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeRow {
    refusal: String,
    slug: String,
    status: u16,
    retry: String,
    retryable: bool,
    effect: String,
    consumed: bool,
    intent_status: Option<String>,
    retry_after: bool,
}

/// 2026-11-21T12:00:03Z.
const SENT_AT: Timestamp = Timestamp::from_ms(1_795_262_403_000);

const RETRY_AFTER: Duration = Duration::from_millis(1_500);

fn doubt(told: Told) -> Refusal {
    Refusal::OutcomeUnknown(Doubt { reason: DoubtReason::NoAnswer, sent_at: SENT_AT, told })
}

/// The earlier effect has the id of threes and was done.
pub(crate) fn duplicate(seen: Seen, sent: Sent) -> Refusal {
    let id = LookupId::from_bytes([3; 32]);
    let confirmed = Confirmed {
        twin: TwinId::from_bytes([1; 32]),
        own: LookupId::from_bytes([2; 32]),
        holder: Holder { id, epoch: Epoch(9) },
    };
    let until = SENT_AT.after(CONFIRMATION_TIME);
    let confirmation = Confirmation::issue(&Secret::new([7; 32]), &confirmed, until);
    let earlier = Earlier { id, key: Some(KeyTag::from_bytes([3; 8])), seen, sent_at: SENT_AT, until };
    Refusal::PossibleDuplicate(Box::new(Duplicate { earlier, confirmation, sent }))
}

/// The refusal that the vectors mean by a name.
pub(crate) fn refusal(name: &str) -> Refusal {
    let retry_after = RETRY_AFTER;
    match name {
        "key-invalid" => Refusal::KeyInvalid(KeyInvalid::Repeated),
        "key-missing" => Refusal::KeyMissing,
        "actor-unknown" => Refusal::ActorUnknown,
        "body-invalid" => Refusal::BodyInvalid("duplicate member name at byte 7".to_owned()),
        "body-too-large" => Refusal::BodyTooLarge { bytes_max: 1_024 },
        "head-ambiguous" => Refusal::HeadAmbiguous("two Host fields"),
        "body-incomplete" => Refusal::BodyIncomplete,
        "key-reused" => Refusal::KeyReused,
        "in-progress" => Refusal::InProgress { retry_after },
        "outcome-unknown" => doubt(Told::Repeat),
        "outcome-unknown-first" => doubt(Told::First),
        "outcome-not-kept" => Refusal::OutcomeNotKept { status: Some(201) },
        "outcome-vouched" => Refusal::OutcomeNotKept { status: None },
        "key-expired" => Refusal::KeyExpired { effect: Effect::Done },
        "key-forgotten" => Refusal::KeyExpired { effect: Effect::Unknown },
        "cancelled" => Refusal::Cancelled,
        "history-lost" => Refusal::HistoryLost,
        "record-corrupt" => Refusal::RecordCorrupt,
        "store-unavailable" => Refusal::StoreUnavailable { retry_after, effect: Effect::None },
        "outcome-not-stored" => Refusal::StoreUnavailable { retry_after, effect: Effect::Unknown },
        "upstream-unreachable" => Refusal::UpstreamUnreachable(Untouched::ConnectFailed),
        "overloaded" => Refusal::Overloaded { retry_after },
        "intent-missing" => Refusal::IntentMissing,
        "intent-mismatch" => Refusal::IntentMismatch,
        "intent-unrepresentable" => Refusal::IntentUnrepresentable,
        "intent-expired" => Refusal::IntentExpired,
        "too-early" => Refusal::TooEarly,
        "precondition-required" => Refusal::PreconditionRequired,
        "precondition-invalid" => Refusal::PreconditionInvalid(PreconditionInvalid::Tag),
        "precondition-failed" => Refusal::PreconditionFailed,
        "snapshot-stale" => Refusal::SnapshotStale { current: Some(Snapshot::Version(18)) },
        "possible-duplicate" => duplicate(Seen::Done, Sent::Nothing),
        other => panic!("unknown refusal {other}"),
    }
}

fn types() -> Vec<TypeRow> {
    vectors::read::<Vectors>(include_str!("../../../../vectors/problem.json")).types
}

// covers: C2, C3, K1, K3, K4, F1, F5, F6, W1, D1, O7, T2, D5, T5, L8, S2, P5
#[test]
fn each_refusal_says_what_may_be_done_next() {
    for row in types() {
        let refusal = refusal(&row.refusal);
        let problem_type = refusal.problem_type();
        let found = TypeRow {
            refusal: row.refusal.clone(),
            slug: problem_type.slug.to_owned(),
            status: problem_type.status,
            retry: problem_type.retry.as_str().to_owned(),
            retryable: problem_type.retry == Retry::SameKey,
            effect: refusal.effect().as_str().to_owned(),
            consumed: refusal.is_key_consumed(),
            intent_status: refusal.intent_status().map(|status| status.as_str().to_owned()),
            retry_after: refusal.retry_after().is_some(),
        };
        assert_eq!(found, row);
    }
}

// covers: C3
#[test]
fn no_caller_is_told_to_try_anew_what_may_have_happened() {
    let told: Vec<_> =
        types().into_iter().filter(|row| row.effect == "unknown" && row.retry == "new-key").collect();
    assert_eq!(told, []);
}

// covers: C3
#[test]
fn each_problem_type_has_one_slug() {
    let rows = types();
    let named: BTreeSet<_> = rows.iter().map(|row| row.slug.as_str()).collect();
    let declared: BTreeSet<_> = PROBLEM_SLUGS.iter().copied().collect();
    assert_eq!(declared, named);
    assert_eq!(PROBLEM_SLUGS.len(), named.len(), "no slug twice");
    for slug in PROBLEM_SLUGS {
        assert!(slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{slug}");
    }
}

// covers: W1, D1, C3
#[test]
fn a_pause_is_the_one_that_was_asked_for() {
    let pauses = ["in-progress", "store-unavailable", "overloaded", "outcome-unknown"]
        .map(|name| refusal(name).retry_after());
    let doubt_pause = Duration::from_secs(30);
    assert_eq!(pauses, [RETRY_AFTER, RETRY_AFTER, RETRY_AFTER, doubt_pause].map(Some));
}

// covers: D1, D5, F6, T2, W1
#[test]
fn a_denial_by_the_record_becomes_the_refusal_of_its_name() {
    let in_doubt = Denial::InDoubt { reason: DoubtReason::NoAnswer, sent_at: SENT_AT };
    let refusals = [
        (Denial::KeyReused, "key-reused"),
        (in_doubt, "outcome-unknown"),
        (Denial::InProgress, "in-progress"),
        (Denial::NotInDoubt, "in-progress"),
        (Denial::Expired, "key-expired"),
        (Denial::Cancelled, "cancelled"),
    ];
    for (denial, name) in refusals {
        assert_eq!(Refusal::of_denial(denial, RETRY_AFTER), refusal(name));
    }
}

/// What a person reads: fragments in lower case, without a full stop, each telling one refusal from the others.
#[test]
fn each_text_is_a_fragment_of_its_own() {
    let doubts = [
        DoubtReason::NoAnswer,
        DoubtReason::AnswerCut,
        DoubtReason::AmbiguousStatus(502),
        DoubtReason::DeadlinePassed,
        DoubtReason::LeaseLapsed,
        DoubtReason::HolderGone,
        DoubtReason::ShutDown,
        DoubtReason::Panicked,
    ];
    let proofs = [
        Untouched::TlsFailed,
        Untouched::ProxyHandshakeFailed,
        Untouched::TargetRefused,
        Untouched::LimitReached,
        Untouched::NothingWritten,
        Untouched::StreamRefused,
        Untouched::GoAwayBelow,
        Untouched::NotConsumed,
        Untouched::Declined(425),
        Untouched::IntentExpired,
        Untouched::HandlerSaidSo,
    ];
    let doubts = doubts.map(|reason| {
        Refusal::OutcomeUnknown(Doubt { reason, sent_at: SENT_AT, told: Told::Repeat }).to_string()
    });
    let proofs = proofs.map(|proof| Refusal::UpstreamUnreachable(proof).to_string());
    let others: Vec<_> = types()
        .iter()
        .filter(|row| row.refusal != "outcome-unknown")
        .map(|row| refusal(&row.refusal).to_string())
        .collect();
    let texts: Vec<_> = doubts.iter().chain(&proofs).chain(&others).collect();
    for text in &texts {
        assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
    }
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len());
    assert!(doubts[2].contains("502") && proofs[8].contains("425"));
    assert_eq!(refusal("body-too-large").to_string(), "the body exceeds 1024 bytes");
    assert!(refusal("outcome-not-kept").to_string().contains("201"), "O7 names the original status");
}

/// What a person reads of it, for everything that an earlier effect may have come to.
// covers: P5, C3
#[test]
fn a_possible_duplicate_says_what_became_of_the_earlier_effect() {
    let rows = [
        (Seen::Claimed, "claimed", "that runs now"),
        (Seen::Done, "done", "that happened"),
        (Seen::InDoubt, "in-doubt", "that may have happened"),
        (Seen::Expired, "tombstone", "that is over, its answer no longer kept"),
        (Seen::Unreadable, "unreadable", "what became of that cannot be read"),
    ];
    for (seen, name, became) in rows {
        let start = format!("the same was asked for under another key at 2026-11-21T12:00:03Z, and {became}");
        let plain = format!("{start}; nothing was sent");
        assert_eq!(duplicate(seen, Sent::Nothing).to_string(), plain);
        let no_good = format!("{plain}, for Effect-Confirm is too old or about another key or effect");
        assert_eq!(duplicate(seen, Sent::NoGood).to_string(), no_good);
        assert_eq!(seen.as_str(), name);
    }
}
