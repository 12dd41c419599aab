//! What goes when nothing of an actor's content may be kept any more (T4).

use super::{Decision, Denial, Record, State};

impl Record {
    /// Drops the answer and the kept request. What happened stays known, so that nothing runs again; without its request, an effect in
    /// doubt is left to a person.
    ///
    /// An effect that runs is refused: its request goes, and its answer will be kept like any other.
    pub(super) fn erased(mut self) -> (Self, Decision) {
        self.inquiry = None;
        let decision = match &mut self.state {
            State::Claimed { .. } => Decision::Refuse(Denial::InProgress),
            State::Done { outcome, .. } => {
                *outcome = None;
                Decision::Settled
            }
            State::Absent | State::InDoubt { .. } | State::Tombstone { .. } => Decision::Settled,
        };
        (self, decision)
    }
}
