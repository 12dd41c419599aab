//! Swaps, many in one transaction that goes out in one packet.
//!
//! One `INSERT … ON DUPLICATE KEY UPDATE` locks every row of the batch in the order of its id, inserts what is new, and changes what carries
//! the expected mark. A row that is expected and not there is inserted, too, flagged as never having been there, and deleted before the
//! commit, so that a single statement serves every kind of swap and no two batches lock rows in different orders. What is there now and
//! is not what was put is read back; what is not read back is therefore done.

use std::collections::{HashMap, HashSet};

use onceward_core::{actor::LookupId, time::Timestamp};

use super::{
    Mysql,
    script::{Said, Script},
};
use crate::{
    port::{StoreError, StoredAudit},
    shared::backend::{Expected, Mark, Put, StoredRow, Swap, Swapped},
};

/// Added to the state of a row that is inserted only because it was not there.
const GHOST: u8 = 128;

/// The state of a row that a swap deletes; the highest of seven bits, far above every state there is.
const GONE: u8 = 127;

/// The mark of a row that has none.
const NO_MARK: Mark = Mark([0; 16]);

/// What `came_from`, which nothing reads of a stored row, becomes where a row is found and not changed, so that it is written all the same:
/// another value each time.
///
/// Without a binary log a commit can be seen before it is on the disk, and a crash takes it back. So whoever answers by what he found commits
/// something himself, behind it: the log is written in its order. Commits that go through the binary log are on the disk before they are seen.
pub(super) const TOUCHED: &str = "IF(came_from = REPEAT(x'00', 16), mark, REPEAT(x'00', 16))";

/// Bytes of a swap in a script beside the head, the outcome and the audit line, which take two digits a byte: id and mark twice, other
/// columns, an audit statement.
const SWAP_BYTES: usize = 1_024;

/// Bytes of a script beside its swaps.
const SCRIPT_BYTES: usize = 8_192;

/// Bytes of a head, far above what a label and its terms take.
const HEAD_BYTES: usize = 16_384;

/// How often the history is settled for one batch before it is given up: each time somebody else raised the barrier meanwhile.
const SETTLINGS_MAX: usize = 3;

/// A record that no packet takes.
const TOO_LARGE: Swapped = Swapped::Full { limit: "max_allowed_packet" };

impl Mysql {
    pub(super) async fn exchange_all(
        &self,
        batch: &[Swap],
        now: Timestamp,
    ) -> Result<Vec<Swapped>, StoreError> {
        let mut answers = vec![TOO_LARGE; batch.len()];
        let mut exchanged = false;
        for Part { numbers, swaps } in parts(batch, self.packet_bytes_max.saturating_sub(SCRIPT_BYTES)) {
            let said = match self.exchange_part(&swaps, now).await {
                Ok(said) => said,
                // The parts before it stand, so that the batch as a whole did not fail.
                Err(error) if exchanged => vec![alone(&error); swaps.len()],
                Err(error) => return Err(error),
            };
            exchanged = true;
            for (number, answer) in numbers.into_iter().zip(said) {
                if let Some(place) = answers.get_mut(number) {
                    *place = answer;
                }
            }
        }
        Ok(answers)
    }

    /// One transaction; where the guard stops its grants, the history is settled, and what the barrier does not refuse goes once more.
    async fn exchange_part(&self, swaps: &[&Swap], now: Timestamp) -> Result<Vec<Swapped>, StoreError> {
        let mut barrier = None;
        for _ in 0..SETTLINGS_MAX {
            let batch = Batch::of(swaps, barrier);
            let script = batch.script(self);
            match self.exchanging.say(script).await {
                Ok(mut said) => return batch.answers(&mut said),
                // Where nothing is granted, only the server's settings can have stopped it.
                Err(failed) if failed.by_guard && batch.judged().is_some() => {
                    barrier = self.books.settle(&self.asking, now).await?.barrier;
                }
                Err(failed) => return Err(failed.error),
            }
        }
        Err(StoreError::Unavailable { reason: "the server's history does not stand still", source: None })
    }
}

