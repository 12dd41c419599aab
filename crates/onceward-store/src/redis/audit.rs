//! Audit lines: appended to one partition's log, or beside a row, and read in one order.
//!
//! A line's position is the server's clock in microseconds, later than every position that its log ever gave out; among equal ones the
//! partition decides. Reading first fixes a *horizon*, no earlier than any position given out so far, and closes each log up to it in
//! the step that reads the log: what is appended afterwards, whatever the clocks of the servers say, lies behind the horizon. So a line
//! never appears behind a position that was read past. The lines of one process are in the order in which they were appended; those of
//! several, on several servers of a Cluster, in the order of the servers' clocks.

use onceward_core::{actor::KeyTag, time::Timestamp};
use redis::Value;

use super::{
    Database,
    fault::Fault,
    history::{UNREADABLE, bytes, number},
    layout::{Partition, Place, key_bytes, packed_line, unpacked_line},
    script::Script,
};
use crate::port::{AuditCursor, StoredAudit};

/// Lines of one log that a reading looks at, at the most, for those of one key.
const SEEN_MAX: usize = 4_096;

/// Lines that one script deletes at the most.
const SCRIPT_LINES_MAX: usize = 1_000;

/// Lines of one partition, and the position up to which it was read.
struct Read {
    lines: Vec<(Place, StoredAudit)>,
    reached: Option<Place>,
}

impl Database {
    pub(super) async fn appended(&self, lines: &[StoredAudit]) -> Result<(), Fault> {
        if lines.is_empty() {
            return Ok(());
        }
        let partition = self.log_partition;
        let keys = vec![self.keys.books(partition), self.keys.log(partition)];
        let lines = lines.iter().map(packed_line).collect();
        self.calls.run_one(self.call(Script::Append, &[partition], keys, lines)).await.map(drop)
    }

    /// Lines behind a place, in order; of one key, or all.
    pub(super) async fn lines(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> Result<Vec<(AuditCursor, StoredAudit)>, Fault> {
        let mut after = Place::at(after.0);
        let horizon = self.horizon().await?.max(after.position);
        let mut lines = Vec::new();
        loop {
            let logs = self.logs(after, horizon, key, lines_max).await?;
            let reached = logs.iter().filter_map(|log| log.reached).min();
            let read = logs.into_iter().flat_map(|log| log.lines);
            let mut read =
                read.filter(|(place, _)| reached.is_none_or(|reached| *place <= reached)).collect::<Vec<_>>();
            read.sort_unstable_by_key(|(place, _)| *place);
            lines.extend(read.into_iter().map(|(place, line)| (AuditCursor(place.cursor()), line)));
            match reached {
                Some(reached) if lines.len() < lines_max => after = reached,
                Some(_) | None => break,
            }
        }
        lines.truncate(lines_max);
        Ok(lines)
    }

    /// A position that no log has gone beyond.
    async fn horizon(&self) -> Result<u64, Fault> {
        let groups = self.groups(&Partition::all().collect::<Vec<_>>());
        let calls = groups.iter().map(|group| {
            let keys = group.iter().map(|one| self.keys.books(*one)).collect();
            self.call(Script::Horizon, group, keys, Vec::new())
        });
        let mut horizon = 0;
        for answer in self.calls.run(calls.collect()).await {
            horizon = horizon.max(number(&answer?.value).ok_or(UNREADABLE)?);
        }
        Ok(horizon)
    }

    async fn logs(
        &self,
        after: Place,
        horizon: u64,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> Result<Vec<Read>, Fault> {
        let groups = self.groups(&Partition::all().collect::<Vec<_>>());
        let calls = groups.iter().map(|group| {
            let keys = group.iter().flat_map(|one| [self.keys.books(*one), self.keys.log(*one)]).collect();
            let mut arguments = vec![
                horizon.to_string().into_bytes(),
                lines_max.to_string().into_bytes(),
                SEEN_MAX.to_string().into_bytes(),
                key_bytes(key),
            ];
            arguments.extend(group.iter().map(|partition| match *partition > after.partition {
                true => after.position.to_string().into_bytes(),
                false => format!("({}", after.position).into_bytes(),
            }));
            self.call(Script::Read, group, keys, arguments)
        });
        let calls = calls.collect();
        let mut logs = Vec::new();
        for (group, answer) in groups.iter().zip(self.calls.run(calls).await) {
            let Value::Array(answers) = answer?.value else { return Err(UNREADABLE) };
            for (partition, answer) in group.iter().zip(answers) {
                logs.push(read(*partition, &answer).ok_or(UNREADABLE)?);
            }
        }
        Ok(logs)
    }

    /// Deletes old lines, and says how many.
    pub(super) async fn trimmed(&self, before: Timestamp, lines_max: usize) -> Result<u64, Fault> {
        let mut left = lines_max;
        let mut gone = 0;
        for partition in Partition::all() {
            if left == 0 {
                break;
            }
            let most = left.min(SCRIPT_LINES_MAX);
            let arguments = vec![before.as_ms().to_string().into_bytes(), most.to_string().into_bytes()];
            let call = self.call(Script::Trim, &[partition], vec![self.keys.log(partition)], arguments);
            let went = number(&self.calls.run_one(call).await?.value).ok_or(UNREADABLE)?;
            gone += went;
            left = left.saturating_sub(usize::try_from(went).unwrap_or(usize::MAX));
        }
        Ok(gone)
    }
}

fn read(partition: Partition, answer: &Value) -> Option<Read> {
    let Value::Array(values) = answer else { return None };
    let (reached, lines) = values.split_last()?;
    let reached = number(reached).map(|position| Place { position, partition });
    let lines = lines.iter().map(|line| {
        let (position, line) = unpacked_line(&bytes(line)?)?;
        Some((Place { position, partition }, line))
    });
    Some(Read { lines: lines.collect::<Option<_>>()?, reached })
}
