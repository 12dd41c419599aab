//! Which keys this process holds a claim of, where their routes would go on without the store (S2).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onceward_core::actor::LookupId;

/// The keys under a claim of this process, each until what came of it is stored or given up.
///
/// While the store is down nobody else remembers them: what this process itself runs, or still has to write down, is not sent beside that.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<HashMap<LookupId, usize>>);

impl Held {
    /// Holds `id` for as long as the answer lives. An attempt that was given up may be writing down its end while the next one runs.
    pub(crate) fn hold(self: &Arc<Self>, id: LookupId) -> Holding {
        *self.counts().entry(id).or_default() += 1;
        Holding { held: Arc::clone(self), id }
    }

    /// Whether a claim of `id` is held.
    pub(crate) fn contains(&self, id: LookupId) -> bool {
        self.counts().contains_key(&id)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<LookupId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One claim that is held.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Arc<Held>,
    id: LookupId,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut counts = self.held.counts();
        match counts.get_mut(&self.id) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(counts.remove(&self.id)),
        }
    }
}
