//! What a client says that it means, held against what it sends (F5).

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use onceward_core::{
    actor::{Actor, Tenant},
    intent::IntentDigest,
    key::Key,
};
use onceward_store::{AuditCursor, AuditLog};
use onceward_tower::{
    Intent,
    origin::{Demand, Guarding, OriginSettings},
};

use super::{ADVERTISED, guarding, keyed, onceward, ordering, shop, state, told};
use crate::kit::{
    AnyBody, COMMITTED, Count, Lines, Shop, World, ask, cut, data, frames, response, site, text,
};

const BODY: &str = r#"{"item":"book"}"#;

/// SHA-256 of [`BODY`] in base64url, by another program.
const DIGEST: &str = "TdxpPOOXedJyW3AhPvQU6AILe9qFOwsi_gk1TerbKJg";

const MEANT: Lines = &[("intent-sha256", DIGEST)];

fn demanding(intent: Demand) -> OriginSettings {
    OriginSettings { others: Some(Guarding { intent, ..guarding() }), ..onceward() }
}

// covers: F5 A1
#[tokio::test(start_paused = true)]
async fn what_was_meant_is_audited_under_the_secret_and_bound_to_its_actor() {
    const ALICE: Lines = &[("authorization", "Bearer alice"), ("intent-sha256", DIGEST)];
    const BOB: Lines = &[("authorization", "Bearer bob"), ("intent-sha256", DIGEST)];
    let (world, _, shop) = shop(onceward()).await;
    let drifted = r#"{"nonce":7,"item":"book"}"#;
    let asked = [(ALICE, BODY), (ALICE, BODY), (BOB, BODY), (BOB, drifted), (&[], BODY)];
    for (lines, body) in asked {
        told(&shop, keyed("POST /orders", "k", lines, body)).await;
    }
    world.engine.close().await;
    let tag = world.engine.key_tag(&Key::new("k").unwrap());
    let lines = world.audit_log.read(AuditCursor::default(), Some(tag), 10).await.unwrap();
    let audited: Vec<_> = lines
        .iter()
        .map(|(_, line)| {
            let event: serde_json::Value = serde_json::from_str(&line.json).unwrap();
            ["decision", "intent"].map(|name| event[name].as_str().map(str::to_owned))
        })
        .collect();
    let stored = |credentials: &str| {
        let actor = Actor::new("authorization", credentials.as_bytes());
        let digest = IntentDigest::parse(DIGEST).unwrap();
        Some(digest.stored(world.engine.secret(), &Tenant::single(), &actor).to_string())
    };
    let said = |decision: &str, intent| [Some(decision.to_owned()), intent];
    let expected = [
        said("executed", stored("Bearer alice")),
        said("replayed", stored("Bearer alice")),
        said("executed", stored("Bearer bob")),
        // What is left out of a digest may still make another request (F6).
        said("refused", stored("Bearer bob")),
        said("executed", None),
    ];
    assert_eq!(audited, expected);
    assert_ne!(stored("Bearer alice"), stored("Bearer bob"));
}

