//! Which route decides, and that each decides for itself.

use std::sync::Arc;

use http::header;
use onceward_core::{
    header::Cookies,
    outcome::{Policy, StatusSet},
    profile::{Namespace, Profile},
};
use onceward_tower::origin::{Guarding, OriginSettings, Route};

use super::{ADVERTISED, guarding, keyed, onceward, only, required, shop, told};
use crate::kit::{
    COMMITTED, Count, Lines, World, ask, asking, cut, data, frames, post_with, problem, read, replayed,
    response, site, text,
};

// covers: K3
#[tokio::test(start_paused = true)]
async fn the_first_route_that_matches_decides() {
    let routes = || {
        [
            Route::guarded(&["POST"], "/orders", required()).unwrap(),
            Route::passed(&[], "/hooks/{*rest}").unwrap(),
            Route::passed(&["PUT"], "/items/9").unwrap(),
            Route::guarded(&[], "/items/{id}", guarding()).unwrap(),
            Route::guarded(&["GET", "PURGE"], "/items/{id}/label", guarding()).unwrap(),
        ]
    };
    // Target, without a key, with one; the last where no route matches and others are guarded.
    let rows = [
        ("POST /orders", "400 key-missing", "201 first", ""),
        ("POST /orders?id=1", "400 key-missing", "201 first", ""),
        ("PUT /orders", "201 passed", "201 passed", "201 first"),
        ("POST /hooks/a/b", "201 passed", "201 passed", "201 passed"),
        ("POST /hooks", "201 passed", "201 passed", "201 passed"),
        ("PUT /items/9", "201 passed", "201 passed", "201 passed"),
        ("POST /items/9", "201 passed", "201 first", ""),
        ("DELETE /items/7", "201 passed", "201 first", ""),
        ("GET /items/7", "201 passed", "201 passed", "201 passed"),
        ("GET /items/7/label", "201 passed", "201 first", ""),
        ("PURGE /items/7/label", "201 passed", "201 first", ""),
        ("POST /items/7/label", "201 passed", "201 passed", "201 first"),
        ("POST /elsewhere", "201 passed", "201 passed", "201 first"),
        ("QUERY /elsewhere", "201 passed", "201 passed", "201 passed"),
    ];
    for (others, is_guarded) in [(None, false), (Some(guarding()), true)] {
        let (_, _, shop) = shop(OriginSettings { others, ..only(routes()) }).await;
        for (index, (target, unkeyed, with_key, guarded)) in rows.into_iter().enumerate() {
            let answer = told(&shop, asking(target, &[], "a")).await;
            assert!(answer.starts_with(unkeyed), "{target}: {answer}");
            let expected = if is_guarded && !guarded.is_empty() { guarded } else { with_key };
            let answer = told(&shop, keyed(target, &format!("k{index}"), &[], "a")).await;
            assert!(answer.starts_with(expected), "{target}, others {is_guarded}: {answer}");
        }
    }
}

// covers: K3 C3
#[tokio::test(start_paused = true)]
async fn a_required_key_is_asked_for_with_a_page_that_explains() {
    let (world, count, shop) = shop(only([Route::guarded(&["POST"], "/orders", required()).unwrap()])).await;
    let refused = ask(&shop, asking("POST /orders?id=1", &[], "a")).await;
    let (head, body) = read(&refused);
    let expected = format!(
        "400\ncontent-type: application/problem+json\ncache-control: no-store\nvary: Accept, Origin\n\
         x-content-type-options: nosniff\ncontent-security-policy: default-src \\'none\\'; \
         style-src \\'unsafe-inline\\'; base-uri \\'none\\'; form-action \\'none\\'; \
         frame-ancestors \\'self\\'\nlink: </.well-known/idempotency/problems/key-missing>; \
         rel=\\\"describedby\\\"\nidempotency-key-consumed: false\n{ADVERTISED}"
    );
    assert_eq!(head, expected);
    let json = serde_json::json!({
        "type": "/.well-known/idempotency/problems/key-missing",
        "title": "This request needs an idempotency key",
        "status": 400,
        "detail": "The route requires a key and none was sent.",
        "instance": "/orders",
        "retryable": false,
        "effect": "none",
        "retry": "new-key",
        "next_action": "Mint a key for this action and send it with every try of it.",
    });
    assert_eq!(body, json);
    let page = ask(&shop, asking("GET /.well-known/idempotency/problems/key-missing", &[], "")).await;
    assert!(page.starts_with("200\ncontent-type: text/markdown; charset=utf-8\n"), "{page}");
    assert_eq!((count.get(), world.records().await), (0, 0));
}

