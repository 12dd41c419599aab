//! Gathers swaps on their way to the database: what waits while an exchange is under way goes with the next one (group commit).
//!
//! A swap is handed to one of a few tasks that run exchanges; there is no timer, and an idle one takes a lone swap at once. Those tasks
//! belong to the store, so that an asker that goes away undoes nothing of its own and nothing of the others in its batch.
//!
//! Swaps of one id stand in line: one is under way at a time. Those that stood behind it when it was sent are answered by what it met,
//! where that tells: it is the row as it was after all of them had asked. So a thousand duplicates of one key take two exchanges.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use onceward_core::{
    actor::{Label, LookupId},
    record::Record,
    time::Timestamp,
};
use tokio::sync::{Notify, oneshot};

use super::{
    backend::{Expected, Mark, NewRow, Put, StoredRow, Swap, Swapped},
    known::{Known, KnownRow},
    resilience::Guard,
};
use crate::{
    link::Link,
    port::{Clock, StoreError},
    step::Loss,
    tally::Tally,
};

/// Swaps that wait or are under way; more are refused (S1). A second of work for a fast database, and half of what an engine lets in.
const QUEUE_SWAPS_MAX: usize = 8_192;

/// Bytes of rows and audit lines that wait or are under way; more are refused (S1). Sixteen full exchanges: a second of work for a fast
/// database when answers are large.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Bytes of rows in one exchange, beyond which no further swap joins it: below what databases take in one statement (MySQL's
/// `max_allowed_packet` is 16 MiB or more), and some milliseconds of a network.
const EXCHANGE_BYTES_MAX: usize = 4 << 20;

/// Losses remembered whose swaps may or may not stand; beyond that they may go uncounted. A database has to fail in the middle of a sweep for
/// two hundred of them.
const UNSURE_MAX: usize = 4_096;

/// What a swap means to this process once it stands.
#[derive(Debug, Default)]
pub(super) struct Booking {
    /// A claim that it ends without its holder.
    pub(super) lost: Option<Loss>,
    /// The row, where this process holds its claim now.
    pub(super) held: Option<(Record, Label)>,
}

/// A swap that waits.
#[derive(Debug)]
struct Job {
    swap: Swap,
    asker: Asker,
}

/// Whose a swap is.
#[derive(Debug)]
struct Asker {
    booking: Booking,
    answer: oneshot::Sender<Answer>,
    #[expect(dead_code, reason = "held for its drop, which gives the place back")]
    place: Place,
}

/// What waits or is under way. Each swap holds its place in it until it is answered or let go of, however that happens.
#[derive(Debug)]
struct Load {
    link: Arc<Link>,
    bytes: AtomicUsize,
}

/// A swap's part of the load.
#[derive(Debug)]
struct Place {
    load: Arc<Load>,
    bytes: usize,
}

