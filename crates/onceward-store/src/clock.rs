//! Clocks that never go back (L9).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use onceward_core::time::Timestamp;

use crate::port::Clock;

/// The system's wall time, read once, and a monotonic counter from there on.
///
/// Whatever is done to the system's clock afterwards, this one neither steps nor stops while the process lives, so that no live lease
/// is freed and none lasts longer than it should. Its price: a correction of the system's clock, and time spent in suspension on
/// systems whose monotonic counter sleeps too, show only after a restart. What has to agree with other machines' clocks, such as a
/// key's own time of issue (K7), is to be compared with the wall, not with this clock.
#[derive(Clone, Debug)]
pub struct SystemClock {
    anchor: Timestamp,
    anchored: Instant,
}

impl SystemClock {
    /// A clock that starts at the present, or at `floor` where the system's clock is behind that.
    ///
    /// A store that reopens passes the latest time that it wrote: otherwise a clock that was set back between two runs would make its
    /// records lie in the future.
    #[must_use]
    pub fn starting_at(floor: Timestamp) -> Self {
        Self { anchor: wall_time().max(floor), anchored: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.anchor.after(self.anchored.elapsed())
    }
}

/// Before 1970 counts as 1970: such a clock is wrong, and the floor outweighs it.
fn wall_time() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_ms(0).after(elapsed)
}

/// What a store reads its clock through: whatever the clock does, time in the store never goes back.
#[derive(Debug)]
pub(crate) struct StoreTime {
    clock: Arc<dyn Clock>,
    latest_ms: AtomicU64,
}

impl StoreTime {
    pub(crate) fn starting_at(floor: Timestamp, clock: Arc<dyn Clock>) -> Self {
        Self { clock, latest_ms: AtomicU64::new(floor.as_ms()) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now_ms = self.clock.now().as_ms();
        Timestamp::from_ms(self.latest_ms.fetch_max(now_ms, Ordering::SeqCst).max(now_ms))
    }
}

/// A clock that a test moves by hand.
#[cfg(feature = "conformance")]
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

#[cfg(feature = "conformance")]
impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn standing_at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.as_ms()))
    }

    /// Moves the clock ahead.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }

    /// Sets the clock, also back: a store must bear that.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_ms(), Ordering::SeqCst);
    }
}

#[cfg(feature = "conformance")]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: L9
    #[test]
    fn a_clock_starts_at_the_floor_when_the_wall_is_behind_it() {
        let floor = wall_time().after(Duration::from_hours(1));
        let clock = SystemClock::starting_at(floor);
        assert!(clock.now() >= floor);
        assert!(clock.now() < floor.after(Duration::from_mins(1)));
    }

    #[test]
    fn a_clock_starts_at_the_wall_when_the_floor_is_behind_it() {
        let before = wall_time();
        assert!(SystemClock::starting_at(Timestamp::from_ms(5)).now() >= before);
    }
}
