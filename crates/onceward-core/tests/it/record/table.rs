//! The shapes of `vectors/record.json`, and how they become the machine's own values.

use std::collections::BTreeMap;
use std::time::Duration;

use onceward_core::fingerprint::{Fingerprint, Version};
use onceward_core::record::{
    AfterRetention, Alarm, Attempt, AttemptId, Decision, Denial, DoubtReason, Drift, Epoch, Event, Inquiry,
    Interest, OnLapse, OnMismatch, Record, Sealed, Settlement, State, Terms, TombstoneKind, Verdict,
};
use onceward_core::time::Timestamp;
use serde::Deserialize;

use crate::vectors::bytes_of_hex;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    #[serde(rename = "description")]
    _description: String,
    attempts: BTreeMap<String, AttemptText>,
    fingerprints: BTreeMap<String, String>,
    terms: BTreeMap<String, TermsText>,
    pub(super) records: BTreeMap<String, Situation>,
    pub(super) events: BTreeMap<String, EventText>,
    pub(super) rows: Vec<Row>,
}

/// A record as somebody finds it at one moment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Situation {
    pub(super) description: String,
    pub(super) now: u64,
    pub(super) due_at: Option<u64>,
    pub(super) record: RecordText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) description: String,
    pub(super) source: String,
    pub(super) on: Vec<String>,
    pub(super) events: Vec<String>,
    pub(super) decision: DecisionText,
    pub(super) becomes: Becomes,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Becomes {
    /// `unchanged`, or the name of a situation whose record it is.
    Named(String),
    Whole(Box<RecordText>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptText {
    epoch: u64,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsText {
    lease_ms: u64,
    on_lapse: String,
    retention_ms: u64,
    remember_ms: u64,
    after_retention: String,
    on_mismatch: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordText {
    state: StateText,
    fingerprint: Option<String>,
    epoch: u64,
    since: u64,
    claimed_at: u64,
    terms: Option<String>,
    overruled: Option<String>,
    inquiry: Option<InquiryText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InquiryText {
    request: String,
    looks: u32,
    next_at: u64,
    looker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StateText {
    Absent,
    Claimed { attempt: String, lease_until: u64 },
    Done { attempt: String, outcome: Option<String>, how: String, expires_at: u64 },
    InDoubt { attempt: String, reason: String, interest: String },
    Tombstone { kind: String, forget_at: u64 },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum EventText {
    Arrived { attempt: String, fingerprint: String, terms: String, request: Option<String> },
    Renewed { attempt: String },
    Completed { attempt: String, outcome: String },
    Released { attempt: String },
    Doubted { attempt: String, reason: String },
    HolderGone,
    Resolved { verdict: VerdictText, judged: String },
    Inquired { judged: String, looker: String, pause_ms: u64 },
    Cancelled { remember_ms: u64 },
    Erased,
    Swept,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VerdictText {
    Happened(Option<String>),
    Absent,
    Multiple(Option<String>),
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum DecisionText {
    Execute(String),
    Replay { outcome: Option<String>, age_ms: u64, drift: String },
    Wait { lease_left_ms: u64, drift: String },
    Refuse(DenialText),
    Compare(String),
    Renewed(u64),
    Settled,
    Stale(String),
    Unchanged,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum DenialText {
    #[serde(rename = "key-reused")]
    KeyReused,
    InDoubt {
        reason: String,
        sent_at: u64,
    },
    #[serde(rename = "in-progress")]
    InProgress,
    Expired,
    Cancelled,
    #[serde(rename = "not-in-doubt")]
    NotInDoubt,
}

impl Table {
    pub(super) fn attempt(&self, name: &str) -> Attempt {
        let text = &self.attempts[name];
        let id = bytes_of_hex(&text.id).try_into().unwrap();
        Attempt { epoch: Epoch(text.epoch), id: AttemptId(id) }
    }

    fn fingerprint(&self, name: &str) -> Fingerprint {
        Fingerprint::from_bytes(&bytes_of_hex(&self.fingerprints[name])).unwrap()
    }

    fn terms(&self, name: &str) -> Terms {
        let text = &self.terms[name];
        Terms {
            lease: Duration::from_millis(text.lease_ms),
            on_lapse: match &*text.on_lapse {
                "doubt" => OnLapse::Doubt,
                "execute" => OnLapse::Execute,
                other => unknown(other),
            },
            retention: Duration::from_millis(text.retention_ms),
            remember: Duration::from_millis(text.remember_ms),
            after_retention: match &*text.after_retention {
                "refuse" => AfterRetention::Refuse,
                "execute" => AfterRetention::Execute,
                other => unknown(other),
            },
            on_mismatch: match &*text.on_mismatch {
                "refuse" => OnMismatch::Refuse,
                "replay" => OnMismatch::Replay,
                other => unknown(other),
            },
        }
    }

    pub(super) fn record(&self, text: &RecordText) -> Record {
        Record {
            fingerprint: text.fingerprint.as_deref().map(|name| self.fingerprint(name)),
            epoch: Epoch(text.epoch),
            state: self.state(&text.state),
            since: Timestamp::from_ms(text.since),
            claimed_at: Timestamp::from_ms(text.claimed_at),
            terms: text.terms.as_deref().map(|name| self.terms(name)),
            overruled: text.overruled.as_deref().map(|name| self.attempt(name)),
            inquiry: text.inquiry.as_ref().map(|text| Inquiry {
                request: sealed(&text.request),
                looks: text.looks,
                next_at: Timestamp::from_ms(text.next_at),
                looker: text.looker.as_deref().map(|name| self.attempt(name).id),
            }),
        }
    }

    fn state(&self, text: &StateText) -> State {
        match text {
            StateText::Absent => State::Absent,
            StateText::Claimed { attempt, lease_until } => State::Claimed {
                attempt: self.attempt(attempt),
                lease_until: Timestamp::from_ms(*lease_until),
            },
            StateText::Done { attempt, outcome, how, expires_at } => State::Done {
                attempt: self.attempt(attempt),
                outcome: outcome.as_deref().map(sealed),
                how: match &**how {
                    "answered" => Settlement::Answered,
                    "answered-late" => Settlement::AnsweredLate,
                    "vouched" => Settlement::Vouched,
                    "diverged" => Settlement::Diverged,
                    other => unknown(other),
                },
                expires_at: Timestamp::from_ms(*expires_at),
            },
            StateText::InDoubt { attempt, reason, interest } => State::InDoubt {
                attempt: self.attempt(attempt),
                reason: doubt_reason(reason),
                interest: match &**interest {
                    "wanted" => Interest::Wanted,
                    "abandoned" => Interest::Abandoned,
                    other => unknown(other),
                },
            },
            StateText::Tombstone { kind, forget_at } => State::Tombstone {
                kind: match &**kind {
                    "expired" => TombstoneKind::Expired,
                    "cancelled" => TombstoneKind::Cancelled,
                    other => unknown(other),
                },
                forget_at: Timestamp::from_ms(*forget_at),
            },
        }
    }

    pub(super) fn event(&self, name: &str) -> Event {
        match &self.events[name] {
            EventText::Arrived { attempt, fingerprint, terms, request } => Event::Arrived {
                attempt: self.attempt(attempt),
                fingerprint: self.fingerprint(fingerprint),
                terms: self.terms(terms),
                request: request.as_deref().map(sealed),
            },
            EventText::Renewed { attempt } => Event::Renewed { attempt: self.attempt(attempt) },
            EventText::Completed { attempt, outcome } => {
                Event::Completed { attempt: self.attempt(attempt), outcome: sealed(outcome) }
            }
            EventText::Released { attempt } => Event::Released { attempt: self.attempt(attempt) },
            EventText::Doubted { attempt, reason } => {
                Event::Doubted { attempt: self.attempt(attempt), reason: doubt_reason(reason) }
            }
            EventText::HolderGone => Event::HolderGone,
            EventText::Resolved { verdict, judged } => {
                Event::Resolved { verdict: verdict_of(verdict), judged: self.attempt(judged).epoch }
            }
            EventText::Inquired { judged, looker, pause_ms } => Event::Inquired {
                judged: self.attempt(judged).epoch,
                looker: self.attempt(looker).id,
                pause: Duration::from_millis(*pause_ms),
            },
            EventText::Cancelled { remember_ms } => {
                Event::Cancelled { remember: Duration::from_millis(*remember_ms) }
            }
            EventText::Erased => Event::Erased,
            EventText::Swept => Event::Swept,
        }
    }

    pub(super) fn decision(&self, text: &DecisionText) -> Decision {
        match text {
            DecisionText::Execute(attempt) => Decision::Execute(self.attempt(attempt)),
            DecisionText::Replay { outcome, age_ms, drift } => Decision::Replay {
                outcome: outcome.as_deref().map(sealed),
                age: Duration::from_millis(*age_ms),
                drift: drift_of(drift),
            },
            DecisionText::Wait { lease_left_ms, drift } => {
                Decision::Wait { lease_left: Duration::from_millis(*lease_left_ms), drift: drift_of(drift) }
            }
            DecisionText::Refuse(denial) => Decision::Refuse(denial_of(denial)),
            DecisionText::Compare(version) => Decision::Compare(match &**version {
                "c0" => Version::Bytes,
                "c1" => Version::C1,
                other => unknown(other),
            }),
            DecisionText::Renewed(lease_until) => Decision::Renewed(Timestamp::from_ms(*lease_until)),
            DecisionText::Settled => Decision::Settled,
            DecisionText::Stale(alarm) => Decision::Stale(match &**alarm {
                "none" => Alarm::None,
                "effect-after-release" => Alarm::EffectAfterRelease,
                other => unknown(other),
            }),
            DecisionText::Unchanged => Decision::Unchanged,
        }
    }
}

fn verdict_of(text: &VerdictText) -> Verdict {
    match text {
        VerdictText::Happened(outcome) => Verdict::Happened(outcome.as_deref().map(sealed)),
        VerdictText::Absent => Verdict::Absent,
        VerdictText::Multiple(outcome) => Verdict::Multiple(outcome.as_deref().map(sealed)),
        VerdictText::Unknown => Verdict::Unknown,
    }
}

fn denial_of(text: &DenialText) -> Denial {
    match text {
        DenialText::KeyReused => Denial::KeyReused,
        DenialText::InDoubt { reason, sent_at } => {
            Denial::InDoubt { reason: doubt_reason(reason), sent_at: Timestamp::from_ms(*sent_at) }
        }
        DenialText::InProgress => Denial::InProgress,
        DenialText::Expired => Denial::Expired,
        DenialText::Cancelled => Denial::Cancelled,
        DenialText::NotInDoubt => Denial::NotInDoubt,
    }
}

fn doubt_reason(text: &str) -> DoubtReason {
    match text {
        "no-answer" => DoubtReason::NoAnswer,
        "answer-cut" => DoubtReason::AnswerCut,
        "lease-lapsed" => DoubtReason::LeaseLapsed,
        "holder-gone" => DoubtReason::HolderGone,
        other => unknown(other),
    }
}

fn drift_of(text: &str) -> Drift {
    match text {
        "same" => Drift::Same,
        "drifted" => Drift::Drifted,
        other => unknown(other),
    }
}

fn sealed(text: &str) -> Sealed {
    Sealed(text.as_bytes().to_vec())
}

fn unknown<T>(word: &str) -> T {
    panic!("vectors/record.json: unknown word {word:?}")
}
