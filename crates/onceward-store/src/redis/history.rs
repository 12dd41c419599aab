//! Whether the database still has all that it acknowledged (T5).
//!
//! Each partition is marked with the *reign* that it was last found under: the replication id of its master, which is new at each start
//! of a server and at each promotion. A swap that makes a row checks, in its own atomic step, that the server's reign is the marked one;
//! so no re-routing, fail-over or restart comes between the check and the row. Where it is another one, what happened is judged here,
//! and the partition marked anew: with a barrier raised to the present, unless nothing can have been lost.
//!
//! Nothing was lost in two cases only:
//! - The server restarted. The marker ends with `+`: all that was acknowledged under its reign was synced to the one disk of a master
//!   that never had a replica; and the server now is such a master again, was not promoted, and has the *beat* (a time that surveys
//!   write) at least as late as this process last saw it.
//! - The partition's slot was moved to another server of the Cluster: the server of the marked reign reigns still, in touch with the
//!   Cluster, and names this one as the slot's owner.
//!
//! All else raises the barrier: a promotion, a server that synced later than it answered, a marker that is gone (with the whole database,
//! by eviction, or by hand). A row that was evicted alone is noticed by the swap, which finds it among the births.
//!
//! A master whose reign another one continued is not used again, by any process that has met its successor.
//!
//! Not noticed: a backup that replaced a synced server's data while no process of this deployment ran, or that is younger than the last
//! survey; a database that was emptied while none ran; and what a server lost after its sync setting was changed and changed back
//! within the seconds between two looks.

use std::sync::{Arc, PoisonError};

use onceward_core::time::Timestamp;
use redis::Value;

use super::{
    Database,
    call::{Answer, Call},
    fault::Fault,
    layout::{Partition, SCHEMA},
    script::Script,
    server::Server,
    standing::{Persistence, Standing},
};

/// How often a judgement is begun anew because another process came first, or the server changed meanwhile.
const ROUNDS_MAX: usize = 4;

/// What is on record of a partition, and where that was read.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) partition: Partition,
    marker: Option<Vec<u8>>,
    barrier: u64,
    pub(super) schema: Option<Vec<u8>>,
    pub(super) secret: Option<Vec<u8>>,
    pub(super) founded: bool,
    beat: u64,
    server: Arc<Server>,
    standing: Arc<Standing>,
}

/// What a partition's marker is to the server that it is found on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    /// It names the present reign as it is.
    Same,
    /// It names the present reign, which was not always alone; this process did not know.
    Shared,
    /// It names the present reign, which is not alone any more.
    Joined,
    /// Another one.
    Other,
}

impl Past {
    /// The marked reign, and whether all of it was synced on one disk.
    fn reign(&self) -> Option<(&str, bool)> {
        let text = std::str::from_utf8(self.marker.as_deref()?).ok()?;
        let reign = text.strip_prefix('=')?;
        match (reign.strip_suffix('+'), reign.strip_suffix('-')) {
            (Some(reign), _) => Some((reign, true)),
            (None, Some(reign)) => Some((reign, false)),
            (None, None) => None,
        }
    }

    fn matches(&self) -> Match {
        let alone = self.server.sign(&self.standing) == "+";
        match self.reign() {
            Some((reign, marked)) if reign == self.standing.reign => match (marked, alone) {
                (true, true) | (false, false) => Match::Same,
                (false, true) => Match::Shared,
                (true, false) => Match::Joined,
            },
            Some(_) | None => Match::Other,
        }
    }

    /// Whether the server, alone with a synced disk under the marked reign, has just restarted on it.
    fn restarted(&self, beat_seen: u64) -> bool {
        self.reign().is_some_and(|(_, alone)| alone)
            && self.standing.keeps_alone()
            && self.standing.predecessor.is_none()
            && self.beat >= beat_seen
    }
}

