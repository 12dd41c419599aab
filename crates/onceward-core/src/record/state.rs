//! What a record consists of. What happens to it is decided in [`super::Record::on`].

use alloc::vec::Vec;
use core::{fmt, time::Duration};

use super::Inquiry;
use crate::{fingerprint::Fingerprint, time::Timestamp};

/// A record's fencing token: higher at each new holder, from a source that never goes back (L14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// The random name of one try at executing, so that a repeated store operation finds itself (L11, L14).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptId(pub [u8; 16]);

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptId({self})")
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who executes: the token and the name, both checked at every step (L14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// The fencing token that the store handed out with the claim.
    pub epoch: Epoch,
    /// The name that the claimant chose.
    pub id: AttemptId,
}

/// An outcome as it is stored: encoded and sealed by the engine, opaque to the rules and to every store (S4).
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// What a route decided for the life of one record, fixed when it is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a claim holds without being renewed.
    pub lease: Duration,
    /// What a lapsed lease means (L4).
    pub on_lapse: OnLapse,
    /// How long the outcome is kept from completion (T1).
    pub retention: Duration,
    /// How long the key is remembered after that (T1).
    pub remember: Duration,
    /// What a retry that meets an expired tombstone gets (T2).
    pub after_retention: AfterRetention,
    /// What another fingerprint under a known key gets (F6, B2).
    pub on_mismatch: OnMismatch,
}

impl Terms {
    /// How long a released key's record stays: to repeat its answer (L11), or to raise the alarm of L13.
    pub(super) fn memory_of_absence(&self, overruled: Option<Attempt>) -> Duration {
        if overruled.is_some() { self.remember } else { self.retention }
    }
}

/// What a lapsed lease means (L4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLapse {
    /// The effect may have happened: in doubt.
    Doubt,
    /// The handler is safe to run again: transactional mode, or an origin that itself honours the key.
    Execute,
}

/// What a retry that meets an expired tombstone gets (T2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRetention {
    /// 409 `key-expired`.
    Refuse,
    /// It runs as new; a named choice for peers that need it.
    Execute,
}

/// What another fingerprint under a known key gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMismatch {
    /// 422 `key-reused`, whatever the state (F6).
    Refuse,
    /// The first one's answer: the key denotes one action whose body drifted between renderings (B2).
    Replay,
}

/// What is remembered of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was asked; `None` until an attempt claimed the key.
    pub fingerprint: Option<Fingerprint>,
    /// The highest epoch that was ever granted on this record.
    pub epoch: Epoch,
    /// Where its life stands.
    pub state: State,
    /// When it entered that state.
    pub since: Timestamp,
    /// When the latest attempt claimed it, which is when its request was sent as far as anybody can know.
    pub claimed_at: Timestamp,
    /// What its route decided at the claim; `None` until an attempt claimed the key.
    pub terms: Option<Terms>,
    /// The attempt that a verdict of absence overruled; if that one answers after all, an alarm is due (L13).
    pub overruled: Option<Attempt>,
    /// What is kept to find out what became of the effect, until that is known; `None` where no resolver would look.
    pub inquiry: Option<Inquiry>,
}

/// Where a record's life stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Never claimed, or released with proof that nothing happened.
    Absent,
    /// An effect runs, or is about to, under a lease.
    Claimed {
        /// Who runs it.
        attempt: Attempt,
        /// When the claim lapses unless renewed.
        lease_until: Timestamp,
    },
    /// The effect is over and its answer known.
    Done {
        /// Who ran it.
        attempt: Attempt,
        /// The answer; `None` where a person only vouched that the effect happened, or where it was erased (T4).
        outcome: Option<Sealed>,
        /// How it became known.
        how: Settlement,
        /// When the answer goes and a tombstone stays (T1).
        expires_at: Timestamp,
    },
    /// The effect may or may not have happened, and nobody knows yet.
    InDoubt {
        /// Who ran it.
        attempt: Attempt,
        /// What made it doubtful.
        reason: DoubtReason,
        /// Whether its owner cancelled it meanwhile (D5).
        interest: Interest,
    },
    /// The answer is gone, the key is remembered.
    Tombstone {
        /// Why there is no answer.
        kind: TombstoneKind,
        /// When the key is forgotten, too.
        forget_at: Timestamp,
    },
}

/// How an effect became known to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Its holder saw the answer.
    Answered,
    /// Its holder saw the answer after the record had fallen into doubt (L13).
    AnsweredLate,
    /// A resolver or a person found that it happened (D3).
    Vouched,
    /// A resolver or a person found that it happened more than once (D3).
    Diverged,
}

/// What made an effect doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DoubtReason {
    /// The request was sent and the connection broke before an answer.
    NoAnswer,
    /// The answer broke off.
    AnswerCut,
    /// A status that does not say whether the effect happened (O4): 502, 503 or 504, and 408 or 421 from behind a proxy.
    AmbiguousStatus(u16),
    /// The holder's own deadline passed (L12).
    DeadlinePassed,
    /// The lease lapsed (L4).
    LeaseLapsed,
    /// The process that held the claim is gone (L10).
    HolderGone,
    /// The program shut down before the work ended (L6).
    ShutDown,
    /// The handler panicked (O5).
    Panicked,
}

impl DoubtReason {
    /// The reason's stable name, for metrics, listings and the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::AnswerCut => "answer-cut",
            Self::AmbiguousStatus(_) => "ambiguous-status",
            Self::DeadlinePassed => "deadline-passed",
            Self::LeaseLapsed => "lease-lapsed",
            Self::HolderGone => "holder-gone",
            Self::ShutDown => "shut-down",
            Self::Panicked => "panicked",
        }
    }
}

/// Whether the owner still wants an effect that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nobody said otherwise.
    Wanted,
    /// Its owner cancelled it while it was in doubt (D5).
    Abandoned,
}

/// Why a tombstone has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TombstoneKind {
    /// Its retention passed (T1).
    Expired,
    /// It was cancelled before it ran (D5).
    Cancelled,
}
