//! What breaks around a guarded route: callers that leave, handlers that hang, stores that fail.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use http_body_util::BodyExt;
use onceward_core::{key::KeyPath, outcome::Policy, profile::Profile};
use onceward_store::{Fault, Faults};
use onceward_tower::origin::{Guarding, OriginSettings};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::kit::{
    AnyBody, COMMITTED, Count, FOREVER, LONG, Lines, Shop, Site, World, ask, halting, polled, problem,
    response, site, text,
};

/// The guard without what it advertises.
async fn told(shop: &Shop, request: Request<AnyBody>) -> String {
    let answer = ask(shop, request).await;
    answer.replace("accepts-idempotency-key: true\naccepts-intent-hash: sha256\n", "")
}

fn again(order: &str) -> String {
    format!("201\n{}\n{order}", crate::kit::replayed(0))
}

fn first(order: &str) -> String {
    format!("201\n{COMMITTED}\n{order}")
}

fn order(lines: Lines, body: AnyBody) -> Request<AnyBody> {
    let mut request = Request::post("/orders").body(body).unwrap();
    *request.headers_mut() = crate::kit::fields(lines);
    request
}

const KEY: Lines = &[("idempotency-key", "k")];

fn keyed(body: &'static str) -> Request<AnyBody> {
    order(KEY, text(body))
}

/// A site that waits before its effect and behind it.
fn slow(count: &Count) -> Site {
    let count = count.clone();
    site(move |request| {
        let count = count.clone();
        async move {
            request.into_body().collect().await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
            let order = format!("order {}", count.add());
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
            Ok(response(201, &[], text(order)))
        }
    })
}

fn by_profile() -> OriginSettings {
    OriginSettings::of(Profile::onceward())
}

/// A profile whose key stands in the body: `part part part ` is none.
fn by_member() -> OriginSettings {
    let guarding =
        Guarding { body_member: Some(KeyPath::members(&["key"])), ..Guarding::of(&Profile::onceward()) };
    OriginSettings { others: Some(guarding), ..by_profile() }
}

