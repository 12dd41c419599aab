//! The pages that the guard itself answers with: the contract, the problem types, the state of an effect (C1, C3, C5).

use std::{sync::Arc, time::Duration};

use http::Request;
use onceward_core::{
    outcome::{Policy, WhenStoreDown},
    profile::{Namespace, Profile},
    refusal::PROBLEM_SLUGS,
};
use onceward_store::{Fault, Faults};
use onceward_tower::origin::{Demand, Guarding, OriginSettings, Route};
use serde_json::{Value, json};

use super::{guarding, keyed, onceward, only, ordering, shop, state, told};
use crate::kit::{AnyBody, Count, Lines, Shop, World, ask, asking, cut, data, frames, read, response, site};

/// Behind the content type of every page, up to its content.
const PAGE_FIELDS: &str = "cache-control: no-store\nx-content-type-options: nosniff\n";

async fn page(shop: &Shop, request: Request<AnyBody>) -> Value {
    let (head, page) = read(&ask(shop, request).await);
    assert_eq!(head, format!("200\ncontent-type: application/json\n{PAGE_FIELDS}"));
    page
}

// covers: C1 C3
#[tokio::test(start_paused = true)]
async fn the_contract_says_how_each_route_is_guarded() {
    let short = Policy {
        wait: Duration::ZERO,
        retention: Duration::from_secs(3_600),
        remember: Duration::from_secs(7_200),
        request_bytes_max: 1_000,
        outcome_bytes_max: 2_000,
        when_store_down: WhenStoreDown::Open,
        ..Policy::middleware()
    };
    let orders = Guarding {
        is_key_required: true,
        intent: Demand::Required,
        precondition: Demand::Required,
        policy: Arc::new(short),
        ..guarding()
    };
    let routes = vec![
        Route::guarded(&["POST"], "/orders/{id}", orders).unwrap(),
        Route::passed(&[], "/hooks/{*rest}").unwrap(),
        Route::guarded(&[], "/plain", guarding()).unwrap(),
    ];
    let (_, count, shop) = shop(OriginSettings { routes, ..onceward() }).await;
    let all = json!(["POST", "PATCH", "PUT", "DELETE"]);
    let plain = json!({
        "methods": all, "required": false, "intent_required": false, "precondition_required": false,
        "wait": 5, "retention": 86_400, "remember": 34_560_000,
        "request_bytes_max": 16_777_216, "outcome_bytes_max": 1_048_576, "key_chars_max": 255,
        "when_store_down": "closed",
    });
    let mut named = plain.clone();
    named["route"] = json!("POST,PATCH,PUT,DELETE /plain");
    let problems: Vec<String> =
        PROBLEM_SLUGS.iter().map(|slug| format!("/.well-known/idempotency/problems/{slug}")).collect();
    let expected = json!({
        "profile": "onceward",
        "carriers": ["idempotency-key", "x-idempotency-key"],
        "intent_hash": "sha256",
        "others": plain,
        "routes": [
            {
                "route": "POST /orders/{id}",
                "methods": ["POST"], "required": true, "intent_required": true, "precondition_required": true,
                "wait": 0, "retention": 3_600, "remember": 7_200,
                "request_bytes_max": 1_000, "outcome_bytes_max": 2_000, "key_chars_max": 255,
                "when_store_down": "open",
            },
            named,
        ],
        "effects": "/.well-known/idempotency/effects",
        "problems": problems,
    });
    assert_eq!(page(&shop, asking("GET /.well-known/idempotency", &[], "")).await, expected);
    assert_eq!(page(&shop, asking("GET /.well-known/idempotency?x=1", &[], "")).await, expected);
    assert_eq!(count.get(), 0);
}

// covers: C1
#[tokio::test(start_paused = true)]
async fn a_contract_without_other_requests_or_with_keys_in_the_body_says_so() {
    let (_, _, passing) = shop(only([])).await;
    let contract = page(&passing, asking("GET /.well-known/idempotency", &[], "")).await;
    assert_eq!((contract.get("others"), &contract["routes"]), (None, &json!([])));
    let (_, _, adcp) = shop(OriginSettings::of(Profile::adcp())).await;
    let contract = page(&adcp, asking("GET /.well-known/idempotency", &[], "")).await;
    assert_eq!((&contract["carriers"], &contract["body_member"]), (&json!([]), &json!("$.idempotency_key")));
}

