//! Duplicates that wait for the first one's end (W1, W2): woken by it where it comes in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onceward_core::actor::LookupId;
use tokio::sync::Notify;

/// Who waits for which key.
#[derive(Clone, Debug)]
pub(crate) struct Waiters {
    queues: Arc<Mutex<Queues>>,
    per_key_max: usize,
    total_max: usize,
}

#[derive(Debug, Default)]
struct Queues {
    by_key: HashMap<LookupId, Queue>,
    total: usize,
}

#[derive(Debug, Default)]
struct Queue {
    woken: Arc<Notify>,
    len: usize,
}

/// One place in the queue of one key; leaving gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    id: LookupId,
    pub(crate) woken: Arc<Notify>,
    waiters: Waiters,
}

impl Waiters {
    pub(crate) fn new(per_key_max: usize, total_max: usize) -> Self {
        Self { queues: Arc::default(), per_key_max, total_max }
    }

    /// Takes a place; `None` where the key's queue or all of them are full (W2).
    pub(crate) fn enter(&self, id: LookupId) -> Option<Place> {
        let mut queues = self.lock();
        if queues.total >= self.total_max {
            return None;
        }
        let queue = queues.by_key.entry(id).or_default();
        if queue.len >= self.per_key_max {
            return None;
        }
        queue.len += 1;
        let woken = Arc::clone(&queue.woken);
        queues.total += 1;
        Some(Place { id, woken, waiters: self.clone() })
    }

    /// Wakes everybody who waits for `id` at this moment.
    pub(crate) fn wake(&self, id: LookupId) {
        if let Some(queue) = self.lock().by_key.get(&id) {
            queue.woken.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // The map stays consistent at every await-free step, so a poisoned lock is still good.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.waiters.lock();
        queues.total = queues.total.saturating_sub(1);
        if let Some(queue) = queues.by_key.get_mut(&self.id) {
            queue.len = queue.len.saturating_sub(1);
            if queue.len == 0 {
                queues.by_key.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: W2
    #[test]
    fn bounds_each_key_and_all_of_them_and_gives_places_back() {
        let waiters = Waiters::new(2, 3);
        let (a, b) = (LookupId::from_bytes([1; 32]), LookupId::from_bytes([2; 32]));
        let first = waiters.enter(a);
        let second = waiters.enter(a);
        assert!(first.is_some() && second.is_some());
        assert!(waiters.enter(a).is_none(), "the third of one key got a place");
        let third = waiters.enter(b);
        assert!(third.is_some());
        assert!(waiters.enter(b).is_none(), "the fourth of all got a place");
        drop((first, third));
        assert!(waiters.enter(b).is_some());
        drop(second);
        assert!(waiters.lock().by_key.is_empty() && waiters.lock().total == 0);
    }
}
