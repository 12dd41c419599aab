//! Requests that two servers read differently: none gets around its guard by that (S6).

use onceward_tower::origin::{OriginSettings, Route};

use super::{guarding, keyed, onceward, only, required, shop, told};
use crate::kit::{Lines, asking};

fn routes() -> [Route; 3] {
    [
        Route::guarded(&["POST"], "/orders", required()).unwrap(),
        Route::passed(&[], "/hooks/{*rest}").unwrap(),
        Route::guarded(&["POST"], "/carts/{*rest}", required()).unwrap(),
    ]
}

// covers: S6
#[tokio::test(start_paused = true)]
async fn no_spelling_of_a_path_escapes_its_guard() {
    let (world, count, shop) = shop(only(routes())).await;
    for path in [
        "/orders",
        "/orders/",
        "//orders",
        "/%6Frders",
        "/./orders",
        "/x/../orders",
        "/x/%2e%2E/orders",
        "/orders%2F",
        // A server that resolves the path finds an order here, one that does not a hook.
        "/hooks/../orders",
        "/hooks/..%2Forders",
        "/hooks/%2e%2e/orders",
        // And here a hook, where one that does not finds a cart.
        "/carts/../hooks/x",
        "/carts/..%2fhooks/x",
        "/carts/..%2fstatus",
    ] {
        let answer = told(&shop, asking(&format!("POST {path}"), &[], "a")).await;
        assert_eq!(answer, "400 key-missing", "{path}");
    }
    assert_eq!((count.get(), world.records().await), (0, 0));
    for path in ["/hooks", "/hooks/", "/hooks/a", "/hooks/a%20b/caf%C3%A9", "/Orders", "/orders/7", "/order"]
    {
        let answer = told(&shop, asking(&format!("POST {path}"), &[], "a")).await;
        assert!(answer.starts_with("201 passed"), "{path}: {answer}");
    }
}

// covers: S6
#[tokio::test(start_paused = true)]
async fn a_route_that_passes_is_left_by_every_other_spelling_of_it() {
    let routes = [Route::passed(&[], "/status").unwrap(), Route::passed(&[], "/hooks/").unwrap()];
    let (_, _, shop) = shop(OriginSettings { others: Some(required()), ..only(routes) }).await;
    for path in ["/status", "/hooks/"] {
        let answer = told(&shop, asking(&format!("POST {path}"), &[], "a")).await;
        assert!(answer.starts_with("201 passed"), "{path}: {answer}");
    }
    for path in ["//status", "/status/", "/%73tatus", "/x/../status", "/status/.", "/hooks", "/hooks//"] {
        let answer = told(&shop, asking(&format!("POST {path}"), &[], "a")).await;
        assert_eq!(answer, "400 key-missing", "{path}");
    }
}

// covers: F3 S6
#[tokio::test(start_paused = true)]
async fn another_spelling_of_a_path_is_another_request_under_its_key() {
    let (_, _, shop) = shop(onceward()).await;
    assert_eq!(told(&shop, keyed("POST /orders", "k", &[], "a")).await, "201 first order 1");
    for target in ["POST /orders/", "POST //orders", "POST /%6Frders", "POST /orders?", "POST /orders?a"] {
        assert_eq!(told(&shop, keyed(target, "k", &[], "a")).await, "422 key-reused", "{target}");
    }
}

// covers: S6
#[tokio::test(start_paused = true)]
async fn a_method_that_another_server_could_take_for_a_guarded_one_is_refused() {
    let (world, count, shop) = shop(only([Route::guarded(&["POST"], "/orders", guarding()).unwrap()])).await;
    const OVERRIDE: Lines = &[("x-http-method-override", "POST")];
    let rows: [(&str, Lines, &str); 14] = [
        ("post /orders", &[], "400 head-ambiguous"),
        ("PoSt /orders", &[], "400 head-ambiguous"),
        ("POST /orders", OVERRIDE, "400 head-ambiguous"),
        ("POST /orders", &[("x-http-method", "DELETE")], "400 head-ambiguous"),
        ("POST /orders", &[("x-method-override", "PUT")], "400 head-ambiguous"),
        ("POST /orders", &[("x_http_method_override", "GET")], "400 head-ambiguous"),
        ("POST /orders", &[("x-http-method-override", "")], "400 head-ambiguous"),
        ("GET /orders", OVERRIDE, "400 head-ambiguous"),
        ("GET /orders", &[("x-method-override", " post ")], "400 head-ambiguous"),
        (
            "GET /orders",
            &[("x-http-method-override", "GET"), ("x-http-method", "POST")],
            "400 head-ambiguous",
        ),
        // Whatever these are taken for, it is not guarded.
        ("GET /orders", &[("x-http-method-override", "HEAD")], "201 passed order 1"),
        ("GET /elsewhere", OVERRIDE, "201 passed order 2"),
        ("post /elsewhere", &[], "201 passed order 3"),
        ("POSTS /orders", &[], "201 passed order 4"),
    ];
    for (target, lines, expected) in rows {
        assert_eq!(told(&shop, keyed(target, "k", lines, "a")).await, expected, "{target} {lines:?}");
    }
    assert_eq!((count.get(), world.records().await), (4, 0));
    // A request without a key is not guarded, and passes with what it carries.
    assert_eq!(told(&shop, asking("POST /orders", OVERRIDE, "a")).await, "201 passed order 5");
}
