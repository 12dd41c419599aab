//! What a post may be: its form, its bounds, and what it is told where it cannot be taken.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use onceward_core::profile::Profile;
use onceward_store::{Fault, Faults};
use onceward_tower::Webhook;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Losing, PATH, SECRET, doubt, ledger, may_post, order, posted, signed, signed_with, verdict};
use crate::{
    kit::{Count, Shop, World, asking, fed},
    origin::{onceward, ordering, state, told},
};

// covers: D2
#[tokio::test(start_paused = true)]
async fn a_post_that_cannot_be_read_says_why() {
    let (_world, _, shop, epoch) = doubt(ledger()).await;
    let with = |name: &str, value: Value| {
        let mut post = verdict(epoch, "happened");
        post[name] = value;
        post.to_string()
    };
    let answer = |answer: Value| with("answer", answer);
    let without = |name: &str| {
        let mut post = verdict(epoch, "happened");
        post.as_object_mut().unwrap().remove(name);
        post.to_string()
    };
    let cases = [
        (String::new(), "the body: EOF"),
        ("[]".to_owned(), "the body: "),
        (format!("{} {{}}", verdict(epoch, "absent")), "the body: trailing characters"),
        (
            verdict(epoch, "absent").to_string().replace("\"key\"", "\"key\": \"j\", \"key\""),
            "duplicate field `key`",
        ),
        (with("order", json!(1)), "unknown field `order`"),
        (without("key"), "either `key` or `id`"),
        (with("id", json!("0".repeat(64))), "either `key` or `id`"),
        (with("key", json!("")), "`key`"),
        (with("key", json!("two words")), "`key`"),
        (without("key").replace('{', "{\"id\": \"KK\","), "`id` has 64"),
        (without("epoch"), "missing field `epoch`"),
        (with("epoch", json!("1")), "invalid type: string"),
        (with("epoch", json!(-1)), "the body: "),
        (with("verdict", json!("unknown")), "unknown variant `unknown`"),
        (without("evidence"), "missing field `evidence`"),
        (with("evidence", json!(" ")), "`evidence` says"),
        (with("evidence", json!("two\nlines")), "`evidence` says"),
        (with("evidence", json!("é".repeat(1_001))), "`evidence` says"),
        (answer(json!({"status": 199})), "`answer.status` is 200 to 599"),
        (answer(json!({"status": 600})), "`answer.status` is 200 to 599"),
        (answer(json!({"status": 200, "header": []})), "unknown field `header`"),
        (answer(json!({"status": 200, "headers": [["a b", "c"]]})), "`a b` is no header field"),
        (answer(json!({"status": 200, "headers": [["a", "b\r\nc: d"]]})), "`a` is no header field"),
        (answer(json!({"status": 200, "headers": [["a", "b".repeat(16 * 1024)]]})), "16 KiB"),
        (answer(json!({"status": 200, "headers": vec![["a", "b"]; 101]})), "more than 100 fields"),
        (
            answer(json!({"status": 200, "body": "a", "body_base64": "YQ=="})),
            "one of `body` and `body_base64`",
        ),
        (answer(json!({"status": 200, "body_base64": "Y"})), "`answer.body_base64`"),
        (answer(json!({"status": 204, "body": "a"})), "status 204 has no body"),
        (answer(json!({"status": 200})).replace("happened", "absent"), "only an effect that happened"),
        (answer(json!({"status": 200})).replace("happened", "multiple"), "only an effect that happened"),
    ];
    for (body, expected) in cases {
        let (status, why) = posted(&shop, signed_with(SECRET, &body)).await;
        assert!(status == 400 && why.contains(expected), "{body}: {status} {why}");
    }
    assert_eq!(state(&shop, "k", &[]).await, "in-doubt unknown");
    // As the origin found it in its header, quoted or not.
    let quoted = verdict(epoch, "absent").to_string().replace("\"k\"", "\"\\\"k\\\"\"");
    assert_eq!(posted(&shop, signed_with(SECRET, &quoted)).await, (200, "resolved".to_owned()));
}

// covers: S1
#[tokio::test(start_paused = true)]
async fn a_post_is_bounded_in_bytes_and_time_and_by_its_method() {
    let (_world, losing, shop, epoch) = doubt(ledger()).await;
    let padded = format!("{}{}", verdict(epoch, "absent"), " ".repeat(2 * 1024 * 1024));
    let (status, why) = posted(&shop, signed_with(SECRET, &padded)).await;
    assert_eq!((status, why.as_str()), (413, "a verdict has up to 2097152 bytes"));
    let (sender, slow) = fed(1);
    let (head, _) = signed(&verdict(epoch, "absent")).into_parts();
    let began = tokio::time::Instant::now();
    assert_eq!(posted(&shop, Request::from_parts(head, slow)).await.0, 503);
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    drop(sender);
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let response = shop.clone().oneshot(asking(&format!("{method} {PATH}"), &[], "")).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["allow"]),
            (405.try_into().unwrap(), &"POST".parse().unwrap())
        );
    }
    assert_eq!(losing.count.get(), 1);
}

// covers: L11, S2
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_asked_again_by_the_same_post() {
    // The engine's look, the claim, its settlement; then the listing, and the verdict whose answer is lost.
    let faults = [Fault::None, Fault::None, Fault::None, Fault::Refused, Fault::None, Fault::AnswerLost];
    let world = World::failing(Faults::scripted(faults)).await;
    let losing = Losing::new();
    let shop = world.shop(ledger(), losing.site());
    assert_eq!(told(&shop, order("k")).await, "409 outcome-unknown");
    let absent = verdict(losing.latest_epoch(), "absent");
    let (status, why) = posted(&shop, signed(&absent)).await;
    assert_eq!((status, why.contains("nothing was changed")), (503, true), "{why}");
    let (status, why) = posted(&shop, signed(&absent)).await;
    assert_eq!((status, why.contains("may stand")), (503, true), "{why}");
    assert_eq!(posted(&shop, signed(&absent)).await, (200, "already-so".to_owned()));
}

// covers: C1
#[tokio::test(start_paused = true)]
async fn the_contract_names_the_place_where_there_is_one() {
    let (world, count) = (World::start().await, Count::default());
    let passing = world.shop(onceward(), ordering(&count));
    assert_eq!(told(&passing, asking(&format!("POST {PATH}"), &[], "")).await, "201 passed order 1");
    let contract = async |shop: &Shop| heard_page(shop).await["verdicts"].clone();
    assert_eq!(contract(&passing).await, Value::Null);
    let shop = world.shop(may_post(vec![Webhook::new("ledger", vec![])]), ordering(&count));
    assert_eq!(contract(&shop).await, json!(PATH));
    assert_eq!(
        posted(&shop, signed(&verdict(1, "absent"))).await.0,
        401,
        "a webhook without secrets is nobody's"
    );
    assert_eq!(count.get(), 1);
    assert_eq!(Profile::onceward().name, heard_page(&shop).await["profile"]);
}

async fn heard_page(shop: &Shop) -> Value {
    let answer = shop.clone().oneshot(asking("GET /.well-known/idempotency", &[], "")).await.unwrap();
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}
