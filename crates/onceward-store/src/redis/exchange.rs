//! Exchanging rows: from swaps to scripts and back.

use std::collections::HashMap;

use onceward_core::time::Timestamp;
use redis::Value;

use super::{
    Database,
    call::Call,
    fault::Fault,
    history::{UNREADABLE, number},
    layout::{Partition, packed, packed_line, state, unpacked},
    script::Script,
};
use crate::shared::backend::{Expected, Grant, Put, Swap, Swapped};

/// Swaps in one script at the most. A script holds the server for as long as it runs, some 5 µs a swap.
const SCRIPT_SWAPS_MAX: usize = 64;

/// How often swaps are sent again after their partitions were judged.
const ROUNDS_MAX: usize = 3;

/// What a script says of one swap.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    Swapped(Swapped),
    /// The partition is not marked with the server's reign.
    Unmarked,
    /// The row is gone although it was never taken out.
    Vanished,
}

impl Database {
    /// Applies swaps, and says what became of each.
    pub(super) async fn exchanged(&self, batch: &[Swap], now: Timestamp) -> Vec<Swapped> {
        let judging = Swapped::Unavailable { reason: "the server's history is being judged" };
        let mut swapped = vec![judging; batch.len()];
        let weakness = self.calls.links.weakness().map(|weakness| weakness.reason());
        let mut left = batch.iter().enumerate().collect::<Vec<_>>();
        for _ in 0..ROUNDS_MAX {
            left = self.round(left, now, weakness, &mut swapped).await;
            if left.is_empty() {
                break;
            }
        }
        swapped
    }

    /// Sends swaps once. Gives those back whose partitions had to be judged first. With a weakness nothing is granted, and no new rows are made.
    async fn round<'a>(
        &self,
        swaps: Vec<(usize, &'a Swap)>,
        now: Timestamp,
        weakness: Option<&'static str>,
        swapped: &mut [Swapped],
    ) -> Vec<(usize, &'a Swap)> {
        let groups = self.grouped(swaps);
        let calls = groups.iter().map(|group| self.exchange_call(group, weakness.is_none())).collect();
        let (mut unmarked, mut vanished) = (Vec::new(), Vec::new());
        for (group, answer) in groups.into_iter().zip(self.calls.run(calls).await) {
            let became = answer.and_then(|answer| read(answer.value, group.len()));
            let became = match became {
                Ok(became) => became,
                Err(fault) => {
                    group.iter().for_each(|(number, _)| set(swapped, *number, fault.swapped()));
                    continue;
                }
            };
            for ((number, swap), became) in group.into_iter().zip(became) {
                match (became, weakness) {
                    (Became::Swapped(Swapped::History { .. }), Some(reason)) => {
                        set(swapped, number, Swapped::Refused { reason });
                    }
                    (Became::Swapped(became), _) => set(swapped, number, became),
                    (Became::Unmarked, _) => unmarked.push((number, swap)),
                    (Became::Vanished, _) => vanished.push((number, swap)),
                }
            }
        }
        for (number, swap) in vanished {
            set(swapped, number, self.vanished(swap, now).await);
        }
        self.judged(unmarked, now, swapped).await
    }

    /// Judges the past of the servers that swaps met, and gives those back that can be sent again.
    async fn judged<'a>(
        &self,
        swaps: Vec<(usize, &'a Swap)>,
        now: Timestamp,
        swapped: &mut [Swapped],
    ) -> Vec<(usize, &'a Swap)> {
        if swaps.is_empty() {
            return swaps;
        }
        let mut partitions = swaps.iter().map(|(_, swap)| Partition::of(swap.id)).collect::<Vec<_>>();
        partitions.sort_unstable();
        partitions.dedup();
        let judged = match self.calls.links.beside(&partitions).await {
            Ok(partitions) => self.judge(&partitions, now).await,
            Err(fault) => partitions.into_iter().map(|partition| (partition, Err(fault.clone()))).collect(),
        };
        let faults = judged.into_iter().filter_map(|(partition, judged)| Some((partition, judged.err()?)));
        let faults = faults.collect::<HashMap<Partition, Fault>>();
        let mut again = Vec::with_capacity(swaps.len());
        for (number, swap) in swaps {
            match faults.get(&Partition::of(swap.id)) {
                // Only judging was tried, and the swap is not in it.
                Some(fault) => set(swapped, number, Swapped::Unavailable { reason: fault.reason }),
                None => again.push((number, swap)),
            }
        }
        again
    }

    /// A row was taken away from outside, and others may be, too.
    async fn vanished(&self, swap: &Swap, now: Timestamp) -> Swapped {
        let Put::Row(row) = &swap.put else { return UNREADABLE.swapped() };
        let partition = Partition::of(swap.id);
        let keys = vec![self.keys.births(partition), self.keys.states(partition), self.keys.row(swap.id)];
        let tags = [*row.key.as_bytes(), *row.actor.as_bytes()].concat();
        let arguments = vec![tags, now.as_ms().to_string().into_bytes()];
        match self.calls.run_one(self.call(Script::Vanish, &[partition], keys, arguments)).await {
            Ok(answer) => match number(&answer.value) {
                Some(barrier) => Swapped::History { barrier: Timestamp::from_ms(barrier) },
                None => Swapped::Unavailable { reason: "the row is being changed by others" },
            },
            // The swap itself is not in it.
            Err(fault) => Swapped::Unavailable { reason: fault.reason },
        }
    }

