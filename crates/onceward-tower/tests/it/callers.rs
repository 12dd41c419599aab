//! Callers that leave, and services that fail.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use onceward_core::{
    outcome::{Evidence, OnPanic, Policy, Untouched},
    record::DoubtReason,
};

use crate::kit::{
    Broken, Count, Keyed, LONG, Lines, Piece, Trouble, World, ask, halting, polled, post, post_with, problem,
    replayed, response, site, text,
};

/// A site that waits twice before its effect and twice behind it, and answers in two frames with a wait between.
fn slow(count: &Count, lines: Lines) -> crate::kit::Site {
    let count = count.clone();
    site(move |request| {
        let count = count.clone();
        async move {
            assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "part part part ");
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
            count.add();
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
            Ok(response(201, lines, halting(2)))
        }
    })
}

// covers: L6 S6
#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_at_any_point_leaves_nothing_or_one_finished_effect() {
    const EVENTS: Lines = &[("content-type", "text/event-stream")];
    for lines in [&[], EVENTS] {
        let (mut untouched, mut finished) = (0, 0);
        for polls in 0.. {
            let (world, count) = (World::start().await, Count::default());
            let guarded = world.guard(Keyed::by(Policy::middleware()), slow(&count, lines));
            let is_end = polled(&guarded, post_with("k", &[], halting(3)), polls).await;
            tokio::time::sleep(LONG).await;
            assert_eq!(world.records().await, count.get(), "after {polls} polls");
            match count.get() {
                0 => untouched += 1,
                1 => finished += 1,
                more => panic!("{more} effects after {polls} polls"),
            }
            let repeat = ask(&guarded, post_with("k", &[], halting(3))).await;
            assert_eq!(count.get(), 1, "after {polls} polls");
            assert_eq!(
                repeat.contains("intent-status: replayed"),
                finished > 0,
                "after {polls} polls: {repeat}"
            );
            assert!(repeat.ends_with("\npart part "), "after {polls} polls: {repeat}");
            if is_end {
                break;
            }
        }
        // Nothing is claimed for who leaves before the call, at one of three frames, or at the end behind them.
        assert_eq!(untouched, 5, "a body that is read in part was claimed for, or a whole one was not");
        assert!(finished >= 2, "the caller was polled to its end in {finished} steps");
    }
}

// covers: L6
#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_its_effect_runs_stops_nothing() {
    // The effect is over after a second, its answer begins after another.
    for left_after_ms in (0..=2_500).step_by(250) {
        let (world, count) = (World::start().await, Count::default());
        let guarded = world.guard(Keyed::by(Policy::middleware()), slow(&count, &[]));
        let asking = ask(&guarded, post("k", "part part part "));
        let left = tokio::time::timeout(Duration::from_millis(left_after_ms), asking).await;
        assert_eq!(left.is_err(), left_after_ms <= 2_000, "{left_after_ms} ms");
        let repeat = ask(&guarded, post("k", "part part part ")).await;
        assert!(repeat.ends_with("intent-status: replayed\n\npart part "), "{left_after_ms} ms: {repeat}");
        assert_eq!(count.get(), 1, "{left_after_ms} ms");
    }
}

// covers: L5 D1
#[tokio::test(start_paused = true)]
async fn what_a_failed_service_proves_decides_whether_it_is_asked_again() {
    let cases = [
        (Evidence::Untouched(Untouched::ConnectFailed), "502 upstream-unreachable", 2),
        (Evidence::Untouched(Untouched::HandlerSaidSo), "502 upstream-unreachable", 2),
        (Evidence::Untouched(Untouched::LimitReached), "503 overloaded", 2),
        (Evidence::Unknown(DoubtReason::NoAnswer), "409 outcome-unknown", 1),
        (Evidence::Unknown(DoubtReason::DeadlinePassed), "409 outcome-unknown", 1),
    ];
    for (evidence, expected, calls) in cases {
        let count = Count::default();
        let counted = count.clone();
        let failing = site(move |_| {
            counted.add();
            async move { Err(Trouble(evidence)) }
        });
        let guarded = World::start().await.guard(Keyed::by(Policy::middleware()), failing);
        for _ in 0..2 {
            assert_eq!(problem(&guarded, post("k", "a")).await, expected, "{evidence:?}");
        }
        assert_eq!(count.get(), calls, "{evidence:?}");
    }
}

// covers: O5
#[tokio::test(start_paused = true)]
async fn a_service_that_panics_is_doubted_or_answered_500_and_not_asked_again() {
    for (on_panic, answers) in [
        (OnPanic::Doubt, ["409", "409"]),
        (OnPanic::Final, ["500\nidempotency-key-consumed: true\nintent-status: committed\n\n", "500"]),
    ] {
        for at_once in [true, false] {
            let count = Count::default();
            let counted = count.clone();
            let panicking = site(move |_| {
                counted.add();
                assert!(!at_once, "the service's own");
                async move { panic!("the service's own") }
            });
            let policy = Policy { on_panic, ..Policy::middleware() };
            let guarded = World::start().await.guard(Keyed::by(policy), panicking);
            for expected in answers {
                let answer = ask(&guarded, post("k", "a")).await;
                assert!(answer.starts_with(expected), "{on_panic:?}, at once {at_once}: {answer}");
            }
            assert_eq!(count.get(), 1, "{on_panic:?}, at once {at_once}");
        }
    }
}

// covers: O5
#[tokio::test(start_paused = true)]
async fn an_answer_whose_body_panics_is_doubted() {
    struct Panicking;
    impl Body for Panicking {
        type Data = Bytes;
        type Error = Broken;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Piece>> {
            panic!("the body's own")
        }
    }
    let count = Count::default();
    let site = count.site(|_| response(201, &[], Panicking.boxed_unsync()));
    let guarded = World::start().await.guard(Keyed::by(Policy::middleware()), site);
    for _ in 0..2 {
        assert_eq!(problem(&guarded, post("k", "a")).await, "409 outcome-unknown");
    }
    assert_eq!(count.get(), 1);
}

// covers: L1 W1
#[tokio::test(start_paused = true)]
async fn fifty_callers_at_once_share_one_effect() {
    let count = Count::default();
    let counted = count.clone();
    let slow = site(move |_| {
        let count = counted.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(response(201, &[], text(format!("order {}", count.add()))))
        }
    });
    let guarded = World::start().await.guard(Keyed::by(Policy::middleware()), slow);
    let asked = (0..50).map(|_| {
        let guarded = guarded.clone();
        tokio::spawn(async move { ask(&guarded, post("k", "a")).await })
    });
    let mut answers = Vec::new();
    for answer in asked.collect::<Vec<_>>() {
        answers.push(answer.await.unwrap());
    }
    answers.sort();
    let committed = "201\nidempotency-key-consumed: true\nintent-status: committed\n\norder 1".to_owned();
    let repeated = format!("201\n{}\norder 1", replayed(0));
    let expected: Vec<String> = std::iter::once(committed).chain(std::iter::repeat_n(repeated, 49)).collect();
    assert_eq!(answers, expected);
}
