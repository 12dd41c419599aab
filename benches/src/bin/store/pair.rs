//! One effect through a store.

use std::time::Duration;

use anyhow::{Result, bail};
use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{AfterRetention, AttemptId, Decision, OnLapse, OnMismatch, Sealed, Terms},
};
use onceward_store::{Claim, Reply, Settle, Store, Undated};

/// Bytes of an answer: a page of a shop with its head, or a JSON object with some items.
pub(crate) const OUTCOME_BYTES: usize = 900;

/// An id, spread over an index as digests are: an odd multiplier visits every value once.
pub(crate) fn spread(number: u64) -> [u8; 32] {
    let part = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut id = [0; 32];
    id.chunks_mut(8).for_each(|place| place.copy_from_slice(&part));
    id
}

/// One effect: claimed, run (in no time), completed.
pub(crate) async fn pair(store: &dyn Store, number: u64) -> Result<()> {
    let id = LookupId::from_bytes(spread(number));
    let claim = Claim {
        id,
        attempt: AttemptId([7; 16]),
        fingerprint: Fingerprint::from_bytes(&[0; 33])?,
        terms: Terms {
            lease: Duration::from_secs(30),
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
            effect: "POST https://shop.example/orders".to_owned(),
        },
        issued_at: None,
        undated: Undated::Execute,
        request: None,
    };
    let Reply::Decided { decision: Decision::Execute(attempt), .. } = store.claim(claim).await? else {
        bail!("a new key was not granted");
    };
    let outcome = Settle::Complete(Sealed(vec![0x5a; OUTCOME_BYTES]));
    match store.settle(id, attempt, outcome).await? {
        Reply::Decided { decision: Decision::Settled, .. } => Ok(()),
        other => bail!("a completion was answered {other:?}"),
    }
}
