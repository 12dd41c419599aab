//! A holder on a machine that slept: timers stood still, and the lease did not (L12).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_core::{outcome::Policy, record::Attempt};
use onceward_engine::{Effected, Engine, Limits, StreamEnd};
use onceward_store::{Fault, Faults};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::kit::{World, answering, call, outcome, policy, told};

const SHORT: Duration = Duration::from_millis(50);

/// More than the lease of [`policy`], which is 15 s and of which its holder uses 12 s, and less than the time that its work may take.
const MINUTE: Duration = Duration::from_mins(1);

/// Work that does something every 300 ms, as long as it is let.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Noted>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Noted {
    done: usize,
    dropped_after: Option<Duration>,
}

impl Steps {
    const PERIOD: Duration = Duration::from_millis(300);

    fn noted(&self) -> Noted {
        *self.0.lock().unwrap()
    }

    fn begin(&self, engine: &Engine, policy: Policy, period: Duration) -> JoinHandle<String> {
        let (engine, steps, began) = (engine.clone(), self.clone(), Instant::now());
        tokio::spawn(async move {
            let effect = move |_: Attempt| async move {
                let _dropped = Dropped { steps: steps.clone(), began };
                loop {
                    sleep(period).await;
                    steps.0.lock().unwrap().done += 1;
                }
            };
            told(&engine.run::<&'static str, _, _>(call("k", "a", policy), effect).await)
        })
    }
}

struct Dropped {
    steps: Steps,
    began: Instant,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.steps.0.lock().unwrap().dropped_after = Some(self.began.elapsed());
    }
}

fn sweepless() -> Limits {
    Limits { sweep_period: Duration::from_hours(24 * 365), ..Limits::default() }
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn after_a_sleep_past_its_deadline_the_work_is_dropped_at_what_would_have_been_its_next_step() {
    let world = World::sound();
    let engine = world.engine(sweepless()).await;
    let steps = Steps::default();
    let running = steps.begin(&engine, policy(), Steps::PERIOD);
    sleep(Duration::from_millis(750)).await;
    world.sleep(MINUTE);
    assert_eq!(running.await.unwrap(), "outcome-unknown");
    // The third step was due at 900 ms, before any look at the clock: the work was woken then, and not polled.
    let dropped_after = Some(Duration::from_millis(900));
    assert_eq!(steps.noted(), Noted { done: 2, dropped_after });
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn work_that_nothing_wakes_is_dropped_within_a_second_of_waking() {
    let world = World::sound();
    let engine = world.engine(sweepless()).await;
    let steps = Steps::default();
    let running = steps.begin(&engine, policy(), MINUTE);
    sleep(SHORT).await;
    world.sleep(Duration::from_secs(12));
    assert_eq!(running.await.unwrap(), "outcome-unknown");
    let dropped_after = Some(Duration::from_secs(1));
    assert_eq!(steps.noted(), Noted { done: 0, dropped_after });
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn a_sleep_within_a_slow_renewal_ends_it() {
    // The start, the claim, and a renewal (after 5 s) that the store sits on.
    let faults = Faults::scripted([Fault::None, Fault::None, Fault::Late(Duration::from_secs(4))]);
    let world = World::new(7, faults);
    let engine = world.engine(sweepless()).await;
    let steps = Steps::default();
    let running = steps.begin(&engine, policy(), MINUTE);
    sleep(Duration::from_millis(5_500)).await;
    world.sleep(MINUTE);
    assert_eq!(running.await.unwrap(), "outcome-unknown");
    let dropped_after = Some(Duration::from_secs(6));
    assert_eq!(steps.noted(), Noted { done: 0, dropped_after });
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn a_renewed_lease_counts_from_when_it_was_asked_for() {
    // The start, the claim, a renewal that is asked for after 5 s and answered after 9 s, and none after that.
    let slow = [Fault::None, Fault::None, Fault::Late(Duration::from_secs(4))];
    let world = World::new(7, Faults::scripted(slow.into_iter().chain([Fault::Refused; 300])));
    let engine = world.engine(sweepless()).await;
    let steps = Steps::default();
    let running = steps.begin(&engine, policy(), MINUTE);
    assert_eq!(running.await.unwrap(), "outcome-unknown");
    let dropped_after = Some(Duration::from_secs(5 + 12));
    assert_eq!(steps.noted(), Noted { done: 0, dropped_after });
}

// covers: L3 L12
#[tokio::test(start_paused = true)]
async fn a_sleep_that_leaves_some_of_the_lease_is_followed_by_a_renewal_and_not_by_doubt() {
    let world = World::sound();
    let engine = world.engine(sweepless()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let (running, counter) = (engine.clone(), Arc::clone(&effects));
    let takes = Duration::from_secs(60);
    let first = tokio::spawn(async move {
        told(&running.run(call("k", "a", policy()), answering(&counter, takes, 201, "order 1")).await)
    });
    for _ in 0..3 {
        sleep(Duration::from_secs(6)).await;
        // With the 5 s until the timers' next renewal it would be past the deadline of 12 s.
        world.sleep(Duration::from_secs(9));
    }
    assert_eq!(first.await.unwrap(), "order 1 Recorded");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn a_claim_that_was_slept_over_is_not_worked_under() {
    let faults = Faults::scripted([Fault::None, Fault::Late(Duration::from_secs(2))]);
    let world = World::new(7, faults);
    let engine = world.engine(sweepless()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let (claiming, counter) = (engine.clone(), Arc::clone(&effects));
    let first = tokio::spawn(async move {
        told(&claiming.run(call("k", "a", policy()), answering(&counter, SHORT, 201, "order 1")).await)
    });
    sleep(Duration::from_secs(1)).await;
    world.sleep(MINUTE);
    assert_eq!(first.await.unwrap(), "store-unavailable");
    // The claim is given back, for nothing was sent under it.
    sleep(SHORT).await;
    let second = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!(told(&second), "order 2 Recorded");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn a_stream_that_was_slept_over_is_cut() {
    let world = World::sound();
    let engine = world.engine(sweepless()).await;
    let effect = |_: Attempt| async {
        let rest = Box::pin(async {
            sleep(Duration::from_secs(4)).await;
            StreamEnd::Whole { outcome: outcome(200, "all"), consumed: None }
        });
        Effected::Streaming { answer: "flowing", rest }
    };
    assert_eq!(told(&engine.run(call("k", "a", policy()), effect).await), "flowing Streaming");
    sleep(SHORT).await;
    world.engine_clock.jump(MINUTE);
    sleep(Duration::from_secs(5)).await;
    let repeat = engine.run(call("k", "a", policy()), effect).await;
    assert_eq!(told(&repeat), "outcome-unknown");
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn the_time_that_work_may_take_goes_on_while_the_machine_sleeps() {
    let world = World::sound();
    let engine = world.engine(sweepless()).await;
    let steps = Steps::default();
    let limited = Policy { lease: MINUTE * 60, run_time_max: MINUTE * 2, ..policy() };
    let running = steps.begin(&engine, limited, MINUTE * 60);
    sleep(SHORT).await;
    world.sleep(MINUTE * 2);
    assert_eq!(running.await.unwrap(), "outcome-unknown");
    let dropped_after = Some(Duration::from_secs(1));
    assert_eq!(steps.noted(), Noted { done: 0, dropped_after });
}
