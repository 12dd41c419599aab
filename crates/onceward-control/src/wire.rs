//! What travels between the control API and its clients, as JSON. Served and read by the same definitions.
//!
//! Times are RFC 3339 in UTC. Keys and actors are the 16 hexadecimal digits of their tags; a raw key never travels in this direction.

use serde::{Deserialize, Serialize};

/// One remembered effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The lookup id: 64 hexadecimal digits.
    pub id: String,
    /// The key's tag.
    pub key: String,
    /// The actor's tag.
    pub actor: String,
    /// The tenant's configured name.
    pub tenant: String,
    /// What was asked: `POST https://shop.example/order`.
    pub effect: String,
    /// `absent`, `claimed`, `done`, `in-doubt` or `tombstone`.
    pub state: String,
    /// What made it doubtful (`no-answer`, `lease-lapsed` …), or why a tombstone has no answer (`expired`, `cancelled`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The status that did not say whether the effect happened, where the reason is `ambiguous-status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambiguous_status: Option<u16>,
    /// When it entered its state.
    pub since: String,
    /// When its latest request was sent, as far as anybody can know; none where it was cancelled before it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<String>,
    /// The highest epoch granted: that of the attempt that runs, is in doubt or is over.
    pub epoch: u64,
    /// How a done effect became known: `answered`, `answered-late`, `vouched` or `diverged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// Whether the owner of an effect in doubt still wants it: `wanted` or `abandoned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interest: Option<String>,
    /// When time alone ends this state; none where it does not (doubt never ages).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectPage {
    /// The effects, newest change first.
    pub effects: Vec<Effect>,
    /// Records left out because they cannot be read (L8).
    pub corrupt: usize,
    /// Where the next page starts (`after=`); none at the end.
    pub next: Option<String>,
}

/// One effect with what is known of its answer and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectDetail {
    /// The effect.
    pub effect: Effect,
    /// Its answer; none unless it is done.
    pub outcome: Option<Outcome>,
    /// The first lines of the audit log about this key and actor, oldest first.
    pub audit: Vec<serde_json::Value>,
    /// Where the log goes on (`/v1/audit?key=…&after=…`); none where `audit` holds all of it.
    pub audit_next: Option<String>,
}

/// What is known of a done effect's answer: enough to judge it by, never its content (K6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was seen.
    Answer {
        /// The status code.
        status: u16,
        /// When the request went out.
        sent_at: String,
        /// The kept fields.
        fields: Vec<Field>,
        /// The content.
        content: Content,
        /// The trailer fields.
        trailers: Vec<Field>,
    },
    /// Nobody saw it; somebody vouched that the effect happened.
    Vouched,
    /// It was seen, and erased at its owner's wish (T4).
    Erased,
    /// It is stored and does not open under this deployment's secret.
    Unreadable,
}

/// A kept header or trailer field, without its value, which may be a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The name, lower-case.
    pub name: String,
    /// Bytes of the value.
    pub len: usize,
}

/// The content of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Content {
    /// Every byte is kept.
    Kept {
        /// How many.
        len: usize,
    },
    /// It was too large to keep (O7).
    NotKept {
        /// How many bytes went by.
        len: u64,
        /// SHA-256 of them in hexadecimal digits.
        sha256: String,
    },
    /// None, by method or status.
    None {
        /// The `Content-Length` that was announced.
        announced_len: Option<u64>,
    },
}

/// What somebody found out about an effect in doubt (D3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It happened; its answer was not seen.
    Happened,
    /// It did not happen and never will.
    Absent,
}

/// The body of `POST /v1/effects/{id}/resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// The verdict.
    pub verdict: Verdict,
    /// The attempt that was judged: [`Effect::epoch`] as it was listed when somebody looked.
    pub epoch: u64,
    /// How it was found out; goes into the audit log (D4).
    pub reason: String,
}

/// The body of `POST /v1/effects/{id}/cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Why it is not wanted any more; goes into the audit log.
    pub reason: String,
}

/// The body of `POST /v1/actors/{tag}/erase`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// Why; goes into the audit log.
    pub reason: String,
    /// Where to go on: [`Erased::next`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What one call erased (T4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// The actor's tag.
    pub actor: String,
    /// Records of which no content is left.
    pub erased: u64,
    /// Effects that run: their answers will be kept, so that it takes another round once they are over.
    pub running: u64,
    /// Records that cannot be read (L8): what they hold stays, sealed.
    pub unreadable: u64,
    /// Where the next call goes on (`after`); none at the end.
    pub next: Option<String>,
}

/// The answer to a verdict or a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The lookup id of the effect.
    pub id: String,
    /// What became of it.
    pub result: ChangeResult,
}

/// What became of a verdict or a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeResult {
    /// The verdict stands.
    Resolved,
    /// It has not run and never will.
    Cancelled,
    /// It is still in doubt, and nobody wants it any more (D5).
    Abandoned,
    /// It had happened before; its answer stands (D5).
    AlreadyDone,
}

/// What the store says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// `memory`, `sqlite` …
    pub kind: String,
    /// What survives an acknowledged operation: `nothing`, `process` or `power`.
    pub durability: String,
    /// Records held.
    pub records: RecordCounts,
    /// Bytes on disk or in memory, as far as known.
    pub bytes: u64,
    /// Keys issued before this point and unknown are refused (T5).
    pub history_barrier: Option<String>,
}

/// The body of `POST /v1/store/barrier`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaiseBarrier {
    /// Up to when acknowledged records may have been lost; the present where it is left out or later than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// The history barrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// Keys issued before this point and unknown are refused (T5); none where nothing was ever lost.
    pub history_barrier: Option<String>,
}

/// Records by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// Released with proof that nothing happened.
    pub absent: u64,
    /// Running.
    pub claimed: u64,
    /// Answered.
    pub done: u64,
    /// Waiting for a verdict.
    pub in_doubt: u64,
    /// Remembered without an answer.
    pub tombstone: u64,
}

/// The answer of `/readyz` and `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether traffic may come.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<NotReady>,
}

/// One reason not to send traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// What was checked: `draining`, `store`, `self-test` or `upstream`.
    pub check: String,
    /// What is wrong.
    pub detail: String,
}

/// A refusal of the control API (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`, or the page of a problem type of the protocol, relative to the API.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// One line for a person.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong.
    pub detail: String,
}