    /// Swaps by the scripts that they go in: one a partition in a Cluster, and as few as possible elsewhere.
    fn grouped<'a>(&self, swaps: Vec<(usize, &'a Swap)>) -> Vec<Vec<(usize, &'a Swap)>> {
        let mut groups = Vec::<Vec<_>>::new();
        let mut open = HashMap::<Option<Partition>, usize>::new();
        for (number, swap) in swaps {
            let shared = self.calls.links.is_cluster().then(|| Partition::of(swap.id));
            let group = open.get(&shared).and_then(|at| groups.get_mut(*at));
            match group.filter(|group| group.len() < SCRIPT_SWAPS_MAX) {
                Some(group) => group.push((number, swap)),
                None => {
                    open.insert(shared, groups.len());
                    groups.push(vec![(number, swap)]);
                }
            }
        }
        groups
    }

    fn exchange_call(&self, group: &[(usize, &Swap)], promises: bool) -> Call {
        let mut partitions = Vec::new();
        let mut ordinals = HashMap::new();
        for (_, swap) in group {
            let partition = Partition::of(swap.id);
            ordinals.entry(partition).or_insert_with(|| {
                partitions.push(partition);
                partitions.len()
            });
        }
        let mut keys = Vec::with_capacity(partitions.len() * 4 + group.len());
        keys.extend(partitions.iter().flat_map(|one| [self.keys.births(*one), self.keys.states(*one)]));
        keys.extend(group.iter().map(|(_, swap)| self.keys.row(swap.id)));
        if group.iter().any(|(_, swap)| swap.audit.is_some()) {
            keys.extend(partitions.iter().flat_map(|one| [self.keys.books(*one), self.keys.log(*one)]));
        }
        let mut arguments = Vec::with_capacity(2 + group.len() * 7);
        arguments.push(partitions.len().to_string().into_bytes());
        arguments.push(group.len().to_string().into_bytes());
        for (_, swap) in group {
            let ordinal = ordinals.get(&Partition::of(swap.id)).copied().unwrap_or(0);
            arguments.push(ordinal.to_string().into_bytes());
            arguments.extend(fields(swap, promises));
        }
        self.call(Script::Exchange, &partitions, keys, arguments)
    }
}

/// All of a swap but its partition, as the script wants it.
fn fields(swap: &Swap, promises: bool) -> [Vec<u8>; 6] {
    let expected = match swap.expected {
        Expected::Row(mark) => mark.0.to_vec(),
        Expected::Nothing => Vec::new(),
    };
    let is_promise =
        swap.grant.is_some() || matches!((swap.expected, &swap.put), (Expected::Nothing, Put::Row(_)));
    let judged = match swap.grant {
        // No barrier is as early as this one.
        _ if is_promise && !promises => "-1".to_owned(),
        Some(Grant { barrier }) => barrier.map_or(0, Timestamp::as_ms).to_string(),
        None => String::new(),
    };
    let (put, row, state) = match &swap.put {
        Put::Keep => ("keep", Vec::new(), String::new()),
        Put::Nothing => ("none", Vec::new(), String::new()),
        Put::Row(row) => ("row", packed(row), state(row)),
    };
    let line = swap.audit.as_ref().map_or_else(Vec::new, packed_line);
    [expected, judged.into_bytes(), put.into(), row, state.into_bytes(), line]
}

fn set(swapped: &mut [Swapped], number: usize, became: Swapped) {
    if let Some(place) = swapped.get_mut(number) {
        *place = became;
    }
}

fn read(value: Value, swaps: usize) -> Result<Vec<Became>, Fault> {
    let Value::Array(answers) = value else { return Err(UNREADABLE) };
    let became = answers.into_iter().map(|answer| match answer {
        Value::Int(0) => Some(Became::Swapped(Swapped::Found(None))),
        Value::Int(1) => Some(Became::Swapped(Swapped::Done)),
        Value::Int(2) => Some(Became::Unmarked),
        Value::Int(3) => Some(Became::Vanished),
        Value::BulkString(row) => Some(Became::Swapped(Swapped::Found(Some(unpacked(&row).row)))),
        Value::Array(barrier) => {
            let barrier = Timestamp::from_ms(barrier.first().and_then(number)?);
            Some(Became::Swapped(Swapped::History { barrier }))
        }
        _ => None,
    });
    let became = became.collect::<Option<Vec<_>>>().ok_or(UNREADABLE)?;
    if became.len() == swaps { Ok(became) } else { Err(UNREADABLE) }
}
