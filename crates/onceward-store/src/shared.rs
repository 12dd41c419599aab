//! Stores that many processes share: one [`Store`] over any database that exchanges rows.
//!
//! The record machine runs here, in the process that asks, and never in the database: an operation decides over the row as it knows it, and
//! the database puts the new row in its place if it is still that one (`change`). The database has one thing to do atomically, and
//! every store of this kind makes the same decisions.
//!
//! - `gather`: swaps that wait go together; those of one record in line.
//! - `resilience`: times, repetition, the circuit breaker.
//! - `server_time`: everybody's present is the database server's.
//! - `watch`: the ends of what other processes run.
//! - `marks`: which effect was last let through for what it means.
//!
//! Nobody can tell a dead process from a slow one here: the claims of a dead one are in doubt when their lease has lapsed (L4), not at once.

pub(crate) mod backend;
mod change;
mod entropy;
mod gather;
mod known;
mod marks;
mod resilience;
mod server_time;
pub(crate) mod supervised;
mod sweep;
#[cfg(feature = "conformance")]
mod table;
mod watch;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use onceward_core::{
    actor::{KeyTag, LookupId},
    record::{Attempt, Event},
    time::Timestamp,
};
use tokio::{task::JoinSet, time::Instant};

pub(crate) use self::entropy::Entropy;
#[cfg(feature = "conformance")]
pub use self::table::{Cut, Replica, Table, TableOptions};
use self::{
    backend::{Backend, Survey},
    change::{Question, View},
    gather::Gatherer,
    resilience::{Guard, Repeat},
    server_time::{SAMPLE_PERIOD, ServerTime},
    supervised::supervised,
    watch::Watch,
};
use crate::{
    clock::StoreTime,
    codec,
    epoch::ClockedEpochs,
    link::Link,
    port::{
        AuditCursor, AuditLog, ChangeFuture, Claim, Clock, Entry, EntryFilter, Health, Marked, Page,
        PageCursor, Reply, Resolution, Settle, Store, StoreError, StoreFuture, Stored, StoredAudit, Swept,
        Twin,
    },
    tally::Tally,
};

/// How long one operation may take before its answer counts as lost. Three tries fit into the five seconds that the engine waits.
const OPERATION_TIME_MAX: Duration = Duration::from_millis(1_500);

/// How a database is used.
#[derive(Debug)]
pub(crate) struct SharedOptions {
    /// Where the time comes from. Default: the database server's clock.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// How long one operation may take before its answer counts as lost.
    pub(crate) operation_time_max: Duration,
    /// Where marks and jitter come from.
    pub(crate) entropy: Entropy,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self { clock: None, operation_time_max: OPERATION_TIME_MAX, entropy: Entropy::System }
    }
}

/// Records in a database that many processes share.
///
/// Dropping it makes what is handed in already, behind the back of whoever dropped it, and takes nothing more.
pub struct Shared {
    core: Arc<Core>,
    /// They exchange rows, and end by themselves once the store is closed.
    exchangers: JoinSet<()>,
    /// They keep the time and the watch, and end with the store.
    #[expect(dead_code, reason = "held for its drop, which ends them")]
    keepers: JoinSet<()>,
}

/// What the tasks of one open store work on.
#[derive(Debug)]
struct Core {
    guard: Guard,
    gatherer: Gatherer,
    watch: Watch,
    entropy: Arc<Entropy>,
    epochs: ClockedEpochs,
    tally: Arc<Tally>,
    /// Never looked at before [`Core::ready`]: it does not go back, not even from a step that others are about to undo.
    time: StoreTime,
    /// `None` where a clock was handed in.
    server_time: Option<Arc<ServerTime>>,
    /// The latest barrier that the database spoke of, in milliseconds; 0 for none.
    barrier_ms: AtomicU64,
    doubts_counted: Pace,
}

