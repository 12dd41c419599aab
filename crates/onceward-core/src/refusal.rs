//! Every no that the protocol defines (C3). A refusal is a value, not an error.

use alloc::boxed::Box;
use core::{fmt, time::Duration};

use crate::{
    actor::{KeyTag, LookupId},
    header::IntentStatus,
    key::KeyInvalid,
    outcome::Untouched,
    precondition::{PreconditionInvalid, Snapshot},
    record::{Denial, DoubtReason, Seen},
    time::Timestamp,
    twin::Confirmation,
};

/// Why a request is not executed, or not answered from a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key breaks K1, K2 or K7.
    KeyInvalid(KeyInvalid),
    /// The route requires a key (K3).
    KeyMissing,
    /// Credentials are present that the configured source cannot read (K4).
    ActorUnknown,
    /// The body cannot be compared (F1, F2); the text names the place, never the content.
    BodyInvalid(alloc::string::String),
    /// The body is larger than a guarded request may be (S1).
    BodyTooLarge {
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The request's head can be read in two ways (S6); the text says which.
    HeadAmbiguous(&'static str),
    /// The body did not arrive whole, so nothing was claimed (S6).
    BodyIncomplete,
    /// The key stands for another request (F6).
    KeyReused,
    /// The first request still runs (W1).
    InProgress {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The effect may or may not have happened (D1).
    OutcomeUnknown(Doubt),
    /// The effect happened; its answer was too large to keep (O7), only vouched for (D3), or erased (T4).
    OutcomeNotKept {
        /// The original status, where it was seen.
        status: Option<u16>,
    },
    /// The answer was kept for its time (T2), or the key is older than anything that is remembered (K7).
    KeyExpired {
        /// Whether the effect is known to have happened: [`Effect::Unknown`] where nothing is remembered of the key.
        effect: Effect,
    },
    /// The key was cancelled (D5).
    Cancelled,
    /// Acknowledged records may have been lost since this key was issued (T5).
    HistoryLost,
    /// The record cannot be read (L8).
    RecordCorrupt,
    /// The store does not answer (S2).
    StoreUnavailable {
        /// When to ask again.
        retry_after: Duration,
        /// Whether an effect may have happened.
        effect: Effect,
    },
    /// The request never reached the origin, and provably so (L5).
    UpstreamUnreachable(Untouched),
    /// Too many requests wait or run at once (S1, W2).
    Overloaded {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The route asks for the intent's digest and there is none (F5).
    IntentMissing,
    /// The digest sent and the body's differ (F5).
    IntentMismatch,
    /// The body holds a number that the digest's text cannot carry (F5).
    IntentUnrepresentable,
    /// The intent's time has passed (F5).
    IntentExpired,
    /// A write came in TLS early data, which can be replayed (P1; RFC 8470, 5.2).
    TooEarly,
    /// The route asks for a precondition and there is none (P2; RFC 6585, 3).
    PreconditionRequired,
    /// A precondition cannot be read (P2).
    PreconditionInvalid(PreconditionInvalid),
    /// A precondition does not hold (P2; RFC 9110, 15.5.13).
    PreconditionFailed,
    /// The data changed since the client read it (P2).
    SnapshotStale {
        /// What is current, where the resource has snapshots.
        current: Option<Snapshot>,
    },
    /// Another key of the same actor asked for the same lately (P5).
    PossibleDuplicate(Box<Duplicate>),
}

/// What a request is told that asks for the same as an earlier one, under another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The effect that stands.
    pub earlier: Earlier,
    /// What the request carries if it is wanted all the same.
    pub confirmation: Confirmation,
    /// What it carried already.
    pub sent: Sent,
}

/// An earlier effect, as its own actor is shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Under which its record is found.
    pub id: LookupId,
    /// Stands for its key; `None` where its record cannot be read.
    pub key: Option<KeyTag>,
    /// What is known of it.
    pub seen: Seen,
    /// When its request was sent, or when it was let through where that cannot be read.
    pub sent_at: Timestamp,
    /// From when on it stops no other key.
    pub until: Timestamp,
}

/// Whether a possible duplicate came with a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It did not.
    Nothing,
    /// With one that is not good here: too old, of another key, or about another effect.
    NoGood,
}

/// What is known about an effect in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What made it doubtful.
    pub reason: DoubtReason,
    /// When the request was sent.
    pub sent_at: Timestamp,
    /// Whether this is the first request itself, or a repeat of it.
    pub told: Told,
}

