//! The service itself posts what became of an order whose answer was lost.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use onceward_resolve::Effects;
use onceward_store::AuditCursor;
use onceward_tower::{Webhook, Webhooks, origin::OriginSettings};
use serde_json::{Value, json};
use sha2::Sha256;

use super::kit::{Answer, Running, Scripted, before, read_message, rules, say};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PAY_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const PATH: &str = "/.well-known/idempotency/verdicts";

/// A service that breaks off the connection of its first request, and notes the heads of all.
async fn service() -> (Scripted, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&heads);
    let service = Scripted::open(move |_, mut socket| {
        let heads = Arc::clone(&noted);
        async move {
            while let Some(message) = read_message(&mut socket).await {
                let number = {
                    let mut heads = heads.lock().unwrap();
                    heads.push(message);
                    heads.len()
                };
                if number == 1 {
                    return;
                }
                say(&mut socket, 201, "", &format!("order {number}")).await;
            }
        }
    })
    .await;
    (service, heads)
}

fn epoch(head: &str) -> u64 {
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("onceward-epoch").then_some(value)
    });
    line.unwrap().trim().parse().unwrap()
}

/// Whose word counts: the shop's about its orders, and that of its payments about those.
fn settings() -> OriginSettings {
    let of = |name: &str, secret: &str, host: &str| {
        let effects = Effects::new(&["POST"], &["/orders"], Some(host)).unwrap();
        let webhook = Webhook::new(name, vec![secret.parse().unwrap()]);
        webhook.about(move |method, uri| effects.are_of(method, uri))
    };
    let webhooks = vec![of("pay", PAY_SECRET, "pay.example"), of("shop", SECRET, "shop.example")];
    OriginSettings { webhooks: Webhooks::new(webhooks), ..rules() }
}

async fn order(gateway: &Running) -> Answer {
    let request = "POST /orders HTTP/1.1\r\nHost: shop.example\r\nIdempotency-Key: \"k\"\r\nContent-Length: 3\r\n\
                   Connection: close\r\n\r\ntea";
    gateway.ask(request).await
}

async fn post(gateway: &Running, secret: &str, verdict: &Value) -> Answer {
    let body = verdict.to_string();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("msg_1.{seconds}.{body}").as_bytes());
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: shop.example\r\nWebhook-Id: msg_1\r\nWebhook-Timestamp: {seconds}\r\n\
         Webhook-Signature: v1,{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        STANDARD.encode(mac.finalize().into_bytes()),
        body.len()
    );
    gateway.ask(&request).await
}

fn verdict(epoch: u64, verdict: &str) -> Value {
    json!({"key": "k", "epoch": epoch, "verdict": verdict, "evidence": "order A17 is in the books"})
}

fn result(answer: &Answer) -> (u16, String) {
    let content: Value = serde_json::from_str(&answer.body).unwrap();
    let told = content.get("result").or_else(|| content.get("detail")).unwrap();
    (answer.status, told.as_str().unwrap().to_owned())
}

// covers: D2, D3, D4
#[tokio::test]
async fn an_order_that_was_booked_is_answered_as_the_service_says() {
    let (service, heads) = service().await;
    let gateway = Running::start_with(before(&[&service.url()]), settings()).await;
    assert_eq!(order(&gateway).await.problem(), (409, "outcome-unknown".to_owned()));
    let judged = epoch(&heads.lock().unwrap()[0]);
    let mut happened = verdict(judged, "happened");
    happened["answer"] =
        json!({"status": 201, "headers": [["content-type", "text/plain"]], "body": "order A17"});
    let (status, why) = result(&post(&gateway, PAY_SECRET, &happened).await);
    assert_eq!((status, why.as_str()), (404, "no such effect is remembered"), "the word of another host");
    assert_eq!(result(&post(&gateway, SECRET, &happened).await), (200, "resolved".to_owned()));
    assert_eq!(result(&post(&gateway, SECRET, &happened).await), (200, "already-so".to_owned()));
    let again = order(&gateway).await;
    assert_eq!(
        (again.status, again.body.as_str(), again.field("content-type"), again.field("idempotent-replayed")),
        (201, "order A17", Some("text/plain"), Some("true"))
    );
    assert_eq!(heads.lock().unwrap().len(), 1, "neither the retry nor a post reached the service");
    let log = gateway.engine.audit(AuditCursor::default(), None, 1_000).await.unwrap();
    let evidence: Vec<Value> = log
        .iter()
        .map(|(_, line)| serde_json::from_str::<Value>(&line.json).unwrap())
        .filter(|line| line["decision"] == "resolved")
        .map(|line| json!([line["evidence"], line["epoch"], line["reason"]]))
        .collect();
    assert_eq!(evidence, [json!(["webhook shop, msg_1: order A17 is in the books", judged, "happened"])]);
}

// covers: D2, D3
#[tokio::test]
async fn an_order_that_never_was_is_sent_once_more() {
    let (service, heads) = service().await;
    let gateway = Running::start_with(before(&[&service.url()]), settings()).await;
    assert_eq!(order(&gateway).await.problem(), (409, "outcome-unknown".to_owned()));
    let absent = verdict(epoch(&heads.lock().unwrap()[0]), "absent");
    assert_eq!(result(&post(&gateway, SECRET, &absent).await), (200, "resolved".to_owned()));
    assert_eq!(order(&gateway).await.body, "order 2");
    // Delivered late, it frees nothing of the second attempt.
    assert_eq!(result(&post(&gateway, SECRET, &absent).await), (200, "already-so".to_owned()));
    let again = order(&gateway).await;
    assert_eq!((again.body.as_str(), again.field("idempotent-replayed")), ("order 2", Some("true")));
    assert_eq!(heads.lock().unwrap().len(), 2);
}

// covers: D2
#[tokio::test]
async fn where_nobody_may_post_the_path_is_the_services() {
    let (service, heads) = service().await;
    heads.lock().unwrap().push(String::new());
    let gateway = Running::start(&[&service.url()]).await;
    assert_eq!(post(&gateway, SECRET, &verdict(1, "absent")).await.body, "order 2");
}
