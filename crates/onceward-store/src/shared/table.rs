//! A database in memory that several stores share, for tests: it loses answers, refuses, tears, stalls and loses its history as told.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use onceward_core::{
    actor::{KeyTag, LookupId},
    time::Timestamp,
};

use super::{
    Entropy, Shared, SharedOptions,
    backend::{
        Backend, ClockReading, Expected, Gathering, Grant, Listed, Mark, NewRow, Put, StoredRow, Survey,
        Swap, Swapped,
    },
};
use crate::{
    clock::SystemClock,
    faulty::{Fault, Faults},
    port::{AuditCursor, Clock, EntryFilter, PageCursor, StoreError, StoreFuture, StoredAudit},
    step::Kind,
};

/// Rows in memory, shared by all stores that were opened on it.
#[derive(Clone)]
pub struct Table(Arc<Inner>);

/// How a store is opened on a [`Table`].
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// The store's clock. Default: the table's own, as a database server has one.
    pub clock: Option<Arc<dyn Clock>>,
    /// What the store's random numbers start from: another one for each store on a table.
    pub seed: u64,
}

/// What is wrong with the part of a table that keeps one record, as where one node of many fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It takes nothing.
    Away,
    /// It takes what it is told, and its answers are lost.
    Mute,
}

/// A server that copies another one, as it was at one moment.
#[derive(Clone)]
pub struct Replica {
    rows: HashMap<LookupId, Row>,
    audit: Vec<(u64, StoredAudit)>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replica(..)")
    }
}

struct Inner {
    rows: Mutex<Rows>,
    faults: Mutex<Faults>,
    calls: AtomicU64,
    clock: SystemClock,
    stepped_ms: AtomicI64,
}

#[derive(Default)]
struct Rows {
    rows: HashMap<LookupId, Row>,
    cuts: HashMap<LookupId, Cut>,
    born: u64,
    audit: Vec<(u64, StoredAudit)>,
    lines: u64,
    barrier: Option<Timestamp>,
    /// The server is not the one that it says it is: the next who has to know finds out.
    broken: bool,
    correction_ms: i64,
}

#[derive(Clone)]
struct Row {
    born: u64,
    is_quarantined: bool,
    new: NewRow,
}

impl Row {
    fn stored(&self, with_outcome: bool) -> StoredRow {
        StoredRow {
            mark: self.new.mark,
            head: self.new.head.clone(),
            outcome: self.new.outcome.clone().filter(|_| with_outcome),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table(..)")
    }
}

impl Default for Table {
    fn default() -> Self {
        Self(Arc::new(Inner {
            rows: Mutex::default(),
            faults: Mutex::new(Faults::scripted([])),
            calls: AtomicU64::new(0),
            clock: SystemClock::starting_at(Timestamp::default()),
            stepped_ms: AtomicI64::new(0),
        }))
    }
}

impl Table {
    /// Opens a store on it: another process, as far as the table knows.
    ///
    /// # Errors
    /// Where the plan of faults says so.
    pub async fn open(&self, options: TableOptions) -> Result<Shared, StoreError> {
        let TableOptions { clock, seed } = options;
        let options = SharedOptions { clock, entropy: Entropy::seeded(seed), ..SharedOptions::default() };
        Shared::over(Arc::new(self.clone()), options).await
    }

