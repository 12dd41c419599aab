//! Fed: a recipe, or a site's answer to a look; the last byte picks which.
//!
//! What must hold: a look goes to the origin that the effect was sent to, or to one that the recipe writes out; a recipe that cannot tell
//! absence never says it. Of the Redmine recipe: an effect that the answer shows, no older than the claim, is never called absent, and
//! what is found is there (D3).

#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, Method, Response, header};
use libfuzzer_sys::fuzz_target;
use onceward_resolve::{Answer, EffectRequest, Recipe, Sighting, builtin_named};
use serde_json::Value;

/// 2026-11-22 10:53:20.500 UTC.
const CLAIMED_AT_MS: u64 = 1_795_344_800_500;

/// Ten minutes later, and what an answer's `Date` says then.
const ASKED_AT_MS: u64 = CLAIMED_AT_MS + 600_000;
const DATE: &str = "Sun, 22 Nov 2026 11:03:20 GMT";

static ISSUE: LazyLock<EffectRequest> = LazyLock::new(|| {
    let headers = [("content-type", "application/json"), ("x-redmine-api-key", "k"), ("cookie", "session=7")];
    let headers: HeaderMap = headers
        .into_iter()
        .map(|(name, value)| {
            (name.parse::<http::HeaderName>().expect("a name"), HeaderValue::from_static(value))
        })
        .collect();
    let uri = "https://tracker.example/projects/7/issues.json?of=9".parse().expect("an address");
    let body = br#"{"issue": {"subject": "Leak"}, "total": 12.50}"#.to_vec();
    EffectRequest::new(Method::POST, uri, headers, body, CLAIMED_AT_MS).expect("a request")
});

static REDMINE: LazyLock<Recipe> =
    LazyLock::new(|| builtin_named("redmine").expect("is built in").recipe(&[]).expect("a recipe"));

static PAGE: LazyLock<Recipe> = LazyLock::new(|| {
    let parameters = [
        ("path", "/projects/{project}/issues.json"),
        ("url", "/issues"),
        ("shown", "table.orders"),
        ("items", "table.orders tr"),
        ("field", "td.a"),
        ("equals", "{json $.issue.subject}"),
        ("time", "td.t"),
        ("format", "%d.%m.%Y %H:%M"),
        ("zone", "UTC"),
        ("resolution", "1m"),
        ("reference", "td.r"),
    ];
    builtin_named("list-html").expect("is built in").recipe(&parameters).expect("a recipe")
});

fuzz_target!(|data: &[u8]| {
    let Some((pick, data)) = data.split_last() else { return };
    match pick % 3 {
        0 => {
            if let Ok(text) = str::from_utf8(data) {
                recipe(text);
            }
        }
        1 => issues(data),
        _ => {
            let sighting = judged(&PAGE, "text/html", data);
            if matches!(sighting, Sighting::Found { .. } | Sighting::Several { .. }) {
                assert!(String::from_utf8_lossy(data).contains("<"));
            }
        }
    }
});

fn recipe(text: &str) {
    let Ok(recipe) = Recipe::parse(text) else { return };
    if let Ok(look) = recipe.look(&ISSUE) {
        let authority = look.uri().authority().expect("an absolute address").as_str();
        assert!(authority == "tracker.example" || text.contains(&format!("://{authority}")));
        assert!(recipe.is_for(&ISSUE));
        // What a recipe needs is what it says that it needs.
        let kept = recipe.kept(ISSUE.clone());
        let again = recipe.look(&kept).expect("what is kept is enough");
        assert_eq!((again.uri(), again.headers(), again.body()), (look.uri(), look.headers(), look.body()));
    }
    for (kind, body) in [
        ("application/json", r#"{"issues": [], "total_count": 0}"#),
        ("text/html", "<html><table class=orders></table></html>"),
        ("text/plain", "none"),
    ] {
        let sighting = judged(&recipe, kind, body.as_bytes());
        assert!(recipe.tells_absence() || !matches!(sighting, Sighting::NotFound { .. }));
    }
}

fn judged(recipe: &Recipe, kind: &'static str, body: &[u8]) -> Sighting {
    let mut response = Response::new(());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::DATE, HeaderValue::from_static(DATE));
    let parts = response.into_parts().0;
    recipe.judge(
        &ISSUE,
        &Answer { parts: &parts, body, asked_at_ms: ASKED_AT_MS, received_at_ms: ASKED_AT_MS + 40 },
    )
}

fn issues(body: &[u8]) {
    let sighting = judged(&REDMINE, "application/json", body);
    let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let empty = Vec::new();
    let issues = answer["issues"].as_array().unwrap_or(&empty);
    let is_like = |issue: &&Value| issue["subject"].as_str().is_some_and(|text| text.trim() == "Leak");
    // Ten seconds past the claim leave room for both clocks; written so, later times are greater texts.
    let is_later = |issue: &&Value| {
        issue["created_on"].as_str().is_some_and(|time| {
            time.len() == 20 && time.ends_with('Z') && ("2026-11-22T10:53:31Z".."2027").contains(&time)
        })
    };
    let shown = issues.iter().filter(is_like).count();
    match sighting {
        Sighting::NotFound { .. } => assert_eq!(issues.iter().filter(is_like).filter(is_later).count(), 0),
        Sighting::Found { .. } => assert!(shown >= 1),
        Sighting::Several { count, .. } => assert!(count >= 2 && shown >= count),
        Sighting::Unclear { .. } => {}
    }
}
