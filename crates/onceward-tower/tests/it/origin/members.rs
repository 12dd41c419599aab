//! Keys in a member of the body (K1).

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use onceward_core::{
    key::{KeyForm, KeyPath, KeyRule},
    outcome::Policy,
};
use onceward_tower::origin::{Guarding, OriginSettings};

use super::{ADVERTISED, guarding, keyed, onceward, ordering, shop, told};
use crate::kit::{
    AnyBody, Count, Lines, World, ask, asking, cut, data, fields, frames, response, site, text,
};

fn member() -> Guarding {
    Guarding { body_member: Some(KeyPath::members(&["idempotency_key"])), ..guarding() }
}

fn guarded_by(guarding: Guarding) -> OriginSettings {
    OriginSettings { others: Some(guarding), ..onceward() }
}

fn required() -> OriginSettings {
    guarded_by(Guarding { is_key_required: true, ..member() })
}

fn gzip(content: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap()
}

const GZIP: Lines = &[("content-encoding", "gzip")];

// covers: K1 K2
#[tokio::test(start_paused = true)]
async fn a_key_is_read_from_the_outermost_object_of_a_json_body() {
    let (invalid, missing, runs) = ("400 key-invalid", "400 key-missing", "201 first order 1");
    let rows: [(&str, &str, &str); 22] = [
        // The body, where a key may be missing, and where it is required.
        (r#"{"idempotency_key":"k","a":1}"#, runs, runs),
        (r#"{"a":{"idempotency_key":1},"idempotency_key":"k"}"#, runs, runs),
        (r#"{"idempotency\u005fkey":"k"}"#, runs, runs),
        (r#"{"idempotency_key":"\u006b"}"#, runs, runs),
        (r#"{"a":1}"#, "201 passed", missing),
        (r#"{"a":{"idempotency_key":"k"}}"#, "201 passed", missing),
        (r#"{"Idempotency_Key":"k"}"#, "201 passed", missing),
        (r#"[{"idempotency_key":"k"}]"#, "201 passed", missing),
        (r#""idempotency_key""#, "201 passed", missing),
        ("", "201 passed", missing),
        ("idempotency_key=k", "201 passed", missing),
        (r#"{"idempotency_key":"k""#, "201 passed", missing),
        (r#"{"idempotency_key":"k","idempotency_key":"k"}"#, invalid, invalid),
        (r#"{"idempotency_key":"k","idempotency\u005fkey":"l"}"#, invalid, invalid),
        (r#"{"idempotency_key":1,"idempotency_key":"k"}"#, invalid, invalid),
        (r#"{"idempotency_key":7}"#, invalid, invalid),
        (r#"{"idempotency_key":null}"#, invalid, invalid),
        (r#"{"idempotency_key":["k"]}"#, invalid, invalid),
        (r#"{"idempotency_key":""}"#, invalid, invalid),
        (r#"{"idempotency_key":"a b"}"#, invalid, invalid),
        (r#"{"idempotency_key":"\n"}"#, invalid, invalid),
        // Two readers take two ends of it for the body.
        (r#"{"idempotency_key":"k"}{"a":1}"#, "400 body-invalid", "400 body-invalid"),
    ];
    for (settings, column) in [(guarded_by(member()), 0), (required(), 1)] {
        for (body, optional, required) in rows {
            let (world, count, shop) = shop(settings.clone()).await;
            let expected = [optional, required][column];
            let json: Lines = &[("content-type", "application/json")];
            let answer = told(&shop, asking("POST /orders", json, body)).await;
            assert!(answer.starts_with(expected), "{body}: {answer}");
            let remembered = usize::from(expected == runs);
            let ran = usize::from(expected.starts_with("201"));
            assert_eq!((count.get(), world.records().await), (ran, remembered), "{body}");
        }
    }
}

// covers: K1
#[tokio::test(start_paused = true)]
async fn a_key_is_read_where_its_path_leads() {
    let (runs, passed, invalid) = ("201 first order 1", "201 passed order 1", "400 key-invalid");
    let rows = [
        ("$.a.b", r#"{"x":1,"a":{"c":[1e400,{}],"b":"k"}}"#, runs),
        ("$.a.b", r#"{"a":{"b":"\u006b"}}"#, runs),
        ("$['a b']['']", r#"{"a b":{"":"k"}}"#, runs),
        ("$[1].k", r#"["k",{"k":"k"},7]"#, runs),
        ("$.a[0][1]", r#"{"a":[["j","k"]]}"#, runs),
        // It leads nowhere.
        ("$.a.b", r#"{"b":"k"}"#, passed),
        ("$.a.b", r#"{"a":"b"}"#, passed),
        ("$.a.b", r#"{"a":null}"#, passed),
        ("$.a.b", r#"{"a":["b"]}"#, passed),
        ("$.a.b", r#"[{"a":{"b":"k"}}]"#, passed),
        ("$.a[1]", r#"{"a":["k"]}"#, passed),
        ("$.a[0]", r#"{"a":{"0":"k"}}"#, passed),
        ("$[0]", "", passed),
        ("$[0]", r#"["k","#, passed),
        // To what is no key, or to two for two readers.
        ("$.a.b", r#"{"a":{"b":{"c":"k"}}}"#, invalid),
        ("$.a[0]", r#"{"a":[null]}"#, invalid),
        ("$.a.b", r#"{"a":{"b":"k","b":"k"}}"#, invalid),
        ("$.a.b", r#"{"a":{"b":"k"},"a":{}}"#, invalid),
        ("$.a.b", r#"{"a":7,"\u0061":{"b":"k"}}"#, invalid),
        ("$.a.b", r#"{"a":{"b":"k"},"a":7,"a":7}"#, invalid),
        ("$.a.b", r#"{"a":{"b":"\ud800"}}"#, invalid),
        ("$.a.b", r#"{"a":{},"a":{}}"#, passed),
    ];
    for (path, body, expected) in rows {
        let guarding = Guarding { body_member: Some(KeyPath::parse(path).unwrap()), ..guarding() };
        let (world, _, shop) = shop(guarded_by(guarding)).await;
        let json: Lines = &[("content-type", "application/json")];
        assert_eq!(told(&shop, asking("POST /orders", json, body)).await, expected, "{path} {body}");
        assert_eq!(world.records().await, usize::from(expected == runs), "{path} {body}");
    }
}

// covers: K1 L1
#[tokio::test(start_paused = true)]
async fn a_key_in_the_body_and_one_in_a_field_are_one_key_or_refused() {
    let (_, count, shop) = shop(guarded_by(member())).await;
    let body = r#"{"idempotency_key":"k","a":1}"#;
    assert_eq!(told(&shop, asking("POST /orders", &[], body)).await, "201 first order 1");
    assert_eq!(told(&shop, asking("POST /orders", &[], body)).await, "201 again order 1");
    assert_eq!(told(&shop, keyed("POST /orders", "k", &[], body)).await, "201 again order 1");
    assert_eq!(told(&shop, keyed("POST /orders", "\"k\"", &[], body)).await, "201 again order 1");
    assert_eq!(told(&shop, keyed("POST /orders", "l", &[], body)).await, "400 key-invalid");
    assert_eq!(
        told(&shop, keyed("POST /orders", "k", &[], r#"{"idempotency_key":7}"#)).await,
        "400 key-invalid"
    );
    // Another request under the key, however it is carried.
    assert_eq!(told(&shop, keyed("POST /orders", "k", &[], r#"{"a":1}"#)).await, "422 key-reused");
    assert_eq!(told(&shop, keyed("POST /orders", "m", &[], r#"{"a":1}"#)).await, "201 first order 2");
    assert_eq!(count.get(), 2);
}

// covers: K1 F3
#[tokio::test(start_paused = true)]
async fn a_key_is_read_from_the_content_beneath_its_encoding() {
    let (_, _, shop) = shop(required()).await;
    let body = r#"{"idempotency_key":"k","a":1}"#;
    assert_eq!(told(&shop, asking("POST /orders", GZIP, gzip(body))).await, "201 first order 1");
    assert_eq!(told(&shop, asking("POST /orders", &[], body)).await, "201 again order 1");
    // What cannot be decoded is read as it is, since a handler may do so, and is another request.
    for lines in [GZIP, &[("content-encoding", "zip")]] {
        assert_eq!(told(&shop, asking("POST /orders", lines, body)).await, "422 key-reused", "{lines:?}");
    }
    assert_eq!(
        told(&shop, asking("POST /orders", &[("content-encoding", "zip")], gzip(body))).await,
        "400 key-missing"
    );
}

// covers: K1 S1 S6
#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_or_breaks_off_is_refused_before_its_key_counts() {
    let small = Policy { request_bytes_max: 32, ..Policy::middleware() };
    let settings = guarded_by(Guarding { policy: Arc::new(small), ..member() });
    let (world, count, shop) = shop(settings).await;
    let post = |body: AnyBody| {
        let (head, _) = asking("POST /orders", &[], "").into_parts();
        Request::from_parts(head, body)
    };
    let long = r#"{"idempotency_key":"k","a":"0123456789"}"#;
    assert_eq!(told(&shop, post(text(long))).await, "413 body-too-large");
    let (one, two) = long.split_at(24);
    assert_eq!(told(&shop, post(frames(vec![data(one), data(two)]))).await, "413 body-too-large");
    let bomb = gzip(&format!("{{\"idempotency_key\":\"{}\"}}", " ".repeat(10_000)));
    assert!(bomb.len() > 32, "this one is refused by its own size");
    assert_eq!(told(&shop, asking("POST /orders", GZIP, bomb)).await, "413 body-too-large");
    let whole = r#"{"idempotency_key":"k"}"#;
    for at in 0..=whole.len() {
        let broken = frames(vec![data(&whole.as_bytes()[..at]), cut()]);
        assert_eq!(told(&shop, post(broken)).await, "400 body-incomplete", "after {at} bytes");
    }
    let trailing = Frame::trailers(fields(&[("idempotency-key", "k")]));
    assert_eq!(told(&shop, post(frames(vec![data(whole), Ok(trailing)]))).await, "400 key-invalid");
    assert_eq!((count.get(), world.records().await), (0, 0));
}

// covers: K3
#[tokio::test(start_paused = true)]
async fn a_body_without_a_key_goes_through_as_it_came() {
    let seen = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&seen);
    let site = site(move |request| {
        let noted = Arc::clone(&noted);
        async move {
            let (head, body) = request.into_parts();
            let exact = body.size_hint().exact();
            let body = body.collect().await.unwrap();
            let trailers: Option<HeaderMap> = body.trailers().cloned();
            *noted.lock().unwrap() = format!(
                "{} {} {:?} {exact:?} {:?} {trailers:?}",
                head.method,
                head.uri,
                head.headers,
                body.to_bytes()
            );
            Ok(response(200, &[("x", "1")], text("seen")))
        }
    });
    let world = World::start().await;
    let shop = world.shop(guarded_by(member()), site);
    let (head, _) = asking("POST /orders?id=1", &[("content-length", "7"), ("x-a", "1")], "").into_parts();
    let plain = Request::from_parts(head.clone(), frames(vec![data("{\"a"), data("\":1}")]));
    assert_eq!(ask(&shop, plain).await, format!("200\nx: 1\n{ADVERTISED}\nseen"));
    let lines = "POST /orders?id=1 {\"content-length\": \"7\", \"x-a\": \"1\"}";
    assert_eq!(*seen.lock().unwrap(), format!("{lines} Some(7) b\"{{\\\"a\\\":1}}\" None"));
    let trailers = Frame::trailers(fields(&[("x-sum", "9")]));
    let trailed = Request::from_parts(head, frames(vec![data("{\"a\":1}"), Ok(trailers)]));
    ask(&shop, trailed).await;
    let expected = format!("{lines} None b\"{{\\\"a\\\":1}}\" Some({{\"x-sum\": \"9\"}})");
    assert_eq!(*seen.lock().unwrap(), expected);
    let metrics = world.engine.telemetry().render();
    assert!(metrics.contains("onceward_unprotected_writes_total 2\n"), "{metrics}");
}

// covers: K2
#[tokio::test(start_paused = true)]
async fn the_rule_of_a_route_holds_for_keys_in_the_body() {
    let key_rule = KeyRule { chars_min: 4, form: KeyForm::Word, ..KeyRule::ANY };
    let (world, count) = (World::start().await, Count::default());
    let shop = world.shop(guarded_by(Guarding { key_rule, ..member() }), ordering(&count));
    for (key, expected) in
        [("abc", "400 key-invalid"), ("abc/d", "400 key-invalid"), ("abcd", "201 first order 1")]
    {
        let body = Bytes::from(format!("{{\"idempotency_key\":\"{key}\"}}"));
        assert_eq!(told(&shop, asking("POST /orders", &[], body)).await, expected, "{key}");
    }
}
