//! The operations that write, each as what the writer runs in its transaction.

use onceward_core::{actor::LookupId, record::Event, time::Timestamp};
use tokio::sync::oneshot;

use super::{
    ledger::from_time,
    marks,
    transaction::{Found, Transaction},
    writer::Failure,
};
use crate::{
    port::{Claim, Marked, Reply, Resolution, StoreError, StoredAudit, Swept, Twin},
    step::{Census, Kind},
};

/// Records that one sweep visits at most, whatever it was asked: 100 to 200 a round leave room for claims beside it.
const SWEEP_RECORDS_MAX: usize = 200;

/// Something to be done in a transaction that it shares with others.
pub(super) trait Question: Send + 'static {
    /// What its asker gets after the commit.
    type Answer: Send + 'static;

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Self::Answer>;
}

/// A question in the writer's queue, whatever it asks.
pub(super) trait Queued: Send {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()>;

    /// Tells the asker how the transaction ended. One that went away is not missed: the operation stands (port, cancel safety).
    fn answer(self: Box<Self>, ended: Result<(), &Failure>);
}

/// A question, and where its answer goes.
pub(super) struct Asked<Q: Question> {
    question: Option<Q>,
    answer: Option<Q::Answer>,
    asker: oneshot::Sender<Result<Q::Answer, StoreError>>,
}

impl<Q: Question> Asked<Q> {
    pub(super) fn new(question: Q) -> (Self, oneshot::Receiver<Result<Q::Answer, StoreError>>) {
        let (asker, answer) = oneshot::channel();
        (Self { question: Some(question), answer: None, asker }, answer)
    }
}

impl<Q: Question> Queued for Asked<Q> {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()> {
        if let Some(question) = self.question.take() {
            self.answer = Some(question.run(transaction)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, ended: Result<(), &Failure>) {
        let Self { question: _, answer, asker } = *self;
        let answer = match (ended, answer) {
            (Ok(()), Some(answer)) => Ok(answer),
            (Err(failure), _) => Err(failure.error()),
            (Ok(()), None) => {
                Err(StoreError::Unknown { reason: "the operation was not in its transaction", source: None })
            }
        };
        drop(asker.send(answer));
    }
}

impl Question for Claim {
    type Answer = Reply;

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Reply> {
        let found = transaction.find(self.id)?;
        let known = match &found {
            Found::Record { record, .. } => Some(record),
            Found::Unreadable { .. } => return Ok(Reply::Corrupt),
            Found::Nothing => None,
        };
        if let Some(reply) = self.lost_behind(transaction.ledger.barrier, known, transaction.now) {
            return Ok(reply);
        }
        let epoch = transaction.ledger.epochs.grant(transaction.now);
        let applied = transaction.apply(self.id, found, self.event(epoch), Some(&self.label))?;
        Ok(applied.reply)
    }
}

/// An event about a record that should exist: a renewal or a settlement.
pub(super) struct Told {
    pub(super) id: LookupId,
    pub(super) event: Event,
}

impl Question for Told {
    type Answer = Reply;

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Reply> {
        let found = transaction.find(self.id)?;
        Ok(transaction.apply(self.id, found, self.event, None)?.reply)
    }
}

impl Question for Resolution {
    type Answer = Reply;

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Reply> {
        let Self { id, change, label, audit } = self;
        let found = transaction.find(id)?;
        let applied = transaction.apply(id, found, change.event(), Some(&label))?;
        if let Some(audit) = &audit {
            transaction.append(audit)?;
        }
        Ok(applied.reply)
    }
}

impl Question for Twin {
    type Answer = Marked;

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Marked> {
        let found = marks::find(transaction, self.id)?;
        let (marked, put) = Marked::of(self.bid.on(found, transaction.now));
        if let Some(mark) = put {
            marks::put(transaction, self.id, mark)?;
        }
        Ok(marked)
    }
}

/// Visits what is due.
pub(super) struct Sweep {
    pub(super) records_max: usize,
}

impl Question for Sweep {
    type Answer = Swept;

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Swept> {
        let records_max = self.records_max.min(SWEEP_RECORDS_MAX);
        let mut due = Vec::new();
        for kind in [Kind::Absent, Kind::Claimed, Kind::Done, Kind::Tombstone] {
            due.extend(due_of(transaction, kind, records_max + 1)?);
        }
        due.sort_unstable();
        let (marks, more_marks) = marks::forget(transaction, records_max.saturating_sub(due.len()))?;
        let mut swept = Swept { marks, more: due.len() > records_max || more_marks, ..Swept::default() };
        for (_, id) in due.into_iter().take(records_max) {
            let found = transaction.find(id)?;
            if let Found::Unreadable { place } = found {
                transaction.quarantine(place)?;
                continue;
            }
            let applied = transaction.apply(id, found, Event::Swept, None)?;
            if let Some(before) = applied.before {
                swept.count(before, applied.after);
            }
        }
        Ok(swept)
    }
}

/// The oldest of what is due in one state: a range of the index, so that the cost is what is found (T3).
fn due_of(
    transaction: &Transaction<'_>,
    kind: Kind,
    records_max: usize,
) -> rusqlite::Result<Vec<(i64, LookupId)>> {
    let limit = i64::try_from(records_max).unwrap_or(i64::MAX);
    transaction
        .connection
        .prepare_cached(
            "SELECT due_ms, id FROM records WHERE state = ?1 AND due_ms <= ?2 ORDER BY due_ms LIMIT ?3",
        )?
        .query_map((kind as i64, from_time(transaction.now), limit), |row| {
            Ok((row.get(0)?, LookupId::from_bytes(row.get(1)?)))
        })?
        .collect()
}

/// Proves that the file can be written to.
pub(super) struct Probe;

impl Question for Probe {
    type Answer = (Census, Option<Timestamp>);

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Self::Answer> {
        transaction.wrote = true;
        Ok((transaction.ledger.census, transaction.ledger.barrier))
    }
}

/// Raises the history barrier: to the present, or to an earlier time.
pub(super) struct Raise {
    pub(super) to: Option<Timestamp>,
}

impl Question for Raise {
    type Answer = Timestamp;

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Timestamp> {
        transaction.wrote = true;
        let to = self.to.map_or(transaction.now, |to| to.min(transaction.now));
        let barrier = transaction.ledger.barrier.map_or(to, |barrier| barrier.max(to));
        transaction.ledger.barrier = Some(barrier);
        Ok(barrier)
    }
}

/// Appends audit lines.
pub(super) struct Append(pub(super) Vec<StoredAudit>);

impl Question for Append {
    type Answer = ();

    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()> {
        self.0.iter().try_for_each(|line| transaction.append(line))
    }
}

/// Deletes old audit lines.
pub(super) struct Trim {
    pub(super) before: Timestamp,
    pub(super) lines_max: usize,
}

impl Question for Trim {
    type Answer = u64;

    /// Looks at the first lines only: lines are appended in the order of time, or nearly so.
    fn run(self, transaction: &mut Transaction<'_>) -> rusqlite::Result<u64> {
        let limit = i64::try_from(self.lines_max).unwrap_or(i64::MAX);
        let gone = transaction
            .connection
            .prepare_cached(
                "DELETE FROM audit
                 WHERE place IN (SELECT place FROM audit ORDER BY place LIMIT ?2) AND at_ms < ?1",
            )?
            .execute((from_time(self.before), limit))?;
        transaction.wrote |= gone > 0;
        Ok(gone as u64)
    }
}
