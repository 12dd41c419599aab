//! A memory store that can be told to stop answering.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use onceward_core::{actor::LookupId, record::Attempt, time::Timestamp};
use onceward_store::{
    Claim, EntryFilter, Health, Marked, Memory, Page, PageCursor, Reply, Resolution, Settle, Store,
    StoreError, StoreFuture, Stored, Swept, Twin,
};

#[derive(Debug)]
pub(crate) struct Flaky {
    inner: Arc<Memory>,
    dark: AtomicBool,
    corrupt: AtomicBool,
}

impl Flaky {
    pub(crate) fn over(inner: Arc<Memory>) -> Self {
        Self { inner, dark: AtomicBool::new(false), corrupt: AtomicBool::new(false) }
    }

    /// Every operation is refused from now on.
    pub(crate) fn go_dark(&self) {
        self.dark.store(true, Ordering::SeqCst);
    }

    /// Every record reads as corrupt from now on.
    pub(crate) fn corrupt(&self) {
        self.corrupt.store(true, Ordering::SeqCst);
    }

    fn or_dark<'a, T: Send + 'a>(&'a self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            if self.dark.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable { reason: "switched off", source: None });
            }
            answer.await
        })
    }
}

impl Store for Flaky {
    fn claim(&self, claim: Claim) -> StoreFuture<'_, Reply> {
        self.or_dark(self.inner.claim(claim))
    }

    fn renew(&self, id: LookupId, attempt: Attempt) -> StoreFuture<'_, Reply> {
        self.or_dark(self.inner.renew(id, attempt))
    }

    fn settle(&self, id: LookupId, attempt: Attempt, settle: Settle) -> StoreFuture<'_, Reply> {
        self.or_dark(self.inner.settle(id, attempt, settle))
    }

    fn get(&self, id: LookupId) -> StoreFuture<'_, Option<Stored>> {
        if self.corrupt.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(Some(Stored::Corrupt)) });
        }
        self.or_dark(self.inner.get(id))
    }

    fn resolve(&self, resolution: Resolution) -> StoreFuture<'_, Reply> {
        self.or_dark(self.inner.resolve(resolution))
    }

    fn mark_twin(&self, twin: Twin) -> StoreFuture<'_, Marked> {
        self.or_dark(self.inner.mark_twin(twin))
    }

    fn scan(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> StoreFuture<'_, Page> {
        self.or_dark(self.inner.scan(filter, after, entries_max))
    }

    fn sweep(&self, records_max: usize) -> StoreFuture<'_, Swept> {
        self.or_dark(self.inner.sweep(records_max))
    }

    fn health(&self) -> StoreFuture<'_, Health> {
        self.or_dark(self.inner.health())
    }

    fn raise_barrier(&self, to: Option<Timestamp>) -> StoreFuture<'_, Timestamp> {
        self.or_dark(self.inner.raise_barrier(to))
    }
}