impl Place {
    /// Whoever calls this holds the queue, so that no two take the last place.
    fn take(load: &Arc<Load>, bytes: usize) -> Result<Self, StoreError> {
        if load.link.queued() >= QUEUE_SWAPS_MAX as u64 {
            return Err(StoreError::Busy { limit: "queue_swaps_max" });
        }
        if load.bytes.load(Ordering::Relaxed) >= QUEUE_BYTES_MAX {
            return Err(StoreError::Busy { limit: "queue_bytes_max" });
        }
        load.link.queued.fetch_add(1, Ordering::Relaxed);
        load.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(Self { load: Arc::clone(load), bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.link.queued.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

type Answer = Result<Outcome, StoreError>;

/// What became of a swap that the database answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stands.
    Done,
    /// Something else is there, and nothing changed.
    Found(Option<StoredRow>),
    /// What was expected is there, and history is not what the grant was judged by: nothing changed.
    History { barrier: Timestamp },
}

/// A swap that was handed in. It is made, or not, whether or not the answer is waited for.
#[derive(Debug)]
pub(super) struct Asked(oneshot::Receiver<Answer>);

impl Asked {
    pub(super) async fn answer(self) -> Result<Outcome, StoreError> {
        self.0.await.unwrap_or_else(|gone| {
            let reason = "the task that exchanges rows ended in mid-operation";
            Err(StoreError::Unknown { reason, source: Some(Box::new(gone)) })
        })
    }
}

/// Swaps on their way.
#[derive(Debug)]
pub(super) struct Gatherer {
    queue: Mutex<Queue>,
    arrived: Notify,
    known: Mutex<Known>,
    /// Losses whose swaps may stand, by the mark that says so: counted once that is seen.
    unsure: Mutex<HashMap<LookupId, (Mark, Loss)>>,
    tally: Arc<Tally>,
    load: Arc<Load>,
}

/// A batch under way. Let go of before all of it was answered, by a panic or with its runtime, it answers the rest, so that no line is
/// left standing behind it.
#[derive(Debug)]
struct Sent<'a> {
    gatherer: &'a Gatherer,
    swaps: Arc<[Swap]>,
    /// Of the last ones of `swaps`: each stays here until its swap has been ended.
    askers: VecDeque<Asker>,
}

impl<'a> Sent<'a> {
    fn new(gatherer: &'a Gatherer, batch: Vec<Job>) -> Self {
        let (swaps, askers): (Vec<_>, _) = batch.into_iter().map(|job| (job.swap, job.asker)).unzip();
        Self { gatherer, swaps: swaps.into(), askers }
    }

    /// Answers the batch, and those behind its swaps whom the same answer tells enough.
    fn end(&mut self, ended: Result<Vec<Swapped>, StoreError>) {
        let gatherer = self.gatherer;
        let mut told = Vec::with_capacity(self.askers.len());
        let mut swapped = ended.map(Vec::into_iter);
        {
            let mut queue = gatherer.queue();
            let ended_before = self.swaps.len().saturating_sub(self.askers.len());
            for swap in self.swaps.iter().skip(ended_before) {
                let answer = match &mut swapped {
                    Ok(swapped) => outcome(swapped.next()),
                    Err(error) => Err(again(error)),
                };
                if let Some(asker) = self.askers.front() {
                    gatherer.note(swap, &asker.booking, &answer);
                }
                if let Some(asker) = self.askers.pop_front() {
                    queue.end(swap, asker, answer, &mut told);
                }
            }
            gatherer.queue_moved(&queue);
        }
        for (asker, answer) in told {
            // One that went away is not missed: the swap stands (port, cancel safety).
            drop(asker.answer.send(answer));
        }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.askers.is_empty() {
            let reason = "the exchange broke off";
            self.end(Err(StoreError::Unknown { reason, source: None }));
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// One of each id at the most, none of an id that is under way.
    ready: VecDeque<Job>,
    /// A line for each id that is ready or under way.
    lines: HashMap<LookupId, Line>,
    closed: bool,
}

/// Swaps behind the one of the same id that is ready or under way.
#[derive(Debug, Default)]
struct Line {
    behind: VecDeque<Job>,
    /// How many of them had asked before that one was sent.
    before: usize,
}

impl Gatherer {
    pub(super) fn new(tally: Arc<Tally>, link: Arc<Link>) -> Self {
        Self {
            queue: Mutex::default(),
            arrived: Notify::new(),
            known: Mutex::default(),
            unsure: Mutex::default(),
            tally,
            load: Arc::new(Load { link, bytes: AtomicUsize::new(0) }),
        }
    }

    /// The row of a claim that this process holds, as far as it knows.
    pub(super) fn known(&self, id: LookupId) -> Option<KnownRow> {
        self.known_rows().get(id)
    }

    /// The row is the one that this process holds its claim by.
    pub(super) fn remember(&self, id: LookupId, row: KnownRow) {
        self.known_rows().remember(id, row);
    }

    /// The row is another one than this process thought.
    pub(super) fn forget(&self, id: LookupId) {
        self.known_rows().forget(id);
    }

    /// Hands in a swap.
    pub(super) fn ask(&self, swap: Swap, booking: Booking) -> Result<Asked, StoreError> {
        let (asker, answer) = oneshot::channel();
        let mut queue = self.queue();
        if queue.closed {
            return Err(StoreError::Unavailable { reason: "the store is closed", source: None });
        }
        let place = Place::take(&self.load, bytes_of(&swap))?;
        if queue.push(Job { swap, asker: Asker { booking, answer: asker, place } }) {
            self.arrived.notify_one();
        }
        Ok(Asked(answer))
    }

    /// Runs exchanges until the store is closed and nothing waits. Each task that runs this has one exchange under way at a time.
    pub(super) async fn work(&self, guard: &Guard, clock: &dyn Clock) {
        let swaps_max = guard.backend().gathering().swaps_max;
        while let Some(batch) = self.next(swaps_max).await {
            let mut sent = Sent::new(self, batch);
            let ended = guard.exchange(&sent.swaps, clock).await;
            sent.end(ended);
        }
    }

    /// Takes no more swaps; those that are in are still made.
    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.arrived.notify_waiters();
    }

    async fn next(&self, swaps_max: usize) -> Option<Vec<Job>> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            // Before the queue is looked at, so that what arrives in between is not slept through.
            arrived.as_mut().enable();
            {
                let mut queue = self.queue();
                let batch = queue.take(swaps_max);
                if !batch.is_empty() {
                    if !queue.ready.is_empty() {
                        self.arrived.notify_one();
                    }
                    return Some(batch);
                }
                if queue.closed && queue.lines.is_empty() {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// What ended leaves something for others to do, or nothing ever again.
    fn queue_moved(&self, queue: &Queue) {
        if !queue.ready.is_empty() {
            self.arrived.notify_one();
        }
        if queue.closed {
            self.arrived.notify_waiters();
        }
    }

    /// Notes what an answer means to this process, whether or not somebody still waits for it.
    fn note(&self, swap: &Swap, booking: &Booking, answer: &Answer) {
        self.make_sure(swap, answer);
        match answer {
            Ok(Outcome::Done) => self.book(swap, booking),
            Err(StoreError::Unknown { .. }) => self.note_unsure(swap, booking),
            Ok(Outcome::Found(_) | Outcome::History { .. }) | Err(_) => {}
        }
    }

    fn book(&self, swap: &Swap, booking: &Booking) {
        if let Some(loss) = booking.lost {
            self.tally.count(loss);
        }
        match (&swap.put, &booking.held) {
            (Put::Row(NewRow { mark, .. }), Some((record, label))) => {
                let row = KnownRow { mark: *mark, record: record.clone(), label: label.clone() };
                self.remember(swap.id, row);
            }
            (Put::Row(_) | Put::Nothing, _) => self.forget(swap.id),
            (Put::Keep, _) => {}
        }
    }

    /// The answer was lost: whether it stands, the next answer about the same record tells.
    fn note_unsure(&self, swap: &Swap, booking: &Booking) {
        if let (Put::Row(row), Some(loss)) = (&swap.put, booking.lost) {
            let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
            if unsure.len() < UNSURE_MAX {
                unsure.insert(swap.id, (row.mark, loss));
            }
        }
    }

    /// Counts a loss whose answer had been lost, if it is what this answer met.
    fn make_sure(&self, swap: &Swap, answer: &Answer) {
        let met = match (answer, swap.expected) {
            (Ok(Outcome::Done), Expected::Row(mark)) => Some(mark),
            (Ok(Outcome::Found(row)), _) => row.as_ref().map(|row| row.mark),
            (Ok(Outcome::Done | Outcome::History { .. }), _) => None,
            (Err(_), _) => return,
        };
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((mark, loss)) = unsure.remove(&swap.id)
            && met == Some(mark)
        {
            self.tally.count(loss);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change of the queue is whole before the lock is let go, so a poisoned one is still good.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_rows(&self) -> MutexGuard<'_, Known> {
        // As above; and what is known is an assumption only.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Stands in the line of its id; says whether it is at its head.
    fn push(&mut self, job: Job) -> bool {
        match self.lines.entry(job.swap.id) {
            Entry::Occupied(line) => {
                line.into_mut().behind.push_back(job);
                false
            }
            Entry::Vacant(place) => {
                place.insert(Line::default());
                self.ready.push_back(job);
                true
            }
        }
    }

    /// The next batch: what is ready, in order, up to its bounds.
    fn take(&mut self, swaps_max: usize) -> Vec<Job> {
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        while batch.len() < swaps_max
            && bytes < EXCHANGE_BYTES_MAX
            && let Some(job) = self.ready.pop_front()
        {
            bytes = bytes.saturating_add(bytes_of(&job.swap));
            if let Some(line) = self.lines.get_mut(&job.swap.id) {
                line.before = line.behind.len();
            }
            batch.push(job);
        }
        batch
    }

    /// Ends one swap: its line moves on, and who had asked before it was sent may be answered with it.
    fn end(&mut self, swap: &Swap, asker: Asker, answer: Answer, told: &mut Vec<(Asker, Answer)>) {
        // The line is taken out as a whole, so that none is left standing whatever happens below.
        if let Some(Line { behind, before }) = self.lines.remove(&swap.id) {
            let mut unsent = VecDeque::with_capacity(behind.len());
            for (place, waiting) in behind.into_iter().enumerate() {
                let heard = if place < before { overheard(&waiting.swap, swap, &answer) } else { None };
                match heard {
                    Some(heard) => told.push((waiting.asker, heard)),
                    None => unsent.push_back(waiting),
                }
            }
            if let Some(next) = unsent.pop_front() {
                self.lines.insert(swap.id, Line { behind: unsent, before: 0 });
                self.ready.push_back(next);
            }
        }
        told.push((asker, answer));
    }
}

/// What a swap that was not sent may be told of the answer to one of the same id that was sent after it had asked: nothing, where it has to
/// be sent itself.
fn overheard(unsent: &Swap, sent: &Swap, answer: &Answer) -> Option<Answer> {
    let writes = !matches!(unsent.put, Put::Keep) || unsent.audit.is_some();
    let there: Option<StoredRow> = match answer {
        Ok(Outcome::Done) => match (&sent.put, sent.expected) {
            (Put::Row(row), _) => {
                Some(StoredRow { mark: row.mark, head: row.head.clone(), outcome: row.outcome.clone() })
            }
            (Put::Nothing, _) | (Put::Keep, Expected::Nothing) => None,
            // What the row holds, only its reader knows.
            (Put::Keep, Expected::Row(mark)) => {
                let same = unsent.expected == Expected::Row(mark);
                return (same && !writes).then_some(Ok(Outcome::Done));
            }
        },
        Ok(Outcome::Found(row)) => row.clone(),
        // What it expected is there, and nothing changed.
        Ok(Outcome::History { barrier }) => match (unsent.expected == sent.expected, sent.expected) {
            (true, _) if unsent.grant.is_some() => return Some(Ok(Outcome::History { barrier: *barrier })),
            (true, _) => return (!writes).then_some(Ok(Outcome::Done)),
            (false, Expected::Nothing) => None,
            (false, Expected::Row(_)) => return None,
        },
        // It has not been sent, whatever became of the one before it.
        Err(_) => {
            let reason = "the exchange before it, of the same record, failed";
            return Some(Err(StoreError::Unavailable { reason, source: None }));
        }
    };
    let expected = match (unsent.expected, &there) {
        (Expected::Nothing, None) => true,
        (Expected::Row(mark), Some(row)) => row.mark == mark,
        (Expected::Nothing, Some(_)) | (Expected::Row(_), None) => false,
    };
    match (expected, writes) {
        (true, true) => None,
        (true, false) => Some(Ok(Outcome::Done)),
        (false, _) => Some(Ok(Outcome::Found(there))),
    }
}

/// One swap may fail alone, where its part of a database is away. It is for its asker to repeat: the others do not wait for that.
fn outcome(swapped: Option<Swapped>) -> Answer {
    match swapped {
        Some(Swapped::Done) => Ok(Outcome::Done),
        Some(Swapped::Found(row)) => Ok(Outcome::Found(row)),
        Some(Swapped::History { barrier }) => Ok(Outcome::History { barrier }),
        Some(Swapped::Full { limit }) => Err(StoreError::Full { limit }),
        Some(Swapped::Refused { reason } | Swapped::Unavailable { reason }) => {
            Err(StoreError::Unavailable { reason, source: None })
        }
        Some(Swapped::Unknown { reason }) => Err(StoreError::Unknown { reason, source: None }),
        None => {
            let reason = "the database answered fewer swaps than it was asked";
            Err(StoreError::Unknown { reason, source: None })
        }
    }
}

fn bytes_of(swap: &Swap) -> usize {
    let row = match &swap.put {
        Put::Row(row) => row.head.len() + row.outcome.as_ref().map_or(0, Vec::len),
        Put::Keep | Put::Nothing => 0,
    };
    row + swap.audit.as_ref().map_or(0, |line| line.json.len())
}

/// One failure, told to each whom it concerns; the cause is told to the log once, by the guard.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { reason, .. } => StoreError::Unavailable { reason, source: None },
        StoreError::Unknown { reason, .. } => StoreError::Unknown { reason, source: None },
        StoreError::Busy { limit } => StoreError::Busy { limit },
        StoreError::Full { limit } => StoreError::Full { limit },
    }
}

#[cfg(test)]
mod tests;
