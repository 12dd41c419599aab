//! Finding out what became of an effect in doubt: who looks and when, and when a look that finds nothing is proof (D2, D3).

use core::time::Duration;

use super::{AttemptId, Decision, Denial, Drift, Epoch, Record, Sealed, State};
use crate::time::Timestamp;

/// What is kept, from the claim until the effect is known to be over, to find out what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// What a resolver needs of the request, as the engine sealed it; opaque to the rules and to every store (S4).
    pub request: Sealed,
    /// How many looks were granted about the attempt that is in doubt.
    pub looks: u32,
    /// Before this moment no other look is granted.
    pub next_at: Timestamp,
    /// Who was granted the latest look, so that a repeated question finds itself (L11).
    pub looker: Option<AttemptId>,
}

impl Inquiry {
    /// About a request that was just claimed.
    pub(super) fn of(request: Sealed) -> Self {
        Self { request, looks: 0, next_at: Timestamp::from_ms(0), looker: None }
    }
}

impl Record {
    /// When a look must have begun at the earliest for finding nothing to prove that nothing happened and nothing will (D3).
    ///
    /// By `since` the holder had given up, and its socket was closed: it keeps a deadline of its own within the lease (L12), and a dead
    /// process has no sockets. What it had sent arrived within the settling time, or never will; how long that is, the route declares. Where
    /// acknowledged writes may have been lost up to `barrier` (T5), the forgotten one may be a later claim or a renewal, whose holder has
    /// given up one lease after it.
    ///
    /// `None` where nothing is in doubt.
    #[must_use]
    pub fn absence_shows_from(&self, barrier: Option<Timestamp>, settling: Duration) -> Option<Timestamp> {
        let given_up_at = match self.state {
            State::InDoubt { .. } => self.since,
            State::Claimed { lease_until, .. } => lease_until,
            State::Absent | State::Done { .. } | State::Tombstone { .. } => return None,
        };
        let lease = self.terms.map_or(Duration::MAX, |terms| terms.lease);
        let forgotten_at = barrier.map(|barrier| barrier.after(lease));
        Some(forgotten_at.map_or(given_up_at, |at| at.max(given_up_at)).after(settling))
    }

    /// Grants one look at a time, each with a pause until the next, whoever asks from wherever; a looker that dies is followed by another
    /// after its pause.
    pub(super) fn inquired(
        mut self,
        judged: Epoch,
        looker: AttemptId,
        pause: Duration,
        now: Timestamp,
    ) -> (Self, Decision) {
        match self.state {
            State::InDoubt { attempt, .. } if attempt.epoch == judged => {}
            State::Claimed { attempt, .. } if attempt.epoch == judged => {
                return (self, Decision::Refuse(Denial::InProgress));
            }
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => return (self, Decision::Refuse(Denial::NotInDoubt)),
        }
        let decision = match &mut self.inquiry {
            None => Decision::Unchanged,
            Some(inquiry) if inquiry.looker == Some(looker) => Decision::Settled,
            Some(inquiry) if now < inquiry.next_at => {
                Decision::Wait { lease_left: inquiry.next_at.since(now), drift: Drift::Same }
            }
            Some(inquiry) => {
                inquiry.looks = inquiry.looks.saturating_add(1);
                inquiry.next_at = now.after(pause);
                inquiry.looker = Some(looker);
                Decision::Settled
            }
        };
        (self, decision)
    }
}
