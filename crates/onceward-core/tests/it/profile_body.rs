//! The bodies of refusals, in the shapes that contracts prescribe.

use onceward_core::key::Key;
use onceward_core::problem::{Form, Problem};
use onceward_core::profile::{Profile, RefusalBody};
use onceward_core::refusal::{PROBLEM_SLUGS, Refusal};
use serde_json::Value;

use crate::refusal::refusal;

const TYPE_BASE: &str = "https://api.test/problems/";

fn problem(refusal: &Refusal) -> Problem<'_> {
    Problem {
        refusal,
        type_base: TYPE_BASE,
        instance: "/orders",
        key: None,
        effect: None,
        cause: None,
        status_url: None,
        earlier_url: None,
    }
}

fn body(name: &str, problem: &Problem<'_>) -> String {
    problem.render_as(Form::Json, &Profile::named(name).unwrap().manner)
}

fn plain(name: &str, slug: &str) -> String {
    body(name, &problem(&refusal(slug)))
}

// covers: C3, C4
#[test]
fn stripe_gets_an_error_object() {
    assert_eq!(
        plain("stripe-v1", "key-reused"),
        concat!(
            r#"{"error":{"type":"idempotency_error","code":"key_reused","#,
            r#""message":"The key stands for a request with other content.","#,
            r#""doc_url":"https://api.test/problems/key-reused","retryable":false,"effect":"none","retry":"new-key","#,
            r#""next_action":"Do not change the request of a key; use a new key for a new action."}}"#,
        )
    );
    assert_eq!(
        plain("stripe-v1", "in-progress"),
        concat!(
            r#"{"error":{"type":"idempotency_error","code":"idempotency_key_in_use","#,
            r#""message":"The first request with this key is still running.","#,
            r#""doc_url":"https://api.test/problems/in-progress","retryable":true,"effect":"unknown","retry":"same-key","#,
            r#""retry_after":2,"next_action":"Wait, then send the same request with the same key."}}"#,
        )
    );
    let kind = |slug| {
        let value: Value = serde_json::from_str(&plain("stripe-v1", slug)).unwrap();
        value["error"]["type"].as_str().unwrap().to_owned()
    };
    // What the key itself is refused for once it was used.
    let of_the_key: Vec<&str> =
        PROBLEM_SLUGS.iter().copied().filter(|slug| kind(slug) == "idempotency_error").collect();
    let expected = [
        "key-reused",
        "in-progress",
        "outcome-unknown",
        "outcome-not-kept",
        "key-expired",
        "cancelled",
        "history-lost",
    ];
    assert_eq!(of_the_key, expected);
    let kinds = ["key-invalid", "body-too-large", "upstream-unreachable", "record-corrupt"].map(kind);
    assert_eq!(kinds, ["invalid_request_error", "invalid_request_error", "api_error", "api_error"]);
}

// covers: C3, C4
#[test]
fn acp_gets_a_closed_object_whose_message_says_what_to_do() {
    assert_eq!(
        plain("acp", "key-missing"),
        concat!(
            r#"{"type":"invalid_request","code":"idempotency_key_required","#,
            r#""message":"The route requires a key and none was sent. "#,
            r#"Mint a key for this action and send it with every try of it."}"#,
        )
    );
    let rows = [
        ("key-reused", "invalid_request", "idempotency_conflict"),
        ("in-progress", "invalid_request", "idempotency_in_flight"),
        ("outcome-unknown", "invalid_request", "outcome_unknown"),
        ("store-unavailable", "service_unavailable", "store_unavailable"),
        ("upstream-unreachable", "processing_error", "upstream_unreachable"),
    ];
    for (slug, kind, code) in rows {
        let value: Value = serde_json::from_str(&plain("acp", slug)).unwrap();
        assert_eq!((value["type"].as_str(), value["code"].as_str()), (Some(kind), Some(code)), "{slug}");
    }
    for slug in PROBLEM_SLUGS {
        let value: Value = serde_json::from_str(&plain("acp", slug)).unwrap();
        let members: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(members, ["code", "message", "type"], "the schema admits no further members: {slug}");
        let next_action = refusal(slug).problem_type().next_action;
        assert!(value["message"].as_str().unwrap().ends_with(next_action), "{slug}");
    }
}

