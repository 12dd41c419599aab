//! What of a request is read, refused or left alone before anything is claimed.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use onceward_core::outcome::Policy;
use onceward_tower::Guarded as GuardedMark;
use tower::ServiceExt;

use crate::kit::{
    AnyBody, Broken, COMMITTED, Count, Keyed, World, ask, cut, data, fed, fields, frames, post, post_with,
    problem, response, site, text,
};

// covers: S1 S6
#[tokio::test(start_paused = true)]
async fn a_body_past_the_limit_is_refused_before_a_claim() {
    let policy = Policy { request_bytes_max: 10, ..Policy::middleware() };
    let (world, count) = (World::start().await, Count::default());
    let guarded = world.guard(Keyed::by(policy), count.site(|_| response(201, &[], text(""))));
    // The announced size is enough; without one the bytes are counted.
    for body in [text("01234567890"), frames(vec![data("01234"), data("567890")])] {
        let refused = ask(&guarded, post_with("k", &[], body)).await;
        assert!(refused.starts_with("413\n") && refused.contains("/body-too-large\\\""), "{refused}");
        assert!(refused.contains("The body exceeds 10 bytes."), "{refused}");
        assert!(refused.contains("idempotency-key-consumed: false\n"), "{refused}");
    }
    assert_eq!((count.get(), world.records().await), (0, 0));
    let fits = frames(vec![data("01234"), data("56789")]);
    assert_eq!(ask(&guarded, post_with("k", &[], fits)).await, format!("201\n{COMMITTED}\n"));
}

// covers: S6 L6
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_claims_nothing() {
    let (world, count) = (World::start().await, Count::default());
    let guarded =
        world.guard(Keyed::by(Policy::middleware()), count.site(|_| response(201, &[], text("ordered"))));
    let broken = frames(vec![data("ha"), cut()]);
    assert_eq!(problem(&guarded, post_with("k", &[], broken)).await, "400 body-incomplete");
    assert_eq!((count.get(), world.records().await), (0, 0));
    assert_eq!(ask(&guarded, post("k", "half")).await, format!("201\n{COMMITTED}\nordered"));
}

// covers: K1 K2
#[tokio::test(start_paused = true)]
async fn a_key_in_a_trailer_is_refused_before_a_claim() {
    let (world, count) = (World::start().await, Count::default());
    let guarded = world.guard(Keyed::by(Policy::middleware()), count.site(|_| response(201, &[], text(""))));
    let trailed = |name: &'static str| {
        let trailers: HeaderMap = fields(&[(name, "k")]);
        post_with("k", &[], frames(vec![data("a"), Ok(Frame::trailers(trailers))]))
    };
    for name in ["idempotency-key", "idempotency_key"] {
        assert_eq!(problem(&guarded, trailed(name)).await, "400 key-invalid", "{name}");
    }
    assert_eq!((count.get(), world.records().await), (0, 0));
    assert_eq!(ask(&guarded, trailed("x-sum")).await, format!("201\n{COMMITTED}\n"));
}

