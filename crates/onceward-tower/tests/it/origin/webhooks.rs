//! Verdicts that are posted: who may, about what, and what a post comes to, once or again (D2, D3).

mod posts;

use std::{
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use http_body_util::BodyExt;
use onceward_core::{
    actor::Tenant,
    outcome::{Evidence, Policy},
    record::DoubtReason,
    secret::Secret,
    time::Timestamp,
};
use onceward_engine::{Engine, Limits, Parts, SystemEntropy};
use onceward_store::{AuditLog, Clock, ManualClock, Memory, MemoryLimits, Store, Table, TableOptions};
use onceward_tower::{
    Fence, RequestBody, Webhook, WebhookSecret, Webhooks,
    origin::{ActorSource, OriginSettings},
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::oneshot;
use tower::ServiceExt;

use super::{keyed, onceward, state, told};
use crate::kit::{AnyBody, Count, STARTED_MS, Shop, Site, Trouble, World, asking, response, site, text};

/// `openssl rand -base64 24`.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const PATH: &str = "/.well-known/idempotency/verdicts";

fn secret(text: &str) -> WebhookSecret {
    text.parse().unwrap()
}

fn may_post(webhooks: Vec<Webhook>) -> OriginSettings {
    OriginSettings { webhooks: Webhooks::new(webhooks), ..onceward() }
}

fn ledger() -> OriginSettings {
    may_post(vec![Webhook::new("ledger", vec![secret(SECRET)])])
}

/// A site that remembers the epochs of its orders, and loses its answers for as long as it is told to.
#[derive(Clone)]
struct Losing {
    count: Count,
    epochs: Arc<Mutex<Vec<u64>>>,
    loses: Arc<AtomicBool>,
    /// What its next order waits for.
    held: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
}

impl Losing {
    fn new() -> Self {
        let loses = Arc::new(AtomicBool::new(true));
        Self { count: Count::default(), epochs: Arc::default(), loses, held: Arc::default() }
    }

    fn site(&self) -> Site {
        let losing = self.clone();
        site(move |request: Request<RequestBody<AnyBody>>| {
            let losing = losing.clone();
            async move {
                let epoch = request.extensions().get::<Fence>().map(|fence| fence.epoch().0);
                losing.epochs.lock().unwrap().extend(epoch);
                request.into_body().collect().await.unwrap();
                let held = losing.held.lock().unwrap().take();
                if let Some(held) = held {
                    held.await.unwrap();
                }
                let runs = losing.count.add();
                if losing.loses.load(Ordering::SeqCst) {
                    return Err(Trouble(Evidence::Unknown(DoubtReason::NoAnswer)));
                }
                Ok(response(201, &[], text(format!("order {runs}"))))
            }
        })
    }

    fn hold(&self, until: oneshot::Receiver<()>) {
        *self.held.lock().unwrap() = Some(until);
    }

    fn mend(&self) {
        self.loses.store(false, Ordering::SeqCst);
    }

    /// The epoch of the next order behind that of another, once it is there.
    async fn begun_behind(&self, epoch: u64) -> u64 {
        loop {
            let latest = self.epochs.lock().unwrap().last().copied();
            if let Some(latest) = latest.filter(|latest| *latest > epoch) {
                return latest;
            }
            tokio::task::yield_now().await;
        }
    }

    fn latest_epoch(&self) -> u64 {
        *self.epochs.lock().unwrap().last().unwrap()
    }
}

/// A shop with an order `k` in doubt, and its epoch.
async fn doubt(settings: OriginSettings) -> (World, Losing, Shop, u64) {
    let (world, losing) = (World::start().await, Losing::new());
    let shop = world.shop(settings, losing.site());
    assert_eq!(told(&shop, order("k")).await, "409 outcome-unknown");
    let epoch = losing.latest_epoch();
    (world, losing, shop, epoch)
}

fn order(key: &str) -> Request<AnyBody> {
    keyed("POST /orders", key, &[], "tea")
}

fn verdict(epoch: u64, verdict: &str) -> Value {
    json!({"key": "k", "epoch": epoch, "verdict": verdict, "evidence": "looked into the ledger"})
}

fn signature(secret: &str, id: &str, seconds: u64, body: &str) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// A post as it is signed at the start of the world.
fn signed_with(secret: &str, body: &str) -> Request<AnyBody> {
    let seconds = STARTED_MS / 1_000;
    let mut request = asking(&format!("POST {PATH}"), &[("webhook-id", "msg_1")], body.to_owned());
    let headers = request.headers_mut();
    headers.insert("webhook-timestamp", seconds.into());
    headers.insert("webhook-signature", signature(secret, "msg_1", seconds, body).parse().unwrap());
    request
}

fn signed(body: &Value) -> Request<AnyBody> {
    signed_with(SECRET, &body.to_string())
}

/// Status and content of an answer.
async fn heard(shop: &Shop, request: Request<AnyBody>) -> (u16, Value) {
    let (head, body) = shop.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.headers["cache-control"], "no-store");
    let is_problem = head.headers["content-type"] == "application/problem+json";
    assert_eq!(is_problem, !head.status.is_success());
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// Status and result of a post, or its problem's detail.
async fn posted(shop: &Shop, request: Request<AnyBody>) -> (u16, String) {
    let (status, content) = heard(shop, request).await;
    let member = if status == 200 { "result" } else { "detail" };
    (status, content[member].as_str().unwrap().to_owned())
}

/// How many verdicts ended a doubt.
fn resolutions(world: &World) -> u64 {
    let metrics = world.engine.telemetry().render();
    let lines = metrics.lines().filter(|line| line.starts_with("onceward_resolutions_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

// covers: D2, D3, O1, O3
#[tokio::test(start_paused = true)]
async fn an_effect_that_happened_is_replayed_with_the_posted_answer() {
    let (_world, losing, shop, epoch) = doubt(ledger()).await;
    let mut post = verdict(epoch, "happened");
    post["answer"] = json!({
        "status": 201,
        "headers": [
            ["Content-Type", "application/json"], ["x-order", "17"], ["set-cookie", "sid=1"],
            ["content-length", "9999"], ["connection", "x-order"],
        ],
        "body": "{\"number\":\"A17\"}",
    });
    assert_eq!(posted(&shop, signed(&post)).await, (200, "resolved".to_owned()));
    let again = shop.clone().oneshot(order("k")).await.unwrap();
    let field = |name: &str| again.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let fields =
        ["content-type", "x-order", "set-cookie", "content-length", "connection", "idempotent-replayed"]
            .map(field);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(fields, [some("application/json"), some("17"), None, None, None, some("true")]);
    assert_eq!(again.status(), 201);
    assert_eq!(again.into_body().collect().await.unwrap().to_bytes(), "{\"number\":\"A17\"}");
    assert_eq!((losing.count.get(), state(&shop, "k", &[]).await), (1, "done done".to_owned()));
}

// covers: D2, O7
#[tokio::test(start_paused = true)]
async fn of_a_posted_answer_is_kept_what_the_policy_keeps() {
    let policy = Policy { outcome_bytes_max: 3, ..Policy::forward_proxy() };
    let keeping = || may_post(vec![Webhook::new("ledger", vec![secret(SECRET)]).keeping(&policy)]);
    for (answer, expected) in [
        (json!({"status": 200, "body_base64": "AP8B"}), "200 again \\x00\\xff\\x01"),
        (json!({"status": 200, "body": "four"}), "409 outcome-not-kept"),
        (json!({"status": 204}), "204 again "),
        (json!({"status": 200}), "200 again "),
    ] {
        let (_world, _, shop, epoch) = doubt(keeping()).await;
        let mut post = verdict(epoch, "happened");
        post["answer"] = answer;
        assert_eq!(posted(&shop, signed(&post)).await, (200, "resolved".to_owned()));
        assert_eq!(told(&shop, order("k")).await, expected);
    }
}

// covers: D3, L13
#[tokio::test(start_paused = true)]
async fn an_absent_effect_runs_once_more_and_its_late_verdicts_change_nothing() {
    let (world, losing, shop, epoch) = doubt(ledger()).await;
    let absent = verdict(epoch, "absent");
    assert_eq!(posted(&shop, signed(&absent)).await, (200, "resolved".to_owned()));
    assert_eq!(state(&shop, "k", &[]).await, "absent none");
    assert_eq!(posted(&shop, signed(&absent)).await, (200, "already-so".to_owned()), "delivered again");
    assert_eq!(told(&shop, order("k")).await, "409 outcome-unknown", "the second attempt, lost as well");
    // The same post, about the first attempt, must not free what the second may have done.
    assert_eq!(posted(&shop, signed(&absent)).await, (200, "already-so".to_owned()));
    assert_eq!(told(&shop, order("k")).await, "409 outcome-unknown");
    let (status, why) = posted(&shop, signed(&verdict(epoch, "happened"))).await;
    assert_eq!((status, why.contains("not in doubt")), (409, true), "{why}");
    let metrics = world.engine.telemetry().render();
    assert!(metrics.contains("onceward_effect_after_release_total 1\n"), "{metrics}");
    assert_eq!(losing.count.get(), 2);
    let second = losing.latest_epoch();
    assert_eq!(posted(&shop, signed(&verdict(second, "absent"))).await, (200, "resolved".to_owned()));
    losing.mend();
    assert_eq!(told(&shop, order("k")).await, "201 first order 3");
    assert_eq!(told(&shop, order("k")).await, "201 again order 3");
    assert_eq!(resolutions(&world), 2);
}

// covers: D3
#[tokio::test(start_paused = true)]
async fn a_repeated_delivery_settles_the_same_and_a_contradiction_nothing() {
    for (first, then) in [("happened", "absent"), ("multiple", "happened"), ("absent", "multiple")] {
        let (world, losing, shop, epoch) = doubt(ledger()).await;
        for expected in ["resolved", "already-so", "already-so"] {
            let told = posted(&shop, signed(&verdict(epoch, first))).await;
            assert_eq!(told, (200, expected.to_owned()), "{first}");
        }
        assert_eq!(resolutions(&world), 1, "{first}");
        let before = state(&shop, "k", &[]).await;
        assert_eq!(posted(&shop, signed(&verdict(epoch, then))).await.0, 409, "{first}, {then}");
        assert_eq!((state(&shop, "k", &[]).await, losing.count.get()), (before, 1));
    }
}

// covers: D2, D3
#[tokio::test(start_paused = true)]
async fn what_its_holder_answered_needs_no_verdict_and_takes_no_other() {
    let (world, losing) = (World::start().await, Losing::new());
    losing.mend();
    let shop = world.shop(ledger(), losing.site());
    assert_eq!(told(&shop, order("k")).await, "201 first order 1");
    let epoch = losing.latest_epoch();
    let mut happened = verdict(epoch, "happened");
    happened["answer"] = json!({"status": 500});
    assert_eq!(posted(&shop, signed(&happened)).await, (200, "already-so".to_owned()));
    assert_eq!(posted(&shop, signed(&verdict(epoch, "absent"))).await.0, 409);
    assert_eq!(posted(&shop, signed(&verdict(epoch + 1, "absent"))).await.0, 409);
    assert_eq!(told(&shop, order("k")).await, "201 again order 1", "the stored answer stands");
}

// covers: D3
#[tokio::test(start_paused = true)]
async fn an_attempt_that_runs_is_not_judged() {
    let (world, losing) = (World::start().await, Losing::new());
    let (release, held) = oneshot::channel();
    losing.hold(held);
    losing.mend();
    let shop = world.shop(ledger(), losing.site());
    let running = tokio::spawn({
        let shop = shop.clone();
        async move { told(&shop, order("k")).await }
    });
    let epoch = losing.begun_behind(0).await;
    for word in ["absent", "happened", "multiple"] {
        let response = shop.clone().oneshot(signed(&verdict(epoch, word))).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["retry-after"]),
            (409.try_into().unwrap(), &"2".parse().unwrap())
        );
    }
    release.send(()).unwrap();
    assert_eq!(running.await.unwrap(), "201 first order 1");
}

// covers: D3
#[tokio::test(start_paused = true)]
async fn a_late_verdict_does_not_wait_for_another_attempt() {
    let (_world, losing, shop, first) = doubt(ledger()).await;
    assert_eq!(posted(&shop, signed(&verdict(first, "absent"))).await.0, 200);
    let (release, held) = oneshot::channel();
    losing.hold(held);
    let second = tokio::spawn({
        let shop = shop.clone();
        async move { told(&shop, order("k")).await }
    });
    losing.begun_behind(first).await;
    let late = shop.clone().oneshot(signed(&verdict(first, "happened"))).await.unwrap();
    assert_eq!((late.status().as_u16(), late.headers().get("retry-after")), (409, None));
    losing.mend();
    release.send(()).unwrap();
    assert_eq!(second.await.unwrap(), "201 first order 2");
}

// covers: D2, S1
#[tokio::test(start_paused = true)]
async fn only_what_is_signed_now_by_somebody_known_is_heard() {
    let (world, losing, shop, epoch) = doubt(ledger()).await;
    let body = verdict(epoch, "absent").to_string();
    let genuine = || signed_with(SECRET, &body);
    let mut other_body = genuine();
    *other_body.body_mut() = text(verdict(epoch, "happened").to_string());
    let mut unsigned = genuine();
    unsigned.headers_mut().remove("webhook-signature");
    for forged in [signed_with(OTHER_SECRET, &body), other_body, unsigned] {
        let response = shop.clone().oneshot(forged).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["www-authenticate"]),
            (401.try_into().unwrap(), &"Standard-Webhooks".parse().unwrap())
        );
    }
    // The same post, kept by somebody who heard it, five minutes and a moment later.
    tokio::time::advance(Duration::from_millis(300_001)).await;
    let (status, why) = posted(&shop, genuine()).await;
    assert_eq!((status, why.contains("five minutes")), (401, true), "{why}");
    assert_eq!((state(&shop, "k", &[]).await, losing.count.get()), ("in-doubt unknown".to_owned(), 1));
    assert_eq!(resolutions(&world), 0);
    let metrics = world.engine.telemetry().render();
    assert!(metrics.contains("onceward_verdict_posts_total{result=\"unsigned\"} 4\n"), "{metrics}");
}

// covers: D2
#[tokio::test(start_paused = true)]
async fn secrets_are_exchanged_without_a_gap() {
    let both = may_post(vec![Webhook::new("ledger", vec![secret(SECRET), secret(OTHER_SECRET)])]);
    for of in [SECRET, OTHER_SECRET] {
        let (_world, _, shop, epoch) = doubt(both.clone()).await;
        let post = signed_with(of, &verdict(epoch, "absent").to_string());
        assert_eq!(posted(&shop, post).await, (200, "resolved".to_owned()));
    }
}

// covers: D2, K4
#[tokio::test(start_paused = true)]
async fn nobody_judges_the_effects_of_others() {
    let orders = Webhook::new("orders", vec![secret(SECRET)])
        .about(|method, uri| method == "POST" && uri.path() == "/orders");
    let refunds =
        Webhook::new("refunds", vec![secret(OTHER_SECRET)]).about(|_, uri| uri.path() == "/refunds");
    let (world, _, shop, epoch) = doubt(may_post(vec![refunds, orders])).await;
    let body = verdict(epoch, "absent").to_string();
    let unknown = (404, "no such effect is remembered".to_owned());
    assert_eq!(posted(&shop, signed_with(OTHER_SECRET, &body)).await, unknown);
    let elsewhere = verdict(epoch, "absent").to_string().replace("\"k\"", "\"unknown\"");
    assert_eq!(
        posted(&shop, signed_with(SECRET, &elsewhere)).await,
        unknown,
        "as for a key that nobody ever had"
    );
    // Another customer of a shared instance, by the same webhook.
    let tenant = OriginSettings { tenant: Tenant::named("b"), ..ledger() };
    let other = world.shop(tenant, Losing::new().site());
    assert_eq!(posted(&other, signed_with(SECRET, &body)).await, unknown);
    assert_eq!(posted(&shop, signed_with(SECRET, &body)).await, (200, "resolved".to_owned()));
}

// covers: D2
#[tokio::test(start_paused = true)]
async fn an_address_that_was_too_long_to_show_is_nobodys_to_judge_by_its_path() {
    let all = || Webhook::new("all", vec![secret(SECRET)]).about(|_, _| true);
    let long = format!("POST /orders/{}", "a".repeat(600));
    for (webhook, status) in [(all(), 404), (Webhook::new("all", vec![secret(SECRET)]), 200)] {
        let (world, losing) = (World::start().await, Losing::new());
        let shop = world.shop(may_post(vec![webhook]), losing.site());
        assert_eq!(told(&shop, keyed(&long, "k", &[], "")).await, "409 outcome-unknown");
        assert_eq!(posted(&shop, signed(&verdict(losing.latest_epoch(), "absent"))).await.0, status);
    }
}

// covers: D3, K4
#[tokio::test(start_paused = true)]
async fn the_epoch_tells_apart_what_several_actors_call_by_one_key() {
    let settings = OriginSettings { actors: vec![ActorSource::Authorization], ..ledger() };
    let (_world, losing, shop, first) = doubt(settings).await;
    let others = || keyed("POST /orders", "k", &[("authorization", "Bearer b")], "tea");
    assert_eq!(told(&shop, others()).await, "409 outcome-unknown");
    assert_ne!(first, losing.latest_epoch());
    assert_eq!(posted(&shop, signed(&verdict(first, "happened"))).await, (200, "resolved".to_owned()));
    assert_eq!(told(&shop, order("k")).await, "409 outcome-not-kept");
    assert_eq!(told(&shop, others()).await, "409 outcome-unknown");
    let (status, why) = posted(&shop, signed(&verdict(first + 9, "absent"))).await;
    assert_eq!((status, why.contains("not in doubt")), (409, true), "{why}");
}

/// A process of a shared store whose clock stands still.
async fn process(table: &Table, clock: &Arc<ManualClock>, seed: u64) -> Engine {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let options = TableOptions { clock: Some(Arc::clone(&clock)), seed: seed << 32 };
    let store: Arc<dyn Store> = Arc::new(table.open(options).await.unwrap());
    let log: Arc<dyn AuditLog> = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock)));
    let (secret, entropy) = (Secret::new([42; 32]), Arc::new(SystemEntropy));
    let parts = Parts { store, audit_log: log, secret, clock, entropy, limits: Limits::default() };
    Engine::start(parts).await.unwrap()
}