// covers: K3
#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_passes_is_counted_and_learns_what_the_route_accepts() {
    let (world, _, shop) = shop(onceward()).await;
    let passed = ask(&shop, asking("POST /orders", &[], "a")).await;
    assert_eq!(passed, format!("201\n{ADVERTISED}\norder 1"));
    assert_eq!(ask(&shop, asking("GET /orders", &[], "")).await, "201\n\norder 2");
    let metrics = world.engine.telemetry().render();
    assert!(metrics.contains("onceward_unprotected_writes_total 1\n"), "{metrics}");
}

// covers: K5 F6
#[tokio::test(start_paused = true)]
async fn a_key_is_unique_in_what_the_route_says() {
    // The same key and body, one after the other: whether the second is another effect, or refused.
    let rows = [
        (Namespace::Actor, "POST /a/1", "POST /b/1", "422 key-reused"),
        (Namespace::Actor, "POST /a/1", "PUT /a/1", "422 key-reused"),
        (Namespace::Route, "POST /a/1", "POST /b/1", "201 first order 2"),
        (Namespace::Route, "POST /a/1", "POST /a/2", "422 key-reused"),
        (Namespace::Route, "POST /a/1", "PUT /a/1", "422 key-reused"),
        (Namespace::Operation, "POST /a/1", "POST /a/2", "201 first order 2"),
        (Namespace::Operation, "POST /a/1", "PUT /a/1", "201 first order 2"),
        (Namespace::Operation, "POST /a/1", "POST /a/1?x=1", "422 key-reused"),
    ];
    for (namespace, first, second, expected) in rows {
        let route = |template| {
            let guarding = Guarding { namespace, ..guarding() };
            Route::guarded(&["POST", "PUT"], template, guarding).unwrap()
        };
        let (_, _, shop) = shop(only([route("/a/{id}"), route("/b/{id}")])).await;
        let label = format!("{namespace:?} {first}, {second}");
        assert_eq!(told(&shop, keyed(first, "k", &[], "a")).await, "201 first order 1", "{label}");
        assert_eq!(told(&shop, keyed(second, "k", &[], "a")).await, expected, "{label}");
        assert_eq!(told(&shop, keyed(first, "k", &[], "a")).await, "201 again order 1", "{label}");
    }
}

// covers: K5
#[tokio::test(start_paused = true)]
async fn requests_that_no_route_names_share_one_namespace() {
    let profile = Profile { namespace: Namespace::Route, ..Profile::onceward() };
    let (_, _, shop) = shop(OriginSettings::of(profile)).await;
    assert_eq!(told(&shop, keyed("POST /a", "k", &[], "a")).await, "201 first order 1");
    assert_eq!(told(&shop, keyed("POST /b", "k", &[], "a")).await, "422 key-reused");
}

fn with(policy: Policy) -> Guarding {
    Guarding { policy: Arc::new(policy), ..guarding() }
}

// covers: O4
#[tokio::test(start_paused = true)]
async fn each_route_says_what_is_final() {
    let final_429 = Policy { final_statuses: StatusSet::NONE.with(429, 429), ..Policy::middleware() };
    let released_500 = Policy { released_statuses: StatusSet::NONE.with(500, 500), ..Policy::middleware() };
    let doubtful_500 = Policy { doubtful_statuses: StatusSet::NONE.with(500, 500), ..Policy::middleware() };
    let shop_of = |status| {
        let routes = [("/final", &final_429), ("/released", &released_500), ("/doubtful", &doubtful_500)]
            .map(|(path, policy)| Route::guarded(&["POST"], path, with(policy.clone())).unwrap());
        async move {
            let (world, count) = (World::start().await, Count::default());
            let site = count.site(move |runs| response(status, &[], text(format!("order {runs}"))));
            world.shop(OriginSettings { others: Some(guarding()), ..only(routes) }, site)
        }
    };
    let rows = [
        (429, "POST /final", ["429 first order 1", "429 again order 1"]),
        (429, "POST /plain", ["429 released order 1", "429 released order 2"]),
        (500, "POST /released", ["500 released order 1", "500 released order 2"]),
        (500, "POST /doubtful", ["409 outcome-unknown", "409 outcome-unknown"]),
        (500, "POST /plain", ["500 first order 1", "500 again order 1"]),
        // What one route says holds for it alone.
        (429, "POST /doubtful", ["429 released order 1", "429 released order 2"]),
        (500, "POST /final", ["500 first order 1", "500 again order 1"]),
    ];
    for (status, target, answers) in rows {
        let shop = shop_of(status).await;
        for expected in answers {
            assert_eq!(told(&shop, keyed(target, "k", &[], "a")).await, expected, "{status} {target}");
        }
    }
}

