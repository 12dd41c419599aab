//! Requests that mean the same under different keys (P5).

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use onceward_core::{
    key::KeyPath,
    outcome::{Policy, WhenStoreDown},
    profile::Profile,
    twin::TwinRule,
};
use onceward_store::{Fault, Faults};
use onceward_tower::origin::{Guarding, OriginSettings, Route};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{guarding, keyed, onceward, ordering, shop, told};
use crate::kit::{AnyBody, Count, Lines, Shop, World, asking, response, site, text};

const WINDOW: Duration = Duration::from_secs(600);
const JSON: Lines = &[("content-type", "application/json")];
const FORM: Lines = &[("content-type", "application/x-www-form-urlencoded")];
const ORDER: &str = r#"{"cart":"c1","amount":5}"#;

fn rule(window: Duration) -> Option<TwinRule> {
    Some(TwinRule::new(["$.cart", "$.amount"], window).unwrap())
}

fn telling() -> Guarding {
    Guarding { twins: rule(WINDOW), ..guarding() }
}

fn settings() -> OriginSettings {
    OriginSettings { others: Some(telling()), ..onceward() }
}

fn order(key: &str, lines: Lines, body: &str) -> Request<AnyBody> {
    keyed("POST /orders", key, lines, body.to_owned())
}

/// A JSON order of `key`, confirmed by `token`.
fn confirmed(key: &str, token: &str) -> Request<AnyBody> {
    let mut request = order(key, JSON, ORDER);
    request.headers_mut().insert("effect-confirm", token.parse().unwrap());
    request
}

