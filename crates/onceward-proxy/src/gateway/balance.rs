//! Which instance of the service a request goes to.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use onceward_engine::UpstreamSeen;
use tokio::time::Instant;

use super::address::UpstreamUrl;
use super::health::{Health, Sighting};
use crate::pass_through::with_causes;
use crate::upstream::Origin;

/// The instances: the one with the fewest requests under way is next, and of several such the next in turn.
#[derive(Debug)]
pub(super) struct Balance {
    instances: Vec<Arc<Instance>>,
    turn: AtomicUsize,
}

/// One instance of the service.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) url: UpstreamUrl,
    /// What its shared connections are kept under.
    pub(super) origin: Origin,
    under_way: AtomicUsize,
    requests: AtomicU64,
    connect_failures: AtomicU64,
    health: Mutex<Health>,
}

/// A request under way at an instance, until its answer has ended.
#[derive(Debug)]
pub(super) struct Place(Arc<Instance>);

impl Balance {
    pub(super) fn new(urls: Vec<UpstreamUrl>) -> Self {
        let instance = |url: UpstreamUrl| {
            let origin = Origin { scheme: url.scheme, target: url.target.clone() };
            Arc::new(Instance {
                url,
                origin,
                under_way: AtomicUsize::new(0),
                requests: AtomicU64::new(0),
                connect_failures: AtomicU64::new(0),
                health: Mutex::default(),
            })
        };
        Self { instances: urls.into_iter().map(instance).collect(), turn: AtomicUsize::new(0) }
    }

    pub(super) fn instances(&self) -> &[Arc<Instance>] {
        &self.instances
    }

    /// The instances to try, the best first. With none up it is all of them: a refusal that may be needless helps nobody.
    pub(super) fn candidates(&self, now: Instant) -> Vec<Arc<Instance>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (front, back) = self.instances.split_at(turn.checked_rem(self.instances.len()).unwrap_or(0));
        let in_turn = || back.iter().chain(front).cloned();
        let mut up: Vec<_> = in_turn().filter(|instance| instance.is_up(now)).collect();
        if up.is_empty() {
            up.extend(in_turn());
        }
        up.sort_by_key(|instance| instance.under_way.load(Ordering::Relaxed));
        up
    }
}

impl Instance {
    /// Counts a request as under way here.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Takes note of what was seen of it, and says so where that changes whether it gets requests.
    pub(super) fn note(&self, sighting: Sighting, now: Instant) {
        if sighting == Sighting::Unreachable {
            self.connect_failures.fetch_add(1, Ordering::Relaxed);
        }
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let was_up = health.is_up(now);
        *health = health.on(sighting, now);
        match (was_up, health.is_up(now)) {
            (true, false) => tracing::warn!(upstream = %self.url, "an upstream is out"),
            (false, true) => tracing::warn!(upstream = %self.url, "an upstream is back"),
            (true, true) | (false, false) => {}
        }
    }

    /// What there is to say of it.
    pub(super) fn seen(&self, now: Instant) -> UpstreamSeen {
        UpstreamSeen {
            is_up: self.is_up(now),
            requests: self.requests.load(Ordering::Relaxed),
            connect_failures: self.connect_failures.load(Ordering::Relaxed),
        }
    }

    fn is_up(&self, now: Instant) -> bool {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).is_up(now)
    }
}

impl Place {
    /// Says that the answer of this request broke off. Its client learns it from the close alone.
    pub(super) fn note_cut(&self, error: &dyn std::error::Error) {
        tracing::warn!(upstream = %self.0.url, error = with_causes(error), "an answer was cut");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance() -> Balance {
        Balance::new(["http://a:1", "http://b:1", "http://c:1"].map(|url| url.parse().unwrap()).into())
    }

    fn order(balance: &Balance, now: Instant) -> String {
        balance.candidates(now).iter().map(|instance| instance.url.target.host.to_string()).collect()
    }

    #[test]
    fn idle_instances_take_turns_and_busy_ones_come_last() {
        let (balance, now) = (balance(), Instant::now());
        assert_eq!([(); 4].map(|()| order(&balance, now)), ["abc", "bca", "cab", "abc"]);
        let busy = balance.instances()[1].place();
        assert_eq!([(); 3].map(|()| order(&balance, now)), ["cab", "cab", "acb"]);
        drop(busy);
        assert_eq!(order(&balance, now), "bca");
    }

    #[test]
    fn an_instance_that_is_out_is_tried_only_when_all_are() {
        let (balance, now) = (balance(), Instant::now());
        let fail = |at: usize| (0..3).for_each(|_| balance.instances()[at].note(Sighting::Unreachable, now));
        fail(0);
        assert_eq!(order(&balance, now), "bc");
        fail(1);
        fail(2);
        assert_eq!(order(&balance, now), "bca");
    }
}