// covers: C3, C4
#[test]
fn ucp_gets_code_and_content() {
    assert_eq!(
        plain("ucp", "key-reused"),
        concat!(
            r#"{"code":"key_reused","content":"The key stands for a request with other content. "#,
            r#"Do not change the request of a key; use a new key for a new action.","#,
            r#""retryable":false,"effect":"none","retry":"new-key","#,
            r#""next_action":"Do not change the request of a key; use a new key for a new action."}"#,
        )
    );
}

// covers: C3, C4
#[test]
fn adcp_gets_its_error_in_both_places_and_never_the_key() {
    let key = Key::new("8e03978e-40d5-43e8-bc93-6894a57f9324").unwrap();
    let error = concat!(
        r#"{"code":"IDEMPOTENCY_IN_FLIGHT","message":"The first request with this key is still running.","#,
        r#""recovery":"transient","suggestion":"Wait, then send the same request with the same key.","#,
        r#""retryable":true,"effect":"unknown","retry":"same-key","retry_after":2,"#,
        r#""next_action":"Wait, then send the same request with the same key."}"#,
    );
    let refusal = refusal("in-progress");
    assert_eq!(
        body("adcp", &Problem { key: Some(&key), ..problem(&refusal) }),
        format!(r#"{{"status":"failed","adcp_error":{error},"errors":[{error}]}}"#)
    );
    let rows = [
        ("key-missing", "INVALID_REQUEST", "correctable"),
        ("key-reused", "IDEMPOTENCY_CONFLICT", "correctable"),
        ("key-expired", "IDEMPOTENCY_EXPIRED", "correctable"),
        ("history-lost", "IDEMPOTENCY_EXPIRED", "correctable"),
        ("actor-unknown", "AUTH_INVALID", "terminal"),
        ("store-unavailable", "SERVICE_UNAVAILABLE", "transient"),
        ("outcome-unknown", "OUTCOME_UNKNOWN", "terminal"),
        ("outcome-not-kept", "OUTCOME_NOT_KEPT", "terminal"),
    ];
    for (slug, code, recovery) in rows {
        let value: Value = serde_json::from_str(&plain("adcp", slug)).unwrap();
        let error = &value["errors"][0];
        assert_eq!(
            (error["code"].as_str(), error["recovery"].as_str()),
            (Some(code), Some(recovery)),
            "{slug}"
        );
        assert_eq!(error, &value["adcp_error"], "{slug}");
    }
}

// covers: C3, C4
#[test]
fn odata_gets_the_rest_as_an_inner_error() {
    assert_eq!(
        plain("oasis", "key-expired"),
        concat!(
            r#"{"error":{"code":"key-expired","#,
            r#""message":"The answer was kept for its time and is gone; it is not run again.","#,
            r#""innererror":{"type":"https://api.test/problems/key-expired","retryable":false,"effect":"done","#,
            r#""retry":"new-key","next_action":"Check whether the effect of then is what you want; "#,
            r#"use a new key for a new action."}}}"#,
        )
    );
}

// covers: C3, C4, K7
#[test]
fn of_a_key_that_is_older_than_all_memory_only_that_is_said() {
    assert_eq!(
        plain("oasis", "key-forgotten"),
        concat!(
            r#"{"error":{"code":"key-expired","#,
            r#""message":"The key is older than anything that is remembered; it may have been used.","#,
            r#""innererror":{"type":"https://api.test/problems/key-expired","retryable":false,"effect":"unknown","#,
            r#""retry":"after-resolution","next_action":"Check whether the effect happened; "#,
            r#"use a new key only if it did not."}}}"#,
        )
    );
}

// covers: C3, C4
#[test]
fn paypal_gets_a_name_an_issue_and_a_link() {
    assert_eq!(
        plain("paypal", "key-reused"),
        concat!(
            r#"{"name":"UNPROCESSABLE_ENTITY","message":"This key was used for another request","debug_id":"/orders","#,
            r#""details":[{"issue":"PAYPAL_REQUEST_ID_PREVIOUSLY_USED","#,
            r#""description":"The key stands for a request with other content."}],"#,
            r#""links":[{"href":"https://api.test/problems/key-reused","rel":"information_link","method":"GET"}],"#,
            r#""retryable":false,"effect":"none","retry":"new-key","#,
            r#""next_action":"Do not change the request of a key; use a new key for a new action."}"#,
        )
    );
    let rows = [
        ("key-missing", "INVALID_REQUEST", "PAYPAL_REQUEST_ID_REQUIRED"),
        ("in-progress", "RESOURCE_CONFLICT", "PREVIOUS_REQUEST_IN_PROGRESS"),
        ("actor-unknown", "NOT_AUTHORIZED", "ACTOR_UNKNOWN"),
        ("store-unavailable", "SERVICE_UNAVAILABLE", "STORE_UNAVAILABLE"),
        // PayPal has no name for 413; the issue stands in.
        ("body-too-large", "BODY_TOO_LARGE", "BODY_TOO_LARGE"),
    ];
    for (slug, name, issue) in rows {
        let value: Value = serde_json::from_str(&plain("paypal", slug)).unwrap();
        let found = (value["name"].as_str(), value["details"][0]["issue"].as_str());
        assert_eq!(found, (Some(name), Some(issue)), "{slug}");
    }
}

// covers: C3, C4
#[test]
fn a_contracts_status_stands_in_every_form() {
    let refusal = refusal("key-reused");
    let problem = problem(&refusal);
    let ucp = Profile::ucp().manner;
    assert!(problem.render_as(Form::Markdown, &ucp).contains("\nstatus: 409\n"));
    assert!(problem.render_as(Form::Html, &ucp).contains("<dt>status</dt><dd>409</dd>"));
    let types = [Form::Json, Form::Markdown, Form::Html].map(|form| ucp.content_type(form));
    assert_eq!(types, ["application/json", "text/markdown; charset=utf-8", "text/html; charset=utf-8"]);
    let problem_json = Profile::ietf_07().manner.content_type(Form::Json);
    assert_eq!(problem_json, "application/problem+json");
    for form in [Form::Json, Form::Markdown, Form::Html] {
        let own = Profile::onceward().manner;
        assert_eq!(problem.render_as(form, &own), problem.render(form));
    }
}

// covers: C3, C4, K6
#[test]
fn no_value_breaks_out_of_a_body_and_nothing_is_lost() {
    let cause = "quote \" backslash \\ line\nend \u{202e} <script>";
    let instance = "/a\"},\"admin\":true,{\"b\":\"";
    let key = Key::new("order\"17").unwrap();
    for name in Profile::NAMES {
        for slug in PROBLEM_SLUGS {
            let refusal = refusal(slug);
            let problem = Problem {
                cause: Some(cause),
                instance,
                key: Some(&key),
                status_url: Some("/effects/1"),
                ..problem(&refusal)
            };
            let text = body(name, &problem);
            let value: Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
            assert!(value.get("admin").is_none(), "{name}: {text}");
            let shape = Profile::named(name).unwrap().manner.body;
            let told = match shape {
                RefusalBody::Problem | RefusalBody::Ucp | RefusalBody::PayPal => &value,
                RefusalBody::Stripe => &value["error"],
                RefusalBody::Adcp => &value["errors"][0],
                RefusalBody::OData => &value["error"]["innererror"],
                RefusalBody::Acp => continue,
            };
            assert_eq!(told["cause"].as_str(), Some(cause), "{name}: {text}");
            assert_eq!(told["effect"].as_str(), Some(refusal.effect().as_str()), "{name}: {text}");
            assert_eq!(
                told["next_action"].as_str(),
                Some(refusal.problem_type().next_action),
                "{name}: {text}"
            );
            assert!(told["retryable"].is_boolean(), "{name}: {text}");
            assert_eq!(told["status_url"].as_str(), Some("/effects/1"), "{name}: {text}");
            let expected_key = (shape != RefusalBody::Adcp).then_some("order\"17");
            assert_eq!(told["idempotency_key"].as_str(), expected_key, "{name}: {text}");
        }
    }
}
