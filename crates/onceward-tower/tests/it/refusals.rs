//! Problems as their three kinds of readers get them, and what they do not give away.

use std::time::Duration;

use http::Request;
use onceward_core::outcome::Policy;
use onceward_tower::Cors;
use tower::ServiceExt;

use crate::kit::{
    AnyBody, Count, Guarded, Keyed, LONG, Lines, World, ask, cut, data, frames, guarded, post, post_with,
    response, site, text,
};

/// What Chromium sends with a navigation, and Firefox.
const CHROMIUM: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The fields of each problem, between its content type and its `Link`.
const PAGE_FIELDS: &str = "cache-control: no-store\nvary: Accept, Origin\nx-content-type-options: nosniff\n\
    content-security-policy: default-src \\'none\\'; style-src \\'unsafe-inline\\'; base-uri \\'none\\'; \
    form-action \\'none\\'; frame-ancestors \\'self\\'\n";

const DOUBT_MARKS: &str = "link: <https://onceward.example/problems/outcome-unknown>; rel=\\\"describedby\\\"\n\
    retry-after: 30\nidempotency-key-consumed: true\nintent-status: unknown\n";

async fn in_doubt() -> Guarded {
    let guarded =
        guarded(site(|_| async { Ok(response(200, &[], frames(vec![data("half"), cut()]))) })).await;
    ask(&guarded, post("k", "a")).await;
    guarded
}

fn accepting(accept: &'static str) -> Request<AnyBody> {
    post_with("k", &[("accept", accept)], text("a"))
}

// covers: C2 C3 D1
#[tokio::test(start_paused = true)]
async fn a_program_gets_a_problem_as_json() {
    let guarded = in_doubt().await;
    let detail = "An identical request (POST /order) was sent at 12:00:00 UTC on 2026-11-21; its outcome is unknown. \
        Do not submit again. The request was sent and its answer broke off.";
    let json = serde_json::json!({
        "type": "https://onceward.example/problems/outcome-unknown",
        "title": "The outcome of this request is unknown",
        "status": 409,
        "detail": detail,
        "instance": "/order",
        "retryable": false,
        "idempotency_key": "k",
        "effect": "unknown",
        "retry": "after-resolution",
        "retry_after": 30,
        "next_action": "Do not submit again. Check whether the effect happened, then resolve it.",
    });
    for request in [post("k", "a"), accepting("*/*"), accepting("application/json")] {
        let answer = ask(&guarded, request).await;
        let (head, body) = answer.split_once("\n\n").unwrap();
        let content_type = "content-type: application/problem+json\n";
        assert_eq!(format!("{head}\n"), format!("409\n{content_type}{PAGE_FIELDS}{DOUBT_MARKS}"));
        let body: serde_json::Value = serde_json::from_str(&body.replace("\\\"", "\"")).unwrap();
        assert_eq!(body, json);
    }
}

// covers: C3 D1
#[tokio::test(start_paused = true)]
async fn a_browser_gets_a_page_and_an_agent_markdown() {
    let guarded = in_doubt().await;
    let cases = [
        (CHROMIUM, "text/html; charset=utf-8", "<!doctype html>"),
        (FIREFOX, "text/html; charset=utf-8", "<!doctype html>"),
        ("text/markdown, text/html, */*", "text/markdown; charset=utf-8", "---\\ntype: "),
        ("application/json, text/html;q=0.5", "application/problem+json", "{"),
    ];
    for (accept, content_type, begins) in cases {
        let answer = ask(&guarded, accepting(accept)).await;
        let (head, body) = answer.split_once("\n\n").unwrap();
        let expected = format!("409\ncontent-type: {content_type}\n{PAGE_FIELDS}{DOUBT_MARKS}");
        assert_eq!(format!("{head}\n"), expected, "{accept}");
        assert!(body.starts_with(begins), "{accept}: {body}");
        assert!(body.contains("its outcome is unknown"), "{accept}: {body}");
    }
}