/// Swaps in the order of their ids, of one packet together, and their numbers in the batch.
#[derive(Default)]
struct Part<'a> {
    numbers: Vec<usize>,
    swaps: Vec<&'a Swap>,
}

/// Nearly always one. A swap that no packet takes is in none.
fn parts(batch: &[Swap], bytes_max: usize) -> Vec<Part<'_>> {
    let mut sorted: Vec<_> = batch.iter().enumerate().collect();
    sorted.sort_unstable_by_key(|(_, swap)| swap.id);
    let (mut parts, mut part, mut bytes) = (Vec::new(), Part::default(), 0);
    for (number, swap) in sorted {
        let more = swap_bytes(swap);
        if more > bytes_max {
            continue;
        }
        if bytes + more > bytes_max {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += more;
        part.numbers.push(number);
        part.swaps.push(swap);
    }
    if !part.swaps.is_empty() {
        parts.push(part);
    }
    parts
}

/// The answer to a swap of a batch of which another part is answered already.
fn alone(error: &StoreError) -> Swapped {
    match error {
        StoreError::Unavailable { reason, .. } => Swapped::Unavailable { reason },
        StoreError::Unknown { reason, .. } => Swapped::Unknown { reason },
        StoreError::Busy { limit } => Swapped::Unavailable { reason: limit },
        StoreError::Full { limit } => Swapped::Full { limit },
    }
}

/// Bytes of a packet that takes a swap with the largest outcome.
pub(super) const fn packet_bytes(outcome_bytes_max: usize) -> usize {
    SCRIPT_BYTES + SWAP_BYTES + 2 * (outcome_bytes_max + HEAD_BYTES)
}

fn swap_bytes(swap: &Swap) -> usize {
    let row = match &swap.put {
        Put::Row(row) => row.head.len() + row.outcome.as_ref().map_or(0, Vec::len),
        Put::Keep | Put::Nothing => 0,
    };
    SWAP_BYTES + 2 * (row + swap.audit.as_ref().map_or(0, |line| line.json.len()))
}

/// Swaps in the order of their ids, and what the barrier says of them.
struct Batch<'a> {
    swaps: &'a [&'a Swap],
    /// Grants that the barrier refuses: they are looked up, and not made.
    refused: HashSet<LookupId>,
    barrier: Option<Timestamp>,
}

