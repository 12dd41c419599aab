//! Duplicates that wait for the first one's end (W1, W2): woken by it where it comes in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use onceward_core::actor::{ActorTag, LookupId};
use tokio::sync::Notify;

/// Who waits for which key.
#[derive(Clone, Debug)]
pub(crate) struct Waiters {
    queues: Arc<Mutex<Queues>>,
    per_key_max: usize,
    per_actor_max: usize,
    total_max: usize,
}

#[derive(Debug, Default)]
struct Queues {
    by_key: HashMap<LookupId, Queue>,
    /// Holds actors that wait, and no others.
    by_actor: HashMap<ActorTag, usize>,
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
    actor: ActorTag,
    pub(crate) woken: Arc<Notify>,
    waiters: Waiters,
}

impl Waiters {
    pub(crate) fn new(per_key_max: usize, per_actor_max: usize, total_max: usize) -> Self {
        Self { queues: Arc::default(), per_key_max, per_actor_max, total_max }
    }

    /// Takes a place; `None` where the key's queue is full, its actor has all of his, or all are taken (W2).
    pub(crate) fn enter(&self, id: LookupId, actor: ActorTag) -> Option<Place> {
        let mut queues = self.lock();
        let own = queues.by_actor.get(&actor).copied().unwrap_or_default();
        if queues.total >= self.total_max || own >= self.per_actor_max {
            return None;
        }
        let queue = queues.by_key.entry(id).or_default();
        if queue.len >= self.per_key_max {
            return None;
        }
        queue.len += 1;
        let woken = Arc::clone(&queue.woken);
        queues.total += 1;
        queues.by_actor.insert(actor, own + 1);
        Some(Place { id, actor, woken, waiters: self.clone() })
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
        if let Some(own) = queues.by_actor.get_mut(&self.actor) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                queues.by_actor.remove(&self.actor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: ActorTag = ActorTag::from_bytes([1; 8]);
    const MALLORY: ActorTag = ActorTag::from_bytes([2; 8]);

    fn key(number: u8) -> LookupId {
        LookupId::from_bytes([number; 32])
    }

    // covers: W2
    #[test]
    fn bounds_each_key_and_all_of_them_and_gives_places_back() {
        let waiters = Waiters::new(2, 3, 3);
        let (a, b) = (key(1), key(2));
        let first = waiters.enter(a, ALICE);
        let second = waiters.enter(a, ALICE);
        assert!(first.is_some() && second.is_some());
        assert!(waiters.enter(a, ALICE).is_none(), "the third of one key got a place");
        let third = waiters.enter(b, ALICE);
        assert!(third.is_some());
        assert!(waiters.enter(b, MALLORY).is_none(), "the fourth of all got a place");
        drop((first, third));
        assert!(waiters.enter(b, ALICE).is_some());
        drop(second);
        let queues = waiters.lock();
        assert!(queues.by_key.is_empty() && queues.by_actor.is_empty() && queues.total == 0);
    }

    // covers: W2, K4
    #[test]
    fn an_actor_has_his_places_and_leaves_the_others() {
        let waiters = Waiters::new(64, 2, 4);
        let hers = [1, 2].map(|number| waiters.enter(key(number), MALLORY));
        assert!(hers.iter().all(Option::is_some));
        assert!(waiters.enter(key(1), MALLORY).is_none() && waiters.enter(key(3), MALLORY).is_none());
        assert!(!waiters.lock().by_key.contains_key(&key(3)), "who is refused leaves nothing");
        let theirs = [3, 4].map(|number| waiters.enter(key(number), ALICE));
        assert!(theirs.iter().all(Option::is_some));
        drop(theirs);
        assert!(waiters.enter(key(3), MALLORY).is_none(), "places of others are not hers");
        drop(hers);
        assert!(waiters.enter(key(3), MALLORY).is_some());
    }
}
