//! Lists and shows.

use onceward_control::{
    client::{EffectsQuery, KeySelector},
    wire::{Content, Effect, EffectPage, Field, Outcome, RecordCounts, StoreStats},
};
use onceward_core::{actor::KeyTag, key::Key};
use serde_json::json;

use crate::{raw::request, stage::Stage};

/// The first claim's epoch: the clock's seconds, shifted (L14).
const FIRST_EPOCH: u64 = 1_795_262_400 << 20;

fn doubtful(stage: &Stage, key: &str, epoch: u64) -> Effect {
    Effect {
        id: stage.id(key),
        key: stage.key_tag(key),
        actor: stage.actor_tag().to_string(),
        tenant: String::from("default"),
        effect: String::from("POST https://shop.example/order"),
        state: String::from("in-doubt"),
        reason: Some(String::from("no-answer")),
        ambiguous_status: None,
        since: String::from("2026-11-21T12:00:00Z"),
        sent_at: Some(String::from("2026-11-21T12:00:00Z")),
        epoch,
        how: None,
        interest: Some(String::from("wanted")),
        expires_at: None,
    }
}

fn answered(stage: &Stage, key: &str, epoch: u64) -> Effect {
    Effect {
        state: String::from("done"),
        reason: None,
        how: Some(String::from("answered")),
        interest: None,
        // Retention is a day from completion (T1).
        expires_at: Some(String::from("2026-11-22T12:00:00Z")),
        ..doubtful(stage, key, epoch)
    }
}

#[tokio::test]
async fn what_is_in_doubt_is_listed_with_why_and_since_when() {
    let stage = Stage::open().await;
    stage.doubtful_order("order-1").await;
    stage.answered_order("order-2").await;
    let query = EffectsQuery { in_doubt_only: true, ..EffectsQuery::default() };
    let page = stage.client().effects(&query).await.unwrap();
    let effects = vec![doubtful(&stage, "order-1", FIRST_EPOCH)];
    assert_eq!(page, EffectPage { effects, corrupt: 0, next: None });
}

#[tokio::test]
async fn a_listing_goes_on_where_its_page_ended() {
    let stage = Stage::open().await;
    stage.doubtful_order("order-1").await;
    stage.answered_order("order-2").await;
    let first = EffectsQuery { limit: Some(1), ..EffectsQuery::default() };
    let newest = stage.client().effects(&first).await.unwrap();
    assert_eq!(newest.effects, [answered(&stage, "order-2", FIRST_EPOCH + 1)]);
    let second = EffectsQuery { after: newest.next, limit: Some(1), ..EffectsQuery::default() };
    let rest = stage.client().effects(&second).await.unwrap();
    assert_eq!(
        rest,
        EffectPage { effects: vec![doubtful(&stage, "order-1", FIRST_EPOCH)], corrupt: 0, next: None }
    );
}

// covers: K6
#[tokio::test]
async fn a_key_is_found_by_itself_in_a_header_and_by_its_tag_in_the_query() {
    let stage = Stage::open().await;
    stage.doubtful_order("or\"der,1").await;
    stage.doubtful_order("order-2").await;
    let ids = async |selector| {
        let query = EffectsQuery { key: Some(selector), ..EffectsQuery::default() };
        let page = stage.client().effects(&query).await.unwrap();
        page.effects.into_iter().map(|effect| effect.id).collect::<Vec<_>>()
    };
    let wanted = vec![stage.id("or\"der,1")];
    assert_eq!(ids(KeySelector::Key(Key::new("or\"der,1").unwrap())).await, wanted);
    assert_eq!(ids(KeySelector::Tag(KeyTag::parse(&stage.key_tag("or\"der,1")).unwrap())).await, wanted);
    let stamped = [("Host", "localhost"), ("X-Idem-Key", "order-2")];
    let answer = stage.ask(&request("GET", "/v1/effects", &stamped, "")).await;
    assert_eq!(answer.json()["effects"][0]["id"], stage.id("order-2"));
}

#[tokio::test]
async fn actors_are_told_apart() {
    let stage = Stage::open().await;
    stage.doubtful_order("order-1").await;
    stage.strangers_order("order-1").await;
    let all = stage.client().effects(&EffectsQuery::default()).await.unwrap();
    assert_eq!(all.effects.len(), 2);
    let query = EffectsQuery { actor: Some(stage.actor_tag()), ..EffectsQuery::default() };
    let own = stage.client().effects(&query).await.unwrap();
    assert_eq!(own.effects, [doubtful(&stage, "order-1", FIRST_EPOCH)]);
}

