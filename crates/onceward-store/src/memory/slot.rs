//! The form in which a record lies in memory: small, since a store holds a million of them.

use std::{collections::VecDeque, sync::Arc};

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{Attempt, Epoch, Inquiry, Record, Sealed, State, Terms},
    time::Timestamp,
};

use super::MemoryLimits;
use crate::port::{Entry, EntryFilter};

/// Values that a [`Pool`] knows. A deployment has a handful of routes and tenants; one that has more shares less.
const POOLED_MAX: usize = 16;

/// A record in its place, with what listings show of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: LookupId,
    pub(super) born: u64,
    tenant: Arc<Tenant>,
    actor: ActorTag,
    key: KeyTag,
    effect: Box<str>,
    packed: Packed,
}

impl Slot {
    pub(super) fn new(id: LookupId, born: u64, record: Record, label: &Label, pools: &mut Pools) -> Self {
        Self {
            id,
            born,
            tenant: pools.tenants.share(&label.tenant),
            actor: label.actor,
            key: label.key,
            effect: label.effect.as_str().into(),
            packed: Packed::of(record, &mut pools.terms),
        }
    }

    pub(super) fn actor(&self) -> ActorTag {
        self.actor
    }

    pub(super) fn state(&self) -> &State {
        &self.packed.state
    }

    pub(super) fn record(&self) -> Record {
        self.packed.with(self.packed.state.clone())
    }

    /// The record without the bytes of its answer or its request, which are many.
    pub(super) fn head(&self) -> Record {
        let mut head = self.packed.with(match &self.packed.state {
            State::Done { attempt, outcome, how, expires_at } => State::Done {
                attempt: *attempt,
                outcome: outcome.as_ref().map(|_| Sealed(Vec::new())),
                how: *how,
                expires_at: *expires_at,
            },
            state @ (State::Absent
            | State::Claimed { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. }) => state.clone(),
        });
        if let Some(inquiry) = &mut head.inquiry {
            inquiry.request = Sealed(Vec::new());
        }
        head
    }

    pub(super) fn label(&self) -> Label {
        Label {
            tenant: Tenant::clone(&self.tenant),
            actor: self.actor,
            key: self.key,
            effect: str::to_owned(&self.effect),
        }
    }

    /// What a listing shows, where the filter lets it.
    pub(super) fn entry(&self, filter: &EntryFilter) -> Option<Entry> {
        filter.admits(self.state(), self.actor, self.key).then(|| Entry {
            id: self.id,
            label: self.label(),
            record: self.head(),
        })
    }

    /// What this record counts as (S1).
    pub(super) fn bytes(&self) -> u64 {
        let answer = match self.state() {
            State::Done { outcome: Some(Sealed(bytes)), .. } => bytes.len(),
            State::Done { outcome: None, .. }
            | State::Absent
            | State::Claimed { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => 0,
        };
        let inquiry = self.packed.rare.as_ref().and_then(|rare| rare.inquiry.as_ref());
        let request = inquiry.map_or(0, |inquiry| inquiry.request.0.len());
        let label = self.effect.len() + self.tenant.as_str().len();
        MemoryLimits::RECORD_BYTES + (answer + request + label) as u64
    }

    /// Takes the record out, to be put back after one step. Nothing is copied that grows with the answer.
    pub(super) fn take(&mut self) -> Record {
        let state = std::mem::replace(&mut self.packed.state, State::Absent);
        self.packed.with(state)
    }

    pub(super) fn put(&mut self, record: Record, pools: &mut Pools) {
        self.packed = Packed::of(record, &mut pools.terms);
    }

    pub(super) fn relabel(&mut self, effect: &str) {
        if *self.effect != *effect {
            self.effect = effect.into();
        }
    }
}

/// A [`Record`]: terms shared, and what few records have behind a pointer.
#[derive(Debug)]
struct Packed {
    fingerprint: Option<Fingerprint>,
    epoch: Epoch,
    state: State,
    since: Timestamp,
    claimed_at: Timestamp,
    terms: Option<Arc<Terms>>,
    rare: Option<Box<Rare>>,
}

/// What few records have.
#[derive(Debug)]
struct Rare {
    overruled: Option<Attempt>,
    inquiry: Option<Inquiry>,
}

impl Packed {
    fn of(record: Record, terms_pool: &mut Pool<Terms>) -> Self {
        let Record { fingerprint, epoch, mut state, since, claimed_at, terms, overruled, inquiry } = record;
        if let State::Done { outcome: Some(Sealed(bytes)), .. } = &mut state {
            // Kept for as long as the retention says: what its writer allocated beyond it would be kept, too, and not counted.
            bytes.shrink_to_fit();
        }
        let terms = terms.map(|terms| terms_pool.share(&terms));
        let is_rare = overruled.is_some() || inquiry.is_some();
        Self {
            fingerprint,
            epoch,
            state,
            since,
            claimed_at,
            terms,
            rare: is_rare.then(|| Box::new(Rare { overruled, inquiry })),
        }
    }

