//! The store that forgets: records live as long as the process.

mod audit;
mod marks;
mod shard;
mod slab;
mod slot;

use std::{collections::BinaryHeap, sync::Arc};

#[cfg(not(shuttle))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

#[cfg(shuttle)]
use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    record::{Attempt, Epoch, Event},
    time::Timestamp,
};

use self::{audit::AuditRing, marks::Marks, shard::Shard, slot::Slot};
use crate::{
    clock::StoreTime,
    epoch::Epochs,
    port::{
        AuditCursor, AuditLog, Claim, Clock, EntryFilter, Health, Marked, Page, PageCursor, Reply,
        Resolution, Settle, Store, StoreError, StoreFuture, Stored, StoredAudit, Swept, Twin,
    },
    step::{Census, Kind, Loss},
    tally::Tally,
};

/// Shards, each under its own lock: far more than processors, so that two operations seldom meet.
const SHARDS: usize = 64;

/// Records that one page of a listing looks at before it answers with what it found: all locks are held meanwhile.
const PAGE_VISITS_MAX: usize = 10_000;

/// Groups in which actors are counted: a fixed 32 kB in place of a table that grows with whoever comes.
const ACTOR_GROUPS: usize = 4_096;

/// The group of an actor, by its tag's first bits.
fn group(actor: ActorTag) -> usize {
    let [first, second, ..] = *actor.as_bytes();
    usize::from(u16::from_be_bytes([first, second])) % ACTOR_GROUPS
}

/// How much a [`Memory`] store holds before it refuses new keys (S1).
///
/// It never makes room by forgetting a record that still counts: an evicted claim is an effect that may happen twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Keys remembered at once, tombstones included, and marks of twins (P5). Default: a million, some 400 MB and their answers.
    pub records_max: u64,
    /// Keys and marks of one actor remembered at once, so that nobody alone shuts all others out. Default: half of `records_max`.
    ///
    /// Actors are counted in 4,096 groups by their tag, which is keyed: nobody chooses his group, and the few who share one share its bound.
    pub records_per_actor_max: u64,
    /// Bytes of answers and labels, [`RECORD_BYTES`](Self::RECORD_BYTES) for each record and [`MARK_BYTES`](Self::MARK_BYTES) for each
    /// mark. Default: 1 GiB.
    ///
    /// Only new keys and marks are refused at this bound. The answer of a key that runs already is always kept, so the store may exceed the
    /// bound by the answers of what runs at that moment.
    pub bytes_max: u64,
    /// Audit lines kept; older ones go. Default: 100,000.
    pub audit_lines_max: usize,
}

impl MemoryLimits {
    /// What a record is counted as beside its answer and label: its fields, its place in three orders, and what the allocator adds.
    ///
    /// `examples/record_bytes.rs` measured up to 380, a label of 40 included, also where the index has just grown. A record that shares
    /// neither its terms nor its tenant with others takes 160 more.
    pub const RECORD_BYTES: u64 = 400;

    /// What a mark is counted as: its entries in two trees, whose nodes are some two thirds full. `examples/record_bytes.rs` measured 228.
    pub const MARK_BYTES: u64 = 256;
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            records_max: 1_000_000,
            records_per_actor_max: 500_000,
            bytes_max: 1 << 30,
            audit_lines_max: 100_000,
        }
    }
}

/// Records in memory, sharded by lookup id. The reference for every other store.
///
/// A restart forgets everything, so the moment of its making is its history barrier: a key that says it was issued before, and is
/// unknown, is refused (T5).
#[derive(Debug)]
pub struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    marks: [Mutex<Marks>; SHARDS],
    audit: Mutex<AuditRing>,
    epochs: Mutex<Epochs>,
    /// Records made so far: orders listings.
    born: AtomicU64,
    /// Records and marks.
    records: AtomicU64,
    /// Records and marks by group of actors.
    held: Box<[AtomicU64]>,
    bytes: AtomicU64,
    tally: Arc<Tally>,
    limits: MemoryLimits,
    /// In milliseconds.
    barrier_ms: AtomicU64,
    time: StoreTime,
}

