//! Answers that flow: too large to be held, events, and slow ones.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use onceward_core::outcome::Policy;
use onceward_tower::ResponseBody;
use tokio::{sync::mpsc, time::Instant};
use tower::ServiceExt;

use crate::kit::{
    AnyBody, COMMITTED, Count, Guarded, Keyed, LONG, Lines, Piece, World, ask, cut, data, fed, frames,
    guarded, post, problem, replayed, response, site, written,
};

const EVENTS: Lines = &[("content-type", "text/event-stream; charset=utf-8")];

type Answer = Response<ResponseBody<AnyBody>>;

async fn begin(guarded: &Guarded) -> Answer {
    guarded.clone().oneshot(post("k", "a")).await.unwrap()
}

async fn next(answer: &mut Answer) -> Bytes {
    answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap()
}

/// A guard around a site that answers once, with a body that the test feeds.
async fn streaming(world: &World, policy: Policy, lines: Lines) -> (mpsc::Sender<Piece>, Guarded) {
    let (feed, body) = fed(64);
    let once = Arc::new(Mutex::new(Some(body)));
    let site = site(move |_| {
        let body = once.lock().unwrap().take().expect("the site was asked twice");
        async move { Ok(response(200, lines, body)) }
    });
    (feed, world.guard(Keyed::by(policy), site))
}

// covers: O7
#[tokio::test(start_paused = true)]
async fn what_is_too_large_flows_and_its_retry_learns_the_status() {
    let policy = Policy { outcome_bytes_max: 10, ..Policy::middleware() };
    let (feed, guarded) = streaming(&World::start().await, policy, &[]).await;
    feed.send(data("0123456789")).await.unwrap();
    feed.send(data("x")).await.unwrap();
    let mut answer = begin(&guarded).await;
    assert_eq!(next(&mut answer).await, "0123456789", "the first bytes came before the last were there");
    feed.send(data("end")).await.unwrap();
    drop(feed);
    assert_eq!(written(answer).await, format!("200\n{COMMITTED}\nxend"));
    let refused = ask(&guarded, post("k", "a")).await;
    assert!(refused.starts_with("409\n"), "{refused}");
    assert!(refused.contains("/problems/outcome-not-kept\\\""), "{refused}");
    let detail = "The first request was answered 200; the answer was too large to keep.";
    assert!(refused.contains(detail), "{refused}");
    assert!(refused.contains("idempotency-key-consumed: true\nintent-status: replayed\n"), "{refused}");
}

// covers: O7
#[tokio::test(start_paused = true)]
async fn what_just_fits_is_kept() {
    let count = Count::default();
    let site = count.site(|_| response(200, &[], frames(vec![data("01234"), data("56789")])));
    let policy = Policy { outcome_bytes_max: 10, ..Policy::middleware() };
    let guarded = World::start().await.guard(Keyed::by(policy), site);
    assert_eq!(ask(&guarded, post("k", "a")).await, format!("200\n{COMMITTED}\n0123456789"));
    assert_eq!(ask(&guarded, post("k", "a")).await, format!("200\n{}\n0123456789", replayed(0)));
}

// covers: O8
#[tokio::test(start_paused = true)]
async fn events_flow_one_by_one_and_are_kept_within_the_limit() {
    let (feed, guarded) = streaming(&World::start().await, Policy::middleware(), EVENTS).await;
    let began = Instant::now();
    let mut answer = begin(&guarded).await;
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        feed.send(data(event)).await.unwrap();
        assert_eq!(next(&mut answer).await, event);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "an event was held back");
    drop(feed);
    assert_eq!(answer.body_mut().frame().await.map(|_| ()), None);
    let repeated = format!(
        "200\ncontent-type: text/event-stream; charset=utf-8\n{}\ndata: 1\\n\\ndata: 2\\n\\n",
        replayed(0)
    );
    assert_eq!(ask(&guarded, post("k", "a")).await, repeated);
}

// covers: O8
#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_held_for_five_seconds_and_then_flows() {
    let (feed, guarded) = streaming(&World::start().await, Policy::middleware(), &[]).await;
    feed.send(data("early ")).await.unwrap();
    let began = Instant::now();
    let mut answer = begin(&guarded).await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert_eq!(next(&mut answer).await, "early ");
    feed.send(data("late")).await.unwrap();
    assert_eq!(next(&mut answer).await, "late");
    drop(feed);
    assert_eq!(answer.body_mut().frame().await.map(|_| ()), None);
    assert_eq!(ask(&guarded, post("k", "a")).await, format!("200\n{}\nearly late", replayed(0)));
}

