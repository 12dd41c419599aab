//! The memory that the bodies of guarded requests share.

use std::{io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::Request;
use onceward_core::outcome::Policy;
use tokio::sync::Notify;

use crate::kit::{
    AnyBody, COMMITTED, Count, Guarded, Keyed, World, ask, cut, data, fed, frames, post, post_with, problem,
    replayed, response, site, text,
};

const KIB: usize = 1_024;

/// What the tests' bodies share.
const HELD_MAX: usize = 4 * KIB;

/// A body that takes all of it.
fn whole(key: &str) -> Request<AnyBody> {
    post(key, vec![b'a'; HELD_MAX])
}

fn count_guard(world: &World, count: &Count) -> Guarded {
    let site = count.site(|_| response(201, &[], text("")));
    world.guard_holding(HELD_MAX, Keyed::by(Policy::middleware()), site)
}

/// A guard whose site answers once it is let, and what lets it.
fn slow_guard(world: &World) -> (Guarded, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let slow = site(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            Ok(response(201, &[], text("")))
        }
    });
    (world.guard_holding(HELD_MAX, Keyed::by(Policy::middleware()), slow), go_on)
}

/// Begins a request and lets it come as far as it does by itself.
async fn begin(guarded: &Guarded, request: Request<AnyBody>) -> tokio::task::JoinHandle<String> {
    let guarded = guarded.clone();
    let running = tokio::spawn(async move { ask(&guarded, request).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!running.is_finished());
    running
}

// covers: S1
#[tokio::test(start_paused = true)]
async fn a_body_that_finds_no_room_is_refused_at_once_and_claims_nothing() {
    let world = World::start().await;
    let (guarded, go_on) = slow_guard(&world);
    let first = begin(&guarded, post("first", vec![b'a'; 3 * KIB])).await;
    // Also with its bytes in pieces, of which the first ones found room.
    let pieces = || frames(vec![data(vec![b'a'; 512]), data(vec![b'a'; KIB])]);
    for body in [text(vec![b'a'; KIB + 1]), pieces()] {
        let refused = ask(&guarded, post_with("second", &[], body)).await;
        assert!(refused.starts_with("503\n") && refused.contains("/overloaded\\\""), "{refused}");
        assert!(refused.contains("\nretry-after: 1\nidempotency-key-consumed: false\n"), "{refused}");
    }
    assert_eq!(world.records().await, 1);
    // What is left is there for whoever fits; a key's own repeat needs room for its body, too.
    let small = begin(&guarded, post("small", vec![b'a'; KIB])).await;
    assert_eq!(problem(&guarded, post("first", vec![b'a'; 3 * KIB])).await, "503 overloaded");
    go_on.notify_waiters();
    for ended in [first, small] {
        assert_eq!(ended.await.unwrap(), format!("201\n{COMMITTED}\n"));
    }
    let repeated = ask(&guarded, post("first", vec![b'a'; 3 * KIB])).await;
    assert_eq!(repeated, format!("201\n{}\n", replayed(0)));
}

// covers: S1
#[tokio::test(start_paused = true)]
async fn answers_refusals_and_bodies_that_break_off_give_their_room_back() {
    let (world, count) = (World::start().await, Count::default());
    let guarded = count_guard(&world, &count);
    let cases: [(&str, Request<AnyBody>, &str); 6] = [
        ("an answer", whole("a"), "201"),
        ("a replay", whole("a"), "201"),
        ("a reused key", post("a", vec![b'b'; HELD_MAX]), "422"),
        (
            "a body that has no form",
            post_with("b", &[("content-type", "application/json")], text("{")),
            "400",
        ),
        (
            "a body that broke off",
            post_with("c", &[], frames(vec![data(vec![b'a'; HELD_MAX]), cut()])),
            "400",
        ),
        (
            "a body past its policy's limit",
            post_with("d", &[], frames(vec![data(vec![b'a'; HELD_MAX]), data(vec![b'a'; 32 * KIB * KIB])])),
            "413",
        ),
    ];
    for (name, request, status) in cases {
        let answer = ask(&guarded, request).await;
        assert!(answer.starts_with(status), "{name}: {answer}");
        let probe = format!("after-{}", name.replace(' ', "-"));
        assert_eq!(ask(&guarded, whole(&probe)).await, format!("201\n{COMMITTED}\n"), "{name}");
    }
}

// covers: S1 L6
#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_gives_its_room_back_when_nothing_holds_its_body() {
    let world = World::start().await;
    let (guarded, go_on) = slow_guard(&world);
    // While its body is read, that is at once.
    let (feed, body) = fed(2);
    feed.send(data(vec![b'a'; HELD_MAX])).await.unwrap();
    let reading = begin(&guarded, post_with("reading", &[], body)).await;
    assert_eq!(problem(&guarded, post("small", "a")).await, "503 overloaded");
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    // While its effect runs, that is when it ends.
    let running = begin(&guarded, whole("running")).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(problem(&guarded, post("small", "a")).await, "503 overloaded");
    go_on.notify_waiters();
    tokio::time::sleep(Duration::from_secs(1)).await;
    go_on.notify_one();
    assert_eq!(ask(&guarded, whole("after")).await, format!("201\n{COMMITTED}\n"));
}

// covers: S1
#[tokio::test(start_paused = true)]
async fn a_body_that_alone_exceeds_the_budget_is_read_alone() {
    let world = World::start().await;
    let (guarded, go_on) = slow_guard(&world);
    let small = begin(&guarded, post("small", "a")).await;
    let large = || post("large", vec![b'a'; 2 * HELD_MAX]);
    assert_eq!(problem(&guarded, large()).await, "503 overloaded");
    go_on.notify_waiters();
    small.await.unwrap();
    let alone = begin(&guarded, large()).await;
    assert_eq!(problem(&guarded, post("other", "a")).await, "503 overloaded");
    go_on.notify_waiters();
    assert_eq!(alone.await.unwrap(), format!("201\n{COMMITTED}\n"));
}

// covers: S1
#[tokio::test(start_paused = true)]
async fn what_a_body_decodes_to_counts() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&[b'a'; 3 * KIB]).unwrap();
    let encoded = Bytes::from(encoder.finish().unwrap());
    assert!(encoded.len() < KIB, "{} bytes", encoded.len());
    let world = World::start().await;
    let (guarded, go_on) = slow_guard(&world);
    let zipped = |key: &str| post_with(key, &[("content-encoding", "gzip")], text(encoded.clone()));
    let first = begin(&guarded, zipped("first")).await;
    assert_eq!(problem(&guarded, post("other", "a")).await, "503 overloaded");
    assert_eq!(world.records().await, 1);
    go_on.notify_waiters();
    assert_eq!(first.await.unwrap(), format!("201\n{COMMITTED}\n"));
    let small = begin(&guarded, post("small", "a")).await;
    assert_eq!(problem(&guarded, zipped("second")).await, "503 overloaded");
    go_on.notify_waiters();
    small.await.unwrap();
}
