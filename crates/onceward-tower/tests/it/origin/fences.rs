//! What stands beside the key: early data, preconditions, the form and the time of a key, the fence that a handler is handed.

use std::sync::{Arc, Mutex};

use onceward_core::{
    key::{KeyForm, KeyRule},
    precondition::{Current, ETag, Snapshot},
    time::Timestamp,
};
use onceward_tower::{
    Fence, IdempotencyKey, Versioned,
    origin::{Demand, Guarding, OriginSettings},
};

use super::{ADVERTISED, guarding, keyed, onceward, shop, told};
use crate::kit::{Lines, STARTED_MS, World, ask, asking, response, site, text};

// covers: P1 C2
#[tokio::test(start_paused = true)]
async fn a_write_in_early_data_is_sent_back() {
    let (world, count, shop) = shop(onceward()).await;
    let early: [Lines; 2] = [&[("early-data", "1")], &[("early-data", "0"), ("early-data", "1")]];
    for lines in early {
        let answer = ask(&shop, keyed("POST /orders", "k", lines, "a")).await;
        assert!(answer.starts_with("425\n") && answer.contains("/problems/too-early\\\""), "{answer}");
        let marks = format!("idempotency-key-consumed: false\n{ADVERTISED}\n");
        assert!(answer.contains(&marks), "{answer}");
    }
    assert_eq!((count.get(), world.records().await), (0, 0));
    // After the handshake the field is gone, or says so.
    assert_eq!(
        told(&shop, keyed("POST /orders", "k", &[("early-data", "0")], "a")).await,
        "201 first order 1"
    );
    assert_eq!(told(&shop, keyed("POST /orders", "k", &[("early-data", "1")], "a")).await, "425 too-early");
    // What is not guarded is its handler's own matter (RFC 8470, 5.1).
    assert_eq!(told(&shop, asking("POST /orders", &[("early-data", "1")], "a")).await, "201 passed order 2");
}

// covers: P2
#[tokio::test(start_paused = true)]
async fn a_route_may_demand_a_precondition_that_can_be_read() {
    const DATE: &str = "Sat, 21 Nov 2026 11:00:00 GMT";
    let (missing, invalid, runs) = ("428 precondition-required", "400 precondition-invalid", "201 first");
    // The fields, where they may be missing, and where they must be there.
    let rows: [(Lines, &str, &str); 13] = [
        (&[], runs, missing),
        (&[("if-match", "\"1\"")], runs, runs),
        (&[("if-match", "*")], runs, runs),
        (&[("if-match", "\"1\", W/\"2\"")], runs, runs),
        (&[("if-match", "\"1\""), ("if-match", "\"2\"")], runs, runs),
        (&[("if-match", "1")], invalid, invalid),
        (&[("if-match", "")], invalid, invalid),
        (&[("if-unmodified-since", DATE)], runs, runs),
        // RFC 9110, 13.1.4: a date that is none is ignored.
        (&[("if-unmodified-since", "yesterday")], runs, missing),
        (&[("precondition-snapshot", "version: 7")], runs, runs),
        (&[("precondition-snapshot", "ts=2026-11-21T12:00:00Z")], runs, runs),
        (&[("precondition-snapshot", "lsn:16/B374D848")], runs, runs),
        (&[("precondition-snapshot", "seven")], invalid, invalid),
    ];
    for (precondition, column) in [(Demand::Optional, 0), (Demand::Required, 1)] {
        let others = Some(Guarding { precondition, ..guarding() });
        let (world, count, shop) = shop(OriginSettings { others, ..onceward() }).await;
        for (index, (lines, optional, required)) in rows.into_iter().enumerate() {
            let expected = [optional, required][column];
            let answer = told(&shop, keyed("PUT /orders/7", &format!("k{index}"), lines, "a")).await;
            assert!(answer.starts_with(expected), "{precondition:?} {lines:?}: {answer}");
        }
        assert_eq!(world.records().await, count.get(), "a refused one was claimed for");
    }
}

// covers: P2 O4
#[tokio::test(start_paused = true)]
async fn a_precondition_that_a_handler_finds_stale_is_final() {
    let stale = site(|_| async { Ok(response(412, &[("etag", "\"2\"")], text("stale"))) });
    let shop = World::start().await.shop(onceward(), stale);
    let asked = || keyed("PUT /orders/7", "k", &[("if-match", "\"1\"")], "a");
    assert_eq!(told(&shop, asked()).await, "412 first stale");
    let repeat = ask(&shop, asked()).await;
    assert!(repeat.starts_with("412\netag: \\\"2\\\"\nidempotent-replayed: true\n"), "{repeat}");
}