/// Whom a doubt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The caller whose own request became doubtful.
    First,
    /// A caller that repeated it.
    Repeat,
}

/// What a caller may assume about the effect (the member `effect` of a problem).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This request caused none.
    None,
    /// It happened.
    Done,
    /// Nobody knows.
    Unknown,
}

impl Effect {
    /// The value on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }
}

/// What a caller may do next (the member `retry` of a problem).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Send the same again with the same key.
    SameKey,
    /// Mend the request and send it with a new key.
    NewKey,
    /// Wait until a resolver or a person has found out.
    AfterResolution,
    /// Send the same again with the same key and the confirmation that is offered, if it is wanted.
    Confirmed,
    /// Do not.
    Never,
}

impl Retry {
    /// The value on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameKey => "same-key",
            Self::NewKey => "new-key",
            Self::AfterResolution => "after-resolution",
            Self::Confirmed => "confirmed",
            Self::Never => "never",
        }
    }
}

/// How often a caller that met a doubt may ask again; resolvers need their time.
const DOUBT_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The fixed part of one problem type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// The last segment of `type`, and the name of its page under `docs/problems/`.
    pub slug: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// One line for a person.
    pub title: &'static str,
    /// What a caller may do next.
    pub retry: Retry,
    /// What an agent should do, as an order.
    pub next_action: &'static str,
}

macro_rules! problem_types {
    ($($pattern:pat => $slug:literal, $status:literal, $title:literal, $retry:ident, $next:literal;)+) => {
        impl Refusal {
            const fn listed_type(&self) -> ProblemType {
                match self {
                    $($pattern => ProblemType {
                        slug: $slug,
                        status: $status,
                        title: $title,
                        retry: Retry::$retry,
                        next_action: $next,
                    },)+
                }
            }
        }

        /// The slug of every problem type; each has a page under `docs/problems/`.
        pub const PROBLEM_SLUGS: &[&str] = &[$($slug),+];
    };
}

problem_types! {
    Self::KeyInvalid(_) => "key-invalid", 400, "The idempotency key is not valid", NewKey,
        "Send one key of 1 to 255 visible ASCII characters.";
    Self::KeyMissing => "key-missing", 400, "This request needs an idempotency key", NewKey,
        "Mint a key for this action and send it with every try of it.";
    Self::ActorUnknown => "actor-unknown", 403, "The caller cannot be identified", Never,
        "Send credentials that this server can read.";
    Self::BodyInvalid(_) => "body-invalid", 400, "The body cannot be read in one way only", NewKey,
        "Mend the body at the place named and send it with a new key.";
    Self::BodyTooLarge { .. } => "body-too-large", 413, "The body is too large to be guarded", Never,
        "Send a smaller body, or raise request_bytes_max.";
    Self::HeadAmbiguous(_) => "head-ambiguous", 400, "The request's head can be read in two ways", Never,
        "Send a head that every server reads alike.";
    Self::BodyIncomplete => "body-incomplete", 400, "The body did not arrive whole", SameKey,
        "Send the whole request again with the same key.";
    Self::KeyReused => "key-reused", 422, "This key was used for another request", NewKey,
        "Do not change the request of a key; use a new key for a new action.";
    Self::InProgress { .. } => "in-progress", 409, "An identical request is being processed", SameKey,
        "Wait, then send the same request with the same key.";
    Self::OutcomeUnknown(_) => "outcome-unknown", 409, "The outcome of this request is unknown", AfterResolution,
        "Do not submit again. Check whether the effect happened, then resolve it.";
    Self::OutcomeNotKept { .. } => "outcome-not-kept", 409, "This request was executed; its answer was not kept", Never,
        "Do not submit again. Look the result up at the site.";
    Self::KeyExpired { .. } => "key-expired", 409, "The time of this key is over", NewKey,
        "Check whether the effect of then is what you want; use a new key for a new action.";
    Self::Cancelled => "cancelled", 409, "This request was cancelled", NewKey,
        "Use a new key if the action is wanted after all.";
    Self::HistoryLost => "history-lost", 409, "Earlier requests may have been forgotten", AfterResolution,
        "Check whether the effect happened; use a new key only if it did not.";
    Self::RecordCorrupt => "record-corrupt", 503, "The record of this key cannot be read", AfterResolution,
        "Do not submit again. An operator has to look at this record.";
    Self::StoreUnavailable { .. } => "store-unavailable", 503, "The store of requests is not available", SameKey,
        "Wait, then send the same request with the same key.";
    Self::UpstreamUnreachable(_) => "upstream-unreachable", 502, "The site was not reached", SameKey,
        "Nothing was sent. Send the same request with the same key.";
    Self::Overloaded { .. } => "overloaded", 503, "Too many requests at once", SameKey,
        "Wait, then send the same request with the same key.";
    Self::IntentMissing => "intent-missing", 400, "This request must say what it means", NewKey,
        "Send Intent-SHA256, the digest of the body's canonical text.";
    Self::IntentMismatch => "intent-mismatch", 422, "The intent's digest is not that of the body", NewKey,
        "Compute Intent-SHA256 over the body that is sent.";
    Self::IntentUnrepresentable => "intent-unrepresentable", 422, "A number cannot be carried by the intent's digest", NewKey,
        "Send the number as a string.";
    Self::IntentExpired => "intent-expired", 400, "The intent's time has passed", NewKey,
        "Decide again whether the action is wanted, and send it with a later Intent-Expires-At.";
    Self::TooEarly => "too-early", 425, "A write in early data can be replayed", SameKey,
        "Finish the TLS handshake, then send the same request with the same key.";
    Self::PreconditionRequired => "precondition-required", 428, "This write needs a precondition", NewKey,
        "Read the resource, and send what it said in If-Match, If-Unmodified-Since or Precondition-Snapshot.";
    Self::PreconditionInvalid(_) => "precondition-invalid", 400, "A precondition cannot be read", NewKey,
        "Send the value of ETag or Snapshot as it was received.";
    Self::PreconditionFailed => "precondition-failed", 412, "The resource changed since it was read", NewKey,
        "Read the resource again, decide again, and send the write with a new key.";
    Self::SnapshotStale { .. } => "snapshot-stale", 409, "The data changed since it was read", NewKey,
        "Read again, decide again, and send the write with a new key.";
    Self::PossibleDuplicate(_) => "possible-duplicate", 409, "The same was asked for before, under another key", Confirmed,
        "Look at the earlier effect. Only if it is wanted once more, send the same with the same key and Effect-Confirm.";
}