// covers: L6
#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_at_any_await_of_any_path_leaves_one_effect_or_none() {
    type Path = (&'static str, fn() -> OriginSettings, fn() -> Request<AnyBody>, bool);
    let status = || {
        let mut request = keyed("");
        (*request.method_mut(), *request.uri_mut()) =
            (http::Method::GET, "/.well-known/idempotency/effects".parse().unwrap());
        request
    };
    let json = || order(&[], text(r#"{"key":"k"}"#));
    // What is asked, and whether an order under its key was made before.
    let paths: [Path; 7] = [
        ("executes", by_profile, || order(KEY, halting(3)), false),
        ("replays", by_profile, || order(KEY, halting(3)), true),
        ("refuses another body", by_profile, || keyed("another"), true),
        ("passes", by_profile, || order(&[], halting(3)), true),
        ("seeks and passes", by_member, || order(&[], halting(3)), true),
        ("seeks and executes", by_member, json, false),
        ("tells the state", by_profile, status, true),
    ];
    for (path, settings, asked, is_made) in paths {
        let mut ended = false;
        for polls in 0.. {
            let label = format!("{path}, after {polls} polls");
            let (world, count) = (World::start().await, Count::default());
            let shop = world.shop(settings(), slow(&count));
            if is_made {
                assert_eq!(
                    told(&shop, order(KEY, text("part part part "))).await,
                    first("order 1"),
                    "{label}"
                );
            }
            ended = polled(&shop, asked(), polls).await;
            // Longer than an order takes.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let orders = count.get();
            let unguarded = usize::from(path.contains("passes") && orders == 2);
            assert_eq!(
                world.records().await,
                orders - unguarded,
                "{label}: a claim is left, or an effect unrecorded"
            );
            assert!(orders - unguarded <= 1, "{label}: {orders} orders");
            if !is_made {
                // The retry runs what did not, and learns of what did.
                let answer = told(&shop, asked()).await;
                assert!(answer.ends_with("\norder 1"), "{label}: {answer}");
                assert_eq!(answer.contains("intent-status: replayed"), orders == 1, "{label}: {answer}");
                assert_eq!(count.get(), 1, "{label}");
            }
            if ended {
                break;
            }
        }
        assert!(ended, "{path}");
    }
}

// covers: L6 W2
#[tokio::test(start_paused = true)]
async fn a_duplicate_that_leaves_while_it_waits_gives_its_place_back() {
    let (world, count) = (World::start().await, Count::default());
    let shop = world.shop(by_profile(), slow(&count));
    let running = shop.clone().oneshot(keyed("a"));
    let running = tokio::spawn(async move { running.await.unwrap().status() });
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Twice as many as may wait for one key at once.
    for left_after_ms in 1..=128 {
        let waiting =
            tokio::time::timeout(Duration::from_millis(left_after_ms % 8 + 1), ask(&shop, keyed("a")));
        assert!(waiting.await.is_err(), "it was answered");
    }
    assert_eq!(told(&shop, keyed("a")).await, again("order 1"), "it found a place to wait");
    assert_eq!((running.await.unwrap().as_u16(), count.get(), world.records().await), (201, 1, 1));
}

/// Notes when it is dropped.
struct Noted(Arc<Mutex<Option<Instant>>>);

impl Drop for Noted {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = Some(Instant::now());
    }
}

/// A site that never answers, and when its work was dropped.
fn hanging() -> (Site, Arc<Mutex<Option<Instant>>>) {
    let dropped_at = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&dropped_at);
    let site = site(move |_| {
        let guard = Noted(Arc::clone(&noted));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    (site, dropped_at)
}

// covers: L12 D1
#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_is_dropped_at_its_limit_and_doubted() {
    let policy = Policy { run_time_max: Duration::from_secs(90), ..Policy::middleware() };
    let guarding = Guarding { policy: Arc::new(policy), ..Guarding::of(&Profile::onceward()) };
    let (site, dropped_at) = hanging();
    let shop = World::start().await.shop(OriginSettings { others: Some(guarding), ..by_profile() }, site);
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(problem(&shop, keyed("a")).await, "409 outcome-unknown");
        assert_eq!(began.elapsed(), Duration::from_secs(90));
    }
    let dropped_at = dropped_at.lock().unwrap().expect("the work goes on");
    assert_eq!(dropped_at.duration_since(began), Duration::from_secs(90));
}

// covers: L3
#[tokio::test(start_paused = true)]
async fn a_handler_that_is_slower_than_its_lease_keeps_it() {
    let count = Count::default();
    let counted = count.clone();
    let patient = site(move |_| {
        let count = counted.clone();
        async move {
            // Forty leases.
            tokio::time::sleep(LONG).await;
            Ok(response(201, &[], text(format!("order {}", count.add()))))
        }
    });
    let shop = World::start().await.shop(by_profile(), patient);
    let began = Instant::now();
    assert_eq!(told(&shop, keyed("a")).await, first("order 1"));
    assert_eq!(began.elapsed(), LONG);
    assert_eq!(told(&shop, keyed("a")).await, again("order 1"));
    assert_eq!(count.get(), 1);
}

// covers: L12 L4
#[tokio::test(start_paused = true)]
async fn a_handler_whose_lease_cannot_be_renewed_is_dropped_in_time_and_doubted() {
    // The engine's look and the claim; then every renewal hangs.
    let faults = [Fault::None, Fault::None].into_iter().chain([Fault::Late(FOREVER); 3]);
    let (site, dropped_at) = hanging();
    let shop = World::failing(Faults::scripted(faults)).await.shop(by_profile(), site);
    let began = Instant::now();
    assert_eq!(problem(&shop, keyed("a")).await, "409 outcome-unknown");
    let dropped_at = dropped_at.lock().unwrap().expect("the work goes on");
    assert_eq!(dropped_at.duration_since(began), Duration::from_secs(12), "four fifths of the lease of 15 s");
    assert_eq!(problem(&shop, keyed("a")).await, "409 outcome-unknown");
}

