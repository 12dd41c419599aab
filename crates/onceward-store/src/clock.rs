//! Clocks that never go back (L9).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use onceward_core::time::Timestamp;

use crate::port::Clock;

/// The system's wall time, read once, and a monotonic counter from there on.
///
/// Whatever is done to the system's clock afterwards, this one neither steps nor stops while the process lives, so that no live lease
/// is freed and none lasts longer than it should. On Linux the counter goes on while the machine is suspended: a laptop that slept for
/// an hour is an hour older, so that keys and pages show the right time and a holder gives up in time (L12). A correction of the
/// system's clock shows only after a restart.
#[derive(Clone, Debug)]
pub struct SystemClock {
    anchor: Timestamp,
    anchored: Uptime,
}

impl SystemClock {
    /// A clock that starts at the present, or at `floor` where the system's clock is behind that.
    ///
    /// A store that reopens passes the latest time that it wrote: otherwise a clock that was set back between two runs would make its
    /// records lie in the future.
    #[must_use]
    pub fn starting_at(floor: Timestamp) -> Self {
        Self { anchor: wall_time().max(floor), anchored: Uptime::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.anchor.after(self.anchored.elapsed())
    }
}

/// A point on the counter of the time since the system started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uptime(
    #[cfg(target_os = "linux")] Duration,
    #[cfg(not(target_os = "linux"))] std::time::Instant,
);

#[cfg(target_os = "linux")]
impl Uptime {
    pub(crate) fn now() -> Self {
        // CLOCK_BOOTTIME (clock_gettime(2)): monotonic, suspension included.
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(uptime.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(uptime.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(not(target_os = "linux"))]
impl Uptime {
    pub(crate) fn now() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
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
