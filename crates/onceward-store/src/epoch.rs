//! Where epochs come from (L14).

#[cfg(feature = "shared")]
use std::sync::atomic::{AtomicU64, Ordering};

use onceward_core::{record::Epoch, time::Timestamp};

/// Epochs that a store takes at once; beyond it the next block starts.
///
/// 2^20: a store would have to grant a million claims a second for its epochs to overtake the clock that starts each block, and epochs
/// stay below 2^53, which JSON readers can count to, for the next two centuries.
const BLOCK_BITS: u32 = 20;

/// Gives out epochs, each higher than all before.
///
/// A block starts at the clock's seconds, or behind the previous block where that lies higher. So epochs rise also across what the
/// store itself forgets: a memory store that restarts, a file that was restored from a backup or lost its last commits. An origin
/// that refuses old epochs (D0, `fenced`) outlives all of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    next: u64,
    end: u64,
}

impl Epochs {
    /// The first block at `now`, behind everything below `taken_until`.
    pub(crate) fn starting(now: Timestamp, taken_until: Epoch) -> Self {
        let next = taken_until.0.max((now.as_ms() / 1000) << BLOCK_BITS);
        Self { next, end: next + (1 << BLOCK_BITS) }
    }

    /// The next epoch, from a new block where this one is used up.
    pub(crate) fn grant(&mut self, now: Timestamp) -> Epoch {
        if self.next == self.end {
            *self = Self::starting(now, Epoch(self.end));
        }
        let epoch = Epoch(self.next);
        self.next += 1;
        epoch
    }

    /// Where the current block ends: what has to be written down before any of its epochs is acknowledged.
    #[cfg(any(test, feature = "sqlite"))]
    pub(crate) fn taken_until(&self) -> Epoch {
        Epoch(self.end)
    }
}

/// Gives out the epochs of one process among many on one store, each higher than all before it here, and none below the clock.
///
/// Two processes may give the same one, but never to the same key: a row that is there raises what is granted on it above its own
/// ([`Record::on`](onceward_core::record::Record::on)), and a row that is gone was granted its epoch at an earlier second of the clock
/// that they share. That holds while no process grants a million claims a second for longer than a key is remembered.
#[cfg(feature = "shared")]
#[derive(Debug, Default)]
pub(crate) struct ClockedEpochs(AtomicU64);

#[cfg(feature = "shared")]
impl ClockedEpochs {
    pub(crate) fn grant(&self, now: Timestamp) -> Epoch {
        let clocked = (now.as_ms() / 1000) << BLOCK_BITS;
        let mut last = self.0.load(Ordering::Relaxed);
        loop {
            let next = clocked.max(last.saturating_add(1));
            match self.0.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Epoch(next),
                Err(other) => last = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: L14
    #[cfg(feature = "shared")]
    #[test]
    fn clocked_epochs_rise_within_a_second_and_with_the_clock() {
        let epochs = ClockedEpochs::default();
        let grants = [3_000, 3_999, 4_000, 0].map(|ms| epochs.grant(Timestamp::from_ms(ms)).0);
        assert_eq!(grants, [3 << 20, (3 << 20) + 1, 4 << 20, (4 << 20) + 1]);
    }

    // covers: L14
    #[test]
    fn epochs_rise_through_a_block_and_into_the_next_one() {
        let now = Timestamp::from_ms(3_000);
        let mut epochs = Epochs::starting(now, Epoch(0));
        let first = epochs.grant(now);
        assert_eq!(first, Epoch(3 << 20));
        let last = (1..1 << 20).fold(first, |_, _| epochs.grant(now));
        assert_eq!((last, epochs.taken_until()), (Epoch((4 << 20) - 1), Epoch(4 << 20)));
        assert_eq!(epochs.grant(now), Epoch(4 << 20));
        assert_eq!(epochs.taken_until(), Epoch(5 << 20));
    }

    #[test]
    fn a_clock_set_back_does_not_take_epochs_back() {
        let mut epochs = Epochs::starting(Timestamp::from_ms(1_000), Epoch(9 << 20));
        assert_eq!(epochs.grant(Timestamp::from_ms(0)), Epoch(9 << 20));
    }
}
