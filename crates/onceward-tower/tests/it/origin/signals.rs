//! A handler's own word on its effect: the signals, and the field that says the same (L5, O4).

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Frame;
use onceward_core::outcome::{Policy, StatusSet};
use onceward_tower::{
    Signal, effect,
    origin::{Guarding, OriginSettings},
};
use tower::ServiceExt;

use super::{ADVERTISED, guarding, keyed, onceward, state, told};
use crate::kit::{
    AnyBody, COMMITTED, Count, Lines, Shop, World, ask, cut, data, fields, frames, problem, response, text,
    written,
};

const EVENTS: (&str, &str) = ("content-type", "text/event-stream");

const FALSE: Lines = &[("idempotency-key-consumed", "false")];
const TRUE: Lines = &[("idempotency-key-consumed", "true")];

/// Calls every 5xx doubtful, as some contracts have it.
fn doubting() -> OriginSettings {
    let policy = Policy { doubtful_statuses: StatusSet::NONE.with(500, 599), ..Policy::middleware() };
    OriginSettings { others: Some(Guarding { policy: Arc::new(policy), ..guarding() }), ..onceward() }
}

fn signalled(mut answer: Response<AnyBody>, signal: Option<Signal>) -> Response<AnyBody> {
    if let Some(signal) = signal {
        answer.extensions_mut().insert(signal);
    }
    answer
}

async fn shop(status: u16, lines: Lines, signal: Option<Signal>) -> (Count, Shop) {
    let count = Count::default();
    let site = count.site(move |runs| {
        let body = frames(vec![data("order "), data(runs.to_string())]);
        signalled(response(status, lines, body), signal)
    });
    (count, World::start().await.shop(doubting(), site))
}

// covers: L5 O4 C2
#[tokio::test(start_paused = true)]
async fn a_handlers_word_outranks_the_status_whole_or_flowing() {
    let (none, done) = (Some(effect::none()), Some(effect::done()));
    // The last: whether the key is free again, and whether nothing is said.
    let rows: [(u16, Lines, Option<Signal>, Option<bool>); 16] = [
        (200, &[], none, Some(false)),
        (201, FALSE, None, Some(false)),
        (409, &[], none, Some(false)),
        (503, &[], none, Some(false)),
        (503, FALSE, None, Some(false)),
        (503, &[], done, Some(true)),
        (503, TRUE, None, Some(true)),
        (429, &[], done, Some(true)),
        (429, TRUE, None, Some(true)),
        (408, &[], done, Some(true)),
        // The signal is the handler's; the field may come from something behind it.
        (200, TRUE, none, Some(false)),
        (503, FALSE, done, Some(true)),
        // A field that is said twice, or says something else, is no word: the status decides.
        (503, &[("idempotency-key-consumed", "false"), ("idempotency-key-consumed", "false")], None, None),
        (503, &[("idempotency-key-consumed", "no")], None, None),
        (503, &[], None, None),
        (503, &[("idempotency-key-consumed", "true"), ("idempotency-key-consumed", "false")], None, None),
    ];
    for (status, lines, signal, is_consumed) in rows {
        for is_stream in [false, true] {
            let lines: Lines = match is_stream {
                true => Vec::leak([&[EVENTS], lines].concat()),
                false => lines,
            };
            let label = format!("{status} {lines:?} {signal:?}");
            let (count, shop) = shop(status, lines, signal).await;
            let answers = match is_consumed {
                Some(false) => [format!("{status} released order 1"), format!("{status} released order 2")],
                Some(true) => [format!("{status} first order 1"), format!("{status} again order 1")],
                None => ["409 outcome-unknown"; 2].map(str::to_owned),
            };
            for expected in &answers {
                assert_eq!(told(&shop, keyed("POST /orders", "k", &[], "a")).await, *expected, "{label}");
            }
            let runs = if is_consumed == Some(false) { 2 } else { 1 };
            assert_eq!(count.get(), runs, "{label}");
            let own = ["absent none", "done done", "in-doubt unknown"];
            let own = own[is_consumed.map_or(2, usize::from)];
            assert_eq!(state(&shop, "k", &[]).await, own, "{label}");
        }
    }
}

