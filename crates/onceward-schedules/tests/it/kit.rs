//! A store, what is asked of it, and the schedulers.

use std::{sync::Arc, time::Duration};

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{AfterRetention, Attempt, AttemptId, Decision, OnLapse, OnMismatch, Sealed, Terms},
    time::Timestamp,
};
use onceward_store::{
    Claim, ManualClock, Memory, MemoryLimits, Reply, Settle, Store as _, StoreError, Undated,
};
use shuttle::{
    Config, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler},
};

/// Schedules that each scheduler lives in one test.
const SCHEDULES: usize = 400;

/// Changes of priority that a schedule of the probabilistic kind has: a defect that needs so many orderings is found with known odds.
const DEPTH: usize = 3;

/// What a thread of a scene has for its calls; an empty store is made on it, with all of its shards.
const STACK_BYTES: usize = 1 << 20;

const STARTED: Timestamp = Timestamp::from_ms(1_800_000_000_000);
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const RETENTION: Duration = Duration::from_secs(3_600);

/// Lives a scene under many schedules of two kinds.
pub(crate) fn under_schedules(scene: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(RandomScheduler::new(SCHEDULES), config.clone()).run(scene);
    Runner::new(PctScheduler::new(DEPTH, SCHEDULES), config).run(scene);
}

/// An empty store, and the clock that it goes by.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) store: Arc<Memory>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Scene {
    pub(crate) fn new(limits: MemoryLimits) -> Self {
        let clock = Arc::new(ManualClock::standing_at(STARTED));
        Self { store: Arc::new(Memory::new(limits, clock.clone())), clock }
    }

    pub(crate) fn claim(&self, number: u8, attempt: u8) -> Result<Decision, StoreError> {
        let claim = Claim {
            id: id(number),
            attempt: AttemptId([attempt; 16]),
            fingerprint: Fingerprint::from_bytes(&[1; 33]).unwrap(),
            terms: Terms {
                lease: LEASE,
                on_lapse: OnLapse::Doubt,
                retention: RETENTION,
                remember: Duration::ZERO,
                after_retention: AfterRetention::Execute,
                on_mismatch: OnMismatch::Refuse,
            },
            label: label(number),
            issued_at: None,
            undated: Undated::Execute,
            request: None,
        };
        block_on(self.store.claim(claim)).map(decision)
    }

    /// Ends a claim with the answer that is its attempt's name.
    pub(crate) fn complete(&self, number: u8, attempt: Attempt) -> Decision {
        let outcome = Settle::Complete(answer(attempt));
        decision(block_on(self.store.settle(id(number), attempt, outcome)).unwrap())
    }

    /// Records held, of every state.
    pub(crate) fn records(&self) -> u64 {
        block_on(self.store.health()).unwrap().records.iter().sum()
    }
}

/// Spread over the shards by their first byte, as lookup ids are.
pub(crate) fn id(number: u8) -> LookupId {
    LookupId::from_bytes([number; 32])
}

pub(crate) fn label(number: u8) -> Label {
    Label {
        tenant: Tenant::single(),
        actor: ActorTag::from_bytes([7; 8]),
        key: KeyTag::from_bytes([number; 8]),
        effect: format!("POST https://shop.example/orders?no={number}"),
    }
}

pub(crate) fn answer(attempt: Attempt) -> Sealed {
    Sealed(attempt.id.0.to_vec())
}

fn decision(reply: Reply) -> Decision {
    match reply {
        Reply::Decided { decision, .. } => decision,
        other => panic!("expected a decision, got {other:?}"),
    }
}
