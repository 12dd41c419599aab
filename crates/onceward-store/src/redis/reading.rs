//! Rows by id, by due time, and newest first.
//!
//! Each partition is walked by itself, and what the walks found is merged. A walk that stopped before its end says how far it came; what
//! lies behind that, in any partition, is left for the next page, so that a page has no gaps.

use onceward_core::{actor::LookupId, time::Timestamp};
use redis::Value;

use super::{
    Database,
    fault::Fault,
    history::{UNREADABLE, bytes, number},
    layout::{
        BIRTHS_FROM, Partition, Place, Unpacked, actor_bytes, due_ms, due_scores, key_bytes, member_id,
        unpacked,
    },
    script::Script,
};
use crate::{
    port::{EntryFilter, PageCursor},
    shared::backend::{Listed, StoredRow},
    step::Kind,
};

/// Rows that one script reads at the most.
const SCRIPT_ROWS_MAX: usize = 256;

/// Members of one partition that a page looks at, at the most, for those that a filter admits.
const SEEN_MAX: usize = 4_096;

/// Walks that a page is made of at the most; one of a filter that fits few rows may be short then.
const PAGE_WALKS_MAX: usize = 8;

/// A range of a sorted set.
#[derive(Clone, Debug)]
struct Range {
    partition: Partition,
    first: String,
    last: String,
}

/// What a walk along one range found, and the score up to which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Walked {
    partition: Partition,
    found: Vec<(u64, LookupId)>,
    reached: Option<u64>,
}

/// What a walk is asked for.
#[derive(Clone, Copy, Debug)]
struct Walk<'a> {
    direction: &'static str,
    found_max: usize,
    filter: &'a EntryFilter,
    /// Whether along `states`; else along `births`.
    states: bool,
}

impl Database {
    /// Reads rows, in the order of their ids.
    pub(super) async fn rows(
        &self,
        ids: &[LookupId],
        with_outcomes: bool,
    ) -> Result<Vec<Option<Unpacked>>, Fault> {
        let mut partitions = ids.iter().map(|id| Partition::of(*id)).collect::<Vec<_>>();
        partitions.sort_unstable();
        partitions.dedup();
        let mut groups = Vec::<Vec<usize>>::new();
        for group in self.groups(&partitions) {
            let of_group = |id: &LookupId| group.contains(&Partition::of(*id));
            let numbers = ids.iter().enumerate().filter(|(_, id)| of_group(id)).map(|(number, _)| number);
            groups.extend(numbers.collect::<Vec<_>>().chunks(SCRIPT_ROWS_MAX).map(<[usize]>::to_vec));
        }
        let calls = groups.iter().map(|group| {
            let of_group = group.iter().filter_map(|number| ids.get(*number)).copied().collect::<Vec<_>>();
            let partitions = of_group.iter().map(|id| Partition::of(*id)).take(1).collect::<Vec<_>>();
            let keys = of_group.into_iter().map(|id| self.keys.row(id)).collect();
            let whole = if with_outcomes { "1" } else { "0" };
            self.call(Script::Fetch, &partitions, keys, vec![whole.into()])
        });
        let calls = calls.collect();
        let mut rows = Vec::new();
        rows.resize_with(ids.len(), || None);
        for (group, answer) in groups.iter().zip(self.calls.run(calls).await) {
            let Value::Array(values) = answer?.value else { return Err(UNREADABLE) };
            for (number, value) in group.iter().zip(values) {
                // An absent key reads as an empty string where a part of it is asked for.
                let row = bytes(&value).filter(|row| !row.is_empty()).map(|row| unpacked(&row));
                if let Some(place) = rows.get_mut(*number) {
                    *place = row;
                }
            }
        }
        Ok(rows)
    }