// covers: O2 S1
#[tokio::test(start_paused = true)]
async fn each_route_says_what_is_kept_and_how_much_is_read() {
    const ANSWER: Lines = &[
        ("content-type", "text/plain"),
        ("location", "/orders/1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("etag", "\"1\""),
        ("x-request-cost", "7"),
        ("date", "Sat, 21 Nov 2026 12:00:00 GMT"),
    ];
    let kept = |names: &[header::HeaderName]| Some(Arc::from(names));
    let cookies = Policy { cookies: Cookies::Keep, ..Policy::middleware() };
    let small = Policy { request_bytes_max: 2, ..Policy::middleware() };
    let routes = [
        ("/named", Guarding { kept_fields: kept(&[header::LOCATION]), ..guarding() }),
        // Naming a field does not keep what is never kept.
        ("/greedy", Guarding { kept_fields: kept(&[header::DATE, header::SET_COOKIE]), ..guarding() }),
        ("/none", Guarding { kept_fields: kept(&[]), ..guarding() }),
        ("/cookies", with(cookies)),
        ("/small", with(small)),
    ];
    let routes = routes.map(|(path, guarding)| Route::guarded(&["POST"], path, guarding).unwrap());
    let (world, count) = (World::start().await, Count::default());
    let site = count.site(|_| response(201, ANSWER, text("made")));
    let shop = world.shop(OriginSettings { others: Some(guarding()), ..only(routes) }, site);
    let all = "location: /orders/1\n";
    let rest = "etag: \\\"1\\\"\nx-request-cost: 7\n";
    let rows = [
        ("/plain", format!("{all}{rest}")),
        ("/named", all.to_owned()),
        ("/greedy", String::new()),
        ("/none", String::new()),
        ("/cookies", format!("{all}set-cookie: a=1\nset-cookie: b=2\n{rest}")),
    ];
    for (path, kept) in rows {
        let asked = || keyed(&format!("POST {path}"), path, &[], "abc");
        assert!(ask(&shop, asked()).await.contains(COMMITTED), "{path}");
        let expected = format!("201\ncontent-type: text/plain\n{kept}{}{ADVERTISED}\nmade", replayed(0));
        assert_eq!(ask(&shop, asked()).await, expected, "{path}");
    }
    assert_eq!(problem(&shop, keyed("POST /small", "small", &[], "abc")).await, "413 body-too-large");
    assert_eq!(told(&shop, keyed("POST /small", "small", &[], "ab")).await, "201 first made");
}

// covers: S6
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_at_any_frame_claims_nothing() {
    let (world, count, shop) = shop(onceward()).await;
    for whole_frames in 0..4 {
        let mut pieces: Vec<_> = (0..whole_frames).map(|_| data("part ")).collect();
        pieces.push(cut());
        let broken = post_with("k", &[], frames(pieces));
        assert_eq!(problem(&shop, broken).await, "400 body-incomplete", "after {whole_frames} frames");
        assert_eq!((count.get(), world.records().await), (0, 0), "after {whole_frames} frames");
    }
    assert_eq!(told(&shop, post_with("k", &[], text("part part "))).await, "201 first order 1");
}

// covers: K3 O2
#[tokio::test(start_paused = true)]
async fn an_upgrade_and_other_fields_of_an_unguarded_request_pass_as_they_are() {
    let echo = site(|request| async move {
        let upgrade = request.headers().get("upgrade").cloned();
        let mut answer = response(101, &[("connection", "upgrade")], text(""));
        answer.headers_mut().insert("upgrade", upgrade.unwrap());
        Ok(answer)
    });
    let shop = World::start().await.shop(onceward(), echo);
    let asked = asking("GET /socket", &[("connection", "upgrade"), ("upgrade", "websocket")], "");
    assert_eq!(ask(&shop, asked).await, "101\nconnection: upgrade\nupgrade: websocket\n\n");
}