/// What is current, to the millisecond 2026-11-21T12:00:03.250Z.
fn current() -> Current {
    let snapshot = Some(Snapshot::Version(7));
    let modified = Some(Timestamp::from_ms(1_795_262_403_250));
    Current { etag: ETag::strong("v7").ok(), modified, snapshot }
}

const VERSIONS: &str =
    "etag: \\\"v7\\\"\nlast-modified: Sat, 21 Nov 2026 12:00:03 GMT\nsnapshot: version: 7\n";

// covers: P2 O1
#[tokio::test(start_paused = true)]
async fn an_answer_publishes_the_versions_that_its_handler_says() {
    let versioned = site(|_| async {
        let mut answer = response(200, &[], text("7"));
        answer.extensions_mut().insert(Versioned(current()));
        Ok(answer)
    });
    let shop = World::start().await.shop(onceward(), versioned);
    let asked = || keyed("PUT /orders/7", "k", &[("if-match", "\"v6\"")], "a");
    for answer in ["PUT", "PUT again"] {
        let told = ask(&shop, asked()).await;
        assert!(told.starts_with(&format!("200\n{VERSIONS}")), "{answer}: {told}");
    }
    assert_eq!(told(&shop, asked()).await, "200 again 7");
    // Whoever reads it needs them first.
    let read = ask(&shop, asking("GET /orders/7", &[], "")).await;
    assert_eq!(read, format!("200\n{VERSIONS}\n7"));
    let unkeyed = ask(&shop, asking("PUT /orders/7", &[], "a")).await;
    assert_eq!(unkeyed, format!("200\n{VERSIONS}{ADVERTISED}\n7"));
}

// covers: P2
#[tokio::test(start_paused = true)]
async fn a_field_of_the_handlers_own_stays_and_what_is_not_current_is_not_said() {
    let stale = site(|_| async {
        let mut answer = response(412, &[("etag", "\"own\"")], text("stale"));
        let snapshot = Some(Snapshot::Lsn(0x16_b374_d848));
        answer.extensions_mut().insert(Versioned(Current { modified: None, snapshot, ..current() }));
        Ok(answer)
    });
    let shop = World::start().await.shop(onceward(), stale);
    let told = ask(&shop, keyed("PUT /orders/7", "k", &[], "a")).await;
    assert!(told.starts_with("412\netag: \\\"own\\\"\nsnapshot: lsn:16/B374D848\nidempotency-"), "{told}");
}

/// A UUIDv7 issued so many milliseconds after the start.
fn uuid_v7(offset_ms: i64) -> String {
    let digits = format!("{:012x}", STARTED_MS.strict_add_signed(offset_ms));
    format!("{}-{}-7000-8000-000000000001", &digits[..8], &digits[8..])
}

// covers: K7 T5
#[tokio::test(start_paused = true)]
async fn a_keys_own_time_is_used_only_to_refuse() {
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    let (_, count, shop) = shop(onceward()).await;
    let rows = [
        (0, "201 first order 1"),
        (5 * MINUTE, "201 first order 2"),
        (5 * MINUTE + 1, "400 key-invalid"),
        // The store began to remember at the start.
        (-1, "409 history-lost"),
        (-400 * DAY, "409 history-lost"),
        // Longer ago than a day of keeping and 400 of remembering.
        (-401 * DAY - 1, "409 key-expired"),
    ];
    for (offset_ms, expected) in rows {
        let key = uuid_v7(offset_ms);
        assert_eq!(told(&shop, keyed("POST /orders", &key, &[], "a")).await, expected, "{offset_ms} ms");
    }
    assert_eq!(count.get(), 2);
}

// covers: K7 C3
#[tokio::test(start_paused = true)]
async fn of_a_key_from_before_all_memory_nothing_is_said_to_be_done() {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    let (_, count, shop) = shop(onceward()).await;
    let key = uuid_v7(-402 * DAY);
    let answer = ask(&shop, keyed("POST /orders", &key, &[], "a")).await;
    let marks = format!("idempotency-key-consumed: true\nintent-status: expired\n{ADVERTISED}");
    assert!(answer.starts_with("409\n") && answer.contains(&marks), "{answer}");
    let (_, body) = answer.split_once("\n\n").unwrap();
    for said in ["/problems/key-expired", r#"\"effect\":\"unknown\""#, r#"\"retry\":\"after-resolution\""#] {
        assert!(body.contains(said), "{said}: {body}");
    }
    assert_eq!(count.get(), 0);
}

