//! A shop's requests and answers, written by hand.

use http::{HeaderMap, Method, Response};
use onceward_resolve::{Answer, EffectRequest, Recipe, Sighting};

/// 2026-11-22 10:53:20.500 UTC.
pub(crate) const CLAIMED_AT_MS: u64 = 1_795_344_800_500;

/// When the looks are sent: 10 minutes after the claim.
pub(crate) const ASKED_AT_MS: u64 = CLAIMED_AT_MS + 600_000;

/// The answers' `Date`: the second in which the looks are sent.
pub(crate) const DATE: &str = "Sun, 22 Nov 2026 11:03:20 GMT";

pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap()))
        .collect()
}

pub(crate) fn effect(method: &str, uri: &str, fields: &[(&str, &str)], body: &str) -> EffectRequest {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let body = body.as_bytes().to_vec();
    EffectRequest::new(method, uri.parse().unwrap(), headers(fields), body, CLAIMED_AT_MS).unwrap()
}

/// `POST /orders` with a reference of its own, a customer and an amount.
pub(crate) fn order() -> EffectRequest {
    let fields = [("content-type", "application/json"), ("authorization", "Bearer t0ken")];
    let body =
        r#"{"reference": "r-77", "email": "Ann@Example.org", "total": 12.50, "lines": [1, 2], "note": ""}"#;
    effect("POST", "https://shop.example/orders?cart=9", &fields, body)
}

/// An answer with a `Date`, judged.
pub(crate) fn judge(
    recipe: &Recipe,
    effect: &EffectRequest,
    status: u16,
    kind: &str,
    body: &str,
) -> Sighting {
    judge_with(recipe, effect, status, &[("content-type", kind), ("date", DATE)], body)
}

pub(crate) fn judge_with(
    recipe: &Recipe,
    effect: &EffectRequest,
    status: u16,
    fields: &[(&str, &str)],
    body: &str,
) -> Sighting {
    let mut response = Response::new(());
    *response.status_mut() = status.try_into().unwrap();
    *response.headers_mut() = headers(fields);
    let parts = response.into_parts().0;
    let received_at_ms = ASKED_AT_MS + 40;
    recipe.judge(
        effect,
        &Answer { parts: &parts, body: body.as_bytes(), asked_at_ms: ASKED_AT_MS, received_at_ms },
    )
}

pub(crate) fn json(recipe: &Recipe, effect: &EffectRequest, body: &str) -> Sighting {
    judge(recipe, effect, 200, "application/json", body)
}

/// A judgement in a word, for tables.
pub(crate) fn word(sighting: &Sighting) -> String {
    match sighting {
        Sighting::Found { reference, .. } => format!("found {}", reference.as_deref().unwrap_or("-")),
        Sighting::NotFound { .. } => "not found".into(),
        Sighting::Several { count, .. } => format!("several {count}"),
        Sighting::Unclear { .. } => "unclear".into(),
    }
}

/// A recipe whose probe and reading are given.
pub(crate) fn recipe(probe: &str, found: &str) -> Result<Recipe, String> {
    let head = "recipe = 1\nname = \"shop\"\ntitle = \"A shop\"\nsource = \"https://shop.example/docs\"\n";
    let effect = "[effect]\nmethods = [\"POST\"]\npaths = [\"/orders\"]\nhost = \"shop.example\"\n";
    let text = format!("{head}{effect}[probe]\nsettle = \"1m\"\n{probe}\n[found]\n{found}\n");
    Recipe::parse(&text).map_err(|error| error.to_string())
}

/// The shop's list: of customers and amounts, with times to the second, newest first.
pub(crate) fn list() -> Recipe {
    list_with(r#"complete = { order = "newest-first" }"#)
}

pub(crate) fn list_with(more: &str) -> Recipe {
    let found = format!(
        r#"as = "json"
shown = {{ pick = "$.orders" }}
items = "$.orders[*]"
fields.id = {{ pick = "$.id" }}
fields.email = {{ pick = "$.email" }}
fields.total = {{ pick = "$.total" }}
fields.at = {{ pick = "$.at" }}
reference = "id"
match = [
  {{ field = "email", equals = "{{json $.email}}", case = "ignore" }},
  {{ field = "total", equals = "{{json $.total}}", as = "money" }},
]
time = {{ field = "at", format = "rfc3339", resolution = "1s" }}
{more}"#
    );
    recipe("url = \"/orders\"", &found).unwrap()
}

/// One order of Ann's over the amount, at a time of the day of the claim.
pub(crate) fn row(id: u32, at: &str) -> String {
    format!(r#"{{"id": {id}, "email": "ann@example.org", "total": "€ 12.50", "at": "2026-11-22T{at}Z"}}"#)
}

pub(crate) fn orders(rows: &[String]) -> String {
    format!(r#"{{"orders": [{}]}}"#, rows.join(","))
}

/// Reaches no site.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl onceward_resolve::Fetch for Nowhere {
    fn fetch(
        &self,
        _: http::Request<Vec<u8>>,
        _: onceward_resolve::Place,
    ) -> onceward_resolve::FetchFuture<'_> {
        Box::pin(async { Err(onceward_resolve::NotFetched("there is no way out of this test".into())) })
    }
}