impl Refusal {
    /// The problem type of this refusal.
    #[must_use]
    pub const fn problem_type(&self) -> ProblemType {
        let listed = self.listed_type();
        match self {
            // Its type is of keys whose effect is known; nobody is told to try anew what may have happened.
            Self::KeyExpired { effect: Effect::Unknown } => ProblemType {
                retry: Retry::AfterResolution,
                next_action: "Check whether the effect happened; use a new key only if it did not.",
                ..listed
            },
            _ => listed,
        }
    }

    /// What may be assumed about the effect.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::OutcomeUnknown(_) | Self::RecordCorrupt | Self::HistoryLost | Self::InProgress { .. } => {
                Effect::Unknown
            }
            Self::OutcomeNotKept { .. } => Effect::Done,
            Self::KeyExpired { effect } | Self::StoreUnavailable { effect, .. } => *effect,
            Self::KeyInvalid(_)
            | Self::KeyMissing
            | Self::ActorUnknown
            | Self::BodyInvalid(_)
            | Self::BodyTooLarge { .. }
            | Self::HeadAmbiguous(_)
            | Self::BodyIncomplete
            | Self::KeyReused
            | Self::Cancelled
            | Self::UpstreamUnreachable(_)
            | Self::Overloaded { .. }
            | Self::IntentMissing
            | Self::IntentMismatch
            | Self::IntentUnrepresentable
            | Self::IntentExpired
            | Self::TooEarly
            | Self::PreconditionRequired
            | Self::PreconditionInvalid(_)
            | Self::PreconditionFailed
            | Self::SnapshotStale { .. }
            | Self::PossibleDuplicate(_) => Effect::None,
        }
    }

    /// The value of `Idempotency-Key-Consumed`: whether the key stands for something that happened or may have (C2).
    #[must_use]
    pub const fn is_key_consumed(&self) -> bool {
        match self.effect() {
            Effect::Done | Effect::Unknown => true,
            Effect::None => matches!(self, Self::KeyReused | Self::Cancelled),
        }
    }

    /// The value of `Intent-Status`; `None` where the request never got so far.
    #[must_use]
    pub const fn intent_status(&self) -> Option<IntentStatus> {
        match self {
            Self::KeyReused | Self::IntentMismatch => Some(IntentStatus::Mismatch),
            Self::InProgress { .. } => Some(IntentStatus::InProgress),
            Self::OutcomeUnknown(_) | Self::RecordCorrupt | Self::HistoryLost => Some(IntentStatus::Unknown),
            Self::StoreUnavailable { effect: Effect::Unknown, .. } => Some(IntentStatus::Unknown),
            Self::OutcomeNotKept { .. } => Some(IntentStatus::Replayed),
            Self::KeyExpired { .. } | Self::IntentExpired => Some(IntentStatus::Expired),
            Self::Cancelled => Some(IntentStatus::Cancelled),
            Self::KeyInvalid(_)
            | Self::KeyMissing
            | Self::ActorUnknown
            | Self::BodyInvalid(_)
            | Self::BodyTooLarge { .. }
            | Self::HeadAmbiguous(_)
            | Self::BodyIncomplete
            | Self::StoreUnavailable { .. }
            | Self::UpstreamUnreachable(_)
            | Self::Overloaded { .. }
            | Self::IntentMissing
            | Self::IntentUnrepresentable
            | Self::TooEarly
            | Self::PreconditionRequired
            | Self::PreconditionInvalid(_)
            | Self::PreconditionFailed
            | Self::SnapshotStale { .. }
            | Self::PossibleDuplicate(_) => None,
        }
    }

    /// The value of `Retry-After`, where waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProgress { retry_after }
            | Self::StoreUnavailable { retry_after, .. }
            | Self::Overloaded { retry_after } => Some(*retry_after),
            Self::OutcomeUnknown(_) => Some(DOUBT_RETRY_AFTER),
            Self::KeyInvalid(_)
            | Self::KeyMissing
            | Self::ActorUnknown
            | Self::BodyInvalid(_)
            | Self::BodyTooLarge { .. }
            | Self::HeadAmbiguous(_)
            | Self::BodyIncomplete
            | Self::KeyReused
            | Self::OutcomeNotKept { .. }
            | Self::KeyExpired { .. }
            | Self::Cancelled
            | Self::HistoryLost
            | Self::RecordCorrupt
            | Self::UpstreamUnreachable(_)
            | Self::IntentMissing
            | Self::IntentMismatch
            | Self::IntentUnrepresentable
            | Self::IntentExpired
            | Self::TooEarly
            | Self::PreconditionRequired
            | Self::PreconditionInvalid(_)
            | Self::PreconditionFailed
            | Self::SnapshotStale { .. }
            | Self::PossibleDuplicate(_) => None,
        }
    }

    /// The refusal that a record's state calls for.
    #[must_use]
    pub const fn of_denial(denial: Denial, retry_after: Duration) -> Self {
        match denial {
            Denial::KeyReused => Self::KeyReused,
            Denial::InDoubt { reason, sent_at } => {
                Self::OutcomeUnknown(Doubt { reason, sent_at, told: Told::Repeat })
            }
            Denial::InProgress => Self::InProgress { retry_after },
            Denial::Expired => Self::KeyExpired { effect: Effect::Done },
            Denial::Cancelled => Self::Cancelled,
            // Nobody but a resolver asks for this, and it gets the denial itself.
            Denial::NotInDoubt => Self::InProgress { retry_after },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyInvalid(why) => write!(f, "{why}"),
            Self::KeyMissing => f.write_str("the route requires a key and none was sent"),
            Self::ActorUnknown => f.write_str("the credentials cannot be read from the configured source"),
            Self::BodyInvalid(why) => f.write_str(why),
            Self::BodyTooLarge { bytes_max } => write!(f, "the body exceeds {bytes_max} bytes"),
            Self::HeadAmbiguous(why) => f.write_str(why),
            Self::BodyIncomplete => f.write_str("the request ended before its body; nothing was sent on"),
            Self::KeyReused => f.write_str("the key stands for a request with other content"),
            Self::InProgress { .. } => f.write_str("the first request with this key is still running"),
            Self::OutcomeUnknown(doubt) => fmt_doubt(doubt, f),
            Self::OutcomeNotKept { status: Some(status) } => {
                write!(f, "the first request was answered {status}; the answer was too large to keep")
            }
            Self::OutcomeNotKept { status: None } => {
                f.write_str("the effect is known to have happened; its answer was never seen")
            }
            Self::KeyExpired { effect: Effect::Unknown } => {
                f.write_str("the key is older than anything that is remembered; it may have been used")
            }
            Self::KeyExpired { .. } => {
                f.write_str("the answer was kept for its time and is gone; it is not run again")
            }
            Self::Cancelled => f.write_str("its owner cancelled it before it ran"),
            Self::HistoryLost => {
                f.write_str("the store lost records since this key was issued and cannot say whether it ran")
            }
            Self::RecordCorrupt => {
                f.write_str("the stored record does not decode; it is not taken for absent")
            }
            Self::StoreUnavailable { effect: Effect::Unknown, .. } => {
                f.write_str("the request was sent; whether its outcome was stored is not known")
            }
            Self::StoreUnavailable { .. } => {
                f.write_str("nothing was sent, because it could not be recorded")
            }
            Self::UpstreamUnreachable(proof) => fmt_untouched(*proof, f),
            Self::Overloaded { .. } => {
                f.write_str("a limit on requests at once is reached; nothing was sent")
            }
            Self::IntentMissing => f.write_str("the request has no Intent-SHA256"),
            Self::IntentMismatch => f.write_str("Intent-SHA256 differs from the digest of the body"),
            Self::IntentUnrepresentable => {
                f.write_str("a number of the body has more digits than a double carries")
            }
            Self::IntentExpired => f.write_str("Intent-Expires-At has passed; nothing was sent"),
            Self::TooEarly => f.write_str("it came in TLS early data; nothing was sent on"),
            Self::PreconditionRequired => f.write_str("the request has no precondition"),
            Self::PreconditionInvalid(invalid) => write!(f, "{invalid}"),
            Self::PreconditionFailed => {
                f.write_str("the resource is not in the state that the request names")
            }
            Self::SnapshotStale { current: Some(current) } => {
                write!(
                    f,
                    "the data changed since the snapshot that the request names; current is `{current}`"
                )
            }
            Self::SnapshotStale { current: None } => {
                f.write_str("the data changed since the snapshot that the request names")
            }
            Self::PossibleDuplicate(duplicate) => fmt_duplicate(duplicate, f),
        }
    }
}

