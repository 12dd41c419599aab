//! Stops asking a database that does not answer, so that neither it nor those who wait for it are buried in tries.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    link::{BreakerState, Link},
    shared::entropy::Entropy,
};

/// Failures one after the other that open the breaker: more than one operation's own tries, so that a single unlucky one does not.
const FAILURES_MAX: u32 = 5;

/// How long the breaker stays open at first; it doubles with each probe that fails.
const OPEN_FIRST: Duration = Duration::from_millis(500);

/// How long it stays open at the most: what a recovered database waits for its first operation.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Closed, it lets everything through; open, nothing; and between the two one operation, which decides.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    link: Arc<Link>,
    entropy: Arc<Entropy>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// One after the other.
    failures: u32,
    open_for: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    Probing,
}

/// Leave to ask the database once. Dropped without a word, it says nothing about the database.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Breaker {
    pub(super) fn new(link: Arc<Link>, entropy: Arc<Entropy>) -> Self {
        let state = State { phase: Phase::Closed, failures: 0, open_for: OPEN_FIRST };
        Self { state: Mutex::new(state), link, entropy }
    }

    /// `None` while the breaker is open, or its probe is under way.
    pub(super) fn admit(&self) -> Option<Pass<'_>> {
        let mut state = self.lock();
        match state.phase {
            Phase::Closed => Some(Pass { breaker: self, is_probe: false }),
            Phase::Open { until } if Instant::now() >= until => {
                self.enter(&mut state, Phase::Probing);
                Some(Pass { breaker: self, is_probe: true })
            }
            Phase::Open { .. } | Phase::Probing => None,
        }
    }

    fn enter(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        self.link.set_breaker(match phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::Probing => BreakerState::Probing,
        });
    }

    /// Between half and all of `open_for`, so that many processes do not probe at one instant.
    fn open(&self, state: &mut State) {
        self.link.opened.add(1);
        let share = 0.5 + self.entropy.fraction() / 2.0;
        let until = Instant::now() + state.open_for.mul_f64(share);
        state.open_for = (state.open_for * 2).min(OPEN_MAX);
        self.enter(state, Phase::Open { until });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every instant, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The database answered, whatever it said.
    pub(super) fn succeeded(mut self) {
        self.is_probe = false;
        let mut state = self.breaker.lock();
        (state.failures, state.open_for) = (0, OPEN_FIRST);
        if !matches!(state.phase, Phase::Closed) {
            self.breaker.enter(&mut state, Phase::Closed);
        }
    }

    /// It did not.
    pub(super) fn failed(mut self) {
        let is_probe = std::mem::take(&mut self.is_probe);
        let mut state = self.breaker.lock();
        match state.phase {
            Phase::Closed => {
                state.failures += 1;
                if state.failures >= FAILURES_MAX {
                    self.breaker.open(&mut state);
                }
            }
            Phase::Probing if is_probe => self.breaker.open(&mut state),
            // It was let through before the breaker opened.
            Phase::Open { .. } | Phase::Probing => {}
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            // Nobody waits for the probe any more: the next operation is one.
            let until = Instant::now();
            self.breaker.enter(&mut self.breaker.lock(), Phase::Open { until });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> (Breaker, Arc<Link>) {
        let link = Arc::<Link>::default();
        (Breaker::new(Arc::clone(&link), Arc::new(Entropy::seeded(1))), link)
    }

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.admit().expect("let through").failed();
        }
    }

    // covers: S2
    #[tokio::test(start_paused = true)]
    async fn a_breaker_opens_probes_once_and_closes_again() {
        let (breaker, link) = breaker();
        fail(&breaker, FAILURES_MAX - 1);
        breaker.admit().expect("let through").succeeded();
        // A success in between starts the count anew.
        fail(&breaker, FAILURES_MAX - 1);
        assert_eq!(link.breaker(), BreakerState::Closed);
        fail(&breaker, 1);
        assert_eq!((link.breaker(), link.breaker_openings()), (BreakerState::Open, 1));
        assert!(breaker.admit().is_none());

        tokio::time::advance(OPEN_FIRST).await;
        let probe = breaker.admit().expect("the probe");
        assert_eq!(link.breaker(), BreakerState::Probing);
        assert!(breaker.admit().is_none(), "a second operation beside the probe");
        probe.failed();
        assert_eq!((link.breaker(), link.breaker_openings()), (BreakerState::Open, 2));
        // Twice as long as before, less half of it at the most.
        tokio::time::advance(OPEN_FIRST - Duration::from_millis(1)).await;
        assert!(breaker.admit().is_none());
        tokio::time::advance(OPEN_FIRST).await;
        breaker.admit().expect("the next probe").succeeded();
        assert_eq!(link.breaker(), BreakerState::Closed);
        fail(&breaker, FAILURES_MAX - 1);
        assert_eq!(link.breaker(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_let_go_of_leaves_its_place_to_the_next() {
        let (breaker, link) = breaker();
        fail(&breaker, FAILURES_MAX);
        tokio::time::advance(OPEN_FIRST).await;
        drop(breaker.admit().expect("the probe"));
        assert_eq!(link.breaker(), BreakerState::Open);
        breaker.admit().expect("the next probe").succeeded();
        assert_eq!(link.breaker(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_let_through_before_counts_as_evidence_of_life_alone() {
        let (breaker, link) = breaker();
        let early = [breaker.admit().expect("let through"), breaker.admit().expect("let through")];
        fail(&breaker, FAILURES_MAX);
        let [failing, succeeding] = early;
        failing.failed();
        assert_eq!((link.breaker(), link.breaker_openings()), (BreakerState::Open, 1));
        succeeding.succeeded();
        assert_eq!(link.breaker(), BreakerState::Closed);
    }
}