async fn asked(shop: &Shop, request: Request<AnyBody>) -> (u16, HeaderMap, String) {
    let answer: Response<_> = shop.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// The problem that a refused request gets, and its field.
async fn refused(shop: &Shop, request: Request<AnyBody>) -> (Value, String) {
    let (status, headers, body) = asked(shop, request).await;
    assert_eq!(status, 409, "{body}");
    let offered = headers["effect-confirm"].to_str().unwrap().to_owned();
    (serde_json::from_str(&body).unwrap(), offered)
}

// covers: P5, C2, C3
#[tokio::test(start_paused = true)]
async fn the_refusal_shows_the_earlier_effect_and_offers_its_confirmation() {
    let (_, count, shop) = shop(settings()).await;
    assert_eq!(told(&shop, order("one", JSON, ORDER)).await, "201 first order 1");
    let (problem, offered) = refused(&shop, order("two", JSON, r#"{"amount":5.0,"cart":"c1","x":1}"#)).await;
    let earlier = &problem["earlier"];
    assert_eq!(earlier["state"], "done");
    assert_eq!(earlier["sent_at"], "2026-11-21T12:00:00Z");
    assert_eq!(earlier["until"], "2026-11-21T12:10:00Z");
    assert_eq!(earlier["key"].as_str().unwrap().len(), 16);
    assert_eq!(problem["confirm"], offered.as_str());
    let rest =
        ["type", "status", "retryable", "idempotency_key", "effect", "retry"].map(|name| &problem[name]);
    let kind = json!("/.well-known/idempotency/problems/possible-duplicate");
    let expected = [kind, json!(409), json!(false), json!("two"), json!("none"), json!("confirmed")];
    assert_eq!(rest.map(Clone::clone), expected);
    // Its own caller may read its state.
    let url = earlier["status_url"].as_str().unwrap();
    let (_, _, state) = asked(&shop, asking(&format!("GET {url}"), &[], "")).await;
    assert_eq!(serde_json::from_str::<Value>(&state).unwrap()["state"], "done");
    let marks = asked(&shop, order("two", JSON, ORDER)).await.1;
    assert_eq!(
        (marks["idempotency-key-consumed"].to_str().unwrap(), marks.get("intent-status")),
        ("false", None)
    );
    assert_eq!(told(&shop, confirmed("two", &offered)).await, "201 first order 2");
    assert_eq!(told(&shop, confirmed("two", &offered)).await, "201 again order 2");
    let (problem, _) = refused(&shop, confirmed("three", &offered)).await;
    assert!(problem["detail"].as_str().unwrap().ends_with("or about another key or effect."), "{problem}");
    assert_eq!(count.get(), 2);
}

/// What a person in a browser and an agent get.
// covers: P5, C3, K6
#[tokio::test(start_paused = true)]
async fn pages_say_what_to_do_and_show_no_confirmation() {
    let (_, _, shop) = shop(settings()).await;
    told(&shop, order("one", JSON, ORDER)).await;
    let accepting = |accept: &'static str| {
        let mut request = order("two", JSON, ORDER);
        request.headers_mut().insert("accept", accept.parse().unwrap());
        request
    };
    let (status, headers, page) = asked(&shop, accepting("text/html")).await;
    let offered = headers["effect-confirm"].to_str().unwrap();
    assert_eq!(status, 409);
    assert!(page.contains("submit it anew after 12:10:00 UTC on 2026-11-21."), "{page}");
    assert!(page.contains("<dt>earlier</dt><dd>key ") && !page.contains(offered), "{page}");
    let (_, headers, text) = asked(&shop, accepting("text/markdown")).await;
    let offered = headers["effect-confirm"].to_str().unwrap();
    assert!(text.contains(&format!("\nconfirm: \"{offered}\"\n")), "{text}");
}

/// Contracts whose problems have no place for it, and calls of gRPC, have the field.
// covers: P5, C4
#[tokio::test(start_paused = true)]
async fn every_contract_offers_the_confirmation() {
    for profile in [Profile::onceward(), Profile::acp(), Profile::stripe_v1(), Profile::paypal()] {
        let name = profile.name;
        let others = Some(Guarding { twins: rule(WINDOW), ..Guarding::of(&profile) });
        let (_, _, shop) = shop(OriginSettings { others, ..OriginSettings::of(profile) }).await;
        let order = |key: &str| {
            let mut request = order(key, JSON, ORDER);
            request.headers_mut().insert("paypal-request-id", key.parse().unwrap());
            request
        };
        asked(&shop, order("8e03978e-40d5-43dd-bc93-6894a57f9324")).await;
        let (status, headers, body) = asked(&shop, order("d9428888-122b-41e1-b85c-61d0e5b2a7f1")).await;
        assert!(status >= 400 && headers.contains_key("effect-confirm"), "{name}: {status} {body}");
    }
}

// covers: P5
#[tokio::test(start_paused = true)]
async fn the_field_goes_no_further_where_a_route_knows_it() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = {
        let heard = Arc::clone(&heard);
        site(move |request| {
            let field = request.headers().contains_key("effect-confirm");
            heard.lock().unwrap().push(field);
            async { Ok(response(201, &[], text("heard"))) }
        })
    };
    let routes = vec![
        Route::guarded(&["POST"], "/plain", guarding()).unwrap(),
        Route::guarded(
            &["POST"],
            "/body",
            Guarding { body_member: KeyPath::parse("$.key").ok(), ..telling() },
        )
        .unwrap(),
    ];
    let shop = World::start().await.shop(OriginSettings { routes, ..settings() }, hearing);
    let sent = |target: &str, lines: Lines| {
        let mut request = asking(target, lines, ORDER);
        request.headers_mut().insert("effect-confirm", "x".parse().unwrap());
        request
    };
    // Keyed, unkeyed, and where the key might have been in the body; and on a route that does not know it, where it is the service's.
    let key: Lines = &[("content-type", "application/json"), ("idempotency-key", "k")];
    for request in [sent("POST /orders", key), sent("POST /orders", JSON), sent("POST /body", JSON)] {
        asked(&shop, request).await;
    }
    asked(&shop, sent("POST /plain", &[])).await;
    assert_eq!(*heard.lock().unwrap(), [false, false, false, true]);
}

// covers: P5
#[tokio::test(start_paused = true)]
async fn a_body_that_lacks_a_field_runs_by_its_key_alone_and_is_counted() {
    let (world, count, shop) = shop(settings()).await;
    let bodies = [
        (JSON, r#"{"cart":"c1"}"#),
        (JSON, r#"{"cart":"c1"}"#),
        (FORM, "cart=c1"),
        (&[("content-type", "text/plain")] as Lines, ORDER),
        (&[("content-type", "application/json"), ("content-encoding", "zstd")], ORDER),
    ];
    for (number, (lines, body)) in bodies.into_iter().enumerate() {
        let answer = told(&shop, order(&format!("k{number}"), lines, body)).await;
        assert_eq!(answer, format!("201 first order {}", number + 1), "{body}");
    }
    let metrics = world.engine.telemetry().render();
    assert!(metrics.contains("onceward_twins_total{outcome=\"unread\"} 5"), "{metrics}");
    // A form that has both is told by them.
    assert_eq!(told(&shop, order("f1", FORM, "cart=c1&amount=5&csrf=a")).await, "201 first order 6");
    assert_eq!(told(&shop, order("f2", FORM, "csrf=b&amount=5&cart=c1")).await, "409 possible-duplicate");
    assert_eq!(count.get(), 6);
}

/// Another caller, path or query asks for something else.
// covers: P5, K4
#[tokio::test(start_paused = true)]
async fn whose_it_is_and_where_it_goes_is_part_of_what_is_meant() {
    let (_, _, shop) = shop(settings()).await;
    let alice: Lines = &[("content-type", "application/json"), ("authorization", "Bearer alice")];
    let bob: Lines = &[("content-type", "application/json"), ("authorization", "Bearer bob")];
    assert_eq!(told(&shop, order("a1", alice, ORDER)).await, "201 first order 1");
    assert_eq!(told(&shop, order("b1", bob, ORDER)).await, "201 first order 2");
    assert_eq!(told(&shop, order("a2", alice, ORDER)).await, "409 possible-duplicate");
    for (number, target) in [(3, "POST /orders?to=2"), (4, "POST /pay"), (5, "PUT /orders")] {
        let request = keyed(target, &format!("k{number}"), alice, ORDER);
        assert_eq!(told(&shop, request).await, format!("201 first order {number}"), "{target}");
    }
}

/// No longer than the effect itself is remembered.
// covers: P5, T1
#[tokio::test(start_paused = true)]
async fn an_effect_stands_for_its_window_and_no_longer_than_it_is_remembered() {
    let brief = Policy {
        retention: Duration::from_secs(20),
        remember: Duration::from_secs(10),
        ..Policy::middleware()
    };
    for (policy, seconds) in [(Policy::middleware(), 600), (brief, 30)] {
        let guarding = Guarding { policy: Arc::new(policy), ..telling() };
        let (_, _, shop) = shop(OriginSettings { others: Some(guarding), ..onceward() }).await;
        assert_eq!(told(&shop, order("one", JSON, ORDER)).await, "201 first order 1");
        tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
        assert_eq!(told(&shop, order("two", JSON, ORDER)).await, "409 possible-duplicate", "{seconds}");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(told(&shop, order("two", JSON, ORDER)).await, "201 first order 2", "{seconds}");
    }
}

/// Without a store nobody knows of twins, either: an open route lets the request through, without its confirmation.
// covers: P5, S2
#[tokio::test(start_paused = true)]
async fn an_open_route_lets_a_twin_through_while_the_store_is_down() {
    let policy = Policy { when_store_down: WhenStoreDown::Open, ..Policy::middleware() };
    let guarding = Guarding { policy: Arc::new(policy), ..telling() };
    let refusals = std::iter::repeat_n(Fault::Refused, 1_000);
    let world = World::failing(Faults::scripted(std::iter::once(Fault::None).chain(refusals))).await;
    let count = Count::default();
    let shop = world.shop(OriginSettings { others: Some(guarding), ..onceward() }, ordering(&count));
    for (number, key) in [(1, "one"), (2, "two")] {
        let (status, headers, body) = asked(&shop, confirmed(key, "x")).await;
        assert_eq!((status, body), (201, format!("order {number}")));
        assert_eq!(headers["intent-status"].to_str().unwrap(), "unguarded");
    }
}

// covers: P5, C1
#[tokio::test(start_paused = true)]
async fn the_contract_names_the_fields_and_the_confirmation() {
    let routes = vec![Route::guarded(&["POST"], "/plain", guarding()).unwrap()];
    let (_, _, shop) = shop(OriginSettings { routes, ..settings() }).await;
    let (_, _, page) = asked(&shop, asking("GET /.well-known/idempotency", &[], "")).await;
    let page: Value = serde_json::from_str(&page).unwrap();
    let expected = json!({"fields": ["$.amount", "$.cart"], "window": 600, "confirm": "Effect-Confirm"});
    assert_eq!((&page["others"]["twins"], page["routes"][0].get("twins")), (&expected, None));
}
