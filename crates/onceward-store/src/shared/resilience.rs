//! What stands between the store and its database: a time for each operation, bounded repetition, a circuit breaker, and a bound on what
//! is under way.
//!
//! # What may be repeated
//! A swap is named by the mark that it writes, and finds itself where an earlier copy of it was applied (L11); one that writes nothing
//! but an audit line may leave that line twice, which the port allows of a repeated resolution. What reads changes nothing. A correction
//! of the clock replaces one value only, a barrier only rises, and a quarantined row stays quarantined. So all of these are repeated also
//! after a lost answer. Appending audit lines and trimming them are not: a second copy would stand beside the first, or take more.
//! They are repeated only where the database says that nothing happened.
//!
//! # Closed by default
//! While the breaker is open every operation is refused at once. The engine answers 503 then; no effect runs without its claim.

mod breaker;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};

use self::breaker::Breaker;
use super::{
    backend::{Backend, Swap, Swapped},
    entropy::Entropy,
};
use crate::{
    link::Link,
    port::{Clock, StoreError, StoreFuture},
};

/// How often one operation is sent at the most. The engine repeats claims and settlements beyond that, at its own pace.
const TRIES_MAX: u32 = 3;

/// What the first pause before a repetition is drawn from; it doubles. A round trip in one data centre takes a tenth of it.
const PAUSE_FIRST: Duration = Duration::from_millis(20);

/// What the longest pause is drawn from.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Operations under way at once beside the exchanges, which have a bound of their own: listings and audits never take what claims need.
const OPERATIONS_MAX: usize = 16;

/// When an operation may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Whatever became of the first copy.
    Always,
    /// Where nothing of the first copy happened.
    Unsent,
}

/// What became of the earlier copies of an operation, all of which failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Earlier {
    /// None of them happened, or there are none.
    Undone,
    /// One of them may have happened.
    Unknown,
}

/// The way to the database.
#[derive(Debug)]
pub(super) struct Guard {
    backend: Arc<dyn Backend>,
    link: Arc<Link>,
    entropy: Arc<Entropy>,
    breaker: Breaker,
    places: Semaphore,
    time_max: Duration,
}