    /// Lets calls fail from the next one on; a batch is one call.
    pub fn fail(&self, faults: Faults) {
        *self.0.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Lets the swaps of one record fail alone from now on, or mends them.
    pub fn cut(&self, id: LookupId, cut: Option<Cut>) {
        let mut rows = self.rows();
        match cut {
            Some(cut) => drop(rows.cuts.insert(id, cut)),
            None => drop(rows.cuts.remove(&id)),
        }
    }

    /// How many calls came so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// Lets the server's clock jump, as when it is set or another server takes over.
    pub fn step_clock(&self, by_ms: i64) {
        self.0.stepped_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// The server's clock, with the correction that is written down.
    #[must_use]
    pub fn corrected_now(&self) -> Timestamp {
        let ClockReading { server, correction_ms } = self.reading();
        Timestamp::from_ms(server.as_ms().saturating_add_signed(correction_ms))
    }

    /// What a server that copies this one has by now.
    #[must_use]
    pub fn replica(&self) -> Replica {
        let rows = self.rows();
        Replica { rows: rows.rows.clone(), audit: rows.audit.clone() }
    }

    /// The server is gone, and a copy took over that may not have heard of all that was acknowledged.
    pub fn fail_over(&self, replica: Replica) {
        let mut rows = self.rows();
        (rows.rows, rows.audit) = (replica.rows, replica.audit);
        rows.broken = true;
    }

    /// Flips a bit of a record's stored form; says whether there is one.
    #[must_use]
    pub fn damage(&self, id: LookupId) -> bool {
        let mut rows = self.rows();
        let byte = rows.rows.get_mut(&id).and_then(|row| row.new.head.get_mut(50));
        byte.map(|byte| *byte ^= 1).is_some()
    }

    /// Everything that it keeps.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let rows = self.rows();
        let mut bytes = Vec::new();
        for (id, Row { new, .. }) in &rows.rows {
            bytes.extend_from_slice(id.as_bytes());
            bytes.extend_from_slice(new.key.as_bytes());
            bytes.extend_from_slice(new.actor.as_bytes());
            bytes.extend_from_slice(&new.head);
            bytes.extend(new.outcome.iter().flatten());
        }
        bytes.extend(rows.audit.iter().flat_map(|(_, line)| line.json.bytes()));
        bytes
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        // A panic fails the test that it happens in.
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> ClockReading {
        let server_ms = self.0.clock.now().as_ms();
        let server_ms = server_ms.saturating_add_signed(self.0.stepped_ms.load(Ordering::SeqCst));
        ClockReading { server: Timestamp::from_ms(server_ms), correction_ms: self.rows().correction_ms }
    }

    /// One call under the plan of faults. `tear` is what a call does that is cut in its middle.
    async fn call<T>(&self, act: impl Fn(&mut Rows) -> T, tear: impl Fn(&mut Rows)) -> Result<T, StoreError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let fault = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner).next();
        // As every database does, it lets others run before it answers.
        tokio::task::yield_now().await;
        let unknown = |reason| Err(StoreError::Unknown { reason, source: None });
        match fault {
            Fault::None => Ok(act(&mut self.rows())),
            Fault::Refused => {
                Err(StoreError::Unavailable { reason: "refused by the fault plan", source: None })
            }
            Fault::AnswerLost => {
                drop(act(&mut self.rows()));
                unknown("lost by the fault plan")
            }
            Fault::Torn => {
                tear(&mut self.rows());
                unknown("torn by the fault plan")
            }
            Fault::Repeated => {
                drop(act(&mut self.rows()));
                Ok(act(&mut self.rows()))
            }
            Fault::Late(delay) => {
                tokio::time::sleep(delay).await;
                Ok(act(&mut self.rows()))
            }
        }
    }
}

impl Rows {
    fn swap_unless_cut(&mut self, swap: &Swap, now: Timestamp) -> Swapped {
        match self.cuts.get(&swap.id) {
            None => self.swap(swap, now),
            Some(Cut::Away) => Swapped::Unavailable { reason: "cut off by the fault plan" },
            Some(Cut::Mute) => {
                drop(self.swap(swap, now));
                Swapped::Unknown { reason: "muted by the fault plan" }
            }
        }
    }