// covers: C3
#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_may_read_a_problem_where_the_surface_says_so() {
    const CROSS: Lines = &[("origin", "https://shop.example")];
    let allowed =
        "access-control-allow-origin: https://shop.example\naccess-control-allow-credentials: true\n";
    for (cors, lines, expected) in
        [(Cors::Closed, CROSS, ""), (Cors::Mirrored, CROSS, allowed), (Cors::Mirrored, &[][..], "")]
    {
        let site = site(|_| async { Ok(response(200, &[], frames(vec![cut()]))) });
        let guarded = World::start().await.guard_with(cors, Keyed::by(Policy::middleware()), site);
        ask(&guarded, post("k", "a")).await;
        let answer = ask(&guarded, post_with("k", lines, text("a"))).await;
        let (head, _) = answer.split_once("\n\n").unwrap();
        let content_type = "content-type: application/problem+json\n";
        assert_eq!(
            format!("{head}\n"),
            format!("409\n{content_type}{PAGE_FIELDS}{DOUBT_MARKS}{expected}"),
            "{cors:?}"
        );
    }
}

// covers: F6 C3
#[tokio::test(start_paused = true)]
async fn a_reused_key_gives_nothing_of_its_first_request_away() {
    const SECRET: Lines = &[("x-first", "1"), ("content-type", "text/secret")];
    let count = Count::default();
    let counted = count.clone();
    let varied = site(move |request| {
        let count = counted.clone();
        async move {
            let state = request.headers()["idempotency-key"].to_str().unwrap().to_owned();
            count.add();
            Ok(match state.as_str() {
                "in-flight" => {
                    tokio::time::sleep(LONG).await;
                    response(201, SECRET, text("first answer"))
                }
                "done" => response(201, SECRET, text("first answer")),
                _ => response(201, SECRET, frames(vec![cut()])),
            })
        }
    });
    let guarded = World::start().await.guard(Keyed::by(Policy::middleware()), varied);
    let mut seen = Vec::new();
    for state in ["in-flight", "done", "in-doubt"] {
        let first = guarded.clone().oneshot(post_with(state, SECRET, text("first body")));
        // Long enough to be claimed or done; a running one is left running.
        drop(tokio::time::timeout(Duration::from_secs(1), first).await);
        let other = ask(&guarded, post(state, "other body")).await;
        assert!(other.starts_with("422\n") && other.contains("/problems/key-reused\\\""), "{other}");
        assert!(!other.contains("first") && !other.contains("201"), "{other}");
        seen.push(other.replace(&format!("\\\"{state}\\\""), "KEY"));
    }
    assert_eq!(count.get(), 3);
    assert_eq!((&seen[0], &seen[0]), (&seen[1], &seen[2]));
    // The owner's record is as it was.
    let repeat = ask(&guarded, post_with("done", SECRET, text("first body"))).await;
    assert!(repeat.ends_with("\nfirst answer"), "{repeat}");
}

// covers: C3 W1
#[tokio::test(start_paused = true)]
async fn a_duplicate_that_waited_in_vain_is_told_when_to_come_back() {
    let slow = site(|_| async {
        tokio::time::sleep(LONG).await;
        Ok(response(201, &[], text("")))
    });
    let guarded = guarded(slow).await;
    let first = tokio::spawn({
        let guarded = guarded.clone();
        async move { ask(&guarded, post("k", "a")).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = ask(&guarded, post("k", "a")).await;
    let (head, _) = answer.split_once("\n\n").unwrap();
    let marks = "link: <https://onceward.example/problems/in-progress>; rel=\\\"describedby\\\"\n\
        retry-after: 1\nidempotency-key-consumed: true\nintent-status: in-progress\n";
    let content_type = "content-type: application/problem+json\n";
    assert_eq!(format!("{head}\n"), format!("409\n{content_type}{PAGE_FIELDS}{marks}"));
    assert!(first.await.unwrap().starts_with("201\n"));
}