// covers: K2
#[tokio::test(start_paused = true)]
async fn a_route_says_which_keys_it_takes() {
    let form = |form| KeyRule { form, ..KeyRule::ANY };
    let v4 = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    let v7 = uuid_v7(0);
    let ulid = "01M7YZMHG00000000000000001";
    let rows: [(KeyRule, &[&str], &[&str]); 6] = [
        (KeyRule { chars_min: 3, chars_max: 5, form: KeyForm::Any }, &["abc", "a=%/#"], &["ab", "abcdef"]),
        (form(KeyForm::Uuid), &[v4, &v7], &["8e03978e40d543e8bc936894a57f9324", "abc"]),
        (form(KeyForm::UuidV4), &[v4], &[&v7, "abc"]),
        (form(KeyForm::Timed), &[&v7], &[v4, "01234567890123456789012345"]),
        (form(KeyForm::Word), &["A1_b.c:d-e", v4], &["a/b", "a=b", "a b"]),
        (KeyRule::ANY, &["\"quoted\"", "!", ulid], &["", "a,b", "a;b=1", "\"a", "caf\u{e9}"]),
    ];
    for (key_rule, taken, refused) in rows {
        let others = Some(Guarding { key_rule, ..guarding() });
        let (_, count, shop) = shop(OriginSettings { others, ..onceward() }).await;
        let ask_with = async |key: &str| {
            let mut request = keyed("POST /orders", "k", &[], "a");
            let value = http::HeaderValue::from_bytes(key.as_bytes()).unwrap();
            request.headers_mut().insert("idempotency-key", value);
            told(&shop, request).await
        };
        for key in taken {
            let answer = ask_with(key).await;
            assert!(answer.starts_with("201 first"), "{key_rule:?} {key}: {answer}");
        }
        for key in refused {
            assert_eq!(ask_with(key).await, "400 key-invalid", "{key_rule:?} {key}");
        }
        assert_eq!(count.get(), taken.len(), "{key_rule:?}");
    }
}

// covers: K1 K2
#[tokio::test(start_paused = true)]
async fn both_carriers_of_the_profile_name_one_key() {
    let (world, _, shop) = shop(onceward()).await;
    let rows: [(Lines, &str); 9] = [
        (&[("idempotency-key", "k")], "201 first order 1"),
        (&[("x-idempotency-key", "k")], "201 again order 1"),
        (&[("idempotency-key", "\"k\""), ("x-idempotency-key", "k")], "201 again order 1"),
        (&[("idempotency-key", "k"), ("x-idempotency-key", "other")], "400 key-invalid"),
        (&[("x-idempotency-key", "k"), ("x-idempotency-key", "k")], "400 key-invalid"),
        (&[("x_idempotency_key", "k")], "400 key-invalid"),
        (&[("x-idempotency-key", "k"), ("connection", "close, X-Idempotency-Key")], "400 key-invalid"),
        (&[("idempotency-key", "k"), ("trailer", "idempotency-key")], "400 key-invalid"),
        // Not one of the profile's.
        (&[("x-idem-key", "k")], "201 passed order 2"),
    ];
    for (lines, expected) in rows {
        assert_eq!(told(&shop, asking("POST /orders", lines, "a")).await, expected, "{lines:?}");
    }
    assert_eq!(world.records().await, 1);
}

// covers: L14
#[tokio::test(start_paused = true)]
async fn a_handler_is_handed_its_key_and_a_fence_that_grows() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let declining = site(move |request| {
        let key =
            request.extensions().get::<IdempotencyKey>().map(|IdempotencyKey(key)| key.expose().to_owned());
        let fence = request.extensions().get::<Fence>().map(|fence| (fence.epoch(), fence.0.id));
        noted.lock().unwrap().push((key, fence));
        async { Ok(response(429, &[], text(""))) }
    });
    let shop = World::start().await.shop(onceward(), declining);
    for key in ["a", "a", "b"] {
        assert_eq!(told(&shop, keyed("POST /orders", key, &[], "")).await, "429 released ");
    }
    assert_eq!(told(&shop, asking("POST /orders", &[], "")).await, "429 passed ");
    let seen = seen.lock().unwrap().clone();
    let keys: Vec<_> = seen.iter().map(|(key, _)| key.as_deref()).collect();
    assert_eq!(keys, [Some("a"), Some("a"), Some("b"), None]);
    let fences: Vec<_> = seen.iter().filter_map(|(_, fence)| *fence).collect();
    assert_eq!(fences.len(), 3);
    for pair in fences.windows(2) {
        assert!(pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1, "{fences:?}");
    }
}