// covers: L5 C2
#[tokio::test(start_paused = true)]
async fn the_answer_says_what_became_of_the_key_and_not_what_the_handler_wrote() {
    const CLAIMS: Lines = &[("idempotency-key-consumed", "true"), ("intent-status", "committed")];
    let (_, shop) = shop(200, CLAIMS, Some(effect::none())).await;
    let answer = ask(&shop, keyed("POST /orders", "k", &[], "a")).await;
    assert_eq!(answer, format!("200\nidempotency-key-consumed: false\n{ADVERTISED}\norder 1"));
}

// covers: L5 O8
#[tokio::test(start_paused = true)]
async fn a_stream_that_signals_and_breaks_off_is_doubt() {
    let count = Count::default();
    let site = count.site(|_| {
        signalled(response(200, &[EVENTS], frames(vec![data("half"), cut()])), Some(effect::none()))
    });
    let shop = World::start().await.shop(onceward(), site);
    let flowing = shop.clone().oneshot(keyed("POST /orders", "k", &[], "a")).await.unwrap();
    assert_eq!(flowing.headers()["idempotency-key-consumed"], "false");
    assert!(http_body_util::BodyExt::collect(flowing.into_body()).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(problem(&shop, keyed("POST /orders", "k", &[], "a")).await, "409 outcome-unknown");
    assert_eq!(count.get(), 1);
}

// covers: O4
#[tokio::test(start_paused = true)]
async fn a_signal_on_an_unguarded_answer_says_nothing() {
    let count = Count::default();
    let site = count.site(|_| signalled(response(200, &[], text("ok")), Some(effect::done())));
    let shop = World::start().await.shop(onceward(), site);
    let answer = shop.clone().oneshot(crate::kit::asking("GET /orders", &[], "")).await.unwrap();
    assert_eq!(written(answer).await, "200\n\nok");
    assert!(ask(&shop, keyed("POST /orders", "k", &[], "a")).await.contains(COMMITTED));
}

const GRPC: Lines = &[("content-type", "application/grpc")];

fn call(key: &str) -> Request<AnyBody> {
    keyed("POST /bank.Bank/Transfer", key, GRPC, "\0\0\0\0\0")
}

/// A service whose every call ends with `UNAVAILABLE`: in its fields where there is no message, else in its trailers.
async fn unavailable(lines: Lines, has_message: bool) -> (Count, Shop) {
    let count = Count::default();
    let site = count.site(move |runs| {
        let status = [("grpc-status", "14"), ("grpc-message", "the bank is closed")];
        if has_message {
            let message = vec![data(format!("message {runs}")), Ok(Frame::trailers(fields(&status)))];
            return response(200, &[GRPC, lines].concat(), frames(message));
        }
        response(200, &[GRPC, lines, &status].concat(), text(""))
    });
    (count, World::start().await.shop(onceward(), site))
}

// covers: O4 O2
#[tokio::test(start_paused = true)]
async fn a_grpc_handlers_unavailable_is_its_verdict_as_a_503_is() {
    const UNAVAILABLE: &str = "grpc-status: 14\ngrpc-message: the bank is closed";
    for has_message in [false, true] {
        let (count, shop) = unavailable(&[], has_message).await;
        let first = ask(&shop, call("k")).await;
        assert!(first.contains(UNAVAILABLE) && first.contains(COMMITTED), "{first}");
        let again = ask(&shop, call("k")).await;
        assert!(again.contains(UNAVAILABLE), "{again}");
        assert!(again.contains("idempotent-replayed: true\n"), "{again}");
        assert_eq!((count.get(), again.contains("message 1")), (1, has_message));
    }
}

// covers: L5 O4
#[tokio::test(start_paused = true)]
async fn a_grpc_handler_that_did_nothing_says_so_in_its_metadata() {
    let (count, shop) = unavailable(FALSE, false).await;
    for runs in 1..3 {
        assert_eq!(told(&shop, call("k")).await, "200 released ");
        assert_eq!(count.get(), runs);
    }
}
