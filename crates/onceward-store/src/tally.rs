//! What became of claims in this process: counted by the store, for only it sees each of them happen, once (A2).

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use onceward_core::record::DoubtReason;

use crate::step::Loss;

/// Claims that fell into doubt or lapsed since the store was opened, and how much is in doubt now.
///
/// A step is counted when it stands, whatever becomes of its answer: one that is lost on its way is counted, and the same step told
/// again (L11) is not counted again. Reading waits for no operation.
#[derive(Debug, Default)]
pub struct Tally {
    /// Locked only where a claim did fall into doubt, and to be read.
    doubts: Mutex<BTreeMap<&'static str, u64>>,
    leases_lapsed: AtomicU64,
    in_doubt: AtomicU64,
}

impl Tally {
    /// Claims that fell into doubt, by the name of the reason ([`DoubtReason::as_str`]), those of dead processes included (L10).
    #[must_use]
    pub fn doubts(&self) -> BTreeMap<&'static str, u64> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Claims whose lease lapsed, found by whatever met them next: now in doubt, or run again (L4).
    #[must_use]
    pub fn leases_lapsed(&self) -> u64 {
        self.leases_lapsed.load(Ordering::Relaxed)
    }

    /// Records that are in doubt now, whoever left them so.
    #[must_use]
    pub fn in_doubt(&self) -> u64 {
        self.in_doubt.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, loss: Loss) {
        match loss {
            Loss::Doubted { reason, lapsed } => {
                self.count_doubt(reason);
                self.leases_lapsed.fetch_add(u64::from(lapsed), Ordering::Relaxed);
            }
            Loss::TakenOver => {
                self.leases_lapsed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// For stores that know how many there are.
    #[cfg(any(feature = "shared", feature = "sqlite"))]
    pub(crate) fn set_in_doubt(&self, records: u64) {
        self.in_doubt.store(records, Ordering::Relaxed);
    }

    /// For stores whose parts know their own changes only; `by` wraps where there are fewer now.
    pub(crate) fn move_in_doubt(&self, by: u64) {
        // Nearly every step moves nothing, and need not contend for it.
        if by != 0 {
            self.in_doubt.fetch_add(by, Ordering::Relaxed);
        }
    }

    fn count_doubt(&self, reason: DoubtReason) {
        // The map is whole at every instant, so a poisoned lock is still good.
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        *doubts.entry(reason.as_str()).or_default() += 1;
    }
}
