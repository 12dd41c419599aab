//! Looks for the ends of claims that other processes hold, for those who wait for them (W1).
//!
//! One query every [`LOOK_PERIOD`] asks for all of them, and only while somebody waits. The database is not asked to tell: Postgres'
//! `NOTIFY` serialises the commits of its whole database and does not pass a pooler, and the others have nothing durable of the kind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use onceward_core::{actor::LookupId, record::State};
use tokio::sync::Notify;

use super::{Core, backend::StoredRow, resilience::Repeat};
use crate::codec;

/// Between two looks: a waiter hears of an end within this and two round trips.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Ids in one query; an engine lets 4,096 duplicates wait.
const LOOK_IDS_MAX: usize = 512;

/// Who waits for the end of which claim.
#[derive(Debug, Default)]
pub(super) struct Watch {
    watched: Mutex<HashMap<LookupId, Watched>>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct Watched {
    changed: Arc<Notify>,
    waiting: usize,
}

/// One who waits; going away ends the looking.
#[derive(Debug)]
struct Place<'a> {
    watch: &'a Watch,
    id: LookupId,
}

impl Watch {
    /// Ends when a look finds that the record is no live claim.
    pub(super) async fn changed(&self, id: LookupId) {
        let changed = {
            let mut watched = self.lock();
            let entry = watched.entry(id).or_default();
            entry.waiting += 1;
            Arc::clone(&entry.changed)
        };
        let _place = Place { watch: self, id };
        self.begun.notify_one();
        // A look that ends before this is waited for is not heard; the next one is.
        changed.notified().await;
    }

    /// Looks for as long as it is polled.
    pub(super) async fn keep(&self, core: &Core) {
        loop {
            if self.lock().is_empty() {
                self.begun.notified().await;
                continue;
            }
            // Whoever waits has just been told that the claim is live.
            tokio::time::sleep(LOOK_PERIOD).await;
            let ids: Vec<_> = self.lock().keys().copied().collect();
            for ids in ids.chunks(LOOK_IDS_MAX) {
                self.look(core, ids).await;
            }
        }
    }

    async fn look(&self, core: &Core, ids: &[LookupId]) {
        // What fails is looked at again; the guard says so in the log, and who waits looks by himself every now and then.
        let fetched = core.guard.run(Repeat::Unsent, |backend| backend.fetch(ids.to_vec(), false)).await;
        let Ok(rows) = fetched else { return };
        let ended = ids.iter().zip(rows).filter(|(id, row)| !is_live(core, **id, row.as_ref()));
        let watched = self.lock();
        for (id, _) in ended {
            if let Some(entry) = watched.get(id) {
                entry.changed.notify_waiters();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LookupId, Watched>> {
        // The map is whole at every instant, so a poisoned lock is still good.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut watched = self.watch.lock();
        if let Some(entry) = watched.get_mut(&self.id) {
            entry.waiting = entry.waiting.saturating_sub(1);
            if entry.waiting == 0 {
                watched.remove(&self.id);
            }
        }
    }
}

/// Whether there is still something to wait for. What cannot be read is for the next claim to refuse (L8).
fn is_live(core: &Core, id: LookupId, row: Option<&StoredRow>) -> bool {
    let Some(row) = row else { return false };
    match codec::decode_head(id, &row.head).map(|(record, _)| record.state) {
        Ok(State::Claimed { lease_until, .. }) => core.time.now() < lease_until,
        Ok(State::Absent | State::Done { .. } | State::InDoubt { .. } | State::Tombstone { .. })
        | Err(codec::Unreadable) => false,
    }
}
