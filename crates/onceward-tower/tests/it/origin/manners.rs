//! Published contracts as their clients see them: first answers, replays, and what another body or a duplicate in flight gets (C4).

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use onceward_core::profile::Profile;
use onceward_tower::origin::OriginSettings;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{ADVERTISED, ordering};
use crate::kit::{
    AnyBody, COMMITTED, Count, LONG, Lines, Shop, World, ask, asking, read, replayed, response, site, text,
};

/// Long enough for every contract.
const KEY: &str = "0123456789abcdefghijklmn";

const BODY: &str = r#"{"idempotency_key":"0123456789abcdefghijklmn","a":1}"#;
const OTHER_BODY: &str = r#"{"idempotency_key":"0123456789abcdefghijklmn","a":2}"#;

const IETF: Lines = &[("idempotency-key", KEY)];
const OASIS: Lines =
    &[("repeatability-request-id", KEY), ("repeatability-first-sent", "Sat, 21 Nov 2026 12:00:00 GMT")];

const ECHO: &str = "idempotency-key: 0123456789abcdefghijklmn\n";
const ACCEPTED: &str = "repeatability-result: accepted\n";

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

/// What a contract's clients see.
struct Seen {
    profile: Profile,
    /// How a request carries its key.
    lines: Lines,
    /// The contract's own fields of an answer that is given for the first time, of a replay, and of both refusals.
    marks: [&'static str; 4],
    /// The content type of a refusal.
    kind: &'static str,
    /// Status and body of what another body under the key gets; `None` where the key alone decides.
    reused: Option<(u16, Value)>,
    /// The body of what a duplicate in flight gets, with 409.
    in_flight: Value,
}

/// The members that onceward's problems have beyond a contract's own.
fn reused_members() -> Value {
    json!({
        "retryable": false, "idempotency_key": KEY, "effect": "none", "retry": "new-key",
        "next_action": "Do not change the request of a key; use a new key for a new action.",
    })
}

fn in_flight_members() -> Value {
    json!({
        "retryable": true, "idempotency_key": KEY, "effect": "unknown", "retry": "same-key", "retry_after": 1,
        "next_action": "Wait, then send the same request with the same key.",
        "status_url": "/.well-known/idempotency/effects/ID",
    })
}

fn keyless(mut members: Value) -> Value {
    members.as_object_mut().unwrap().remove("idempotency_key");
    members
}

/// Both objects as one.
fn with(mut one: Value, other: Value) -> Value {
    let Value::Object(other) = other else { panic!("not an object: {other}") };
    one.as_object_mut().unwrap().extend(other);
    one
}

const REUSED: &str = "The key stands for a request with other content.";
const RUNNING: &str = "The first request with this key is still running.";
const MEND: &str = "Do not change the request of a key; use a new key for a new action.";
const WAIT: &str = "Wait, then send the same request with the same key.";

fn page(slug: &str) -> String {
    format!("/.well-known/idempotency/problems/{slug}")
}

fn problem_reused() -> Value {
    let own = json!({
        "type": page("key-reused"), "title": "This key was used for another request", "status": 422,
        "detail": REUSED, "instance": "/orders",
    });
    with(own, reused_members())
}

fn problem_in_flight() -> Value {
    let own = json!({
        "type": page("in-progress"), "title": "An identical request is being processed", "status": 409,
        "detail": RUNNING, "instance": "/orders",
    });
    with(own, in_flight_members())
}

fn adcp(error: Value) -> Value {
    json!({ "status": "failed", "adcp_error": error, "errors": [error] })
}

/// The contracts whose refusals are problems.
fn problems() -> Vec<Seen> {
    let seen = |profile, lines, marks| Seen {
        profile,
        lines,
        marks,
        kind: PROBLEM,
        reused: Some((422, problem_reused())),
        in_flight: problem_in_flight(),
    };
    vec![
        seen(Profile::onceward(), IETF, [""; 4]),
        seen(Profile::ietf_07(), IETF, [""; 4]),
        seen(Profile::idempot_js(), IETF, ["", "x-idempotent-replayed: true\n", "", ""]),
        Seen {
            reused: None,
            ..seen(Profile::idemstep(), &[("x-idem-key", KEY)], ["", "x-idem-replayed: true\n", "", ""])
        },
    ]
}

/// The contracts with shapes of their own.
fn shapes() -> Vec<Seen> {
    let error = |kind: &str, code: &str, message: &str, slug: &str| json!({ "type": kind, "code": code, "message": message, "doc_url": page(slug) });
    let stripe = Seen {
        profile: Profile::stripe_v1(),
        lines: IETF,
        marks: [ECHO; 4],
        kind: JSON,
        reused: Some((
            400,
            json!({ "error": with(
            error("idempotency_error", "key_reused", REUSED, "key-reused"), reused_members()) }),
        )),
        in_flight: json!({ "error": with(
            error("idempotency_error", "idempotency_key_in_use", RUNNING, "in-progress"), in_flight_members()) }),
    };
    let acp_error =
        |code: &str, message: String| json!({ "type": "invalid_request", "code": code, "message": message });
    let acp = Seen {
        profile: Profile::acp(),
        lines: &[("idempotency-key", KEY), ("request-id", "r-7")],
        marks: ["idempotency-key: 0123456789abcdefghijklmn\nrequest-id: r-7\n"; 4],
        kind: JSON,
        reused: Some((422, acp_error("idempotency_conflict", format!("{REUSED} {MEND}")))),
        in_flight: acp_error("idempotency_in_flight", format!("{RUNNING} {WAIT}")),
    };
    let ucp_error = |code: &str, content: String| json!({ "code": code, "content": content });
    let ucp = Seen {
        profile: Profile::ucp(),
        lines: IETF,
        marks: [""; 4],
        kind: JSON,
        reused: Some((409, with(ucp_error("key_reused", format!("{REUSED} {MEND}")), reused_members()))),
        in_flight: with(ucp_error("in_progress", format!("{RUNNING} {WAIT}")), in_flight_members()),
    };
    let adcp_error = |code: &str, message: &str, recovery: &str, suggestion: &str| json!({ "code": code, "message": message, "recovery": recovery, "suggestion": suggestion });
    let adcp = Seen {
        profile: Profile::adcp(),
        lines: &[],
        marks: [""; 4],
        kind: JSON,
        reused: Some((
            422,
            adcp(with(
                adcp_error("IDEMPOTENCY_CONFLICT", REUSED, "correctable", MEND),
                keyless(reused_members()),
            )),
        )),
        in_flight: adcp(with(
            adcp_error("IDEMPOTENCY_IN_FLIGHT", RUNNING, "transient", WAIT),
            keyless(in_flight_members()),
        )),
    };
    vec![stripe, acp, ucp, adcp, oasis(), paypal()]
}

fn oasis() -> Seen {
    let inner = |slug: &str, members| with(json!({ "type": page(slug) }), members);
    Seen {
        profile: Profile::oasis(),
        lines: OASIS,
        // Another request under an id changes nothing, so it is rejected; the one in flight was accepted.
        marks: [ACCEPTED, ACCEPTED, "repeatability-result: rejected\n", ACCEPTED],
        kind: JSON,
        reused: Some((
            400,
            json!({ "error": {
            "code": "key-reused", "message": REUSED, "innererror": inner("key-reused", reused_members()) } }),
        )),
        in_flight: json!({ "error": {
            "code": "in-progress", "message": RUNNING, "innererror": inner("in-progress", in_flight_members()) } }),
    }
}

fn paypal() -> Seen {
    let error = |name: &str, message: &str, issue: &str, detail: &str, slug: &str| {
        json!({
            "name": name, "message": message, "debug_id": "/orders",
            "details": [{ "issue": issue, "description": detail }],
            "links": [{ "href": page(slug), "rel": "information_link", "method": "GET" }],
        })
    };
    let title = ["This key was used for another request", "An identical request is being processed"];
    let issue = ["PAYPAL_REQUEST_ID_PREVIOUSLY_USED", "PREVIOUS_REQUEST_IN_PROGRESS"];
    Seen {
        profile: Profile::paypal(),
        lines: &[("paypal-request-id", KEY)],
        marks: [""; 4],
        kind: JSON,
        reused: Some((
            422,
            with(error("UNPROCESSABLE_ENTITY", title[0], issue[0], REUSED, "key-reused"), reused_members()),
        )),
        in_flight: with(
            error("RESOURCE_CONFLICT", title[1], issue[1], RUNNING, "in-progress"),
            in_flight_members(),
        ),
    }
}

fn order(lines: Lines, body: &'static str) -> Request<AnyBody> {
    asking("POST /orders", lines, body)
}

/// The head of a refusal up to the fields of its kind.
fn refused(status: u16, kind: &str, slug: &str, rest: &str) -> String {
    format!(
        "{status}\ncontent-type: {kind}\ncache-control: no-store\nvary: Accept, Origin\n\
         x-content-type-options: nosniff\ncontent-security-policy: default-src \\'none\\'; \
         style-src \\'unsafe-inline\\'; base-uri \\'none\\'; form-action \\'none\\'; frame-ancestors \\'self\\'\n\
         link: <{}>; rel=\\\"describedby\\\"\n{rest}{ADVERTISED}",
        page(slug)
    )
}

/// With the lookup id out of it, which nobody can tell before.
fn without_id(written: &str) -> String {
    let Some((before, after)) = written.split_once("/effects/") else { return written.to_owned() };
    let (id, after) = after.split_at(64);
    assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    format!("{before}/effects/ID{}", without_id(after))
}

// covers: C2 C3 C4 O3 F6
#[tokio::test(start_paused = true)]
async fn each_contract_answers_first_again_and_another_request_in_its_manner() {
    for seen in problems().into_iter().chain(shapes()) {
        let name = seen.profile.name;
        let (world, count) = (World::start().await, Count::default());
        let shop = world.shop(OriginSettings::of(seen.profile), ordering(&count));
        let [first, again, reused, _] = seen.marks;
        let answer = ask(&shop, order(seen.lines, BODY)).await;
        assert_eq!(answer, format!("201\n{COMMITTED}{first}{ADVERTISED}\norder 1"), "{name}");
        let answer = ask(&shop, order(seen.lines, BODY)).await;
        let replay = format!("201\n{}{again}{ADVERTISED}\norder 1", replayed(0));
        assert_eq!(answer, replay, "{name}");
        let answer = ask(&shop, order(seen.lines, OTHER_BODY)).await;
        match seen.reused {
            None => assert_eq!(answer, replay, "{name}"),
            Some((status, body)) => {
                let rest = format!("idempotency-key-consumed: true\nintent-status: mismatch\n{reused}");
                let expected = (refused(status, seen.kind, "key-reused", &rest), body);
                assert_eq!(read(&without_id(&answer)), expected, "{name}");
            }
        }
        assert_eq!(count.get(), 1, "{name}");
    }
}

// covers: C2 C3 C4 W1
#[tokio::test(start_paused = true)]
async fn each_contract_answers_a_duplicate_in_flight_in_its_manner() {
    for seen in problems().into_iter().chain(shapes()) {
        let (name, wait) = (seen.profile.name, seen.profile.policy.wait);
        let slow = site(|request| async {
            request.into_body().collect().await.unwrap();
            tokio::time::sleep(LONG).await;
            Ok(response(201, &[], text("")))
        });
        let shop = World::start().await.shop(OriginSettings::of(seen.profile), slow);
        let running = shop.clone().oneshot(order(seen.lines, BODY));
        tokio::spawn(async move { drop(running.await) });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = tokio::time::Instant::now();
        let answer = ask(&shop, order(seen.lines, BODY)).await;
        assert_eq!(began.elapsed(), wait, "{name}");
        let marks = seen.marks[3];
        let rest =
            format!("retry-after: 1\nidempotency-key-consumed: true\nintent-status: in-progress\n{marks}");
        let expected = (refused(409, seen.kind, "in-progress", &rest), seen.in_flight);
        assert_eq!(read(&without_id(&answer)), expected, "{name}");
    }
}

async fn shop_of(profile: Profile) -> (Count, Shop) {
    let count = Count::default();
    let site = ordering(&count);
    (count, World::start().await.shop(OriginSettings::of(profile), site))
}

/// Status and the contract's code.
async fn coded(shop: &Shop, request: Request<AnyBody>) -> String {
    let answer = ask(shop, request).await;
    let status = &answer[..3];
    if status == "201" {
        return "201".to_owned();
    }
    let (_, body) = read(&answer);
    let code = [
        &body["error"]["code"],
        &body["code"],
        &body["errors"][0]["code"],
        &body["details"][0]["issue"],
        &body["type"],
    ];
    let code = code.into_iter().find_map(Value::as_str).unwrap();
    format!("{status} {}", code.rsplit('/').next().unwrap())
}

// covers: C4 K3
#[tokio::test(start_paused = true)]
async fn each_contract_says_whether_a_key_must_be_there_and_which_it_takes() {
    // Without a key, with a key of three characters, and with one of 120.
    const LONG_KEY: &str = "012345678901234567890123456789012345678901234567890123456789\
        012345678901234567890123456789012345678901234567890123456789";
    let rows = [
        ("onceward", "idempotency-key", ["201", "201", "201"]),
        ("ietf-07", "idempotency-key", ["201", "201", "201"]),
        ("stripe-v1", "idempotency-key", ["201", "201", "201"]),
        ("acp", "idempotency-key", ["400 idempotency_key_required", "201", "201"]),
        ("ucp", "idempotency-key", ["400 key_missing", "400 key_invalid", "201"]),
        ("paypal", "paypal-request-id", ["201", "201", "400 KEY_INVALID"]),
        ("idemstep", "x-idem-key", ["201", "201", "201"]),
        ("idempot-js", "idempotency-key", ["400 key-missing", "400 key-invalid", "201"]),
    ];
    for (name, carrier, expected) in rows {
        let (_, shop) = shop_of(Profile::named(name).unwrap()).await;
        let with = |key: &'static str| order(Vec::leak(vec![(carrier, key)]), "{}");
        let answers = [
            coded(&shop, order(&[], "{}")).await,
            coded(&shop, with("abc")).await,
            coded(&shop, with(LONG_KEY)).await,
        ];
        assert_eq!(answers, expected, "{name}");
    }
    let (_, adcp) = shop_of(Profile::adcp()).await;
    for (body, expected) in [
        ("{}", "400 INVALID_REQUEST"),
        (r#"{"idempotency_key":"abc"}"#, "400 INVALID_REQUEST"),
        (r#"{"idempotency_key":"0123456789abcde/"}"#, "400 INVALID_REQUEST"),
        (r#"{"idempotency_key":"0123456789abcdef"}"#, "201"),
    ] {
        assert_eq!(coded(&adcp, order(&[], body)).await, expected, "{body}");
    }
}

// covers: C4
#[tokio::test(start_paused = true)]
async fn a_method_that_a_contract_does_not_guard_passes() {
    let rows = [
        ("onceward", "GET /orders", true),
        ("onceward", "PATCH /orders", false),
        ("ietf-07", "PUT /orders", true),
        ("ietf-07", "PATCH /orders", false),
        ("stripe-v1", "DELETE /orders", true),
        ("ucp", "PUT /orders", false),
        ("idempot-js", "DELETE /orders", true),
    ];
    for (name, target, passes) in rows {
        let (_, shop) = shop_of(Profile::named(name).unwrap()).await;
        ask(&shop, asking(target, IETF, "{}")).await;
        let repeat = ask(&shop, asking(target, IETF, "{}")).await;
        assert_eq!(repeat == "201\n\norder 2", passes, "{name} {target}: {repeat}");
    }
}

// covers: C4 K7
#[tokio::test(start_paused = true)]
async fn a_repeatable_request_says_when_it_was_first_sent() {
    let sent = |date: &'static str| -> Lines {
        Vec::leak(vec![("repeatability-request-id", KEY), ("repeatability-first-sent", date)])
    };
    let date = "Sat, 21 Nov 2026 12:00:00 GMT";
    let rows: [(Lines, &str); 9] = [
        (&[("repeatability-request-id", KEY)], "400 key-invalid"),
        (Vec::leak([sent(date), &[("repeatability-first-sent", date)]].concat()), "400 key-invalid"),
        (sent("2026-11-21T12:00:00Z"), "400 key-invalid"),
        (sent("Sat, 21 Nov 2026 12:05:01 GMT"), "400 key-invalid"),
        (sent("Fri, 20 Nov 2026 11:59:59 GMT"), "412 key-expired"),
        // A day ago, five minutes ahead, and in the older forms of RFC 9110, 5.6.7.
        (sent("Fri, 20 Nov 2026 12:00:00 GMT"), "201"),
        (sent("Sat, 21 Nov 2026 12:05:00 GMT"), "201"),
        (sent("Sat Nov 21 12:00:00 2026"), "201"),
        // Without an id it is an ordinary request.
        (&[("repeatability-first-sent", "never")], "201"),
    ];
    for (lines, expected) in rows {
        let (count, shop) = shop_of(Profile::oasis()).await;
        assert_eq!(coded(&shop, order(lines, "{}")).await, expected, "{lines:?}");
        assert_eq!(count.get(), usize::from(expected == "201"), "{lines:?}");
    }
    let (_, shop) = shop_of(Profile::oasis()).await;
    let expired = ask(&shop, order(sent("Fri, 20 Nov 2026 11:59:59 GMT"), "{}")).await;
    let marks = "idempotency-key-consumed: true\nintent-status: expired\nrepeatability-result: rejected\n";
    assert!(expired.contains(marks), "{expired}");
}
