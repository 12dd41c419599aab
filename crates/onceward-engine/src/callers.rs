//! How many calls of each actor are under way (S1).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use onceward_core::actor::ActorTag;

/// Calls under way, by actor: nobody alone takes all places.
#[derive(Clone)]
pub(crate) struct Callers {
    /// Holds actors with calls under way, and no others.
    calls: Arc<Mutex<HashMap<ActorTag, usize>>>,
    per_actor_max: usize,
}

impl Callers {
    pub(crate) fn new(per_actor_max: usize) -> Self {
        Self { calls: Arc::default(), per_actor_max }
    }

    /// A place for a call of `actor` for as long as it is kept; `None` where he has all of his.
    pub(crate) fn enter(&self, actor: ActorTag) -> Option<Calling> {
        // Counts stay whole wherever a thread ends: each change is one statement.
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(actor).or_default();
        if *count >= self.per_actor_max {
            return None;
        }
        *count += 1;
        Some(Calling { callers: self.clone(), actor })
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("per_actor_max", &self.per_actor_max).finish_non_exhaustive()
    }
}

/// The place of one call.
#[derive(Debug)]
pub(crate) struct Calling {
    callers: Callers,
    actor: ActorTag,
}

impl Drop for Calling {
    fn drop(&mut self) {
        let mut calls = self.callers.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = calls.get_mut(&self.actor) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&self.actor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: S1, K4
    #[test]
    fn an_actor_has_his_places_and_no_others() {
        let callers = Callers::new(2);
        let [mallory, alice] = [[1; 8], [2; 8]].map(ActorTag::from_bytes);
        let first = callers.enter(mallory);
        let second = callers.enter(mallory);
        assert!(first.is_some() && second.is_some());
        assert!(callers.enter(mallory).is_none());
        assert!(callers.enter(alice).is_some());
        drop(first);
        assert!(callers.enter(mallory).is_some());
        drop(second);
        assert!(callers.calls.lock().unwrap().is_empty(), "who has no call takes no memory");
    }
}