    /// The contract of [`Backend::exchange`], for one swap.
    fn swap(&mut self, swap: &Swap, now: Timestamp) -> Swapped {
        let found = self.rows.get(&swap.id);
        match (&swap.put, found) {
            // An earlier copy of this swap was here.
            (Put::Row(new), Some(row)) if row.new.mark == new.mark => return Swapped::Done,
            (Put::Nothing, None) => return Swapped::Done,
            (Put::Keep | Put::Nothing | Put::Row(_), _) => {}
        }
        match (swap.expected, found) {
            (Expected::Nothing, None) => {}
            (Expected::Row(mark), Some(row)) if row.new.mark == mark => {}
            (Expected::Nothing | Expected::Row(_), found) => {
                return Swapped::Found(found.map(|row| row.stored(true)));
            }
        }
        if let Some(Grant { barrier }) = swap.grant
            && let Some(barrier) = self.history_since(barrier, now)
        {
            return Swapped::History { barrier };
        }
        match &swap.put {
            Put::Keep => {}
            Put::Nothing => drop(self.rows.remove(&swap.id)),
            Put::Row(new) => {
                let born = self.rows.get(&swap.id).map_or(self.born + 1, |row| row.born);
                self.born = self.born.max(born);
                self.rows.insert(swap.id, Row { born, is_quarantined: false, new: new.clone() });
            }
        }
        if let Some(line) = &swap.audit {
            self.append(line.clone());
        }
        Swapped::Done
    }

    /// The barrier, where it is another one than a claim was judged by.
    fn history_since(&mut self, judged_by: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        self.barrier_at(now).filter(|barrier| judged_by.is_none_or(|judged_by| judged_by < *barrier))
    }

    fn barrier_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        if std::mem::take(&mut self.broken) {
            self.barrier = self.barrier.max(Some(now));
        }
        self.barrier
    }

    fn append(&mut self, line: StoredAudit) {
        self.lines += 1;
        self.audit.push((self.lines, line));
    }

    fn due(&self, now: Timestamp, rows_max: usize) -> Vec<(LookupId, StoredRow)> {
        let due = self.rows.iter().filter(|(_, row)| !row.is_quarantined);
        let mut due: Vec<_> = due
            .filter_map(|(id, row)| row.new.due_at.filter(|due_at| *due_at <= now).map(|at| (at, id, row)))
            .collect();
        due.sort_by_key(|(due_at, id, _)| (*due_at, id.as_bytes()));
        due.into_iter().take(rows_max).map(|(_, id, row)| (*id, row.stored(false))).collect()
    }

    fn list(&self, filter: &EntryFilter, after: Option<PageCursor>, rows_max: usize) -> Listed {
        let before = after.map_or(u64::MAX, |PageCursor(born)| born);
        let mut found: Vec<_> = (self.rows.iter())
            .filter(|(_, row)| row.born < before && row.new.kind != Kind::Mark)
            .filter(|(_, row)| !filter.in_doubt_only || row.new.kind == Kind::InDoubt)
            .filter(|(_, row)| filter.key.is_none_or(|key| key == row.new.key))
            .filter(|(_, row)| filter.actor.is_none_or(|actor| actor == row.new.actor))
            .collect();
        found.sort_by_key(|(_, row)| std::cmp::Reverse(row.born));
        let more = found.len() > rows_max;
        found.truncate(rows_max);
        let next = found.last().filter(|_| more).map(|(_, row)| PageCursor(row.born));
        Listed { rows: found.into_iter().map(|(id, row)| (*id, row.stored(false))).collect(), next }
    }

    fn survey(&self) -> Survey {
        let (mut rows, mut bytes) = ([0; 5], 0);
        for Row { new, .. } in self.rows.values() {
            if let Some(count) = rows.get_mut(new.kind as usize) {
                *count += 1;
            }
            bytes += (new.head.len() + new.outcome.as_ref().map_or(0, Vec::len)) as u64;
        }
        Survey { durability: "nothing", rows, bytes }
    }

    fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> Vec<(AuditCursor, StoredAudit)> {
        let lines = self.audit.iter().filter(|(place, _)| *place > after.0);
        let lines = lines.filter(|(_, line)| key.is_none() || line.key == key);
        lines.take(lines_max).map(|(place, line)| (AuditCursor(*place), line.clone())).collect()
    }