// covers: C3
#[tokio::test(start_paused = true)]
async fn every_problem_type_has_a_page_and_nothing_else_has() {
    let (_, count, shop) = shop(onceward()).await;
    for slug in PROBLEM_SLUGS {
        let path = format!("/.well-known/idempotency/problems/{slug}");
        let answer = ask(&shop, asking(&format!("GET {path}"), &[], "")).await;
        let begin = format!("200\ncontent-type: text/markdown; charset=utf-8\n{PAGE_FIELDS}\n# ");
        assert!(answer.starts_with(&begin) && answer.contains(&format!("`{slug}`")), "{slug}: {answer}");
        let head = ask(&shop, asking(&format!("HEAD {path}"), &[], "")).await;
        let (fields, content) = head.split_once("\n\n").unwrap();
        let len = onceward_core::problem::page(slug).unwrap().len();
        assert_eq!(content, "", "{slug}");
        assert!(fields.contains(&format!("\ncontent-length: {len}\n")), "{slug}: {head}");
    }
    for path in [
        "problems/",
        "problems/none",
        "problems/../key-missing",
        "problems/key-missing/",
        "effects/",
        "effects/00",
    ] {
        let answer = ask(&shop, asking(&format!("GET /.well-known/idempotency/{path}"), &[], "")).await;
        assert_eq!(
            answer,
            format!("404\ncontent-type: text/plain\n{PAGE_FIELDS}\nthere is no such page\\n"),
            "{path}"
        );
    }
    assert_eq!(count.get(), 0);
}

// covers: C1
#[tokio::test(start_paused = true)]
async fn what_is_none_of_its_pages_is_the_sites() {
    let (_, _, shop) = shop(onceward()).await;
    for target in [
        "GET /.well-known/idempotency/",
        "GET /.well-known/idempotencys",
        "GET /.well-known",
        "GET /app/.well-known/idempotency",
        "POST /.well-known/idempotency",
        "POST /.well-known/idempotency/effects",
        "DELETE /.well-known/idempotency",
        "DELETE /.well-known/idempotency/effects/00",
        "OPTIONS /.well-known/idempotency",
    ] {
        let answer = told(&shop, asking(target, &[], "")).await;
        assert!(answer.starts_with("201 passed order"), "{target}: {answer}");
    }
}

// covers: C1 C3
#[tokio::test(start_paused = true)]
async fn a_head_request_gets_the_fields_of_a_page_and_no_content() {
    let (_, _, shop) = shop(onceward()).await;
    for target in
        ["/.well-known/idempotency", "/.well-known/idempotency/effects", "/.well-known/idempotency/effects/x"]
    {
        let asked = |method: &str, key: &str| keyed(&format!("{method} {target}"), key, &[], "");
        for key in ["k", "no key"] {
            let got = ask(&shop, asked("GET", key)).await;
            let (fields, content) = got.split_once("\n\n").unwrap();
            let content = content.replace("\\\"", "\"").replace("\\n", "\n").replace("\\'", "'");
            let head = ask(&shop, asked("HEAD", key)).await;
            let expected = format!("content-length: {}\n", content.len());
            assert!(head.ends_with("\n\n") && head.contains(&expected), "{target} {key}: {head}");
            assert_eq!(head.replace(&expected, ""), format!("{fields}\n\n"), "{target} {key}");
        }
    }
}

const EFFECTS: &str = "GET /.well-known/idempotency/effects";