/// When something that is done now and then was done last.
#[derive(Debug, Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    fn mark(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_due(&self, period: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| last.elapsed() >= period)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("kind", &self.core.guard.backend().kind()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Begins to use a database that is already open and checked. Called within the tokio runtime that its tasks are to run on.
    ///
    /// On the server's clock it answers only once it has watched that for a moment, 1.3 s; see `server_time`.
    ///
    /// # Errors
    /// `Unavailable` and `Unknown` where the database does not say what time it is.
    pub(crate) async fn over(backend: Arc<dyn Backend>, options: SharedOptions) -> Result<Self, StoreError> {
        let SharedOptions { clock, operation_time_max, entropy } = options;
        let (link, tally, entropy) = (Arc::<Link>::default(), Arc::<Tally>::default(), Arc::new(entropy));
        let exchanges_max = backend.gathering().exchanges_max;
        let guard = Guard::new(backend, Arc::clone(&link), Arc::clone(&entropy), operation_time_max);
        let (clock, server_time): (Arc<dyn Clock>, _) = match clock {
            Some(clock) => (clock, None),
            None => {
                let server_time = Arc::new(ServerTime::start(&guard).await?);
                (Arc::<ServerTime>::clone(&server_time), Some(server_time))
            }
        };
        let core = Arc::new(Core {
            guard,
            gatherer: Gatherer::new(Arc::clone(&tally), link),
            watch: Watch::default(),
            entropy,
            epochs: ClockedEpochs::default(),
            tally,
            time: StoreTime::starting_at(Timestamp::default(), clock),
            server_time,
            barrier_ms: AtomicU64::new(0),
            doubts_counted: Pace::default(),
        });
        let (mut exchangers, mut keepers) = (JoinSet::new(), JoinSet::new());
        for _ in 0..exchanges_max {
            // A panic costs the batch that it happened in and no other.
            exchangers.spawn(core.supervised("exchange", |core| async move {
                core.gatherer.work(&core.guard, &*core).await;
            }));
        }
        keepers.spawn(core.supervised("watch", |core| async move { core.watch.keep(&core).await }));
        if let Some(server_time) = core.server_time.clone() {
            keepers.spawn(core.supervised("server time", move |core| {
                let server_time = Arc::clone(&server_time);
                async move { server_time.keep(&core.guard).await }
            }));
            keepers.spawn(core.supervised("barrier", |core| async move { core.keep_barrier().await }));
        }
        Ok(Self { core, exchangers, keepers })
    }
}

impl Shared {
    /// The present as this store reads it: by it a holder gives up in time (L12).
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::<Core>::clone(&self.core)
    }
}

impl Clock for Core {
    fn now(&self) -> Timestamp {
        self.time.now()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.core.gatherer.close();
        self.exchangers.detach_all();
    }
}

impl Core {
    /// A task of this store, past a panic.
    fn supervised<Work>(
        self: &Arc<Self>,
        name: &'static str,
        work: impl Fn(Arc<Self>) -> Work + Send + Sync + 'static,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        Work: Future<Output = ()> + Send + 'static,
    {
        let core = Arc::clone(self);
        async move { supervised(name, || work(Arc::clone(&core))).await }
    }

    /// Waits until this process may go by its time.
    async fn ready(&self) -> Result<(), StoreError> {
        match &self.server_time {
            Some(server_time) => server_time.settled().await,
            None => Ok(()),
        }
    }

    fn barrier(&self) -> Option<Timestamp> {
        match self.barrier_ms.load(Ordering::Relaxed) {
            0 => None,
            barrier_ms => Some(Timestamp::from_ms(barrier_ms)),
        }
    }

    /// A barrier only rises.
    fn raise(&self, barrier: Timestamp) {
        self.barrier_ms.fetch_max(barrier.as_ms(), Ordering::Relaxed);
    }

    /// Has the database look for a break in its history also where nothing is granted. Until it was asked, grants find the barrier
    /// themselves.
    async fn ask_barrier(&self) -> Result<(), StoreError> {
        self.ready().await?;
        // Each try at its own present: what was lost before it lies behind the barrier that it raises.
        let ask = |backend| Backend::barrier(backend, self.time.now());
        let barrier = self.guard.run(Repeat::Always, ask).await?;
        if let Some(barrier) = barrier {
            self.raise(barrier);
        }
        Ok(())
    }

    async fn raise_barrier(&self, to: Option<Timestamp>) -> Result<Timestamp, StoreError> {
        self.ready().await?;
        let now = self.time.now();
        let to = to.map_or(now, |to| to.min(now));
        let raise = |backend| Backend::raise_barrier(backend, to, self.time.now());
        let barrier = self.guard.run(Repeat::Always, raise).await?;
        self.raise(barrier);
        Ok(barrier)
    }

    async fn keep_barrier(&self) {
        loop {
            tokio::time::sleep(SAMPLE_PERIOD).await;
            if let Err(error) = self.ask_barrier().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the history barrier was not read");
            }
        }
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let survey = self.guard.run(Repeat::Always, |backend| backend.survey()).await?;
        let [_, _, _, in_doubt, _] = survey.rows;
        self.tally.set_in_doubt(in_doubt);
        self.doubts_counted.mark();
        Ok(survey)
    }

