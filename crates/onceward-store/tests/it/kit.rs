//! Keys, claims and files of these tests.

use std::{path::Path, sync::Arc, time::Duration};

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{
        AfterRetention, Attempt, AttemptId, Decision, Epoch, OnLapse, OnMismatch, Record, Sealed, Terms,
    },
    time::Timestamp,
    twin::{Bid, Holder, TwinId},
};
use onceward_store::{
    Claim, ManualClock, OpenError, Reply, Settle, Sqlite, SqliteOptions, Store, StoreError, Stored, Twin,
    Undated, conformance::STARTED_MS,
};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The check value of the secret that these tests pretend to have.
pub(crate) const SECRET_CHECK: [u8; 32] = [0x5e; 32];

/// Pages before a checkpoint: few, so that tests meet checkpoints and open at once.
pub(crate) const LOG_PAGES: u32 = 64;

pub(crate) fn id(number: u64) -> LookupId {
    let mut id = [0xee; 32];
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    id[..8].copy_from_slice(&spread);
    LookupId::from_bytes(id)
}

pub(crate) fn claim(number: u64) -> Claim {
    Claim {
        id: id(number),
        attempt: AttemptId([1; 16]),
        fingerprint: Fingerprint::from_bytes(&[1; 33]).expect("a known version"),
        terms: Terms {
            lease: LEASE,
            on_lapse: OnLapse::Doubt,
            retention: Duration::from_hours(24),
            remember: Duration::from_hours(9_600),
            after_retention: AfterRetention::Refuse,
            on_mismatch: OnMismatch::Refuse,
        },
        label: Label {
            tenant: Tenant::single(),
            actor: ActorTag::from_bytes([1; 8]),
            key: KeyTag::from_bytes(number.to_be_bytes()),
            effect: format!("POST https://shop.example/orders?no={number}"),
        },
        issued_at: None,
        undated: Undated::Execute,
        request: None,
    }
}

/// How long marks hold.
pub(crate) const WINDOW: Duration = Duration::from_mins(10);

/// A bid of key `holder` for the mark of meaning `meaning`.
pub(crate) fn bid(meaning: u64, holder: u64) -> Twin {
    let holder = Holder { id: id(holder), epoch: Epoch(1) };
    Twin {
        id: TwinId::from_bytes(*id(1_000_000 + meaning).as_bytes()),
        actor: ActorTag::from_bytes([1; 8]),
        bid: Bid { holder, window: WINDOW, replaces: None },
    }
}

/// An answer that names its key, so that no other passes for it.
pub(crate) fn answer(number: u64) -> Sealed {
    Sealed(number.to_be_bytes().repeat(64))
}

pub(crate) fn decision(reply: Result<Reply, StoreError>) -> Decision {
    match reply {
        Ok(Reply::Decided { decision, .. }) => decision,
        other => panic!("expected a decision, got {other:?}"),
    }
}

pub(crate) async fn granted(store: &dyn Store, number: u64) -> Attempt {
    match decision(store.claim(claim(number)).await) {
        Decision::Execute(attempt) => attempt,
        other => panic!("expected the claim to be granted, got {other:?}"),
    }
}

pub(crate) async fn completed(store: &dyn Store, number: u64) {
    let attempt = granted(store, number).await;
    let settled = store.settle(id(number), attempt, Settle::Complete(answer(number))).await;
    assert_eq!(decision(settled), Decision::Settled);
}

pub(crate) async fn record(store: &dyn Store, number: u64) -> Option<Record> {
    match store.get(id(number)).await.expect("the store answers")? {
        Stored::Record(record, _) => Some(*record),
        Stored::Corrupt => panic!("record {number} is corrupt"),
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::standing_at(Timestamp::from_ms(STARTED_MS)))
}

pub(crate) fn options(clock: &Arc<ManualClock>) -> SqliteOptions {
    let clock = Arc::clone(clock);
    SqliteOptions { clock: Some(clock), log_pages: LOG_PAGES, ..SqliteOptions::new(SECRET_CHECK) }
}

pub(crate) fn open(path: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open(path, options(&clock()))
}

/// Copies a store's files, as they are at this moment, into another directory.
pub(crate) fn copied(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = format!("store.db{suffix}");
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).expect("copied");
        }
    }
}
