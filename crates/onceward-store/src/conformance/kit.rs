//! Keys, claims and answers of the cases, and how replies are read.

use std::time::Duration;

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{AfterRetention, Attempt, AttemptId, Decision, OnLapse, OnMismatch, Record, Sealed, Terms},
    time::Timestamp,
};

use crate::port::{
    Claim, Reply, Resolution, ResolutionChange, Store, StoreError, Stored, StoredAudit, Undated,
};

pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const RETENTION: Duration = Duration::from_hours(24);
pub(super) const REMEMBER: Duration = Duration::from_hours(9_600);

pub(super) fn id(number: u64) -> LookupId {
    // Spread as digests are, so that sharded stores use all of their shards.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let mut id = [0; 32];
    id.chunks_mut(8).for_each(|part| part.copy_from_slice(&spread));
    LookupId::from_bytes(id)
}

pub(super) fn key_tag(number: u64) -> KeyTag {
    KeyTag::from_bytes(number.to_be_bytes())
}

pub(super) fn label(number: u64) -> Label {
    Label {
        tenant: Tenant::single(),
        actor: ActorTag::from_bytes((number % 3).to_be_bytes()),
        key: key_tag(number),
        effect: format!("POST https://shop.example/orders?no={number}"),
    }
}

pub(super) fn fingerprint(version: u8, filling: u8) -> Fingerprint {
    let mut bytes = [filling; 33];
    bytes[0] = version;
    Fingerprint::from_bytes(&bytes).expect("a known version")
}

pub(super) fn terms() -> Terms {
    Terms {
        lease: LEASE,
        on_lapse: OnLapse::Doubt,
        retention: RETENTION,
        remember: REMEMBER,
        after_retention: AfterRetention::Refuse,
        on_mismatch: OnMismatch::Refuse,
    }
}

/// A claim of key `number` by the attempt named `attempt`.
pub(super) fn claim(number: u64, attempt: u8) -> Claim {
    Claim {
        id: id(number),
        attempt: AttemptId([attempt; 16]),
        fingerprint: fingerprint(1, 1),
        terms: terms(),
        label: label(number),
        issued_at: None,
        undated: Undated::Execute,
        request: None,
    }
}

pub(super) fn answer() -> Sealed {
    Sealed(b"201 created".to_vec())
}

pub(super) fn resolution(number: u64, change: ResolutionChange) -> Resolution {
    let audit = StoredAudit {
        at: Timestamp::from_ms(super::STARTED_MS),
        key: Some(key_tag(number)),
        json: format!(r#"{{"about":{number}}}"#),
    };
    Resolution { id: id(number), change, label: label(number), audit: Some(audit) }
}

/// The decision of a reply that has one.
pub(super) fn decision(reply: Result<Reply, StoreError>) -> Decision {
    match reply.expect("the store answers") {
        Reply::Decided { decision, .. } => decision,
        other @ (Reply::Corrupt | Reply::HistoryLost { .. }) => panic!("expected a decision, got {other:?}"),
    }
}

/// Claims key `number`, which must be granted.
pub(super) async fn granted(store: &dyn Store, number: u64, attempt: u8) -> Attempt {
    match decision(store.claim(claim(number, attempt)).await) {
        Decision::Execute(granted) => granted,
        other => panic!("expected the claim to be granted, got {other:?}"),
    }
}

/// The record of key `number`, which must be readable, or `None` where it is forgotten.
pub(super) async fn record(store: &dyn Store, number: u64) -> Option<Record> {
    match store.get(id(number)).await.expect("the store answers")? {
        Stored::Record(record, _) => Some(*record),
        Stored::Corrupt => panic!("the record is corrupt"),
    }
}

/// Sweeps until nothing is due any more.
pub(super) async fn sweep_all(store: &dyn Store) {
    while store.sweep(100).await.expect("the store answers").more {}
}
