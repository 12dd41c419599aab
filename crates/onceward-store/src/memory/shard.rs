//! One part of the memory store: records, and the orders in which they are listed and swept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onceward_core::{
    actor::{Label, LookupId},
    record::{Decision, Event, Record, Sealed, State},
    time::Timestamp,
};

use super::MemoryLimits;
use crate::{
    port::{Entry, EntryFilter, Reply},
    step::{Census, Held, Kind, Loss},
};

/// A record in its place.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) record: Record,
    pub(super) label: Label,
    born: u64,
}

impl Slot {
    fn bytes(&self) -> u64 {
        let outcome = match &self.record.state {
            State::Done { outcome: Some(Sealed(bytes)), .. } => bytes.len(),
            State::Done { outcome: None, .. }
            | State::Absent
            | State::Claimed { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => 0,
        };
        let label = self.label.effect.len() + self.label.tenant.as_str().len();
        MemoryLimits::RECORD_BYTES + (outcome + label) as u64
    }
}

/// What a shard holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) records: u64,
    pub(super) in_doubt: u64,
    pub(super) bytes: u64,
}

/// Invariant: each slot stands once in `born`, and once in `due` where its record has a time at which it changes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    slots: HashMap<LookupId, Slot>,
    born: BTreeMap<u64, LookupId>,
    due: BTreeSet<(Timestamp, LookupId)>,
    census: Census,
    bytes: u64,
}

impl Shard {
    pub(super) fn get(&self, id: LookupId) -> Option<&Slot> {
        self.slots.get(&id)
    }

    pub(super) fn usage(&self) -> Usage {
        Usage { records: self.slots.len() as u64, in_doubt: self.census.in_doubt(), bytes: self.bytes }
    }

    pub(super) fn census(&self) -> Census {
        self.census
    }

    /// Records older than `born`, newest first.
    pub(super) fn born_before(&self, born: u64) -> impl Iterator<Item = (u64, LookupId)> {
        self.born.range(..born).rev().map(|(born, id)| (*born, *id))
    }

    /// What time has overtaken, oldest first.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, LookupId)> {
        self.due.iter().copied().take_while(move |(due_at, _)| *due_at <= now)
    }

    /// Runs one event on one record and writes back what comes out; says what was lost by it.
    pub(super) fn apply(
        &mut self,
        id: LookupId,
        event: Event,
        label: &Label,
        now: Timestamp,
        birth: impl FnOnce() -> u64,
    ) -> (Reply, Option<Loss>) {
        let (record, place) = match self.take(id) {
            Some(Slot { record, label, born }) => (record, Some((label, born))),
            None => (Record::absent(), None),
        };
        let held = Held::of(&record);
        let (record, decision) = record.on(event, now);
        let lost = held.and_then(|held| held.lost(&record, now));
        if !record.is_blank() {
            let (mut kept, born) = place.unwrap_or_else(|| (label.clone(), birth()));
            if matches!(decision, Decision::Execute(_)) {
                kept.effect.clone_from(&label.effect);
            }
            let reply = Reply::decided(decision, &record, now);
            self.put(id, Slot { record, label: kept, born });
            return (reply, lost);
        }
        (Reply::decided(decision, &record, now), lost)
    }

    /// What a listing shows of a record, where the filter lets it.
    pub(super) fn entry(&self, id: LookupId, filter: &EntryFilter) -> Option<Entry> {
        let slot = self.slots.get(&id).filter(|slot| filter.admits(&slot.record, &slot.label))?;
        Some(Entry { id, label: slot.label.clone(), record: without_outcome(&slot.record) })
    }

    fn take(&mut self, id: LookupId) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.born.remove(&slot.born);
        if let Some(due_at) = slot.record.due_at() {
            self.due.remove(&(due_at, id));
        }
        self.census.moved(Some(Kind::of(&slot.record.state)), None);
        self.bytes -= slot.bytes();
        Some(slot)
    }

    fn put(&mut self, id: LookupId, slot: Slot) {
        self.born.insert(slot.born, id);
        if let Some(due_at) = slot.record.due_at() {
            self.due.insert((due_at, id));
        }
        self.census.moved(None, Some(Kind::of(&slot.record.state)));
        self.bytes += slot.bytes();
        self.slots.insert(id, slot);
    }
}

/// What is said of a key that nobody claimed, to somebody who thinks that he holds it.
pub(super) fn unknown(event: Event, now: Timestamp) -> Reply {
    let (record, decision) = Record::absent().on(event, now);
    Reply::decided(decision, &record, now)
}

/// A copy that spares the answer's bytes.
fn without_outcome(record: &Record) -> Record {
    let state = match &record.state {
        State::Done { attempt, outcome, how, expires_at } => State::Done {
            attempt: *attempt,
            outcome: outcome.as_ref().map(|_| Sealed(Vec::new())),
            how: *how,
            expires_at: *expires_at,
        },
        state @ (State::Absent | State::Claimed { .. } | State::InDoubt { .. } | State::Tombstone { .. }) => {
            state.clone()
        }
    };
    let Record { fingerprint, epoch, state: _, since, claimed_at, terms, overruled } = record;
    Record {
        fingerprint: *fingerprint,
        epoch: *epoch,
        state,
        since: *since,
        claimed_at: *claimed_at,
        terms: *terms,
        overruled: *overruled,
    }
}
