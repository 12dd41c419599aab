//! Clocks that drift, jump and stop.

use onceward_core::time::Timestamp;

/// How far two clocks of a world drift apart at the most, in millionths: fifty times what stores allow for, and still well within the fifth
/// of a lease that its holder does not use (L12).
pub(crate) const DRIFT_MAX_PPM: u64 = 50_000;

const MILLION: u64 = 1_000_000;

/// A clock that runs at a rate of its own from where it was last set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Millionths of the true rate.
    rate: u64,
    set_at_ms: u64,
    shows_ms: u64,
}

impl Clock {
    /// A clock that is right at `now_ms` and drifts by `drift` millionths from there, of which [`DRIFT_MAX_PPM`] stands for none.
    pub(crate) const fn drifting(now_ms: u64, drift: u64) -> Self {
        Self { rate: MILLION - DRIFT_MAX_PPM + drift, set_at_ms: now_ms, shows_ms: now_ms }
    }

    /// What it shows at the true time `now_ms`.
    pub(crate) const fn at(&self, now_ms: u64) -> u64 {
        self.shows_ms + now_ms.saturating_sub(self.set_at_ms) * self.rate / MILLION
    }

    pub(crate) const fn timestamp(&self, now_ms: u64) -> Timestamp {
        Timestamp::from_ms(self.at(now_ms))
    }

    /// The true time at which it will have gone on by `ms` from what it shows at `now_ms`.
    pub(crate) const fn true_after(&self, now_ms: u64, ms: u64) -> u64 {
        now_ms.saturating_add(ms.saturating_mul(MILLION) / self.rate + 1)
    }

    pub(crate) const fn jump_ahead(&mut self, now_ms: u64, ms: u64) {
        *self = Self { set_at_ms: now_ms, shows_ms: self.at(now_ms) + ms, ..*self };
    }

    /// Also what a clock does that stood still for so long.
    pub(crate) const fn fall_behind(&mut self, now_ms: u64, ms: u64) {
        *self = Self { set_at_ms: now_ms, shows_ms: self.at(now_ms).saturating_sub(ms), ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, DRIFT_MAX_PPM};

    #[test]
    fn a_clock_drifts_from_where_it_was_set_and_jumps() {
        let mut slow = Clock::drifting(1_000_000, 0);
        assert_eq!(slow.at(1_100_000), 1_095_000);
        assert_eq!(slow.true_after(1_100_000, 950), 1_101_001);
        slow.jump_ahead(1_100_000, 5_000);
        assert_eq!(slow.at(1_100_000), 1_100_000);
        let mut right = Clock::drifting(1_000_000, DRIFT_MAX_PPM);
        right.fall_behind(1_000_500, 400);
        assert_eq!(right.at(1_001_000), 1_000_600);
    }
}
