//! The guard in routers of axum: nested ones, extractors and signals.

use axum::{
    Router,
    body::Body,
    response::IntoResponse,
    routing::{get, post, put},
};
use http::{Request, StatusCode};
use onceward_core::{
    precondition::{Current, ETag},
    profile::{Namespace, Profile},
};
use onceward_tower::{
    Expected, Fence, IdempotencyKey, Intent, OnceLayer, OriginRules, Versioned, effect,
    origin::{Guarding, OriginSettings, Route},
};
use tower::ServiceExt;

use crate::kit::{COMMITTED, Count, World, replayed, written};

const ADVERTISED: &str = "accepts-idempotency-key: true\naccepts-intent-hash: sha256\n";

const PLAIN: &str = "content-type: text/plain; charset=utf-8\n";

/// Of every answer here; axum adds it behind the guard's fields.
const LENGTH: &str = "content-length: 7\n";

fn layer(world: &World, settings: OriginSettings) -> OnceLayer<OriginRules> {
    let rules = OriginRules::new(world.engine.clone(), settings);
    let surface = rules.surface();
    OnceLayer::new(world.engine.clone(), rules, surface)
}

fn onceward() -> OriginSettings {
    OriginSettings::of(Profile::onceward())
}

/// One path, which counts what it does.
fn orders(count: &Count) -> Router {
    let count = count.clone();
    Router::new().route("/orders", post(move || async move { format!("order {}", count.add()) }))
}

/// `POST` of `a` under the key `k`.
fn order(path: &str) -> Request<Body> {
    Request::post(path).header("idempotency-key", "k").body(Body::from("a")).unwrap()
}

/// The whole answer.
async fn ask(router: &Router, request: Request<Body>) -> String {
    written(router.clone().oneshot(request).await.unwrap()).await
}

fn first(order: &str) -> String {
    format!("200\n{PLAIN}{COMMITTED}{ADVERTISED}{LENGTH}\n{order}")
}

fn again(order: &str) -> String {
    format!("200\n{PLAIN}{}{ADVERTISED}{LENGTH}\n{order}", replayed(0))
}

// covers: F3 K5 F6
#[tokio::test(start_paused = true)]
async fn two_nested_routers_with_one_inner_path_are_two_requests() {
    let nested = |settings: OriginSettings| async move {
        let (world, count) = (World::start().await, Count::default());
        let inner = || orders(&count).layer(layer(&world, settings.clone()));
        Router::new().nest("/a", inner()).nest("/b", inner())
    };
    let by_actor = nested(onceward()).await;
    assert_eq!(ask(&by_actor, order("/a/orders")).await, first("order 1"));
    let refused = ask(&by_actor, order("/b/orders")).await;
    assert!(refused.starts_with("422\n") && refused.contains("/problems/key-reused\\\""), "{refused}");
    assert!(refused.contains("\\\"instance\\\":\\\"/b/orders\\\""), "{refused}");
    assert_eq!(ask(&by_actor, order("/a/orders")).await, again("order 1"));

    let profile = Profile { namespace: Namespace::Operation, ..Profile::onceward() };
    let by_operation = nested(OriginSettings::of(profile)).await;
    assert_eq!(ask(&by_operation, order("/a/orders")).await, first("order 1"));
    assert_eq!(ask(&by_operation, order("/b/orders")).await, first("order 2"));
    assert_eq!(ask(&by_operation, order("/a/orders")).await, again("order 1"));
}

// covers: K3 F3
#[tokio::test(start_paused = true)]
async fn routes_mean_the_path_that_the_client_asked_for() {
    let (world, count) = (World::start().await, Count::default());
    let required = Guarding { is_key_required: true, ..Guarding::of(&Profile::onceward()) };
    let settings = OriginSettings {
        routes: vec![Route::guarded(&["POST"], "/a/orders", required).unwrap()],
        others: None,
        ..onceward()
    };
    let inner = || orders(&count).layer(layer(&world, settings.clone()));
    let router = Router::new().nest("/a", inner()).nest("/b", inner());
    let unkeyed = |path: &str| Request::post(path).body(Body::empty()).unwrap();
    let refused = ask(&router, unkeyed("/a/orders")).await;
    assert!(refused.starts_with("400\n") && refused.contains("/problems/key-missing\\\""), "{refused}");
    assert_eq!(ask(&router, unkeyed("/b/orders")).await, format!("200\n{PLAIN}{LENGTH}\norder 1"));
    // A page stands at the origin's root alone (RFC 8615).
    let page = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(ask(&router, page("/a/.well-known/idempotency")).await, "404\n\n");
}