    fn trim(&mut self, before: Timestamp, lines_max: usize) -> u64 {
        let mut gone = 0;
        self.audit.retain(|(_, line)| {
            let goes = line.at < before && gone < lines_max as u64;
            gone += u64::from(goes);
            !goes
        });
        gone
    }
}

impl Backend for Table {
    fn kind(&self) -> &'static str {
        "table"
    }

    fn gathering(&self) -> Gathering {
        Gathering { swaps_max: 256, exchanges_max: 2 }
    }

    fn exchange(&self, batch: Arc<[Swap]>, now: Timestamp) -> StoreFuture<'_, Vec<Swapped>> {
        Box::pin(async move {
            let whole = |rows: &mut Rows| batch.iter().map(|swap| rows.swap_unless_cut(swap, now)).collect();
            // Each swap is whole or undone, also in a batch that is cut.
            let half = |rows: &mut Rows| {
                batch.iter().take(batch.len() / 2).for_each(|swap| drop(rows.swap_unless_cut(swap, now)));
            };
            self.call(whole, half).await
        })
    }

    fn fetch(&self, ids: Vec<LookupId>, with_outcomes: bool) -> StoreFuture<'_, Vec<Option<StoredRow>>> {
        Box::pin(async move {
            let fetch = |rows: &mut Rows| {
                ids.iter().map(|id| rows.rows.get(id).map(|row| row.stored(with_outcomes))).collect()
            };
            self.call(fetch, |_| {}).await
        })
    }

    fn due(&self, now: Timestamp, rows_max: usize) -> StoreFuture<'_, Vec<(LookupId, StoredRow)>> {
        Box::pin(self.call(move |rows| rows.due(now, rows_max), |_| {}))
    }

    fn quarantine(&self, id: LookupId, mark: Mark) -> StoreFuture<'_, ()> {
        let quarantine = move |rows: &mut Rows| {
            if let Some(row) = rows.rows.get_mut(&id).filter(|row| row.new.mark == mark) {
                row.is_quarantined = true;
            }
        };
        Box::pin(self.call(quarantine, |_| {}))
    }

    fn list(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        rows_max: usize,
    ) -> StoreFuture<'_, Listed> {
        Box::pin(self.call(move |rows| rows.list(&filter, after, rows_max), |_| {}))
    }

    fn clock(&self) -> StoreFuture<'_, ClockReading> {
        Box::pin(async move {
            self.call(|_| (), |_| {}).await?;
            Ok(self.reading())
        })
    }

    fn correct_clock(&self, seen_ms: i64, correction_ms: i64) -> StoreFuture<'_, bool> {
        let correct = move |rows: &mut Rows| {
            let is_seen = rows.correction_ms == seen_ms;
            if is_seen {
                rows.correction_ms = correction_ms;
            }
            is_seen
        };
        Box::pin(self.call(correct, |_| {}))
    }

    fn barrier(&self, now: Timestamp) -> StoreFuture<'_, Option<Timestamp>> {
        Box::pin(self.call(move |rows| rows.barrier_at(now), |_| {}))
    }

    fn raise_barrier(&self, to: Timestamp, now: Timestamp) -> StoreFuture<'_, Timestamp> {
        let raise = move |rows: &mut Rows| {
            let barrier = rows.barrier_at(now).map_or(to, |barrier| barrier.max(to));
            rows.barrier = Some(barrier);
            barrier
        };
        Box::pin(self.call(raise, |_| {}))
    }

    fn survey(&self) -> StoreFuture<'_, Survey> {
        Box::pin(self.call(|rows| rows.survey(), |_| {}))
    }

    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(self.call(move |rows| lines.iter().for_each(|line| rows.append(line.clone())), |_| {}))
    }

    fn read_audit(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(self.call(move |rows| rows.read(after, key, lines_max), |_| {}))
    }

    fn trim_audit(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(self.call(move |rows| rows.trim(before, lines_max), |_| {}))
    }
}

#[cfg(test)]
mod tests;
