//! One part of the memory store: records, and the orders in which they are found, listed and swept.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
};

use hashbrown::HashTable;
use onceward_core::{
    actor::{Label, LookupId},
    record::{Decision, Event, Record},
    time::Timestamp,
};

use super::{
    slab::{Place, Slab},
    slot::{Pools, Slot},
};
use crate::{
    port::Reply,
    step::{Census, Held, Kind, Loss},
};

/// What a shard holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) records: u64,
    pub(super) in_doubt: u64,
    pub(super) bytes: u64,
}

/// Invariant: each slot's place stands once in `found`, once in `born`, and once in `due` where its record has a time at which it changes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    slots: Slab<Slot>,
    /// By id, which stands in the slot alone: a map of ids would have to leave room for twice as many of them as there are.
    found: HashTable<Place>,
    hasher: RandomState,
    born: BTreeMap<u64, Place>,
    due: BTreeSet<(Timestamp, Place)>,
    pools: Pools,
    census: Census,
    bytes: u64,
}

impl Shard {
    pub(super) fn find(&self, id: LookupId) -> Option<Place> {
        let is_sought = |place: &Place| self.slots.get(*place).is_some_and(|slot| slot.id == id);
        self.found.find(self.hasher.hash_one(id), is_sought).copied()
    }

    pub(super) fn get(&self, place: Place) -> Option<&Slot> {
        self.slots.get(place)
    }

    pub(super) fn usage(&self) -> Usage {
        Usage { records: self.slots.len() as u64, in_doubt: self.census.in_doubt(), bytes: self.bytes }
    }

    pub(super) fn census(&self) -> Census {
        self.census
    }

    /// Records older than `born`, newest first.
    pub(super) fn born_before(&self, born: u64) -> impl Iterator<Item = (u64, Place)> {
        self.born.range(..born).rev().map(|(born, place)| (*born, *place))
    }

    /// What time has overtaken, oldest first.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Place)> {
        self.due.iter().copied().take_while(move |(due_at, _)| *due_at <= now)
    }

    /// Runs one event on a key that is not known, and keeps what comes out of it.
    pub(super) fn open(
        &mut self,
        id: LookupId,
        event: Event,
        label: &Label,
        born: u64,
        now: Timestamp,
    ) -> Reply {
        let (record, decision) = Record::absent().on(event, now);
        let reply = Reply::decided(decision, &record, now);
        if !record.is_blank() {
            let due_at = record.due_at();
            let slot = Slot::new(id, born, record, label, &mut self.pools);
            self.census.moved(None, Some(Kind::of(slot.state())));
            self.bytes += slot.bytes();
            let place = self.slots.insert(slot);
            let hash_of =
                |place: &Place| self.slots.get(*place).map_or(0, |slot| self.hasher.hash_one(slot.id));
            self.found.insert_unique(self.hasher.hash_one(id), place, hash_of);
            self.born.insert(born, place);
            self.reschedule(place, None, due_at);
        }
        reply
    }

    /// Runs one event on a known record and writes back what comes out; says what was lost by it. Where the event starts another attempt,
    /// listings show that one's `effect` from there on; an erased one shows none.
    pub(super) fn advance(
        &mut self,
        place: Place,
        event: Event,
        effect: Option<&str>,
        now: Timestamp,
    ) -> (Reply, Option<Loss>) {
        let Some(slot) = self.slots.get_mut(place) else { return (unknown(event, now), None) };
        let (kind, bytes) = (Kind::of(slot.state()), slot.bytes());
        let record = slot.take();
        let (held, due_at) = (Held::of(&record), record.due_at());
        let erases = event == Event::Erased;
        let (record, decision) = record.on(event, now);
        let lost = held.and_then(|held| held.lost(&record, now));
        if let (Decision::Execute(_), Some(effect)) = (&decision, effect) {
            slot.relabel(effect);
        }
        if erases {
            slot.relabel("");
        }
        let reply = Reply::decided(decision, &record, now);
        self.bytes -= bytes;
        if record.is_blank() {
            self.census.moved(Some(kind), None);
            self.reschedule(place, due_at, None);
            self.forget(place);
        } else {
            let due_next = record.due_at();
            slot.put(record, &mut self.pools);
            self.census.moved(Some(kind), Some(Kind::of(slot.state())));
            self.bytes += slot.bytes();
            self.reschedule(place, due_at, due_next);
        }
        (reply, lost)
    }

    fn reschedule(&mut self, place: Place, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        if let Some(due_at) = before {
            self.due.remove(&(due_at, place));
        }
        if let Some(due_at) = after {
            self.due.insert((due_at, place));
        }
    }

    fn forget(&mut self, place: Place) {
        let Some(slot) = self.slots.remove(place) else { return };
        self.born.remove(&slot.born);
        let hash = self.hasher.hash_one(slot.id);
        if let Ok(entry) = self.found.find_entry(hash, |found| *found == place) {
            entry.remove();
        }
    }
}

/// What is said of a key that nobody claimed, to somebody who thinks that he holds it.
pub(super) fn unknown(event: Event, now: Timestamp) -> Reply {
    let (record, decision) = Record::absent().on(event, now);
    Reply::decided(decision, &record, now)
}
