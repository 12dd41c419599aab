//! A store whose answers get lost, late, doubled or torn, by plan.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use onceward_core::{
    actor::{KeyTag, LookupId},
    record::Attempt,
    time::Timestamp,
};

use crate::port::{
    AuditCursor, AuditLog, ChangeFuture, Claim, EntryFilter, Health, Marked, Page, PageCursor, Reply,
    Resolution, Settle, Store, StoreError, StoreFuture, Stored, StoredAudit, Swept, Twin,
};

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is refused before anything happens: `Unavailable`.
    Refused,
    /// It happens, and its answer is lost: `Unknown`.
    AnswerLost,
    /// It is started and let go of before it ends: `Unknown`, and it may have happened.
    Torn,
    /// It happens twice, as when a driver re-sends it; the second answer is given.
    Repeated,
    /// It happens after this long on tokio's clock, which a test may have paused.
    Late(Duration),
}

/// Which operations go wrong, in the order in which they are asked for. The same plan gives the same faults.
#[derive(Clone, Debug)]
pub struct Faults(Plan);

#[derive(Clone, Debug)]
enum Plan {
    Scripted(VecDeque<Fault>),
    Seeded { state: u64, per_mille: u16, late: Duration },
}

impl Faults {
    /// These, one for each operation; nothing goes wrong after the last.
    #[must_use]
    pub fn scripted(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self(Plan::Scripted(faults.into_iter().collect()))
    }

    /// Of a thousand operations some `per_mille` go wrong, each in one of the five ways; delays last up to `late`.
    #[must_use]
    pub fn seeded(seed: u64, per_mille: u16, late: Duration) -> Self {
        Self(Plan::Seeded { state: seed, per_mille, late })
    }

    pub(crate) fn next(&mut self) -> Fault {
        match &mut self.0 {
            Plan::Scripted(faults) => faults.pop_front().unwrap_or(Fault::None),
            Plan::Seeded { state, per_mille, late } => {
                if split_mix(state) % 1000 >= u64::from(*per_mille) {
                    return Fault::None;
                }
                match split_mix(state) % 5 {
                    0 => Fault::Refused,
                    1 => Fault::AnswerLost,
                    2 => Fault::Torn,
                    3 => Fault::Repeated,
                    _ => Fault::Late(late.mul_f64((split_mix(state) % 1024) as f64 / 1024.0)),
                }
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Any store, with faults by plan. It never makes a store say what is not so: it only withholds, delays and repeats.
pub struct Faulty<S> {
    inner: S,
    faults: Mutex<Faults>,
}

impl<S> Faulty<S> {
    /// Puts `faults` between a store and those who use it.
    #[must_use]
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults: Mutex::new(faults) }
    }

    /// The store itself, for looking at what really happened.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn next(&self) -> Fault {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    async fn with_fault<'a, T>(
        &'a self,
        operation: impl Fn() -> StoreFuture<'a, T>,
    ) -> Result<T, StoreError> {
        match self.next() {
            Fault::None => operation().await,
            Fault::Refused => {
                Err(StoreError::Unavailable { reason: "refused by the fault plan", source: None })
            }
            Fault::AnswerLost => {
                drop(operation().await?);
                Err(StoreError::Unknown { reason: "lost by the fault plan", source: None })
            }
            Fault::Torn => {
                started(operation()).await;
                Err(StoreError::Unknown { reason: "torn by the fault plan", source: None })
            }
            Fault::Repeated => {
                drop(operation().await?);
                operation().await
            }
            Fault::Late(delay) => {
                tokio::time::sleep(delay).await;
                operation().await
            }
        }
    }
}

/// Starts an operation and lets go of it.
async fn started<T>(mut operation: StoreFuture<'_, T>) {
    std::future::poll_fn(|context| {
        // Whether it ended at once is what nobody is to know.
        drop(Pin::new(&mut operation).poll(context));
        Poll::Ready(())
    })
    .await;
}

impl<S: fmt::Debug> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S: Store> Store for Faulty<S> {
    fn claim(&self, claim: Claim) -> StoreFuture<'_, Reply> {
        Box::pin(self.with_fault(move || self.inner.claim(claim.clone())))
    }

    fn renew(&self, id: LookupId, attempt: Attempt) -> StoreFuture<'_, Reply> {
        Box::pin(self.with_fault(move || self.inner.renew(id, attempt)))
    }

    fn settle(&self, id: LookupId, attempt: Attempt, settle: Settle) -> StoreFuture<'_, Reply> {
        Box::pin(self.with_fault(move || self.inner.settle(id, attempt, settle.clone())))
    }

    fn get(&self, id: LookupId) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(self.with_fault(move || self.inner.get(id)))
    }

    fn resolve(&self, resolution: Resolution) -> StoreFuture<'_, Reply> {
        Box::pin(self.with_fault(move || self.inner.resolve(resolution.clone())))
    }

    fn mark_twin(&self, twin: Twin) -> StoreFuture<'_, Marked> {
        Box::pin(self.with_fault(move || self.inner.mark_twin(twin)))
    }

    fn scan(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> StoreFuture<'_, Page> {
        Box::pin(self.with_fault(move || self.inner.scan(filter.clone(), after, entries_max)))
    }

    fn sweep(&self, records_max: usize) -> StoreFuture<'_, Swept> {
        Box::pin(self.with_fault(move || self.inner.sweep(records_max)))
    }

    fn health(&self) -> StoreFuture<'_, Health> {
        Box::pin(self.with_fault(move || self.inner.health()))
    }

    fn raise_barrier(&self, to: Option<Timestamp>) -> StoreFuture<'_, Timestamp> {
        Box::pin(self.with_fault(move || self.inner.raise_barrier(to)))
    }

    /// Without faults: it promises nothing that one could break.
    fn changed_elsewhere(&self, id: LookupId) -> ChangeFuture<'_> {
        self.inner.changed_elsewhere(id)
    }
}

impl<S: AuditLog> AuditLog for Faulty<S> {
    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(self.with_fault(move || self.inner.append(lines.clone())))
    }

    fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(self.with_fault(move || self.inner.read(after, key, lines_max)))
    }

    fn trim(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(self.with_fault(move || self.inner.trim(before, lines_max)))
    }
}
