//! What a record does not know any more, since a store lost what it had acknowledged (T5).

use super::{AfterRetention, Event, Record, State, TombstoneKind};
use crate::time::Timestamp;

impl Record {
    /// Whether a claim of this key may have been granted and be among what was lost up to `barrier`.
    ///
    /// A record that time has emptied says nothing, whether the sweep came by or not. Nor does one that was last claimed before the barrier
    /// and shows no effect: a later claim may be what was lost, whatever has freed or cancelled the key since.
    #[must_use]
    pub fn may_lack_claim(
        &self,
        barrier: Timestamp,
        after_retention: AfterRetention,
        now: Timestamp,
    ) -> bool {
        let (record, _) = self.clone().on(Event::Swept, now);
        record.is_blank() || (record.shows_no_effect(after_retention) && record.claimed_at <= barrier)
    }

    /// Whether an arrival would be granted, or told that nothing ever ran.
    fn shows_no_effect(&self, after_retention: AfterRetention) -> bool {
        match self.state {
            State::Absent | State::Tombstone { kind: TombstoneKind::Cancelled, .. } => true,
            State::Tombstone { kind: TombstoneKind::Expired, .. } => {
                after_retention == AfterRetention::Execute
            }
            State::Claimed { .. } | State::Done { .. } | State::InDoubt { .. } => false,
        }
    }
}