// covers: K1 K2
#[tokio::test(start_paused = true)]
async fn what_the_rules_refuse_goes_no_further() {
    let (world, count) = (World::start().await, Count::default());
    let guarded = world.guard(Keyed::by(Policy::middleware()), count.site(|_| response(201, &[], text(""))));
    for lines in [
        [("idempotency-key", "a"), ("idempotency-key", "a")],
        [("idempotency-key", "a, b"), ("x", "1")],
        [("idempotency_key", "a"), ("x", "1")],
        [("idempotency-key", "a"), ("connection", "Idempotency-Key")],
    ] {
        // A body that is never read to its end: nothing may wait for it.
        let (_feed, body) = fed(1);
        let mut request = Request::post("/order").body(body).unwrap();
        for (name, value) in lines {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        assert_eq!(problem(&guarded, request).await, "400 key-invalid", "{lines:?}");
    }
    assert_eq!((count.get(), world.records().await), (0, 0));
}

// covers: K3
#[tokio::test(start_paused = true)]
async fn an_unguarded_request_passes_untouched_and_unread() {
    let seen = Arc::new(Mutex::new(String::new()));
    let (world, noted) = (World::start().await, Arc::clone(&seen));
    let echo = site(move |request| {
        let (head, body) = request.into_parts();
        assert_eq!(head.extensions.get::<GuardedMark>(), None);
        *noted.lock().unwrap() = format!("{} {} {:?}", head.method, head.uri, head.headers);
        assert_eq!(body.size_hint().exact(), None);
        async move { Ok(response(429, &[("x", "1")], body.map_err(|_| Broken("cut")).boxed_unsync())) }
    });
    let guarded = world.guard(Keyed::by(Policy::forward_proxy()), echo);
    let (feed, body) = fed(1);
    let request = Request::post("/order?id=1").header("x-a", "1").body(body).unwrap();
    let mut answer = guarded.oneshot(request).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), "POST /order?id=1 {\"x-a\": \"1\"}");
    assert_eq!(answer.status(), 429);
    assert_eq!(format!("{:?}", answer.headers()), "{\"x\": \"1\"}");
    for part in ["one", "two"] {
        feed.send(data(part)).await.unwrap();
        assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), part);
    }
    feed.send(cut()).await.unwrap();
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap_err().to_string(), "cut");
    assert_eq!(world.records().await, 0);
}

// covers: K3
#[tokio::test(start_paused = true)]
async fn an_unguarded_requests_own_error_passes() {
    use onceward_core::outcome::{Evidence, Untouched};

    use crate::kit::Trouble;

    let trouble = || Trouble(Evidence::Untouched(Untouched::ConnectFailed));
    let failing = site(move |_| async move { Err(trouble()) });
    let guarded = World::start().await.guard(Keyed::by(Policy::middleware()), failing);
    let unkeyed = Request::post("/order").body(text("")).unwrap();
    assert_eq!(guarded.oneshot(unkeyed).await.map(drop), Err(trouble()));
}

// covers: S6 B3
#[tokio::test(start_paused = true)]
async fn the_service_gets_the_whole_request_with_its_mark() {
    let seen = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&seen);
    let reading = site(move |request| {
        let noted = Arc::clone(&noted);
        async move {
            let (head, body) = request.into_parts();
            assert_eq!(head.extensions.get::<GuardedMark>(), Some(&GuardedMark));
            // Nothing may take a body with trailers for one that its length alone delimits.
            let exact = body.size_hint().exact();
            let body = body.collect().await.unwrap();
            let trailers = body.trailers().cloned();
            *noted.lock().unwrap() = format!(
                "{} {} {:?} {exact:?} {:?} {trailers:?}",
                head.method,
                head.uri,
                head.headers,
                body.to_bytes()
            );
            Ok(response(201, &[], text("")))
        }
    });
    let guarded = World::start().await.guard(Keyed::by(Policy::middleware()), reading);
    let trailing = |body: Vec<_>| {
        let mut body = body;
        body.push(Ok(Frame::trailers(fields(&[("x-sum", "9")]))));
        frames(body)
    };
    let cases: [(&str, AnyBody, &str); 4] = [
        ("plain", frames(vec![data("ab"), data("cd")]), "Some(4) b\"abcd\" None"),
        ("trailers", trailing(vec![data("ab")]), "None b\"ab\" Some({\"x-sum\": \"9\"})"),
        ("no content but trailers", trailing(vec![]), "None b\"\" Some({\"x-sum\": \"9\"})"),
        ("empty", frames(vec![]), "Some(0) b\"\" None"),
    ];
    for (key, body, expected) in cases {
        let key = key.replace(' ', "-");
        ask(&guarded, post_with(&key, &[("x-a", "1")], body)).await;
        let expected =
            format!("POST /order?id=1 {{\"x-a\": \"1\", \"idempotency-key\": \"{key}\"}} {expected}");
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}