impl Memory {
    /// An empty store that begins to remember now.
    #[must_use]
    pub fn new(limits: MemoryLimits, clock: Arc<dyn Clock>) -> Self {
        let barrier = clock.now();
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            marks: std::array::from_fn(|_| Mutex::default()),
            audit: Mutex::new(AuditRing::new(limits.audit_lines_max)),
            epochs: Mutex::new(Epochs::starting(barrier, Epoch(0))),
            born: AtomicU64::new(0),
            records: AtomicU64::new(0),
            held: (0..ACTOR_GROUPS).map(|_| AtomicU64::new(0)).collect(),
            bytes: AtomicU64::new(0),
            tally: Arc::default(),
            limits,
            barrier_ms: AtomicU64::new(barrier.as_ms()),
            time: StoreTime::starting_at(barrier, clock),
        }
    }

    fn claim_now(&self, claim: &Claim) -> Result<Reply, StoreError> {
        let mut shard = self.shard(claim.id)?;
        let now = self.time.now();
        let place = shard.find(claim.id);
        let known = place.and_then(|place| shard.get(place)).map(Slot::head);
        if let Some(reply) = claim.lost_behind(Some(self.barrier()), known.as_ref(), now) {
            return Ok(reply);
        }
        if place.is_none() {
            self.admit(claim.label.actor)?;
        }
        let epoch = unpoisoned(self.epochs.lock().ok())?.grant(now);
        let event = claim.event(epoch);
        let actor = claim.label.actor;
        Ok(self.booked(&mut shard, actor, |shard| match place {
            Some(place) => shard.advance(place, event, Some(&claim.label.effect), now),
            None => (shard.open(claim.id, event, &claim.label, self.next_born(), now), None),
        }))
    }

    fn settle_now(&self, id: LookupId, event: Event) -> Result<Reply, StoreError> {
        let mut shard = self.shard(id)?;
        let now = self.time.now();
        let found = shard.find(id).and_then(|place| Some((place, shard.get(place)?.actor())));
        Ok(match found {
            Some((place, actor)) => {
                self.booked(&mut shard, actor, |shard| shard.advance(place, event, None, now))
            }
            None => shard::unknown(event, now),
        })
    }

    fn resolve_now(&self, resolution: Resolution) -> Result<Reply, StoreError> {
        let Resolution { id, change, label, audit } = resolution;
        let mut shard = self.shard(id)?;
        // Taken before anything changes: a poisoned log must not leave a verdict without its evidence.
        let mut log = unpoisoned(self.audit.lock().ok())?;
        let place = shard.find(id);
        if place.is_none() {
            self.admit(label.actor)?;
        }
        let (event, now) = (change.event(), self.time.now());
        let reply = self.booked(&mut shard, label.actor, |shard| match place {
            Some(place) => shard.advance(place, event, None, now),
            None => (shard.open(id, event, &label, self.next_born(), now), None),
        });
        if let Some(line) = audit {
            log.append(line);
        }
        Ok(reply)
    }

    fn scan_now(
        &self,
        filter: &EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> Result<Page, StoreError> {
        let shards = self.shards.iter().map(|shard| unpoisoned(shard.lock().ok()));
        let shards = shards.collect::<Result<Vec<_>, _>>()?;
        let before = after.map_or(u64::MAX, |PageCursor(born)| born);
        let mut newest: Vec<_> = shards.iter().map(|shard| shard.born_before(before)).collect();
        let mut heap: BinaryHeap<_> = (newest.iter_mut().enumerate())
            .filter_map(|(shard, slots)| slots.next().map(|(born, place)| (born, shard, place)))
            .collect();
        let mut page = Page { entries: Vec::new(), corrupt: 0, next: None };
        let mut visits = 0;
        while let Some((born, index, place)) = heap.pop() {
            let entry = shards.get(index).and_then(|shard| shard.get(place)?.entry(filter));
            page.entries.extend(entry);
            visits += 1;
            let next = newest.get_mut(index).and_then(Iterator::next);
            heap.extend(next.map(|(born, place)| (born, index, place)));
            if page.entries.len() >= entries_max || visits >= PAGE_VISITS_MAX {
                page.next = (!heap.is_empty()).then_some(PageCursor(born));
                break;
            }
        }
        Ok(page)
    }

    /// Collects what is due shard by shard, then visits the oldest: no lock is held for longer than one record takes.
    fn sweep_now(&self, records_max: usize) -> Result<Swept, StoreError> {
        let now = self.time.now();
        let mut due = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let shard = unpoisoned(shard.lock().ok())?;
            let overtaken = shard.due(now).take(records_max.saturating_add(1));
            due.extend(overtaken.map(|(due_at, place)| (due_at, index, place)));
        }
        due.sort_unstable();
        let (marks, more_marks) = self.sweep_marks(records_max.saturating_sub(due.len()))?;
        let mut swept = Swept { marks, more: due.len() > records_max || more_marks, ..Swept::default() };
        for (_, index, place) in due.into_iter().take(records_max) {
            let mut shard = self.shard_at(index)?;
            let Some((before, actor)) = shard.get(place).map(|slot| (Kind::of(slot.state()), slot.actor()))
            else {
                continue;
            };
            // Asked again under the lock, since the record may have moved on, or another lie in its place: what is not due comes out
            // unchanged.
            self.booked(&mut shard, actor, |shard| shard.advance(place, Event::Swept, None, now));
            swept.count(before, shard.get(place).map(|slot| Kind::of(slot.state())));
        }
        Ok(swept)
    }

    fn mark_now(&self, twin: &Twin) -> Result<Marked, StoreError> {
        let mut marks = self.marks_at(usize::from(twin.id.as_bytes()[0]) % SHARDS)?;
        let now = self.time.now();
        let found = marks.get(twin.id);
        let (marked, put) = Marked::of(twin.bid.on(found, now));
        if let Some(mark) = put {
            if found.is_none() {
                self.admit(twin.actor)?;
                self.count_marks(twin.actor, 1);
            }
            marks.put(twin.id, twin.actor, mark);
        }
        Ok(marked)
    }

    /// Forgets up to `marks_max` marks, and says whether more are left whose window has passed.
    fn sweep_marks(&self, marks_max: usize) -> Result<(u64, bool), StoreError> {
        let now = self.time.now();
        let mut gone = 0;
        for index in 0..SHARDS {
            let mut marks = self.marks_at(index)?;
            while marks.is_due(now) {
                if gone >= marks_max {
                    return Ok((gone as u64, true));
                }
                if let Some(actor) = marks.forget_oldest() {
                    self.count_marks(actor, 1_u64.wrapping_neg());
                    gone += 1;
                }
            }
        }
        Ok((gone as u64, false))
    }

    /// Books marks of `actor` that came, or, wrapping, went.
    fn count_marks(&self, actor: ActorTag, marks: u64) {
        self.records.fetch_add(marks, Ordering::Relaxed);
        if let Some(held) = self.held.get(group(actor)) {
            held.fetch_add(marks, Ordering::Relaxed);
        }
        self.bytes.fetch_add(marks.wrapping_mul(MemoryLimits::MARK_BYTES), Ordering::Relaxed);
    }

    fn marks_at(&self, index: usize) -> Result<MutexGuard<'_, Marks>, StoreError> {
        unpoisoned(self.marks.get(index).and_then(|marks| marks.lock().ok()))
    }

    /// Runs one step on a record of `actor` and keeps the books.
    fn booked(
        &self,
        shard: &mut Shard,
        actor: ActorTag,
        step: impl FnOnce(&mut Shard) -> (Reply, Option<Loss>),
    ) -> Reply {
        let before = shard.usage();
        let (reply, lost) = step(shard);
        let after = shard.usage();
        // Wrapping sums: adding what is there and taking what was there comes out right in any order.
        let records = after.records.wrapping_sub(before.records);
        self.records.fetch_add(records, Ordering::Relaxed);
        if let Some(held) = self.held.get(group(actor)) {
            held.fetch_add(records, Ordering::Relaxed);
        }
        self.bytes.fetch_add(after.bytes.wrapping_sub(before.bytes), Ordering::Relaxed);
        self.tally.move_in_doubt(after.in_doubt.wrapping_sub(before.in_doubt));
        if let Some(loss) = lost {
            self.tally.count(loss);
        }
        reply
    }

    /// The place of a new record in listings. One that is not used leaves a gap, which nobody sees.
    fn next_born(&self) -> u64 {
        self.born.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a new key fits. Claims that ask at the same instant may together exceed the bound by one a thread.
    fn admit(&self, actor: ActorTag) -> Result<(), StoreError> {
        let held = self.held.get(group(actor)).map_or(0, |held| held.load(Ordering::Relaxed));
        if held >= self.limits.records_per_actor_max {
            return Err(StoreError::Full { limit: "records_per_actor_max" });
        }
        if self.records.load(Ordering::Relaxed) >= self.limits.records_max {
            return Err(StoreError::Full { limit: "records_max" });
        }
        if self.bytes.load(Ordering::Relaxed) >= self.limits.bytes_max {
            return Err(StoreError::Full { limit: "bytes_max" });
        }
        Ok(())
    }

    fn shard(&self, id: LookupId) -> Result<MutexGuard<'_, Shard>, StoreError> {
        self.shard_at(usize::from(id.as_bytes()[0]) % SHARDS)
    }

    fn shard_at(&self, index: usize) -> Result<MutexGuard<'_, Shard>, StoreError> {
        unpoisoned(self.shards.get(index).and_then(|shard| shard.lock().ok()))
    }

    fn barrier(&self) -> Timestamp {
        Timestamp::from_ms(self.barrier_ms.load(Ordering::Relaxed))
    }

    fn raise_barrier_now(&self, to: Option<Timestamp>) -> Timestamp {
        let now = self.time.now();
        let to = to.map_or(now, |to| to.min(now));
        Timestamp::from_ms(self.barrier_ms.fetch_max(to.as_ms(), Ordering::Relaxed)).max(to)
    }

    fn health_now(&self) -> Result<Health, StoreError> {
        let mut records = [0; 5];
        for shard in &self.shards {
            let Census(counts) = unpoisoned(shard.lock().ok())?.census();
            for (total, count) in records.iter_mut().zip(counts) {
                *total += count;
            }
        }
        Ok(Health {
            kind: "memory",
            durability: "nothing",
            records,
            bytes: self.bytes.load(Ordering::Relaxed),
            history_barrier: Some(self.barrier()),
            tally: Arc::clone(&self.tally),
            link: None,
        })
    }
}