impl Database {
    /// Looks at partitions.
    pub(super) async fn pasts(&self, partitions: &[Partition]) -> Vec<(Partition, Result<Past, Fault>)> {
        let groups = self.groups(partitions);
        let calls = groups.iter().map(|group| {
            let keys = group.iter().flat_map(|one| [self.keys.births(*one), self.keys.books(*one)]).collect();
            self.call(Script::Look, group, keys, Vec::new())
        });
        let answers = self.calls.run(calls.collect()).await;
        let mut pasts = Vec::with_capacity(partitions.len());
        for (group, answer) in groups.iter().zip(answers) {
            let read = answer.and_then(|answer| read_pasts(group, answer));
            match read {
                Ok(read) => pasts.extend(read.into_iter().map(|past| (past.partition, Ok(past)))),
                Err(fault) => pasts.extend(group.iter().map(|partition| (*partition, Err(fault.clone())))),
            }
        }
        pasts
    }

    /// Judges the past of partitions, marks them with the present reign, and says their barriers.
    pub(super) async fn judge(
        &self,
        partitions: &[Partition],
        now: Timestamp,
    ) -> Vec<(Partition, Result<u64, Fault>)> {
        let _judging = self.judging.lock().await;
        let mut judged = Vec::with_capacity(partitions.len());
        let mut left = partitions.to_vec();
        for _ in 0..ROUNDS_MAX {
            let mut others = Vec::new();
            let mut again = Vec::new();
            for (partition, past) in self.pasts(&left).await {
                match past {
                    Err(fault) => judged.push((partition, Err(fault))),
                    Ok(past) => match past.matches() {
                        Match::Same => judged.push((partition, Ok(past.barrier))),
                        Match::Shared => {
                            past.server.set_shared();
                            again.push(partition);
                        }
                        Match::Joined | Match::Other => others.push(past),
                    },
                }
            }
            let (marked, unmarked) = self.mark(others, now).await;
            judged.extend(marked);
            again.extend(unmarked);
            left = again;
            if left.is_empty() {
                return judged;
            }
        }
        let fault = Fault::unavailable("the server's history is being judged");
        judged.extend(left.into_iter().map(|partition| (partition, Err(fault.clone()))));
        judged
    }

    /// Raises the barriers of partitions whose past was judged; says the latest.
    pub(super) async fn raised(&self, partitions: &[Partition], to: Timestamp) -> Result<Timestamp, Fault> {
        let groups = self.groups(partitions);
        let calls = groups.iter().map(|group| {
            let keys = group.iter().map(|one| self.keys.births(*one)).collect();
            self.call(Script::Raise, group, keys, vec![to.as_ms().to_string().into_bytes()])
        });
        let mut latest = to.as_ms();
        for answer in self.calls.run(calls.collect()).await {
            let Value::Array(barriers) = answer?.value else { return Err(UNREADABLE) };
            for barrier in &barriers {
                // Raising is repeated as a whole: what was raised stays.
                let judging = Fault::unavailable("the server's history is being judged");
                latest = latest.max(number(barrier).ok_or(judging)?);
            }
        }
        Ok(Timestamp::from_ms(latest))
    }

    /// Marks partitions, each under the standing that it was looked at under. Says their barriers, and which were not as looked at.
    async fn mark(
        &self,
        pasts: Vec<Past>,
        now: Timestamp,
    ) -> (Vec<(Partition, Result<u64, Fault>)>, Vec<Partition>) {
        let mut calls = Vec::with_capacity(pasts.len());
        for past in &pasts {
            let keys = vec![self.keys.births(past.partition), self.keys.books(past.partition)];
            let raised = if self.lost(past).await { now.as_ms() } else { 0 };
            let marker = past.marker.clone().unwrap_or_default();
            let arguments =
                vec![SCHEMA.into(), self.secret_check.to_vec(), marker, raised.to_string().into_bytes()];
            let call = self.call(Script::Judge, &[past.partition], keys, arguments);
            calls.push(Call { under: Some(Arc::clone(&past.standing)), ..call });
        }
        let (mut marked, mut again) = (Vec::new(), Vec::new());
        for (past, answer) in pasts.iter().zip(self.calls.run(calls).await) {
            match answer.map(|answer| answer.value) {
                Ok(Value::Array(barriers)) => match barriers.first().and_then(number) {
                    Some(barrier) => marked.push((past.partition, Ok(barrier))),
                    None => again.push(past.partition),
                },
                Ok(_) => marked.push((past.partition, Err(UNREADABLE))),
                Err(fault) if fault.nothing_happened => again.push(past.partition),
                Err(fault) => marked.push((past.partition, Err(fault))),
            }
        }
        (marked, again)
    }

