//! What an effect means to a request that asks for the same under another key (P5).

use super::{Record, Sealed, Settlement, State, TombstoneKind};
use crate::time::Timestamp;

/// Whether an effect stands in the way of a twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precedent {
    /// It happened, or may have.
    Stands(Seen),
    /// It is over, and its answer tells: see [`Precedent::stands_by_status`].
    Answered(Sealed),
    /// It did not happen, and its key will not make it happen without asking again.
    None,
}

/// What is seen of an effect that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It runs.
    Claimed,
    /// It is over.
    Done,
    /// Nobody knows.
    InDoubt,
    /// It is over, and its answer is gone.
    Expired,
    /// Its record cannot be read (L8).
    Unreadable,
}

impl Seen {
    /// The value on the wire: the state's own name, as everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::InDoubt => "in-doubt",
            Self::Expired => "tombstone",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Precedent {
    /// Whether an effect stands that was answered with this status.
    ///
    /// A declined card is no order: whoever answers 4xx says that it did not do what was asked. A 5xx says that it failed, perhaps after
    /// it had acted, and that may have happened.
    #[must_use]
    pub const fn stands_by_status(status: u16) -> bool {
        !matches!(status, 400..=499)
    }
}

impl Record {
    /// What this effect means to a twin that comes at `now`.
    #[must_use]
    pub fn precedent(self, now: Timestamp) -> Precedent {
        match self.aged(now).lapsed_at(now).state {
            State::Absent | State::Tombstone { kind: TombstoneKind::Cancelled, .. } => Precedent::None,
            State::Claimed { .. } => Precedent::Stands(Seen::Claimed),
            State::Done {
                outcome: Some(outcome),
                how: Settlement::Answered | Settlement::AnsweredLate,
                ..
            } => Precedent::Answered(outcome),
            // Whoever vouched for it said that it happened, whatever its answer was.
            State::Done {
                outcome: None | Some(_),
                how:
                    Settlement::Answered | Settlement::AnsweredLate | Settlement::Vouched | Settlement::Diverged,
                ..
            } => Precedent::Stands(Seen::Done),
            State::InDoubt { .. } => Precedent::Stands(Seen::InDoubt),
            State::Tombstone { kind: TombstoneKind::Expired, .. } => Precedent::Stands(Seen::Expired),
        }
    }
}