/// A lock that a panic poisoned guards a record that may be half changed: it is never handed out again.
fn unpoisoned<T>(guard: Option<T>) -> Result<T, StoreError> {
    guard.ok_or(StoreError::Unavailable { reason: "a panic left a part of the memory torn", source: None })
}

impl Store for Memory {
    fn claim(&self, claim: Claim) -> StoreFuture<'_, Reply> {
        Box::pin(async move { self.claim_now(&claim) })
    }

    fn renew(&self, id: LookupId, attempt: Attempt) -> StoreFuture<'_, Reply> {
        Box::pin(async move { self.settle_now(id, Event::Renewed { attempt }) })
    }

    fn settle(&self, id: LookupId, attempt: Attempt, settle: Settle) -> StoreFuture<'_, Reply> {
        Box::pin(async move { self.settle_now(id, settle.event(attempt)) })
    }

    fn get(&self, id: LookupId) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(async move {
            let shard = self.shard(id)?;
            let slot = shard.find(id).and_then(|place| shard.get(place));
            Ok(slot.map(|slot| Stored::Record(Box::new(slot.record()), slot.label())))
        })
    }

    fn resolve(&self, resolution: Resolution) -> StoreFuture<'_, Reply> {
        Box::pin(async move { self.resolve_now(resolution) })
    }

    fn mark_twin(&self, twin: Twin) -> StoreFuture<'_, Marked> {
        Box::pin(async move { self.mark_now(&twin) })
    }

    fn scan(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> StoreFuture<'_, Page> {
        Box::pin(async move { self.scan_now(&filter, after, entries_max) })
    }

    fn sweep(&self, records_max: usize) -> StoreFuture<'_, Swept> {
        Box::pin(async move { self.sweep_now(records_max) })
    }

    fn health(&self) -> StoreFuture<'_, Health> {
        Box::pin(async move { self.health_now() })
    }

    fn raise_barrier(&self, to: Option<Timestamp>) -> StoreFuture<'_, Timestamp> {
        Box::pin(async move { Ok(self.raise_barrier_now(to)) })
    }
}

impl AuditLog for Memory {
    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut log = unpoisoned(self.audit.lock().ok())?;
            lines.into_iter().for_each(|line| log.append(line));
            Ok(())
        })
    }

    fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(async move { Ok(unpoisoned(self.audit.lock().ok())?.read(after, key, lines_max)) })
    }

    fn trim(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(unpoisoned(self.audit.lock().ok())?.trim(before, lines_max)) })
    }
}