impl<'a> Batch<'a> {
    fn of(swaps: &'a [&'a Swap], barrier: Option<Timestamp>) -> Self {
        let refused = |swap: &&&Swap| swap.grant.is_some_and(|grant| grant.barrier < barrier);
        Self { swaps, refused: swaps.iter().filter(refused).map(|swap| swap.id).collect(), barrier }
    }

    /// What a swap puts, where it is not refused.
    fn put<'s>(&self, swap: &'s Swap) -> &'s Put {
        if self.refused.contains(&swap.id) { &Put::Keep } else { &swap.put }
    }

    /// The earliest barrier that its grants were judged by, if there are any.
    fn judged(&self) -> Option<Option<Timestamp>> {
        let made = self.swaps.iter().filter(|swap| !self.refused.contains(&swap.id));
        made.filter_map(|swap| swap.grant).map(|grant| grant.barrier).min()
    }

    /// The statements, and at [`Batch::READ`] what is there in place of what was put.
    fn script(&self, store: &Mysql) -> Script {
        let fill = |sql: &str| store.tables.fill(sql);
        let mut script = Script::default();
        script.say("START TRANSACTION");
        store.books.guard(&mut script, self.judged());
        self.write_rows(&mut script, &fill);
        let read = script.begin(&fill(
            "SELECT id, mark, state, head, outcome FROM {records} FORCE INDEX (PRIMARY) WHERE id IN ",
        ));
        debug_assert_eq!(read, Self::READ);
        script.list(self.swaps.iter().map(|swap| swap.id.as_bytes().as_slice()));
        let put: Vec<_> = self.marks().collect();
        if !put.is_empty() {
            script.add(" AND (mark NOT IN ").list(put).add(" OR state >= ").number(GONE).add(")");
        }
        self.write_audit(&mut script, &fill);
        if self.swaps.iter().any(|swap| self.leaves_ghosts(swap)) {
            // The hint needs the form of many tables.
            script.begin(&fill("DELETE r FROM {records} r FORCE INDEX (PRIMARY) WHERE r.id IN "));
            script.list(
                self.swaps
                    .iter()
                    .filter(|swap| self.leaves_ghosts(swap))
                    .map(|swap| swap.id.as_bytes().as_slice()),
            );
            script.add(" AND r.state >= ").number(GONE);
        }
        script.say("COMMIT");
        script
    }

    /// The statement of a batch's script that reads.
    const READ: usize = 3;

    /// Every swap can leave a row that has to go again, but one that inserts or finds.
    fn leaves_ghosts(&self, swap: &Swap) -> bool {
        !matches!((swap.expected, self.put(swap)), (Expected::Nothing, Put::Row(_)))
    }

    fn marks(&self) -> impl Iterator<Item = &[u8]> {
        self.swaps.iter().filter_map(|swap| match self.put(swap) {
            Put::Row(row) => Some(row.mark.0.as_slice()),
            Put::Keep | Put::Nothing => None,
        })
    }

    fn write_rows(&self, script: &mut Script, fill: &impl Fn(&str) -> String) {
        script.begin(&fill(
            "INSERT INTO {records} (id, mark, came_from, state, due_ms, key_tag, actor, head, outcome) VALUES ",
        ));
        for (number, swap) in self.swaps.iter().enumerate() {
            if number > 0 {
                script.add(", ");
            }
            self.write_row(script, swap);
        }
        // In this order: `mark` decides, and so changes last. `came_from` of a row that is only found: see [`TOUCHED`].
        script.add(
            " ON DUPLICATE KEY UPDATE
             due_ms = IF(mark = VALUES(came_from), VALUES(due_ms), due_ms),
             head = IF(mark = VALUES(came_from), VALUES(head), head),
             outcome = IF(mark = VALUES(came_from), VALUES(outcome), outcome),
             state = IF(mark = VALUES(came_from), VALUES(state) & 127, state),
             came_from = IF(mark = VALUES(came_from), mark, IF(@@GLOBAL.log_bin, came_from, ",
        );
        script.add(TOUCHED).add(
            ")),
             mark = IF(mark = VALUES(came_from), VALUES(mark), mark)",
        );
    }

    fn write_row(&self, script: &mut Script, swap: &Swap) {
        let (came_from, ghost) = match swap.expected {
            Expected::Nothing => (NO_MARK, 0),
            Expected::Row(mark) => (mark, GHOST),
        };
        script.add("(").bytes(swap.id.as_bytes()).add(", ");
        match self.put(swap) {
            Put::Row(row) => {
                script.bytes(&row.mark.0).add(", ").bytes(&came_from.0).add(", ");
                script
                    .number(ghost | row.kind as u8)
                    .add(", ")
                    .number_or_null(row.due_at.map(Timestamp::as_ms));
                script.add(", ").bytes(row.key.as_bytes()).add(", ").bytes(row.actor.as_bytes());
                script.add(", ").bytes(&row.head).add(", ").bytes_or_null(row.outcome.as_deref());
            }
            Put::Nothing => Self::write_ghost(script, came_from),
            // What is kept is never the row that this one expects to change.
            Put::Keep => Self::write_ghost(script, NO_MARK),
        }
        script.add(")");
    }

    fn write_ghost(script: &mut Script, came_from: Mark) {
        script.bytes(&NO_MARK.0).add(", ").bytes(&came_from.0).add(", ").number(GHOST | GONE);
        script.add(", NULL, x'', x'', x'', NULL");
    }

    /// Audit lines of swaps that applied. Their places are given out last of all locks, and held until the commit.
    fn write_audit(&self, script: &mut Script, fill: &impl Fn(&str) -> String) {
        let made = self.swaps.iter().filter(|swap| !self.refused.contains(&swap.id));
        let lines: Vec<_> = made.filter_map(|swap| Some((swap, swap.audit.as_ref()?))).collect();
        if lines.is_empty() {
            return;
        }
        script.begin(&fill("UPDATE {audit_head} SET last = LAST_INSERT_ID(last + "));
        script.number(lines.len()).add(") WHERE place = 1");
        for (number, (swap, line)) in lines.iter().enumerate() {
            script
                .begin(&fill("INSERT INTO {audit} (place, at_ms, key_tag, json) SELECT LAST_INSERT_ID() - "));
            script.number(lines.len() - 1 - number).add(", ");
            audit_values(script, line);
            script.add(&fill(" FROM {records} FORCE INDEX (PRIMARY) WHERE id = ")).bytes(swap.id.as_bytes());
            match (swap.expected, self.put(swap)) {
                (_, Put::Row(row)) => script.add(" AND state < 127 AND mark = ").bytes(&row.mark.0),
                (Expected::Row(mark), Put::Keep) => script.add(" AND state < 127 AND mark = ").bytes(&mark.0),
                (Expected::Nothing, Put::Keep) | (_, Put::Nothing) => script.add(" AND state >= 127"),
            };
        }
    }

    fn answers(&self, said: &mut Said) -> Result<Vec<Swapped>, StoreError> {
        let rows: Vec<ReadBack> = said.rows(Self::READ)?;
        let mut there = HashMap::new();
        for (id, mark, state, head, outcome) in rows {
            let row = StoredRow { mark: super::mark(&mark)?, head, outcome };
            there.insert(super::lookup_id(&id)?, (state < GONE).then_some(row));
        }
        Ok(self.swaps.iter().map(|swap| self.answer(swap, there.remove(&swap.id))).collect())
    }

    /// `there` is what was read back: no row, or another one than was put.
    fn answer(&self, swap: &Swap, there: Option<Option<StoredRow>>) -> Swapped {
        if self.refused.contains(&swap.id) {
            return self.answer_refused(swap, there.flatten());
        }
        match (swap.expected, &swap.put, there) {
            // What is deleted is always read back.
            (_, _, None) => Swapped::Done,
            (_, Put::Nothing, Some(None)) | (Expected::Nothing, Put::Keep, Some(None)) => Swapped::Done,
            (Expected::Row(mark), Put::Keep, Some(Some(row))) if row.mark == mark => Swapped::Done,
            (_, _, Some(found)) => Swapped::Found(found),
        }
    }

    /// Refused grants are always read back.
    fn answer_refused(&self, swap: &Swap, there: Option<StoredRow>) -> Swapped {
        let mark = there.as_ref().map(|row| row.mark);
        let is_copy = matches!(&swap.put, Put::Row(put) if mark == Some(put.mark));
        let is_expected = match swap.expected {
            Expected::Nothing => mark.is_none(),
            Expected::Row(expected) => mark == Some(expected),
        };
        match (is_copy, is_expected) {
            // An earlier copy of it was applied, before the barrier rose.
            (true, _) => Swapped::Done,
            (false, true) => Swapped::History { barrier: self.barrier.unwrap_or_default() },
            (false, false) => Swapped::Found(there),
        }
    }
}

/// A row's id, mark, state, head and outcome.
type ReadBack = (Vec<u8>, Vec<u8>, u8, Vec<u8>, Option<Vec<u8>>);

/// An audit line's columns behind its place.
pub(super) fn audit_values(script: &mut Script, line: &StoredAudit) {
    script
        .number(line.at.as_ms())
        .add(", ")
        .bytes_or_null(line.key.as_ref().map(|key| key.as_bytes().as_slice()));
    script.add(", ").bytes(line.json.as_bytes());
}
