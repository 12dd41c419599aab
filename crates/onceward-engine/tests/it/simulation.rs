//! Many seeded runs of a small world: clients that retry, a store that fails, clocks that jump, processes that die.
//!
//! After each step: no key has more than one effect. In the end: what is neither done nor in doubt still runs, once. A failing seed is
//! printed; `ONCEWARD_SIM_SEED` in the environment of the test runs that one alone.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use onceward_core::{
    outcome::{Evidence, Policy, Untouched},
    record::DoubtReason,
};
use onceward_engine::{Effected, Engine, Limits, Probe, Ran, Stage};
use onceward_store::Faults;
use tokio::task::JoinSet;

use crate::kit::{Seeded, World, call, outcome, told};

const SEEDS: u64 = 150;
const CLIENTS: u64 = 6;
const TRIES: u64 = 5;
const KEYS: [&str; 3] = ["k0", "k1", "k2"];

/// The shop: what really happened, whatever anybody was told.
#[derive(Default)]
struct Shop(Mutex<HashMap<&'static str, u64>>);

impl Shop {
    fn book(&self, key: &'static str, seed: u64) {
        let mut booked = self.0.lock().unwrap();
        let effects = booked.entry(key).or_default();
        *effects += 1;
        assert_eq!(*effects, 1, "seed {seed}: {key} took effect twice");
    }

    fn booked(&self, key: &str) -> u64 {
        self.0.lock().unwrap().get(key).copied().unwrap_or(0)
    }
}

/// Kills the process of a call at a random stage: its task unwinds there, and whatever it held stays as it is.
struct Death {
    random: Arc<Seeded>,
    per_mille: u64,
}

impl fmt::Debug for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Death")
    }
}

impl Probe for Death {
    fn reached(&self, stage: Stage) {
        if self.random.below(1_000) < self.per_mille {
            std::panic::resume_unwind(Box::new(stage));
        }
    }
}

/// One visit of the shop by a request that got through, with everything that can go wrong on the way.
async fn visit(shop: Arc<Shop>, random: Arc<Seeded>, key: &'static str, seed: u64) -> Effected<&'static str> {
    let pause = |random: &Seeded| Duration::from_millis(random.below(8_000));
    tokio::time::sleep(pause(&random)).await;
    match random.below(10) {
        0 => return Effected::Unanswered(Evidence::Untouched(Untouched::ConnectFailed)),
        1 => return Effected::Unanswered(Evidence::Unknown(DoubtReason::NoAnswer)),
        _ => {}
    }
    shop.book(key, seed);
    tokio::time::sleep(pause(&random)).await;
    match random.below(10) {
        0 => Effected::Unanswered(Evidence::Unknown(DoubtReason::AnswerCut)),
        1 => Effected::Whole { answer: "bad gateway", outcome: outcome(502, "bad gateway"), consumed: None },
        2 => panic!("the handler fails after its effect"),
        _ => Effected::Whole { answer: "order", outcome: outcome(201, "order"), consumed: None },
    }
}

fn policy() -> Policy {
    Policy { wait: Duration::from_secs(4), lease: Duration::from_secs(6), ..Policy::forward_proxy() }
}

async fn client(engines: Vec<Engine>, shop: Arc<Shop>, random: Arc<Seeded>, seed: u64) {
    for _ in 0..TRIES {
        let key = KEYS[random.below(KEYS.len() as u64) as usize];
        let engine = engines[random.below(engines.len() as u64) as usize].clone();
        let (visited, chance) = (Arc::clone(&shop), Arc::clone(&random));
        let running = engine.run(call(key, "a", policy()), move |_| visit(visited, chance, key, seed));
        let patience = Duration::from_millis(500 + random.below(12_000));
        // An agent that loses patience drops its request and repeats it.
        if let Ok(ran) = tokio::time::timeout(patience, running).await
            && let Ran::Answered { .. } | Ran::Stored { .. } = &ran
            && told(&ran).starts_with("order")
        {
            assert_eq!(shop.booked(key), 1, "seed {seed}: {key} was answered and never happened");
        }
        tokio::time::sleep(Duration::from_millis(random.below(2_000))).await;
    }
}

async fn play(seed: u64) {
    let world = World::new(seed, Faults::seeded(seed, 120, Duration::from_secs(3)));
    let random = Seeded::new(seed.wrapping_mul(31).wrapping_add(17));
    let mut engines = Vec::new();
    for _ in 0..2 {
        let engine = world.engine(Limits::default()).await;
        engine.watch(Arc::new(Death { random: Arc::clone(&random), per_mille: 30 }));
        engines.push(engine);
    }
    let shop = Arc::new(Shop::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(engines.clone(), Arc::clone(&shop), Arc::clone(&random), seed));
    }
    let jumped = world.clone();
    let jumps = Arc::clone(&random);
    let jumping = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5 + jumps.below(30))).await;
            let time = Duration::from_millis(jumps.below(20_000));
            // The store's clock steps, or the machine sleeps.
            match jumps.below(2) {
                0 => jumped.store_clock.jump(time),
                _ => jumped.sleep(time),
            }
        }
    });
    while let Some(ended) = clients.join_next().await {
        ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    jumping.abort();
    for engine in &engines {
        engine.drain(Duration::from_secs(60)).await;
    }
    nothing_is_lost(&world, &shop, seed).await;
}

/// A sound process on the same store finds each key done, in doubt, or free; what is free runs, once.
async fn nothing_is_lost(world: &World, shop: &Arc<Shop>, seed: u64) {
    let engine = world.engine(Limits::default()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    for key in KEYS {
        let mut last = String::new();
        for _ in 0..10 {
            let before = shop.booked(key);
            let booking = Arc::clone(shop);
            let ran = engine.run(call(key, "a", policy()), move |_| async move {
                booking.book(key, seed);
                Effected::Whole { answer: "order", outcome: outcome(201, "order"), consumed: None }
            });
            last = told(&ran.await);
            match last.as_str() {
                "order Recorded" | "order Unrecorded" => {
                    assert_eq!((before, shop.booked(key)), (0, 1), "seed {seed}: {key}");
                }
                "order stored Repeat Same" => {
                    assert_eq!(shop.booked(key), 1, "seed {seed}: {key} is replayed and never happened");
                }
                "outcome-unknown" => {}
                // The store is still the faulty one, or an unused claim is being given back.
                "store-unavailable" | "in-progress" => {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                    continue;
                }
                other => panic!("seed {seed}: {key} was told {other}"),
            }
            break;
        }
        assert!(
            matches!(
                last.as_str(),
                "order Recorded" | "order Unrecorded" | "order stored Repeat Same" | "outcome-unknown"
            ),
            "seed {seed}: {key} ended as {last}"
        );
    }
}

// covers: L1 L2 L4 L6 L9 L11 L12 L13
#[test]
fn no_key_takes_effect_twice_and_none_is_lost() {
    let seeds = match std::env::var("ONCEWARD_SIM_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).unwrap(),
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(seed));
    }
}