// covers: C5
#[tokio::test(start_paused = true)]
async fn a_key_is_told_what_became_of_its_effect() {
    let (_, _, done) = shop(onceward()).await;
    let asked = || keyed(EFFECTS, "k", &[], "");
    assert_eq!(page(&done, asked()).await, json!({ "state": "absent", "effect": "none" }));
    told(&done, keyed("POST /orders?secret=1", "k", &[], "a")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let state = json!({
        "state": "done", "effect": "done", "request": "POST /orders",
        "sent_at": "2026-11-21T12:00:00Z", "since": "2026-11-21T12:00:00Z", "expires_at": "2026-11-22T12:00:00Z",
    });
    assert_eq!(page(&done, asked()).await, state);
    // A day later the answer is gone and the key is known for 400 more.
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    let state = json!({
        "state": "tombstone", "effect": "done", "reason": "expired", "request": "POST /orders",
        "sent_at": "2026-11-21T12:00:00Z", "since": "2026-11-22T12:00:00Z", "expires_at": "2027-12-27T12:00:00Z",
    });
    assert_eq!(page(&done, asked()).await, state);

    let cut_off = site(|_| async { Ok(response(201, &[], frames(vec![data("half"), cut()]))) });
    let in_doubt = World::start().await.shop(onceward(), cut_off);
    told(&in_doubt, keyed("POST /orders", "k", &[], "a")).await;
    let state = json!({
        "state": "in-doubt", "effect": "unknown", "reason": "answer-cut", "request": "POST /orders",
        "sent_at": "2026-11-21T12:00:00Z", "since": "2026-11-21T12:00:00Z",
    });
    assert_eq!(page(&in_doubt, asked()).await, state);
}

// covers: C5 D1
#[tokio::test(start_paused = true)]
async fn a_status_url_leads_to_the_state_and_another_id_to_none() {
    let cut_off = site(|_| async { Ok(response(201, &[], frames(vec![data("half"), cut()]))) });
    let shop = World::start().await.shop(onceward(), cut_off);
    let refused = ask(&shop, keyed("POST /orders", "k", &[], "a")).await;
    let (_, problem) = read(&refused);
    let url = problem["status_url"].as_str().unwrap();
    let id = url.strip_prefix("/.well-known/idempotency/effects/").unwrap();
    assert!(id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    // By the id nobody needs a key or credentials.
    let by_id = page(&shop, asking(&format!("GET {url}"), &[], "")).await;
    assert_eq!((&by_id["state"], &by_id["reason"]), (&json!("in-doubt"), &json!("answer-cut")));
    assert_eq!(by_id, page(&shop, keyed(EFFECTS, "k", &[], "")).await);
    // An id that nothing is remembered under proves nothing: it may be forgotten.
    let unknown = format!("GET /.well-known/idempotency/effects/{}", "0".repeat(64));
    let state = json!({ "state": "absent", "effect": "unknown" });
    assert_eq!(page(&shop, asking(&unknown, &[], "")).await, state);
    for id in [id.to_uppercase(), format!("{id}0"), id[1..].to_owned(), format!("{id}/")] {
        let answer = ask(&shop, asking(&format!("GET /.well-known/idempotency/effects/{id}"), &[], "")).await;
        assert!(answer.starts_with("404\n"), "{id}: {answer}");
    }
}

// covers: C5 K5
#[tokio::test(start_paused = true)]
async fn a_key_that_is_unique_in_a_route_is_asked_for_by_its_route() {
    let of = |namespace| Guarding { namespace, ..guarding() };
    let routes = vec![
        Route::guarded(&["POST", "PUT"], "/orders/{id}", of(Namespace::Route)).unwrap(),
        Route::guarded(&["POST", "PUT"], "/items/{id}", of(Namespace::Operation)).unwrap(),
        Route::passed(&[], "/hooks").unwrap(),
    ];
    let (_, _, shop) = shop(OriginSettings { routes, ..onceward() }).await;
    for target in ["PUT /orders/7", "POST /items/7"] {
        assert!(told(&shop, keyed(target, "k", &[], "a")).await.starts_with("201 first"), "{target}");
    }
    let rows = [
        // Where a key may be one of several, none is guessed: absent would be untrue of the others.
        ("", "400 head-ambiguous"),
        ("?method=PUT", "400 head-ambiguous"),
        ("?path=/orders/7&method=PUT", "done done"),
        ("?path=/orders/8", "done done"),
        ("?path=%2Forders%2F7%3Fid%3D1", "done done"),
        ("?path=/items/7", "done done"),
        ("?path=/items/7&method=PUT", "absent none"),
        ("?path=/items/8", "absent none"),
        ("?path=/elsewhere", "absent none"),
        ("?path=/hooks", "400 head-ambiguous"),
        ("?path=/orders/7&method=GET", "400 head-ambiguous"),
    ];
    for (query, expected) in rows {
        let request = keyed(&format!("{EFFECTS}{query}"), "k", &[], "");
        let (head, page) = read(&ask(&shop, request).await);
        let got = match head.starts_with("200\n") {
            true => format!("{} {}", page["state"].as_str().unwrap(), page["effect"].as_str().unwrap()),
            false => {
                let slug = page["type"].as_str().unwrap().rsplit('/').next().unwrap();
                format!("{} {slug}", page["status"])
            }
        };
        assert_eq!(got, expected, "{query}");
    }
}

// covers: C5
#[tokio::test(start_paused = true)]
async fn a_status_is_asked_for_also_where_no_route_is_named_or_no_field_carries_keys() {
    let (_, _, named) = shop(only([Route::guarded(&["POST"], "/orders", guarding()).unwrap()])).await;
    told(&named, keyed("POST /orders", "k", &[], "a")).await;
    assert_eq!(state(&named, "k", &[]).await, "done done");
    let (_, _, open) = shop(only([])).await;
    assert_eq!(state(&open, "k", &[]).await, "400 head-ambiguous");
    // The keys of this contract travel in bodies, and a GET has none.
    let (_, _, adcp) = shop(OriginSettings::of(Profile::adcp())).await;
    let body = r#"{"idempotency_key":"0123456789abcdef"}"#;
    assert_eq!(told(&adcp, asking("POST /orders", &[], body)).await, "201 first order 1");
    assert_eq!(state(&adcp, "0123456789abcdef", &[]).await, "done done");
}

const CANCEL: &str = "DELETE /.well-known/idempotency/effects";

/// The status, and what the page says of the effect, or the slug of the problem.
async fn cancelled(shop: &Shop, query: &str, key: &str) -> String {
    let answer = ask(shop, keyed(&format!("{CANCEL}{query}"), key, &[], "")).await;
    let (_, page) = read(&answer);
    let status = answer.split('\n').next().unwrap();
    match page["type"].as_str() {
        Some(url) => format!("{status} {}", url.rsplit('/').next().unwrap()),
        None => format!("{status} {} {} {}", page["state"], page["effect"], page["reason"]).replace('"', ""),
    }
}

// covers: D5 C5
#[tokio::test(start_paused = true)]
async fn a_keys_owner_cancels_what_has_not_come_yet() {
    let (_, count, shop) = shop(onceward()).await;
    for _ in 0..2 {
        assert_eq!(cancelled(&shop, "", "k").await, "200 tombstone none cancelled");
    }
    // The request was late, and never runs.
    assert!(told(&shop, keyed("POST /orders", "k", &[], "a")).await.starts_with("409 cancelled"));
    assert_eq!(count.get(), 0);
    // Nobody else's key of the same name is.
    let theirs = keyed("POST /orders", "k", &[("authorization", "Bearer other")], "a");
    assert!(told(&shop, theirs).await.starts_with("201 first"));
    let unkeyed = ask(&shop, asking(CANCEL, &[], "")).await;
    assert!(unkeyed.starts_with("400\n") && unkeyed.contains("/problems/key-missing"), "{unkeyed}");
    // What happened is not cancelled, and says so also to who reads the status alone.
    assert!(told(&shop, keyed("POST /orders", "done", &[], "a")).await.starts_with("201 first"));
    assert_eq!(cancelled(&shop, "", "done").await, "409 done done null");
    assert!(told(&shop, keyed("POST /orders", "done", &[], "a")).await.starts_with("201 again"));
}

// covers: D5 T5
#[tokio::test(start_paused = true)]
async fn what_may_have_happened_is_not_called_cancelled() {
    let cut_off = site(|_| async { Ok(response(201, &[], frames(vec![data("half"), cut()]))) });
    let shop = World::start().await.shop(onceward(), cut_off);
    told(&shop, keyed("POST /orders", "k", &[], "a")).await;
    assert_eq!(cancelled(&shop, "", "k").await, "409 outcome-unknown");
    assert_eq!(state(&shop, "k", &[]).await, "in-doubt unknown");
    // UUIDv7 of a millisecond before the store began: what became of it nobody knows, and it will not run from now on.
    let old = "01a1fdfa-45ff-7000-8000-000000000001";
    assert_eq!(cancelled(&shop, "", old).await, "409 history-lost");
    assert_eq!(state(&shop, old, &[]).await, "409 history-lost");
    assert_eq!(told(&shop, keyed("POST /orders", old, &[], "a")).await, "409 history-lost");
}

// covers: D5 K5
#[tokio::test(start_paused = true)]
async fn a_key_of_a_route_is_cancelled_in_its_route() {
    let operation = Guarding { namespace: Namespace::Operation, ..guarding() };
    let routes = vec![Route::guarded(&["POST", "PUT"], "/items/{id}", operation).unwrap()];
    let (_, count, shop) = shop(OriginSettings { routes, ..onceward() }).await;
    assert_eq!(cancelled(&shop, "", "k").await, "400 head-ambiguous");
    assert_eq!(cancelled(&shop, "?path=/items/7", "k").await, "200 tombstone none cancelled");
    assert!(told(&shop, keyed("POST /items/7", "k", &[], "a")).await.starts_with("409 cancelled"));
    assert!(told(&shop, keyed("POST /items/8", "k", &[], "a")).await.starts_with("201 first"));
    assert_eq!(count.get(), 1);
}

// covers: C5 T5
#[tokio::test(start_paused = true)]
async fn a_key_from_before_the_stores_memory_is_not_called_absent() {
    let (_, _, shop) = shop(onceward()).await;
    // UUIDv7 of a millisecond before the start, and of the start.
    assert_eq!(state(&shop, "01a1fdfa-45ff-7000-8000-000000000001", &[]).await, "409 history-lost");
    assert_eq!(state(&shop, "01a1fdfa-4600-7000-8000-000000000001", &[]).await, "absent none");
}

// covers: C5 S2
#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_is_not_called_absent() {
    const KEY: Lines = &[("idempotency-key", "k")];
    let world = World::failing(Faults::scripted([Fault::None, Fault::Refused])).await;
    let shop = world.shop(onceward(), ordering(&Count::default()));
    let refused = ask(&shop, asking(EFFECTS, KEY, "")).await;
    assert!(refused.starts_with("503\n") && refused.contains("/problems/store-unavailable\\\""), "{refused}");
    assert!(
        refused.contains("retry-after: 2\nidempotency-key-consumed: true\nintent-status: unknown\n"),
        "{refused}"
    );
    assert_eq!(page(&shop, asking(EFFECTS, KEY, "")).await, json!({ "state": "absent", "effect": "none" }));
}