fn fmt_duplicate(duplicate: &Duplicate, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Duplicate { earlier, sent, .. } = duplicate;
    let became = match earlier.seen {
        Seen::Claimed => "that runs now",
        Seen::Done => "that happened",
        Seen::InDoubt => "that may have happened",
        Seen::Expired => "that is over, its answer no longer kept",
        Seen::Unreadable => "what became of that cannot be read",
    };
    write!(
        f,
        "the same was asked for under another key at {}, and {became}; nothing was sent",
        earlier.sent_at
    )?;
    match sent {
        Sent::Nothing => Ok(()),
        Sent::NoGood => f.write_str(", for Effect-Confirm is too old or about another key or effect"),
    }
}

/// What happened to the first request, for a person and for a language model.
fn fmt_doubt(doubt: &Doubt, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match doubt.reason {
        DoubtReason::NoAnswer => {
            f.write_str("the request was sent and the connection broke before an answer came")
        }
        DoubtReason::AnswerCut => f.write_str("the request was sent and its answer broke off"),
        DoubtReason::AmbiguousStatus(status) => {
            write!(f, "the request was sent and answered {status}, which does not say whether it took effect")
        }
        DoubtReason::DeadlinePassed => f.write_str("the request was sent and no answer came in time"),
        DoubtReason::LeaseLapsed => f.write_str("the worker that ran the request stopped reporting"),
        DoubtReason::HolderGone => f.write_str("the program stopped while the request was running"),
        DoubtReason::ShutDown => f.write_str("the program was shut down while the request was running"),
        DoubtReason::Panicked => f.write_str("the handler failed while the request was running"),
    }
}

fn fmt_untouched(proof: Untouched, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match proof {
        Untouched::ConnectFailed => f.write_str("no connection to the site came about"),
        Untouched::TlsFailed => f.write_str("the TLS handshake with the site failed"),
        Untouched::ProxyHandshakeFailed => f.write_str("the upstream proxy refused the connection"),
        Untouched::TargetRefused => f.write_str("the site's address may not be dialled"),
        Untouched::LimitReached => f.write_str("too many connections to sites are open"),
        Untouched::NothingWritten => f.write_str("the site closed the connection before anything was sent"),
        Untouched::StreamRefused => f.write_str("the site refused the stream unprocessed"),
        Untouched::GoAwayBelow => f.write_str("the site went away before it took the request"),
        Untouched::NotConsumed => f.write_str("the site says that it did not consume the key"),
        Untouched::Declined(status) => write!(f, "the site declined with {status}"),
        Untouched::IntentExpired => f.write_str("the intent's time had passed"),
        Untouched::HandlerSaidSo => f.write_str("the handler says that nothing happened"),
    }
}