// covers: A1
#[tokio::test]
async fn an_effect_is_shown_with_its_answers_outline_and_its_own_audit_lines() {
    let stage = Stage::open().await;
    let id = stage.answered_order("order-1").await;
    stage.strangers_order("order-1").await;
    stage.audit_lines(2).await;
    let detail = stage.client().effect(&id).await.unwrap();
    assert_eq!(detail.effect, answered(&stage, "order-1", FIRST_EPOCH));
    let field = |name: &str, len| Field { name: name.to_owned(), len };
    assert_eq!(
        detail.outcome,
        Some(Outcome::Answer {
            status: 201,
            sent_at: String::from("2026-11-21T12:00:00Z"),
            fields: vec![field("content-type", 10), field("set-cookie", 17)],
            content: Content::Kept { len: 10 },
            trailers: Vec::new(),
        })
    );
    let [line] = &detail.audit[..] else { panic!("one line of this actor: {:?}", detail.audit) };
    let told =
        ["time", "decision", "tenant", "actor", "key", "effect", "epoch", "status"].map(|name| &line[name]);
    assert_eq!(
        told,
        [
            &json!("2026-11-21T12:00:00Z"),
            &json!("executed"),
            &json!("default"),
            &json!(stage.actor_tag().to_string()),
            &json!(stage.key_tag("order-1")),
            &json!("POST https://shop.example/order"),
            &json!(FIRST_EPOCH),
            &json!(201),
        ]
    );
    assert_eq!(detail.audit_next, None);
}

// covers: K6
#[tokio::test]
async fn no_answer_holds_a_raw_key_a_body_or_a_cookie() {
    let stage = Stage::open().await;
    let id = stage.answered_order("order-secret-1").await;
    stage.audit_lines(1).await;
    for target in ["/v1/effects", &format!("/v1/effects/{id}"), "/v1/audit", "/v1/store", "/metrics"] {
        let answer = stage.get(target).await;
        assert_eq!(answer.status, 200, "{target}");
        for secret in ["order-secret-1", "order 4711", "c00kie-value", "agent one"] {
            assert!(!answer.body.contains(secret), "{target} tells {secret}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn the_stores_state_is_told() {
    let stage = Stage::open().await;
    stage.doubtful_order("order-1").await;
    stage.answered_order("order-2").await;
    let stats = stage.client().store().await.unwrap();
    assert_eq!(
        stats,
        StoreStats {
            kind: String::from("memory"),
            durability: String::from("nothing"),
            records: RecordCounts { absent: 0, claimed: 0, done: 1, in_doubt: 1, tombstone: 0 },
            bytes: stage.engine.health().await.unwrap().bytes,
            history_barrier: Some(String::from("2026-11-21T12:00:00Z")),
        }
    );
}

// covers: A1
#[tokio::test]
async fn the_audit_log_is_json_lines_that_a_reader_can_follow() {
    let stage = Stage::open().await;
    stage.doubtful_order("order-1").await;
    stage.answered_order("order-2").await;
    stage.audit_lines(2).await;
    let decisions = |body: &str| {
        let lines = body.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| line["decision"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = stage.get("/v1/audit?limit=1").await;
    assert_eq!(first.field("content-type"), Some("application/x-ndjson"));
    assert_eq!(decisions(&first.body), ["doubted"]);
    let next = first.field("link").and_then(|link| link.strip_prefix('<')?.strip_suffix(">; rel=\"next\""));
    let second = stage.get(next.expect("a link to what follows")).await;
    assert_eq!(decisions(&second.body), ["executed"]);
    let of_key = stage.get(&format!("/v1/audit?key={}", stage.key_tag("order-2"))).await;
    assert_eq!(decisions(&of_key.body), ["executed"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_not_guessed_at() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let cases = [
        ("/v1/effects?state=done", 400),
        ("/v1/effects?stat=in-doubt", 400),
        ("/v1/effects?key=order-1", 400),
        ("/v1/effects?actor=agent", 400),
        ("/v1/effects?after=x", 400),
        ("/v1/effects?limit=0", 400),
        ("/v1/effects?limit=1001", 400),
        ("/v1/effects?limit=1000", 200),
        ("/v1/audit?limit=1001", 400),
        ("/v1/effects/4711", 400),
        (&format!("/v1/effects/{}", "z".repeat(64)), 400),
        (&format!("/v1/effects/{}", "0".repeat(64)), 404),
        (&format!("/v1/effects/{id}?body=true"), 400),
        ("/v1/nothing", 404),
    ];
    for (target, status) in cases {
        let answer = stage.get(target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        if status != 200 {
            assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{target}");
            assert_eq!(answer.json()["status"], status, "{target}");
        }
    }
}

// covers: K1
#[tokio::test]
async fn a_key_that_can_be_read_in_two_ways_is_refused_by_the_protocols_own_problem() {
    let stage = Stage::open().await;
    let fields = [("Host", "localhost"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let answer = stage.ask(&request("GET", "/v1/effects", &fields, "")).await;
    assert_eq!(
        answer.json(),
        json!({
            "type": "/problems/key-invalid",
            "title": "The idempotency key is not valid",
            "status": 400,
            "detail": "the field was sent twice",
        })
    );
    let fields = [("Host", "localhost"), ("Idempotency-Key", "a")];
    let target = format!("/v1/effects?key={}", stage.key_tag("a"));
    assert_eq!(stage.ask(&request("GET", &target, &fields, "")).await.status, 400);
}

// covers: L8
#[tokio::test]
async fn a_record_that_cannot_be_read_is_refused_and_not_called_absent() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    stage.store.corrupt();
    let answer = stage.get(&format!("/v1/effects/{id}")).await;
    assert_eq!((answer.status, &answer.json()["type"]), (503, &json!("/problems/record-corrupt")));
}