// covers: S2
#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_before_the_claim_refuses_and_runs_nothing() {
    // Longer than a claim is tried for.
    let faults = [Fault::None].into_iter().chain([Fault::Refused; 20]);
    let world = World::failing(Faults::scripted(faults)).await;
    let count = Count::default();
    let shop = world.shop(by_profile(), slow(&count));
    let refused = ask(&shop, keyed("a")).await;
    assert!(refused.starts_with("503\n") && refused.contains("/problems/store-unavailable\\\""), "{refused}");
    let marks = "retry-after: 2\nidempotency-key-consumed: false\naccepts-idempotency-key";
    assert!(refused.contains(marks) && refused.contains("\\\"effect\\\":\\\"none\\\""), "{refused}");
    assert_eq!(count.get(), 0);
    assert_eq!(told(&shop, keyed("a")).await, first("order 1"));
}

// covers: L11 S2
#[tokio::test(start_paused = true)]
async fn a_store_that_stumbles_at_any_operation_makes_no_second_effect() {
    let kinds = [
        Fault::Refused,
        Fault::AnswerLost,
        Fault::Torn,
        Fault::Repeated,
        Fault::Late(Duration::from_secs(4)),
        Fault::Late(Duration::from_secs(20)),
    ];
    for fault in kinds {
        // One stumble, at each of the operations of a call, its repeat, and beyond.
        for at in 0..4 {
            let label = format!("{fault:?} at operation {at}");
            let faults = std::iter::repeat_n(Fault::None, 1 + at).chain([fault]);
            let world = World::failing(Faults::scripted(faults)).await;
            let count = Count::default();
            let shop = world.shop(by_profile(), slow(&count));
            let mut answers = Vec::new();
            for _ in 0..4 {
                answers.push(told(&shop, keyed("a")).await);
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            assert_eq!(count.get(), 1, "{label}: {answers:#?}");
            assert!(answers[3].ends_with("\norder 1"), "{label}: {answers:#?}");
            let firsts = answers.iter().filter(|answer| answer.contains("committed")).count();
            assert!(firsts <= 1, "{label}: {answers:#?}");
        }
    }
}

// covers: O6 L13
#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_after_the_effect_marks_the_answer_and_never_runs_it_again() {
    // The engine's look and the claim go through. Then the first caller's tries fail for its patience of 5 s, a retry's claims for as
    // long, and what is tried on meanwhile and for some seconds more.
    let faults = [Fault::None, Fault::None].into_iter().chain([Fault::Refused; 60]);
    let world = World::failing(Faults::scripted(faults)).await;
    let count = Count::default();
    let shop = world.shop(by_profile(), slow(&count));
    let unrecorded = "201\nidempotency-key-consumed: true\nintent-status: unknown\n\norder 1";
    assert_eq!(told(&shop, keyed("a")).await, unrecorded);
    assert_eq!(problem(&shop, keyed("a")).await, "503 store-unavailable");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let late = told(&shop, keyed("a")).await;
    assert!(late.contains("intent-status: replayed\n") && late.ends_with("\norder 1"), "{late}");
    assert_eq!(count.get(), 1);
}

// covers: O6 L4
#[tokio::test(start_paused = true)]
async fn a_store_that_stays_down_after_the_effect_leaves_a_doubt() {
    // Past the five minutes for which storing is tried.
    let faults = [Fault::None, Fault::None].into_iter().chain([Fault::Refused; 700]);
    let world = World::failing(Faults::scripted(faults)).await;
    let count = Count::default();
    let shop = world.shop(by_profile(), slow(&count));
    told(&shop, keyed("a")).await;
    // Tried twice a second at the most, with the pauses before it.
    tokio::time::sleep(Duration::from_secs(310)).await;
    loop {
        match problem(&shop, keyed("a")).await.as_str() {
            "503 store-unavailable" => tokio::time::sleep(Duration::from_secs(10)).await,
            answer => break assert_eq!(answer, "409 outcome-unknown"),
        }
    }
    assert_eq!(count.get(), 1);
}

// covers: L1 L11 O6
#[tokio::test(start_paused = true)]
async fn whatever_a_store_does_a_key_has_one_effect_at_the_most() {
    for seed in 0..40 {
        let world = World::failing(Faults::seeded(seed, 400, Duration::from_secs(30))).await;
        let count = Count::default();
        let shop = world.shop(by_profile(), slow(&count));
        for _ in 0..8 {
            let answer = told(&shop, keyed("a")).await;
            assert!(count.get() <= 1, "seed {seed}: {answer}");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
}