    async fn get(&self, id: LookupId) -> Result<Option<Stored>, StoreError> {
        Ok(match self.look(id).await? {
            View::Nothing => None,
            View::Record(row) => Some(Stored::Record(Box::new(row.record), row.label)),
            View::Unreadable(_) => Some(Stored::Corrupt),
        })
    }

    async fn scan(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> Result<Page, StoreError> {
        let list = |backend| Backend::list(backend, filter.clone(), after, entries_max);
        let listed = self.guard.run(Repeat::Always, list).await?;
        let mut page = Page { entries: Vec::new(), corrupt: 0, next: listed.next };
        for (id, row) in listed.rows {
            match codec::decode_head(id, &row.head) {
                Ok((record, label)) if filter.admits(&record.state, label.actor, label.key) => {
                    page.entries.push(Entry { id, label, record });
                }
                Ok(_) => {}
                Err(codec::Unreadable) => page.corrupt += 1,
            }
        }
        Ok(page)
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.ask_barrier().await?;
        let Survey { durability, rows, bytes } = self.survey().await?;
        Ok(Health {
            kind: self.guard.backend().kind(),
            durability,
            records: rows,
            bytes,
            history_barrier: self.barrier(),
            tally: Arc::clone(&self.tally),
            link: Some(Arc::clone(self.guard.link())),
        })
    }
}

impl Store for Shared {
    fn claim(&self, claim: Claim) -> StoreFuture<'_, Reply> {
        Box::pin(self.core.answer(Question::Claim(claim)))
    }

    fn renew(&self, id: LookupId, attempt: Attempt) -> StoreFuture<'_, Reply> {
        Box::pin(self.core.answer(Question::Told { id, event: Event::Renewed { attempt } }))
    }

    fn settle(&self, id: LookupId, attempt: Attempt, settle: Settle) -> StoreFuture<'_, Reply> {
        Box::pin(self.core.answer(Question::Told { id, event: settle.event(attempt) }))
    }

    fn get(&self, id: LookupId) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(self.core.get(id))
    }

    fn resolve(&self, resolution: Resolution) -> StoreFuture<'_, Reply> {
        Box::pin(self.core.answer(resolution.into()))
    }

    fn mark_twin(&self, twin: Twin) -> StoreFuture<'_, Marked> {
        Box::pin(self.core.mark_twin(twin))
    }

    fn scan(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> StoreFuture<'_, Page> {
        Box::pin(self.core.scan(filter, after, entries_max))
    }

    fn sweep(&self, records_max: usize) -> StoreFuture<'_, Swept> {
        Box::pin(self.core.sweep(records_max))
    }

    fn health(&self) -> StoreFuture<'_, Health> {
        Box::pin(self.core.health())
    }

    fn raise_barrier(&self, to: Option<Timestamp>) -> StoreFuture<'_, Timestamp> {
        Box::pin(self.core.raise_barrier(to))
    }

    fn changed_elsewhere(&self, id: LookupId) -> ChangeFuture<'_> {
        Box::pin(self.core.watch.changed(id))
    }
}

impl AuditLog for Shared {
    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(
            async move { self.core.guard.run(Repeat::Unsent, |backend| backend.append(lines.clone())).await },
        )
    }

    fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(async move {
            let read = |backend| Backend::read_audit(backend, after, key, lines_max);
            self.core.guard.run(Repeat::Always, read).await
        })
    }

    fn trim(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            self.core.guard.run(Repeat::Unsent, |backend| backend.trim_audit(before, lines_max)).await
        })
    }
}