    /// Whether records of a partition may have been lost since it was marked.
    async fn lost(&self, past: &Past) -> bool {
        if past.matches() == Match::Joined {
            return false;
        }
        let beat_seen = {
            let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
            beats.get(past.partition.index()).copied().unwrap_or(0)
        };
        !past.restarted(beat_seen) && !self.moved_alive(past).await
    }

    /// Whether the server of the marked reign, which reigns still, names the present server as the owner of the partition's slot.
    async fn moved_alive(&self, past: &Past) -> bool {
        let Some((reign, _)) = past.reign() else { return false };
        if !self.calls.links.is_cluster() {
            return false;
        }
        let servers = self.calls.links.all();
        let Some(source) = servers.iter().find(|server| server.standing().reign == reign) else {
            return false;
        };
        let mut question = redis::pipe();
        question.cmd("CLUSTER").arg("INFO").cmd("EXISTS").arg(self.keys.births(past.partition));
        let Ok(answers) = source.send(&question).await else { return false };
        // Looked at behind the answers: it reigned before and after them, so it reigned while it gave them.
        if source.look().await.is_err() {
            return false;
        }
        let reigns = source.standing();
        let [Value::BulkString(info), Value::ServerError(error)] = answers.as_slice() else { return false };
        let in_touch = String::from_utf8_lossy(info).lines().any(|line| line == "cluster_state:ok");
        let target = past.server.address.to_string();
        let names_it = error.code() == "MOVED" && error.details().is_some_and(|text| text.ends_with(&target));
        reigns.master && reigns.reign == reign && in_touch && names_it
    }

    /// Begins the books where there are none at all; `now` is the barrier where the server keeps nothing, so that an emptied one never
    /// passes for a new one.
    pub(super) async fn begin(&self, now: Timestamp) -> Result<(), Fault> {
        let groups = self.groups(&Partition::all().collect::<Vec<_>>());
        let servers = self.calls.links.all();
        let keeps_nothing = servers.iter().any(|server| server.standing().persistence == Persistence::None);
        let barrier = if keeps_nothing { now.as_ms() } else { 0 };
        let founded = groups.iter().map(|group| {
            let keys = group.iter().flat_map(|one| [self.keys.births(*one), self.keys.books(*one)]).collect();
            let arguments = vec![SCHEMA.into(), self.secret_check.to_vec(), barrier.to_string().into_bytes()];
            self.call(Script::Found, group, keys, arguments)
        });
        for answer in self.calls.run(founded.collect()).await {
            answer?;
        }
        let confirmed = groups.iter().map(|group| {
            let keys = group.iter().map(|one| self.keys.books(*one)).collect();
            self.call(Script::Founded, group, keys, Vec::new())
        });
        for answer in self.calls.run(confirmed.collect()).await {
            answer?;
        }
        Ok(())
    }
}

/// A script returned what it never returns.
pub(super) const UNREADABLE: Fault = Fault::unknown("the server's answer cannot be read");

fn read_pasts(group: &[Partition], answer: Answer) -> Result<Vec<Past>, Fault> {
    let Answer { value: Value::Array(looks), server, standing } = answer else { return Err(UNREADABLE) };
    let read = |(partition, look): (&Partition, Value)| {
        let Value::Array(fields) = look else { return None };
        let [marker, barrier, schema, secret, founded, beat] = fields.as_slice() else { return None };
        Some(Past {
            partition: *partition,
            marker: bytes(marker),
            barrier: number(barrier)?,
            schema: bytes(schema),
            secret: bytes(secret),
            founded: bytes(founded).is_some_and(|founded| founded == b"1"),
            beat: number(beat).unwrap_or(0),
            server: Arc::clone(&server),
            standing: Arc::clone(&standing),
        })
    };
    group.iter().zip(looks).map(read).collect::<Option<_>>().ok_or(UNREADABLE)
}

/// A string; `None` for anything else.
pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

/// A number, or a string of digits.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}
