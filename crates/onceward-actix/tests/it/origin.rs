//! An origin's own rules: what handlers learn and say, and what the guard answers by itself.

use std::time::Duration;

use actix_web::{HttpResponse, web, web::ServiceConfig};
use onceward_actix::{Expected, Fence, IdempotencyKey, Intent, Versioned, effect};
use onceward_core::{
    key::KeyPath,
    precondition::{Current, ETag, Snapshot},
    profile::Profile,
    twin::TwinRule,
};
use onceward_tower::{
    OriginRules, Webhook, Webhooks,
    origin::{ActorSource, Guarding, OriginSettings, TlsSubject},
};

use crate::kit::{Count, Server, World, ask, listen, post, replayed, response, serve};

const ADVERTISED: &str = "accepts-idempotency-key: true\naccepts-intent-hash: sha256\n";

fn origin(
    world: &World,
    settings: OriginSettings,
    routes: impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
) -> Server {
    serve(world.once_by(OriginRules::new(world.engine.clone(), settings)), routes)
}

fn onceward() -> OriginSettings {
    OriginSettings::of(Profile::onceward())
}

// covers: L14 F5 K1
#[actix_web::test]
async fn a_handler_learns_its_key_its_fence_and_what_its_client_means() {
    let world = World::start().await;
    let server = origin(&world, onceward(), |config| {
        let told = |IdempotencyKey(key): IdempotencyKey, fence: Fence, intent: Option<Intent>| async move {
            let intent = intent.map(|Intent(digest)| digest.to_text());
            HttpResponse::Created().body(format!("{} {} {intent:?}", key.expose(), fence.epoch().0))
        };
        config.default_service(web::to(told));
    });
    let told = async |request: &str| {
        let answer = ask(server.addr, request).await;
        let (_, content) = answer.split_once("\n\n").unwrap();
        let [key, epoch, intent] = content.split(' ').collect::<Vec<_>>().try_into().expect(&answer);
        (key.to_owned(), epoch.parse::<u64>().unwrap(), intent.to_owned())
    };
    let (key, first, intent) = told(&post("k", "a")).await;
    assert_eq!((&*key, &*intent), ("k", "None"));
    // SHA-256 of the body, by another program.
    let digest = "TdxpPOOXedJyW3AhPvQU6AILe9qFOwsi_gk1TerbKJg";
    let lines = format!("Host: a\r\nContent-Type: application/json\r\nIntent-SHA256: {digest}");
    let meant = post("other", r#"{"item":"book"}"#).replacen("Host: a", &lines, 1);
    let (key, second, intent) = told(&meant).await;
    assert_eq!((&*key, intent), ("other", format!("Some(\\\"{digest}\\\")")));
    assert!(first < second, "{first} {second}");
}

// covers: K3
#[actix_web::test]
async fn an_unkeyed_request_of_a_guarded_route_passes_and_learns_what_the_route_accepts() {
    let world = World::start().await;
    let server = origin(&world, onceward(), |config| {
        let optional = |key: Option<IdempotencyKey>, body: String| async move {
            response(201, &[("x", "1"), ("x", "2")]).body(format!("{} {body}", key.is_some()))
        };
        config.route("/optional", web::post().to(optional));
        config.route("/always", web::post().to(async |_: IdempotencyKey| HttpResponse::Created()));
    });
    let unkeyed = |path| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    let answer = ask(server.addr, &unkeyed("/optional")).await;
    assert_eq!(answer, format!("201\n{ADVERTISED}content-length: 10\nx: 1\nx: 2\n\nfalse body"));
    let refused = ask(server.addr, &unkeyed("/always")).await;
    let text = "the handler of this route works under an idempotency key only";
    assert!(refused.starts_with("500\n") && refused.ends_with(&format!("\n{text}")), "{refused}");
}

// covers: P2
#[actix_web::test]
async fn a_handler_holds_what_its_client_expects_and_says_what_is_current() {
    let world = World::start().await;
    let server = origin(&world, onceward(), |config| {
        let write = |Expected(expected): Expected| async move {
            let etag = ETag::strong("v2").ok();
            let current = Current { etag, snapshot: Some(Snapshot::Version(2)), ..Current::default() };
            let status = expected.check(&current).err().map_or(200, |stale| stale.problem_type().status);
            let mut answer = response(status, &[]).finish();
            answer.extensions_mut().insert(Versioned(current));
            answer
        };
        config.route("/cart", web::to(write));
    });
    let told = async |method: &str, lines: &str| {
        let request = format!("{method} /cart HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: 0\r\n\r\n");
        let answer = ask(server.addr, &request).await;
        let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        (answer[..3].to_owned(), field("etag: "), field("snapshot: "))
    };
    let with = |status: &str| (status.to_owned(), Some("\"v2\"".to_owned()), Some("version: 2".to_owned()));
    let none = |status: &str| (status.to_owned(), None, None);
    let key = "Idempotency-Key: k\r\n";
    assert_eq!(told("GET", "").await, with("200"));
    assert_eq!(told("PUT", &format!("{key}If-Match: \"v2\"\r\n")).await, with("200"));
    assert_eq!(told("PUT", &format!("{key}If-Match: \"v2\"\r\n")).await, with("200"), "again");
    assert_eq!(told("PUT", "If-Match: \"v1\"\r\n").await, with("412"));
    assert_eq!(told("PUT", "Precondition-Snapshot: version: 1\r\n").await, with("409"));
    assert_eq!(told("PUT", "If-Match: v1\r\n").await, none("400"));
}

// covers: L5 O4
#[actix_web::test]
async fn a_handlers_word_on_its_effect_outranks_its_status() {
    for (signal, status, runs) in [(effect::none(), 409, 2), (effect::done(), 429, 1)] {
        let (world, count) = (World::start().await, Count::default());
        let site = count.site(move |_| {
            let mut answer = response(status, &[]).body("said");
            answer.extensions_mut().insert(signal);
            answer
        });
        let server = origin(&world, onceward(), site);
        for _ in 0..2 {
            let answer = ask(server.addr, &post("k", "a")).await;
            assert!(answer.starts_with(&format!("{status}\n")) && answer.ends_with("\nsaid"), "{answer}");
        }
        assert_eq!(count.get(), runs, "{status}");
    }
}

// covers: K1 S6
#[actix_web::test]
async fn a_key_in_the_body_guards_and_a_body_without_one_passes_whole() {
    let (world, count) = (World::start().await, Count::default());
    let guarding =
        Guarding { body_member: Some(KeyPath::members(&["key"])), ..Guarding::of(&Profile::onceward()) };
    let server = origin(&world, OriginSettings { others: Some(guarding), ..onceward() }, {
        let count = count.clone();
        move |config| {
            let echo = move |body: String| {
                let run = count.add();
                async move { HttpResponse::Created().body(format!("{run} {body}")) }
            };
            config.default_service(web::to(echo));
        }
    });
    let json = |body: &str| {
        let len = body.len();
        let head = "POST /order?id=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json";
        format!("{head}\r\nContent-Length: {len}\r\n\r\n{body}")
    };
    let keyed = json(r#"{"key":"k"}"#);
    for status in ["committed", "replayed"] {
        let answer = ask(server.addr, &keyed).await;
        assert!(answer.contains(&format!("intent-status: {status}\n")), "{answer}");
        assert!(answer.ends_with("\n1 {\\\"key\\\":\\\"k\\\"}"), "{answer}");
    }
    for run in 2..=3 {
        let answer = ask(server.addr, &json("{}")).await;
        assert_eq!(answer, format!("201\n{ADVERTISED}content-length: 4\n\n{run} {{}}"));
    }
}

// covers: P5
#[actix_web::test]
async fn the_same_under_another_key_runs_only_when_confirmed() {
    let (world, count) = (World::start().await, Count::default());
    let twins = TwinRule::new(["$.cart"], Duration::from_secs(600)).unwrap();
    let guarding = Guarding { twins: Some(twins), ..Guarding::of(&Profile::onceward()) };
    let server = origin(
        &world,
        OriginSettings { others: Some(guarding), ..onceward() },
        count.site(|run| response(201, &[]).body(format!("order {run}"))),
    );
    let order = async |key: &str, lines: &str| {
        let head = format!("Host: a\r\nContent-Type: application/json{lines}");
        ask(server.addr, &post(key, r#"{"cart":"c1"}"#).replacen("Host: a", &head, 1)).await
    };
    assert!(order("one", "").await.ends_with("\norder 1"));
    let refused = order("two", "").await;
    assert!(refused.starts_with("409\n") && refused.contains("/problems/possible-duplicate"), "{refused}");
    let token = refused.lines().find_map(|line| line.strip_prefix("effect-confirm: ")).expect(&refused);
    let confirmed = order("two", &format!("\r\nEffect-Confirm: {token}")).await;
    assert!(confirmed.ends_with("\norder 2"), "{confirmed}");
    assert_eq!(count.get(), 2);
}

#[actix_web::test]
async fn the_guard_serves_the_contract_beside_the_applications_routes() {
    let (world, count) = (World::start().await, Count::default());
    let server = origin(&world, onceward(), count.site(|_| response(201, &[]).finish()));
    let get = |path: &str| format!("GET /.well-known/idempotency{path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let contract = ask(server.addr, &get("")).await;
    assert!(contract.starts_with("200\n") && contract.contains("\ncontent-type: application/json\n"));
    assert!(contract.contains("\\\"profile\\\": \\\"onceward\\\""), "{contract}");
    ask(server.addr, &post("k", "a")).await;
    let state =
        ask(server.addr, &get("/effects").replacen("Host: a", "Host: a\r\nIdempotency-Key: k", 1)).await;
    assert!(state.starts_with("200\n") && state.contains("\\\"state\\\":\\\"done\\\""), "{state}");
    assert_eq!(count.get(), 1);
}

// covers: K4
#[actix_web::test]
async fn a_certificates_subject_that_the_connection_has_is_the_actor() {
    let (world, count) = (World::start().await, Count::default());
    let settings = OriginSettings { actors: vec![ActorSource::TlsSubject], ..onceward() };
    let once = world.once_by(OriginRules::new(world.engine.clone(), settings));
    let site = count.site(|run| response(201, &[]).body(format!("order {run}")));
    let mut addrs = Vec::new();
    for subject in ["CN=alice", "CN=bob"] {
        let (once, site) = (once.clone(), site.clone());
        let server = actix_web::HttpServer::new(move || {
            actix_web::App::new().wrap(once.clone()).configure(site.clone())
        });
        addrs.push(
            listen!(server.on_connect(move |_, data| {
                data.insert(TlsSubject(subject.into()));
            }))
            .addr,
        );
    }
    for (addr, content) in [(addrs[0], "order 1"), (addrs[1], "order 2"), (addrs[0], "order 1")] {
        let answer = ask(addr, &post("k", "a")).await;
        assert!(answer.ends_with(&format!("\n{content}")), "{answer}");
    }
    let repeated = ask(addrs[0], &post("k", "a")).await;
    assert_eq!(repeated.replace(ADVERTISED, ""), replayed(0, "order 1"));
}

// covers: D2
#[actix_web::test]
async fn verdicts_are_for_the_guard() {
    let (world, count) = (World::start().await, Count::default());
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let webhooks = Webhooks::new(vec![Webhook::new("ledger", vec![secret])]);
    let site = count.site(|_| HttpResponse::Created().finish());
    let server = origin(&world, OriginSettings { webhooks, ..onceward() }, site);
    let post = "POST /.well-known/idempotency/verdicts HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let answer = ask(server.addr, post).await;
    assert!(answer.starts_with("401\n") && answer.contains("there has to be one `webhook-id`"), "{answer}");
    assert_eq!(count.get(), 0);
}