// covers: D3, L14
#[tokio::test(start_paused = true)]
async fn where_two_effects_of_a_key_have_one_epoch_only_an_id_tells_them_apart() {
    let (table, clock) =
        (Table::default(), Arc::new(ManualClock::standing_at(Timestamp::from_ms(STARTED_MS))));
    let mut shops = Vec::new();
    for (seed, actor) in [(1, "Bearer a"), (2, "Bearer b")] {
        let (engine, losing) = (process(&table, &clock, seed).await, Losing::new());
        let rules = onceward_tower::OriginRules::new(engine.clone(), ledger());
        let surface = rules.surface();
        let layer = onceward_tower::OnceLayer::new(engine, rules, surface);
        let shop: Shop = tower_layer::Layer::layer(&layer, losing.site());
        let request = keyed("POST /orders", "k", &[], "tea");
        let (mut head, body) = request.into_parts();
        head.headers.insert("authorization", actor.parse().unwrap());
        let answer = shop.clone().oneshot(Request::from_parts(head, body)).await.unwrap();
        let problem = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: Value = serde_json::from_slice(&problem).unwrap();
        let id = problem["status_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        shops.push((shop, losing.latest_epoch(), id));
    }
    let [(shop, epoch, id), (_, other, other_id)] = &shops[..] else { panic!("{}", shops.len()) };
    assert_eq!(epoch, other, "two processes that claim within the same second");
    let (status, why) = posted(shop, signed(&verdict(*epoch, "absent"))).await;
    assert_eq!((status, why.contains("name one by its `id`")), (409, true), "{why}");
    let named = |id: &str, epoch: u64| json!({"id": id, "epoch": epoch, "verdict": "absent", "evidence": "looked into the ledger"});
    let expected = json!({"id": id, "epoch": epoch, "result": "resolved"});
    assert_eq!(heard(shop, signed(&named(id, *epoch))).await, (200, expected));
    assert_eq!(posted(shop, signed(&named(other_id, epoch + 1))).await.0, 409);
    assert_eq!(posted(shop, signed(&named(&"0".repeat(64), *epoch))).await.0, 404);
    assert_eq!(posted(shop, signed(&named(other_id, *epoch))).await, (200, "resolved".to_owned()));
}
