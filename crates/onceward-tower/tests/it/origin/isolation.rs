//! Two actors never see, replay, block or probe each other (K4).

use std::time::Duration;

use http::Request;
use onceward_core::profile::Profile;
use onceward_tower::origin::OriginSettings;
use tower::ServiceExt;

use super::{keyed, state, told};
use crate::kit::{
    AnyBody, Count, LONG, Lines, Shop, World, ask, asking, cut, data, frames, response, site, text,
};

const ALICE: Lines = &[("authorization", "alice")];
const MALLORY: Lines = &[("authorization", "mallory")];

/// A site that does as the field `x-mode` says, which is no part of what is asked.
fn moody(world: &World, count: &Count) -> Shop {
    let count = count.clone();
    let site = site(move |request| {
        let count = count.clone();
        async move {
            let mode = request.headers().get("x-mode").cloned();
            let order = format!("order {}", count.add());
            Ok(match mode.as_ref().map(|mode| mode.to_str().unwrap()) {
                Some("hangs") => {
                    tokio::time::sleep(LONG).await;
                    response(201, &[], text(order))
                }
                Some("breaks") => response(201, &[], frames(vec![data("secret"), cut()])),
                Some("declines") => response(429, &[], text(order)),
                _ => response(201, &[("x-secret", "alice")], text(order)),
            })
        }
    });
    world.shop(OriginSettings::of(Profile::onceward()), site)
}

fn by(lines: Lines, mode: &'static str, body: &'static str) -> Request<AnyBody> {
    let mut request = keyed("POST /orders", "k", lines, body);
    request.headers_mut().insert("x-mode", mode.parse().unwrap());
    request
}

// covers: K4
#[tokio::test(start_paused = true)]
async fn what_became_of_one_actors_key_makes_no_difference_to_another() {
    let mut seen = Vec::new();
    for (mode, own_state) in [
        ("", "absent none"),
        ("hangs", "claimed unknown"),
        ("succeeds", "done done"),
        ("breaks", "in-doubt unknown"),
        ("declines", "absent none"),
    ] {
        let (world, count) = (World::start().await, Count::default());
        let shop = moody(&world, &count);
        if !mode.is_empty() {
            let first = shop.clone().oneshot(by(ALICE, mode, "a"));
            // Long enough to be claimed or done; a running one is left running.
            drop(tokio::time::timeout(Duration::from_secs(1), first).await);
        }
        assert_eq!(state(&shop, "k", ALICE).await, own_state, "{mode}");
        let began = tokio::time::Instant::now();
        // The status page, the same request, its repeat, another body, and the page again.
        let page = state(&shop, "k", MALLORY).await;
        let same = ask(&shop, by(MALLORY, "", "a")).await;
        let repeat = ask(&shop, by(MALLORY, "", "a")).await;
        let other = ask(&shop, by(MALLORY, "", "b")).await;
        let after = state(&shop, "k", MALLORY).await;
        let answers = format!("{page}|{same}|{repeat}|{other}|{after}|{:?}", began.elapsed());
        seen.push(answers.replace(&format!("order {}", count.get()), "order N"));
        assert_eq!(state(&shop, "k", ALICE).await, own_state, "{mode}: the owner's record was touched");
    }
    assert!(seen[0].starts_with("absent none|201\n") && seen[0].ends_with("|done done|0ns"), "{}", seen[0]);
    assert!(seen.iter().all(|answers| *answers == seen[0]), "{seen:#?}");
}

// covers: K4 C5
#[tokio::test(start_paused = true)]
async fn a_status_page_asked_by_another_actor_or_by_none_says_nothing() {
    let (world, count) = (World::start().await, Count::default());
    let shop = moody(&world, &count);
    assert_eq!(told(&shop, by(ALICE, "", "a")).await, "201 first order 1");
    let page = |lines| ask(&shop, keyed("GET /.well-known/idempotency/effects", "k", lines, ""));
    let unknown = ask(&shop, keyed("GET /.well-known/idempotency/effects", "never", MALLORY, "")).await;
    assert_eq!(page(MALLORY).await, unknown);
    assert_eq!(page(&[]).await, unknown);
    assert!(page(ALICE).await.contains("\\\"state\\\":\\\"done\\\""));
    const TWICE: Lines = &[("authorization", "alice"), ("authorization", "mallory")];
    assert_eq!(state(&shop, "k", TWICE).await, "403 actor-unknown");
    assert_eq!(
        told(&shop, asking("GET /.well-known/idempotency/effects", ALICE, "")).await,
        "400 key-missing"
    );
}

// covers: K4 W2
#[tokio::test(start_paused = true)]
async fn duplicates_that_wait_for_one_actor_take_no_place_in_anothers_queue() {
    let (world, count) = (World::start().await, Count::default());
    let shop = moody(&world, &count);
    for lines in [ALICE, MALLORY] {
        let running = shop.clone().oneshot(by(lines, "hangs", "a"));
        tokio::spawn(async move { drop(running.await) });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // More than may wait for one key.
    for _ in 0..100 {
        let waiting = shop.clone().oneshot(by(MALLORY, "hangs", "a"));
        tokio::spawn(async move { drop(waiting.await) });
    }
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    assert_eq!(told(&shop, by(ALICE, "hangs", "a")).await, "409 in-progress");
    assert_eq!(began.elapsed(), Duration::from_secs(5), "it waited its whole wait");
    assert_eq!(count.get(), 2);
}
