//! Moments that a holder's deadlines are counted from, on two clocks (L12).

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use onceward_core::time::Timestamp;
use onceward_store::Clock;
use tokio::time::{Instant, sleep_until};

/// How long somebody who waits for a moment sleeps before it looks at both clocks again: a machine that slept wakes its timers as if no
/// time had passed.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A moment as two clocks tell it: the one that timers go by, which stops while the machine sleeps, and the store's, which goes on.
///
/// Time has passed as soon as one of them says so. The other way round, a clock that lags never prolongs a deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    timer: Instant,
    clock: Timestamp,
}

impl Moment {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { timer: Instant::now(), clock: clock.now() }
    }

    /// Whether `time` has passed since.
    pub(crate) fn is_ago(self, time: Duration, clock: &dyn Clock) -> bool {
        Instant::now() >= self.on_timer(time) || clock.now() >= self.clock.after(time)
    }

    /// Ends once `time` has passed since. Looks at both clocks whenever it is polled, and polls itself every [`LOOK_PERIOD`].
    pub(crate) async fn passed(self, time: Duration, clock: &dyn Clock) {
        let end = self.on_timer(time);
        while !self.is_ago(time, clock) {
            let mut look = pin!(sleep_until(end.min(Instant::now() + LOOK_PERIOD)));
            poll_fn(
                |context| {
                    if self.is_ago(time, clock) { Poll::Ready(()) } else { look.as_mut().poll(context) }
                },
            )
            .await;
        }
    }

    /// When `time` has passed by the timers' clock alone, for those who wait for a store and not for the end of a lease.
    pub(crate) fn on_timer(self, time: Duration) -> Instant {
        later(self.timer, time)
    }
}

/// A deadline that is as good as none where the time of a policy has no end.
pub(crate) fn later(from: Instant, time: Duration) -> Instant {
    from.checked_add(time).unwrap_or(from + FOREVER)
}

/// Longer than any process lives.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
