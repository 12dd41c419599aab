//! Many at once: duplicates of one key, and one actor with very many keys.

use std::{sync::Arc, time::Duration};

use http::Request;
use onceward_core::{outcome::Policy, profile::Profile};
use onceward_engine::Limits;
use onceward_store::MemoryLimits;
use onceward_tower::origin::{Guarding, OriginSettings};
use tokio::{sync::Semaphore, time::Instant};

use crate::kit::{AnyBody, COMMITTED, Count, LONG, Shop, World, ask, asking, problem, response, site, text};

const ADVERTISED: &str = "accepts-idempotency-key: true\naccepts-intent-hash: sha256\n";

fn order(actor: &str, key: &str) -> Request<AnyBody> {
    let mut request = asking("POST /orders", &[], "a");
    request.headers_mut().insert("authorization", actor.parse().unwrap());
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// A shop whose every order waits until the test lets it go, and the gate.
fn gated(world: &World, count: &Count, policy: Policy) -> (Arc<Semaphore>, Shop) {
    let (gate, count) = (Arc::new(Semaphore::new(0)), count.clone());
    let closed = Arc::clone(&gate);
    let site = site(move |_| {
        let (gate, count) = (Arc::clone(&closed), count.clone());
        async move {
            gate.acquire_owned().await.unwrap().forget();
            Ok(response(201, &[], text(format!("order {}", count.add()))))
        }
    });
    let guarding = Guarding { policy: Arc::new(policy), ..Guarding::of(&Profile::onceward()) };
    let settings = OriginSettings { others: Some(guarding), ..OriginSettings::of(Profile::onceward()) };
    (gate, world.shop(settings, site))
}

// covers: L1 W1 W2 S1
#[tokio::test(start_paused = true)]
async fn thousands_of_duplicates_at_once_are_one_effect() {
    const DUPLICATES: usize = 2_000;
    // As many as may wait for one key.
    const WAITERS: usize = 64;
    let (world, count) = (World::start().await, Count::default());
    let (gate, shop) = gated(&world, &count, Policy::middleware());
    let asked: Vec<_> = (0..DUPLICATES)
        .map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { (ask(&shop, order("alice", "k")).await, Instant::now()) })
        })
        .collect();
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.add_permits(DUPLICATES);
    let (mut first, mut replayed, mut refused) = (0, 0, 0);
    for asked in asked {
        let (answer, at) = asked.await.unwrap();
        if answer == format!("201\n{COMMITTED}{ADVERTISED}\norder 1") {
            first += 1;
        } else if answer.contains("intent-status: replayed\n") && answer.ends_with("\norder 1") {
            replayed += 1;
        } else {
            assert!(answer.starts_with("409\n") && answer.contains("/problems/in-progress\\\""), "{answer}");
            assert_eq!(at, started, "who finds no place to wait is told at once");
            refused += 1;
        }
    }
    assert_eq!((first, replayed, refused), (1, WAITERS, DUPLICATES - 1 - WAITERS));
    assert_eq!((count.get(), world.records().await), (1, 1));
}

// covers: S1 L1
#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_new_keys_and_forgets_none() {
    const RECORDS_MAX: usize = 500;
    let memory = MemoryLimits { records_max: RECORDS_MAX as u64, ..MemoryLimits::default() };
    let (world, count) = (World::within(Limits::default(), memory).await, Count::default());
    let (gate, shop) = gated(&world, &count, Policy::middleware());
    gate.add_permits(2 * RECORDS_MAX);
    assert!(ask(&shop, order("alice", "early")).await.starts_with("201\n"));
    for key in 0..2 * RECORDS_MAX {
        let answer = ask(&shop, order("mallory", &format!("k{key}"))).await;
        let expected = if key < RECORDS_MAX - 1 { "201\n" } else { "503\n" };
        assert!(answer.starts_with(expected), "key {key}: {answer}");
    }
    assert_eq!(count.get(), RECORDS_MAX);
    // What is known is answered, and what is new is told so at once.
    let early = ask(&shop, order("alice", "early")).await;
    assert!(early.contains("intent-status: replayed\n") && early.ends_with("\norder 1"), "{early}");
    let began = Instant::now();
    let refused = ask(&shop, order("alice", "late")).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(refused.contains("/problems/overloaded\\\""), "{refused}");
    let marks = "retry-after: 1\nidempotency-key-consumed: false\n";
    assert!(refused.contains(marks), "{refused}");
    assert_eq!(count.get(), RECORDS_MAX, "nothing ran that could not be remembered");
}

// covers: S1 K4
#[tokio::test(start_paused = true)]
async fn calls_at_once_are_bounded_and_the_rest_refused_until_one_ends() {
    let limits = Limits { calls_max: 8, ..Limits::default() };
    let (world, count) = (World::within(limits, MemoryLimits::default()).await, Count::default());
    let patient = Policy { wait: LONG, ..Policy::middleware() };
    let (gate, shop) = gated(&world, &count, patient);
    // Running calls and waiting duplicates count alike.
    for key in ["a", "a", "b", "b", "b", "c", "d", "e"] {
        let shop = shop.clone();
        tokio::spawn(async move { drop(ask(&shop, order("mallory", key)).await) });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    assert_eq!(problem(&shop, order("alice", "k")).await, "503 overloaded");
    assert_eq!(began.elapsed(), Duration::ZERO);
    gate.add_permits(6);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let served = ask(&shop, order("alice", "k")).await;
    assert_eq!(served, format!("201\n{COMMITTED}{ADVERTISED}\norder 6"));
}

// covers: S1 K4
#[tokio::test(start_paused = true)]
async fn an_actor_who_takes_all_his_places_leaves_those_of_others() {
    let limits = Limits { calls_per_actor_max: 2, ..Limits::default() };
    let (world, count) = (World::within(limits, MemoryLimits::default()).await, Count::default());
    let patient = Policy { wait: LONG, ..Policy::middleware() };
    let (gate, shop) = gated(&world, &count, patient);
    for key in ["a", "b"] {
        let shop = shop.clone();
        tokio::spawn(async move { drop(ask(&shop, order("mallory", key)).await) });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(problem(&shop, order("mallory", "c")).await, "503 overloaded");
    gate.add_permits(3);
    let served = ask(&shop, order("alice", "k")).await;
    assert!(served.starts_with("201\n"), "{served}");
}