    /// What is due, the longest due first.
    pub(super) async fn overdue(
        &self,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<(LookupId, StoredRow)>, Fault> {
        let ranges = Partition::all().flat_map(|partition| {
            [Kind::Absent, Kind::Claimed, Kind::Done, Kind::Tombstone, Kind::Mark].map(|kind| {
                let scores = due_scores(kind, now);
                Range { partition, first: scores.start.to_string(), last: (scores.end - 1).to_string() }
            })
        });
        let ranges = ranges.collect::<Vec<_>>();
        let filter = EntryFilter::default();
        let mut found_max = few(rows_max);
        let ids = loop {
            let walk = Walk { direction: "up", found_max, filter: &filter, states: true };
            let walked = self.walked(&ranges, walk).await?;
            let reached = walked.iter().filter_map(|walked| walked.reached).map(due_ms).min();
            let mut due = walked
                .into_iter()
                .flat_map(|walked| walked.found)
                .map(|(score, id)| (due_ms(score), id))
                .filter(|(due_ms, _)| reached.is_none_or(|reached| *due_ms <= reached))
                .collect::<Vec<_>>();
            due.sort_unstable_by_key(|(due_ms, id)| (*due_ms, *id.as_bytes()));
            due.truncate(rows_max);
            if due.len() == rows_max || reached.is_none() || found_max >= rows_max {
                break due.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
            }
            found_max = rows_max;
        };
        let rows = self.rows(&ids, false).await?;
        Ok(ids.into_iter().zip(rows).filter_map(|(id, row)| Some((id, row?.row))).collect())
    }

    /// A page of rows, the newest first.
    pub(super) async fn page(
        &self,
        filter: &EntryFilter,
        after: Option<PageCursor>,
        rows_max: usize,
    ) -> Result<Listed, Fault> {
        let mut after = after.map(|PageCursor(cursor)| Place::at(cursor));
        let mut found = Vec::new();
        for _ in 0..PAGE_WALKS_MAX {
            let ranges = Partition::all().map(|partition| older(partition, after)).collect::<Vec<_>>();
            let walk =
                Walk { direction: "down", found_max: few(rows_max), filter, states: filter.in_doubt_only };
            let (walked, reached) = merged(self.walked(&ranges, walk).await?);
            found.extend(walked);
            after = reached;
            if reached.is_none() || found.len() >= rows_max {
                break;
            }
        }
        if found.len() > rows_max {
            found.truncate(rows_max);
            after = found.last().map(|(place, _)| *place);
        }
        let ids = found.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
        let rows = self.rows(&ids, false).await?;
        let admitted = |row: &Unpacked| {
            row.kind != Kind::Mark as u8 && (!filter.in_doubt_only || row.kind == Kind::InDoubt as u8)
        };
        let rows = ids.into_iter().zip(rows).filter_map(|(id, row)| Some((id, row.filter(admitted)?.row)));
        Ok(Listed { rows: rows.collect(), next: after.map(|place| PageCursor(place.cursor())) })
    }

    async fn walked(&self, ranges: &[Range], walk: Walk<'_>) -> Result<Vec<Walked>, Fault> {
        let mut walked = Vec::with_capacity(ranges.len());
        let groups = self.groups(&Partition::all().collect::<Vec<_>>());
        let of_group = |group: &[Partition]| {
            let ranges = ranges.iter().filter(|range| group.contains(&range.partition));
            ranges.cloned().collect::<Vec<_>>()
        };
        let calls = groups.iter().map(|group| {
            let keys = group.iter().map(|one| match walk.states {
                true => self.keys.states(*one),
                false => self.keys.births(*one),
            });
            let mut arguments = vec![
                walk.direction.into(),
                walk.found_max.to_string().into_bytes(),
                SEEN_MAX.to_string().into_bytes(),
                key_bytes(walk.filter.key),
                actor_bytes(walk.filter.actor),
            ];
            for range in of_group(group) {
                let ordinal = group.iter().position(|one| *one == range.partition).map_or(0, |at| at + 1);
                arguments.extend([ordinal.to_string().into_bytes(), range.first.into(), range.last.into()]);
            }
            self.call(Script::Walk, group, keys.collect(), arguments)
        });
        let calls = calls.collect();
        for (group, answer) in groups.iter().zip(self.calls.run(calls).await) {
            let Value::Array(answers) = answer?.value else { return Err(UNREADABLE) };
            for (range, answer) in of_group(group).into_iter().zip(answers) {
                walked.push(read_walk(range.partition, &answer).ok_or(UNREADABLE)?);
            }
        }
        Ok(walked)
    }
}

/// How much to find in one partition at first: rows are spread evenly, so that this much of each is nearly always enough.
fn few(rows_max: usize) -> usize {
    rows_max.min(rows_max / 64 + 8)
}

/// What is older than a place, in one partition.
fn older(partition: Partition, after: Option<Place>) -> Range {
    let first = match after {
        None => "+inf".to_owned(),
        Some(after) if partition < after.partition => after.position.to_string(),
        Some(after) => format!("({}", after.position),
    };
    Range { partition, first, last: BIRTHS_FROM.to_string() }
}

/// What was found up to the place that all walks have reached, the newest first; and that place, if it is not the end.
fn merged(walked: Vec<Walked>) -> (Vec<(Place, LookupId)>, Option<Place>) {
    let place = |partition, position| Place { position, partition };
    let reached = walked.iter().filter_map(|walked| Some(place(walked.partition, walked.reached?))).max();
    let found = walked.into_iter().flat_map(|walked| {
        walked.found.into_iter().map(move |(position, id)| (place(walked.partition, position), id))
    });
    let mut found =
        found.filter(|(place, _)| reached.is_none_or(|reached| *place >= reached)).collect::<Vec<_>>();
    found.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
    (found, reached)
}

fn read_walk(partition: Partition, answer: &Value) -> Option<Walked> {
    let Value::Array(values) = answer else { return None };
    let (reached, members) = values.split_last()?;
    let (pairs, _) = members.as_chunks::<2>();
    let found = pairs.iter().map(|[member, score]| Some((number(score)?, member_id(&bytes(member)?)?)));
    Some(Walked { partition, found: found.collect::<Option<_>>()?, reached: number(reached) })
}

#[cfg(test)]
mod tests {
    use onceward_core::actor::LookupId;

    use super::{Place, Walked, merged};
    use crate::redis::layout::Partition;

    fn id(number: u8) -> LookupId {
        LookupId::from_bytes([number; 32])
    }

    fn walked(partition: u8, found: &[(u64, u8)], reached: Option<u64>) -> Walked {
        let found = found.iter().map(|(position, number)| (*position, id(*number))).collect();
        Walked { partition: Partition(partition), found, reached }
    }

    fn at(partition: u8, position: u64) -> Place {
        Place { position, partition: Partition(partition) }
    }

    #[test]
    fn a_page_ends_where_the_first_walk_stopped() {
        let walks = vec![
            walked(0, &[(90, 1), (50, 2)], Some(50)),
            walked(1, &[(95, 3), (60, 4)], Some(60)),
            walked(2, &[(60, 5), (40, 6)], None),
        ];
        let found = vec![(at(1, 95), id(3)), (at(0, 90), id(1)), (at(2, 60), id(5)), (at(1, 60), id(4))];
        assert_eq!(merged(walks), (found, Some(at(1, 60))));
    }

    #[test]
    fn a_page_of_finished_walks_has_no_next_one() {
        let walks = vec![walked(0, &[(50, 2)], None), walked(1, &[(60, 4)], None)];
        assert_eq!(merged(walks), (vec![(at(1, 60), id(4)), (at(0, 50), id(2))], None));
    }
}