// covers: C1 C3 C5
#[tokio::test(start_paused = true)]
async fn around_a_router_the_guard_serves_its_pages_and_guards_its_nested_routes() {
    let (world, count) = (World::start().await, Count::default());
    let router = Router::new()
        .nest("/a", orders(&count))
        .nest("/b", orders(&count))
        .route("/plain", get(async || "plain"))
        .layer(layer(&world, onceward()));
    assert_eq!(ask(&router, order("/a/orders")).await, first("order 1"));
    assert_eq!(ask(&router, order("/a/orders")).await, again("order 1"));
    assert!(ask(&router, order("/b/orders")).await.starts_with("422\n"));
    let page = |path: &str| Request::get(path).header("idempotency-key", "k").body(Body::empty()).unwrap();
    for (path, content) in [
        ("/.well-known/idempotency", "\\\"profile\\\": \\\"onceward\\\""),
        ("/.well-known/idempotency/problems/key-reused", "This key was used for another request"),
        ("/.well-known/idempotency/effects", "\\\"request\\\":\\\"POST /a/orders\\\""),
    ] {
        let answer = ask(&router, page(path)).await;
        assert!(answer.starts_with("200\n") && answer.contains(content), "{path}: {answer}");
    }
    assert!(ask(&router, page("/plain")).await.ends_with("\n\nplain"));
}

// covers: K1 L14 F5
#[tokio::test(start_paused = true)]
async fn handlers_ask_for_the_key_the_fence_and_the_intent() {
    let world = World::start().await;
    let whole = |IdempotencyKey(key): IdempotencyKey, fence: Fence, Intent(digest): Intent| async move {
        assert!(fence.epoch().0 > 0);
        format!("{} {}", key.expose(), digest.to_text())
    };
    let optional = |key: Option<IdempotencyKey>, fence: Option<Fence>, intent: Option<Intent>| async move {
        format!("{} {} {}", key.is_some(), fence.is_some(), intent.is_some())
    };
    let router = Router::new()
        .route("/whole", post(whole))
        .route("/optional", post(optional))
        .layer(layer(&world, onceward()));
    let digest = "TdxpPOOXedJyW3AhPvQU6AILe9qFOwsi_gk1TerbKJg";
    let asked = |path: &str, key: &str| {
        Request::post(path)
            .header("idempotency-key", key)
            .header("intent-sha256", digest)
            .body(Body::from(r#"{"item":"book"}"#))
            .unwrap()
    };
    assert!(ask(&router, asked("/whole", "k")).await.ends_with(&format!("\n\nk {digest}")));
    assert!(ask(&router, asked("/optional", "l")).await.ends_with("\n\ntrue true true"));
    let unkeyed = |path: &str| Request::post(path).body(Body::empty()).unwrap();
    assert!(ask(&router, unkeyed("/optional")).await.ends_with("\n\nfalse false false"));
    let refused = ask(&router, unkeyed("/whole")).await;
    let words = "the handler of this route works under an idempotency key only";
    assert!(refused.starts_with("500\n") && refused.ends_with(words), "{refused}");
}

// covers: L5 O4
#[tokio::test(start_paused = true)]
async fn handlers_signal_in_their_answers() {
    let (world, count) = (World::start().await, Count::default());
    let (declining, finishing) = (count.clone(), count.clone());
    let router = Router::new()
        .route("/none", post(move || async move { (effect::none(), format!("order {}", declining.add())) }))
        .route(
            "/done",
            post(move || async move {
                (StatusCode::TOO_MANY_REQUESTS, effect::done(), format!("order {}", finishing.add()))
            }),
        )
        .layer(layer(&world, onceward()));
    let released =
        |order| format!("200\n{PLAIN}idempotency-key-consumed: false\n{ADVERTISED}{LENGTH}\n{order}");
    assert_eq!(ask(&router, order("/none")).await, released("order 1"));
    assert_eq!(ask(&router, order("/none")).await, released("order 2"));
    assert_eq!(ask(&router, order("/done")).await, first("order 3").replace("200\n", "429\n"));
    assert_eq!(ask(&router, order("/done")).await, again("order 3").replace("200\n", "429\n"));
}

// covers: P2
#[tokio::test(start_paused = true)]
async fn a_handler_holds_what_its_client_expects_and_says_what_is_current() {
    let write = |Expected(expected): Expected| async move {
        let current = Current { etag: ETag::strong("v2").ok(), ..Current::default() };
        let status = match expected.check(&current) {
            Ok(()) => StatusCode::OK,
            Err(stale) => stale.problem_type().status.try_into().unwrap(),
        };
        (status, Versioned(current), if expected.is_none() { "no" } else { "a" }).into_response()
    };
    let world = World::start().await;
    let app = Router::new().route("/cart", put(write)).layer(layer(&world, onceward()));
    let told = async |key: &str, name: &'static str, value: &'static str| {
        let mut request = Request::put("/cart").header(name, value).body(Body::empty()).unwrap();
        if !key.is_empty() {
            request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        let answer = app.clone().oneshot(request).await.unwrap();
        let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status().as_u16(), tag)
    };
    let v2 = || Some("\"v2\"".to_owned());
    assert_eq!(told("a", "if-match", "\"v2\"").await, (200, v2()));
    assert_eq!(told("b", "if-match", "\"v1\"").await, (412, v2()));
    assert_eq!(told("b", "if-match", "\"v1\"").await, (412, v2()), "again");
    assert_eq!(told("c", "precondition-snapshot", "version: 1").await, (409, v2()));
    assert_eq!(told("", "if-match", "\"v1\"").await, (412, v2()), "without a key");
    assert_eq!(told("", "x", "1").await, (200, v2()));
    assert_eq!(told("d", "if-match", "v1").await, (400, None), "refused by the guard");
    assert_eq!(told("", "if-match", "v1").await, (400, None), "refused by the extractor");
}