impl Guard {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        link: Arc<Link>,
        entropy: Arc<Entropy>,
        time_max: Duration,
    ) -> Self {
        let breaker = Breaker::new(Arc::clone(&link), Arc::clone(&entropy));
        Self { backend, link, entropy, breaker, places: Semaphore::new(OPERATIONS_MAX), time_max }
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Exchanges rows, each try at its own present. Who calls it bounds how many exchanges are under way.
    pub(super) async fn exchange(
        &self,
        batch: &Arc<[Swap]>,
        clock: &dyn Clock,
    ) -> Result<Vec<Swapped>, StoreError> {
        let exchange = |earlier: Earlier| -> StoreFuture<'_, _> {
            let exchanged = self.backend.exchange(Arc::clone(batch), clock.now());
            Box::pin(async move { answered(exchanged.await?, earlier) })
        };
        let swapped = self.repeated(Repeat::Always, exchange).await?;
        self.link.exchanges.add(1);
        self.link.swaps.add(batch.len() as u64);
        Ok(swapped)
    }

    /// Runs any other operation.
    pub(super) async fn run<'a, T>(
        &'a self,
        repeat: Repeat,
        operation: impl Fn(&'a dyn Backend) -> StoreFuture<'a, T>,
    ) -> Result<T, StoreError> {
        let _place = self.place().await?;
        self.repeated(repeat, |_| operation(&*self.backend)).await
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        match timeout(self.time_max, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(closed)) => {
                Err(StoreError::Unavailable { reason: "the store is closed", source: Some(Box::new(closed)) })
            }
            Err(_elapsed) => Err(StoreError::Busy { limit: "operations_max" }),
        }
    }

    async fn repeated<'a, T>(
        &'a self,
        repeat: Repeat,
        operation: impl Fn(Earlier) -> StoreFuture<'a, T>,
    ) -> Result<T, StoreError> {
        let mut pause = PAUSE_FIRST;
        let mut unknown = None;
        for tries_left in (0..TRIES_MAX).rev() {
            let Some(pass) = self.breaker.admit() else {
                self.link.refused.add(1);
                let reason = "the database did not answer lately, and is not asked for a moment";
                return Err(unknown.unwrap_or(StoreError::Unavailable { reason, source: None }));
            };
            let earlier = if unknown.is_some() { Earlier::Unknown } else { Earlier::Undone };
            let error = match self.timed(operation(earlier)).await {
                Ok(answer) => {
                    pass.succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let may_repeat = match &error {
                StoreError::Unknown { .. } => repeat == Repeat::Always,
                StoreError::Unavailable { .. } | StoreError::Busy { .. } => true,
                StoreError::Full { .. } => false,
            };
            match &error {
                StoreError::Unknown { .. } | StoreError::Unavailable { .. } => pass.failed(),
                // It answered.
                StoreError::Busy { .. } | StoreError::Full { .. } => pass.succeeded(),
            }
            tracing::warn!(error = &error as &dyn std::error::Error, "database operation failed");
            if tries_left == 0 || !may_repeat {
                // An earlier copy that may have happened is not undone by a later one that did not.
                return Err(unknown.unwrap_or(error));
            }
            if matches!(error, StoreError::Unknown { .. }) {
                unknown = Some(error);
            }
            self.link.repeated.add(1);
            // Full jitter: those who failed together do not come back together.
            sleep(pause.mul_f64(self.entropy.fraction())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(StoreError::Unavailable { reason: "no try was left", source: None })
    }

    async fn timed<T>(&self, operation: StoreFuture<'_, T>) -> Result<T, StoreError> {
        timeout(self.time_max, operation).await.unwrap_or_else(|elapsed| {
            self.link.timed_out.add(1);
            let reason = "the database did not answer in time";
            Err(StoreError::Unknown { reason, source: Some(Box::new(elapsed)) })
        })
    }
}

/// An exchange that failed for every swap in it failed as a whole: a database of several parts, all of which that were asked are away, says
/// so of each swap.
fn answered(mut swapped: Vec<Swapped>, earlier: Earlier) -> Result<Vec<Swapped>, StoreError> {
    if earlier == Earlier::Unknown {
        // What an earlier copy may have done is not denied.
        for answer in &mut swapped {
            if let Swapped::Refused { reason } | Swapped::Unavailable { reason } = *answer {
                *answer = Swapped::Unknown { reason };
            }
        }
    }
    let mut failure = None;
    for answer in &swapped {
        match (answer, &failure) {
            (Swapped::Unknown { reason }, _) => failure = Some(StoreError::Unknown { reason, source: None }),
            (Swapped::Unavailable { reason }, None) => {
                failure = Some(StoreError::Unavailable { reason, source: None });
            }
            (Swapped::Unavailable { .. }, Some(_)) => {}
            (
                Swapped::Done
                | Swapped::Found(_)
                | Swapped::History { .. }
                | Swapped::Full { .. }
                | Swapped::Refused { .. },
                _,
            ) => return Ok(swapped),
        }
    }
    failure.map_or(Ok(swapped), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of several parts answers for each swap: where none was answered, the exchange failed.
    // covers: S2, L11
    #[test]
    fn an_exchange_of_failures_only_is_a_failure() {
        let (away, lost) = (Swapped::Unavailable { reason: "away" }, Swapped::Unknown { reason: "lost" });
        let (weak, full) = (Swapped::Refused { reason: "weak" }, Swapped::Full { limit: "bytes" });
        let unsure = Swapped::Unknown { reason: "away" };
        let told = |answers: &[&Swapped]| -> Vec<Swapped> { answers.iter().copied().cloned().collect() };
        // What it said of each; whether an earlier copy may have happened; what the exchange comes to.
        let rows = [
            (told(&[]), Earlier::Undone, Ok(told(&[]))),
            (told(&[&away, &away]), Earlier::Undone, Err("store unavailable: away")),
            (told(&[&away, &lost]), Earlier::Undone, Err("the store's answer was lost: lost")),
            (told(&[&lost, &away]), Earlier::Undone, Err("the store's answer was lost: lost")),
            (told(&[&away]), Earlier::Unknown, Err("the store's answer was lost: away")),
            (told(&[&away, &Swapped::Done]), Earlier::Undone, Ok(told(&[&away, &Swapped::Done]))),
            (told(&[&away, &Swapped::Done]), Earlier::Unknown, Ok(told(&[&unsure, &Swapped::Done]))),
            // It answered, and goes on answering.
            (told(&[&weak, &away]), Earlier::Undone, Ok(told(&[&weak, &away]))),
            (told(&[&full]), Earlier::Undone, Ok(told(&[&full]))),
        ];
        for (swapped, earlier, expected) in rows {
            let came_to = answered(swapped.clone(), earlier).map_err(|error| error.to_string());
            assert_eq!(came_to, expected.map_err(str::to_owned), "{swapped:?} {earlier:?}");
        }
    }
}