    /// The record that this is, in `state`.
    fn with(&self, state: State) -> Record {
        Record {
            fingerprint: self.fingerprint,
            epoch: self.epoch,
            state,
            since: self.since,
            claimed_at: self.claimed_at,
            terms: self.terms.as_deref().copied(),
            overruled: self.rare.as_ref().and_then(|rare| rare.overruled),
            inquiry: self.rare.as_ref().and_then(|rare| rare.inquiry.clone()),
        }
    }
}

/// What the records of one shard share.
#[derive(Debug, Default)]
pub(super) struct Pools {
    terms: Pool<Terms>,
    tenants: Pool<Tenant>,
}

/// The latest [`POOLED_MAX`] different values: one copy of each for all who ask for it.
///
/// A value lives as long as a record that has it, so that neither many nor changing values make a pool grow.
#[derive(Debug)]
struct Pool<T>(VecDeque<Arc<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone + PartialEq> Pool<T> {
    fn share(&mut self, value: &T) -> Arc<T> {
        if let Some(shared) = self.0.iter().find(|shared| ***shared == *value) {
            return Arc::clone(shared);
        }
        if self.0.len() == POOLED_MAX {
            self.0.pop_front();
        }
        let shared = Arc::new(value.clone());
        self.0.push_back(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use onceward_core::record::{AttemptId, Settlement};

    use super::*;

    /// The largest part of [`MemoryLimits::RECORD_BYTES`]: whoever makes it larger measures again, with `examples/record_bytes.rs`.
    // covers: S1
    #[test]
    fn a_slot_stays_as_small_as_it_was_measured() {
        assert!(size_of::<Option<Slot>>() <= 224, "{}", size_of::<Option<Slot>>());
    }

    // covers: S1
    #[test]
    fn an_answer_takes_no_more_than_its_own_bytes() {
        let mut bytes = Vec::with_capacity(4_096);
        bytes.extend([1; 100]);
        let state = State::Done {
            attempt: Attempt { epoch: Epoch(1), id: AttemptId([1; 16]) },
            outcome: Some(Sealed(bytes)),
            how: Settlement::Answered,
            expires_at: Timestamp::from_ms(1),
        };
        let packed = Packed::of(Record { state, ..Record::absent() }, &mut Pool::default());
        let State::Done { outcome: Some(Sealed(kept)), .. } = packed.state else {
            panic!("the answer is gone: {packed:?}");
        };
        assert_eq!((kept.len(), kept.capacity()), (100, 100));
    }

    #[test]
    fn equal_values_are_shared_and_a_pool_stays_small() {
        let mut pool = Pool::default();
        let first = pool.share(&0);
        assert!(Arc::ptr_eq(&first, &pool.share(&0)));
        let others: Vec<_> = (1..=POOLED_MAX).map(|value| pool.share(&value)).collect();
        assert_eq!(pool.0.len(), POOLED_MAX);
        // The pool let go of the first value; who has it keeps it, and the latest are still shared.
        let again = pool.share(&0);
        assert_eq!((*first, *again, Arc::ptr_eq(&first, &again)), (0, 0, false));
        assert!(others.last().is_some_and(|last| Arc::ptr_eq(last, &pool.share(&POOLED_MAX))));
    }
}