// covers: O1 O8 L6
#[tokio::test(start_paused = true)]
async fn an_answer_is_recorded_whose_reader_goes_away() {
    let (feed, guarded) = streaming(&World::start().await, Policy::middleware(), EVENTS).await;
    let mut answer = begin(&guarded).await;
    feed.send(data("seen ")).await.unwrap();
    assert_eq!(next(&mut answer).await, "seen ");
    drop(answer);
    for _ in 0..100 {
        feed.send(data("unseen ")).await.unwrap();
    }
    drop(feed);
    let content = format!("seen {}", "unseen ".repeat(100));
    let repeated = format!("200\ncontent-type: text/event-stream; charset=utf-8\n{}\n{content}", replayed(0));
    assert_eq!(ask(&guarded, post("k", "a")).await, repeated);
}

// covers: O8 S1
#[tokio::test(start_paused = true)]
async fn a_reader_that_is_slow_slows_the_origin() {
    let (feed, guarded) = streaming(&World::start().await, Policy::middleware(), EVENTS).await;
    let mut answer = begin(&guarded).await;
    let mut sent = 0;
    while tokio::time::timeout(LONG, feed.send(data("event"))).await.is_ok() {
        sent += 1;
        assert!(sent < 200, "frames pile up behind a reader that reads none");
    }
    // 64 in the site's own queue, 8 on the way, and one in hand.
    assert_eq!(sent, 73);
    next(&mut answer).await;
    tokio::time::timeout(LONG, feed.send(data("event"))).await.unwrap().unwrap();
}

// covers: O4 L5
#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_doubt_whether_it_was_held_or_flowed() {
    let count = Count::default();
    let held = count.site(|_| response(200, &[], frames(vec![data("half"), cut()])));
    let held = guarded(held).await;
    for _ in 0..2 {
        assert_eq!(problem(&held, post("k", "a")).await, "409 outcome-unknown");
    }
    let flowing = count.site(|_| response(200, EVENTS, frames(vec![data("half"), cut()])));
    let flowing = guarded(flowing).await;
    let mut answer = begin(&flowing).await;
    assert_eq!(next(&mut answer).await, "half");
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap_err().to_string(), "cut");
    assert_eq!(problem(&flowing, post("k", "a")).await, "409 outcome-unknown");
    assert_eq!(count.get(), 2);
}

// covers: O4 L12
#[tokio::test(start_paused = true)]
async fn an_answer_that_the_guard_gives_up_does_not_look_whole() {
    let limited = Policy { run_time_max: Duration::from_secs(60), ..Policy::middleware() };
    let (feed, guarded) = streaming(&World::start().await, limited, EVENTS).await;
    feed.send(data("half")).await.unwrap();
    let mut answer = begin(&guarded).await;
    assert_eq!(next(&mut answer).await, "half");
    let end = answer.body_mut().frame().await;
    let cause = end.expect("the answer ended as if it were whole").unwrap_err();
    assert_eq!(cause.to_string(), "the answer was given up before its end");
    assert_eq!(problem(&guarded, post("k", "a")).await, "409 outcome-unknown");
}

// covers: L6 O4
#[tokio::test(start_paused = true)]
async fn an_answer_that_draining_stops_does_not_look_whole() {
    let world = World::start().await;
    let (feed, guarded) = streaming(&world, Policy::middleware(), EVENTS).await;
    feed.send(data("half")).await.unwrap();
    let mut answer = begin(&guarded).await;
    let report = world.engine.drain(Duration::from_secs(1)).await;
    assert_eq!((report.finished, report.stopped), (0, 1));
    assert_eq!(next(&mut answer).await, "half");
    assert!(answer.body_mut().frame().await.expect("the answer ended as if it were whole").is_err());
}

// covers: C2 O4
#[tokio::test(start_paused = true)]
async fn an_answer_that_declines_says_so_also_where_it_flows() {
    let count = Count::default();
    let policy = Policy { outcome_bytes_max: 1, ..Policy::middleware() };
    let site = count.site(|_| response(429, &[], frames(vec![data("too many")])));
    let guarded = World::start().await.guard(Keyed::by(policy), site);
    for runs in 1..=2 {
        let answer = ask(&guarded, post("k", "a")).await;
        assert_eq!(answer, "429\nidempotency-key-consumed: false\n\ntoo many");
        assert_eq!(count.get(), runs);
    }
}