// covers: F5 C2
#[tokio::test(start_paused = true)]
async fn a_digest_is_held_against_the_body_before_anything_is_claimed() {
    const PADDED: Lines = &[("intent-sha256", "TdxpPOOXedJyW3AhPvQU6AILe9qFOwsi_gk1TerbKJg=")];
    const OTHER: Lines = &[("intent-sha256", "AAAAPOOXedJyW3AhPvQU6AILe9qFOwsi_gk1TerbKJg")];
    const TWICE: Lines = &[("intent-sha256", DIGEST), ("intent-sha256", DIGEST)];
    let (optional, required) = (Demand::Optional, Demand::Required);
    let rows: [(Demand, Lines, &str, &str); 16] = [
        (optional, &[], BODY, "201 first"),
        (optional, &[], "no JSON", "201 first"),
        (optional, MEANT, BODY, "201 first"),
        (required, MEANT, BODY, "201 first"),
        (required, PADDED, BODY, "201 first"),
        (required, MEANT, " { \"item\" : \"book\" } ", "201 first"),
        (required, MEANT, r#"{"nonce":1,"item":"book","csrf":"x","timestamp":[2]}"#, "201 first"),
        (required, &[], BODY, "400 intent-missing"),
        (required, OTHER, BODY, "422 intent-mismatch"),
        (optional, OTHER, BODY, "422 intent-mismatch"),
        (optional, MEANT, r#"{"item":"bike"}"#, "422 intent-mismatch"),
        (optional, TWICE, BODY, "422 intent-mismatch"),
        (optional, &[("intent-sha256", "")], BODY, "422 intent-mismatch"),
        (optional, &[("intent-sha256", "sha-256=:x:")], BODY, "422 intent-mismatch"),
        (optional, MEANT, r#"{"item":9007199254740993}"#, "422 intent-unrepresentable"),
        (optional, MEANT, "no JSON", "400 body-invalid"),
    ];
    for (demand, lines, body, expected) in rows {
        let (world, count, shop) = shop(demanding(demand)).await;
        let answer = told(&shop, keyed("POST /orders", "k", lines, body)).await;
        assert!(answer.starts_with(expected), "{demand:?} {lines:?} {body}: {answer}");
        let ran = usize::from(expected == "201 first");
        assert_eq!((count.get(), world.records().await), (ran, ran), "{demand:?} {lines:?} {body}");
    }
    let (_, _, shop) = shop(onceward()).await;
    let refused = ask(&shop, keyed("POST /orders", "k", OTHER, BODY)).await;
    let marks = format!("idempotency-key-consumed: false\nintent-status: mismatch\n{ADVERTISED}\n");
    assert!(refused.contains(&marks), "{refused}");
}

// covers: F5
#[tokio::test(start_paused = true)]
async fn a_handler_is_told_the_digest_that_was_sent_and_held_true() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let site = site(move |request| {
        let digest = request.extensions().get::<Intent>().map(|Intent(digest)| digest.to_text());
        noted.lock().unwrap().push(digest);
        async { Ok(response(201, &[], text(""))) }
    });
    let shop = World::start().await.shop(onceward(), site);
    ask(&shop, keyed("POST /orders", "meant", MEANT, BODY)).await;
    ask(&shop, keyed("POST /orders", "silent", &[], BODY)).await;
    assert_eq!(*seen.lock().unwrap(), [Some(DIGEST.to_owned()), None]);
}

/// The tests begin at 12:00:00.
fn until(expires_at: &'static str) -> Request<AnyBody> {
    let mut request = keyed("POST /orders", "k", &[], BODY);
    request.headers_mut().insert("intent-expires-at", expires_at.parse().unwrap());
    request
}

const PAST: &str = "2026-11-21T11:59:59Z";
const LATER: &str = "2026-11-21T12:10:00Z";

// covers: F5 L5
#[tokio::test(start_paused = true)]
async fn an_intent_whose_time_has_passed_does_not_run_and_leaves_its_key_free() {
    let (_, count, shop) = shop(onceward()).await;
    for passed in [PAST, "2026-11-21T12:00:00Z", "2026-11-21T12:59:59+01:00", "1970-01-01T00:00:00Z"] {
        assert_eq!(told(&shop, until(passed)).await, "400 intent-expired", "{passed}");
        assert_eq!(state(&shop, "k", &[]).await, "absent none", "{passed}");
    }
    let refused = ask(&shop, until(PAST)).await;
    let marks = format!("idempotency-key-consumed: false\nintent-status: expired\n{ADVERTISED}\n");
    assert!(refused.contains(&marks), "{refused}");
    assert_eq!(count.get(), 0);
    // The same action, decided again.
    assert_eq!(ask(&shop, until(LATER)).await, format!("201\n{COMMITTED}{ADVERTISED}\norder 1"));
}

// covers: F5 L1
#[tokio::test(start_paused = true)]
async fn a_retry_whose_time_has_passed_learns_what_became_of_the_first() {
    let (_, count, done) = shop(onceward()).await;
    assert_eq!(told(&done, until("2026-11-21T12:00:30Z")).await, "201 first order 1");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&done, until("2026-11-21T12:00:30Z")).await, "201 again order 1");
    assert_eq!(count.get(), 1);

    let cut_off = site(|_| async { Ok(response(201, &[], frames(vec![data("half"), cut()]))) });
    let in_doubt = World::start().await.shop(onceward(), cut_off);
    for expires_at in [LATER, PAST] {
        assert_eq!(told(&in_doubt, until(expires_at)).await, "409 outcome-unknown", "{expires_at}");
    }
}

/// A shop that takes `seconds` for an order.
async fn slow(seconds: u64) -> (Count, Shop) {
    let count = Count::default();
    let counted = count.clone();
    let site = site(move |_| {
        let count = counted.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(response(201, &[], text(format!("order {}", count.add()))))
        }
    });
    (count, World::start().await.shop(onceward(), site))
}

// covers: F5 W1
#[tokio::test(start_paused = true)]
async fn a_duplicate_whose_time_has_passed_waits_for_what_runs() {
    for (seconds, expected) in [(2, "201 again order 1"), (20, "409 in-progress")] {
        let (count, shop) = slow(seconds).await;
        let first = tokio::spawn({
            let shop = shop.clone();
            async move { told(&shop, until(LATER)).await }
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(told(&shop, until(PAST)).await, expected, "{seconds} s");
        assert_eq!(first.await.unwrap(), "201 first order 1", "{seconds} s");
        assert_eq!(count.get(), 1, "{seconds} s");
    }
}

// covers: F5 W1
#[tokio::test(start_paused = true)]
async fn a_duplicate_that_takes_over_from_a_released_first_has_its_own_time() {
    let declining = site(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(response(429, &[], text("")))
    });
    let shop = World::start().await.shop(onceward(), declining);
    let first = tokio::spawn({
        let shop = shop.clone();
        async move { told(&shop, until(LATER)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    // It could run when it came, and no more when its turn comes.
    assert_eq!(told(&shop, until("2026-11-21T12:00:01Z")).await, "400 intent-expired");
    assert_eq!(first.await.unwrap(), "429 released ");
}

// covers: F5
#[tokio::test(start_paused = true)]
async fn a_time_that_cannot_be_read_is_refused_before_a_claim() {
    let (world, count) = (World::start().await, Count::default());
    let shop = world.shop(onceward(), ordering(&count));
    for text in ["", "tomorrow", "1795262400", "2026-11-21", "2026-13-01T00:00:00Z", "2026-11-21T12:00:00"] {
        assert_eq!(told(&shop, until(text)).await, "400 head-ambiguous", "{text}");
    }
    let mut twice = until(LATER);
    twice.headers_mut().append("intent-expires-at", LATER.parse().unwrap());
    assert_eq!(told(&shop, twice).await, "400 head-ambiguous");
    assert_eq!((count.get(), world.records().await), (0, 0));
}
