//! How a store's way to its database fares: counted where it happens, so that metrics are read without asking the store.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the way to a shared database has seen since the store was opened, and how it is now.
#[derive(Debug, Default)]
pub struct Link {
    breaker: AtomicU64,
    pub(crate) opened: Count,
    pub(crate) refused: Count,
    pub(crate) repeated: Count,
    pub(crate) timed_out: Count,
    pub(crate) exchanges: Count,
    pub(crate) swaps: Count,
    pub(crate) clock_steps: Count,
    pub(crate) queued: AtomicU64,
}

/// Whether operations are let through to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All of them.
    Closed = 0,
    /// One, to see whether the database answers again.
    Probing = 1,
    /// None.
    Open = 2,
}

impl Link {
    /// Whether operations are let through now.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        match self.breaker.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            1 => BreakerState::Probing,
            _ => BreakerState::Open,
        }
    }

    /// How often the breaker opened, or stayed open after a probe.
    #[must_use]
    pub fn breaker_openings(&self) -> u64 {
        self.opened.get()
    }

    /// Operations that were refused at once because the breaker was open. None of them happened.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.get()
    }

    /// Operations that were sent once more after a failure.
    #[must_use]
    pub fn repetitions(&self) -> u64 {
        self.repeated.get()
    }

    /// Operations whose answer did not come in time.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.timed_out.get()
    }

    /// Exchanges of rows that the database answered; each carries one swap or more.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.exchanges.get()
    }

    /// Swaps that those exchanges carried.
    #[must_use]
    pub fn swaps(&self) -> u64 {
        self.swaps.get()
    }

    /// Swaps that wait now or are under way.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Steps of the database server's clock that this process undid.
    #[must_use]
    pub fn clock_steps(&self) -> u64 {
        self.clock_steps.get()
    }

    #[cfg(feature = "shared")]
    pub(crate) fn set_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u64, Ordering::Relaxed);
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(feature = "shared")]
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
}
