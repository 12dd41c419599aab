//! The guard with the rules of those who own the origin: routes, actors, intents, fences, pages and published contracts.

mod actors;
mod contract;
mod fences;
mod intents;
mod isolation;
mod manners;
mod members;
mod routes;
mod signals;
mod spellings;
mod twins;
mod webhooks;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use onceward_core::profile::Profile;
use onceward_tower::origin::{ActorSource, Guarding, OriginSettings, Route};
use tower::ServiceExt;

use crate::kit::{AnyBody, Count, Lines, Shop, Site, World, asking, response, text};

/// What every answer of a guarded route ends with (C1).
const ADVERTISED: &str = "accepts-idempotency-key: true\naccepts-intent-hash: sha256\n";

fn onceward() -> OriginSettings {
    OriginSettings::of(Profile::onceward())
}

/// The profile's guarding without a wait, so that a duplicate in flight is answered at once.
fn guarding() -> Guarding {
    Guarding::of(&Profile::onceward())
}

fn required() -> Guarding {
    Guarding { is_key_required: true, ..guarding() }
}

/// These routes and nothing else.
fn only(routes: impl IntoIterator<Item = Route>) -> OriginSettings {
    OriginSettings { routes: routes.into_iter().collect(), others: None, ..onceward() }
}

fn sources(sources: impl IntoIterator<Item = ActorSource>) -> OriginSettings {
    OriginSettings { actors: sources.into_iter().collect(), ..onceward() }
}

/// A request under a key.
fn keyed(target: &str, key: &str, lines: Lines, body: impl Into<Bytes>) -> Request<AnyBody> {
    let mut request = asking(target, lines, body);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// A site whose `n`th effect is `order n`.
fn ordering(count: &Count) -> Site {
    count.site(|runs| response(201, &[], text(format!("order {runs}"))))
}

/// An answer in short: `201 first order 1`, `201 again order 1`, `201 released …`, `201 passed …`, or a problem's status and slug.
async fn told(shop: &Shop, request: Request<AnyBody>) -> String {
    let (head, body) = shop.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let status = head.status.as_u16();
    let field = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    if field("content-type") == Some("application/problem+json") {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        return format!("{status} {}", problem["type"].as_str().unwrap().rsplit('/').next().unwrap());
    }
    let how = match (field("idempotency-key-consumed"), field("intent-status"), field("idempotent-replayed"))
    {
        (Some("true"), Some("committed"), None) => "first",
        (Some("true"), Some("replayed"), Some("true")) => "again",
        (Some("true"), Some("unknown"), None) => "unrecorded",
        (Some("false"), None, None) => "released",
        (None, None, None) => "passed",
        odd => panic!("no answer is marked so: {odd:?}"),
    };
    format!("{status} {how} {}", body.escape_ascii())
}

/// What the status page says of a key: `done done`, the state and the effect.
async fn state(shop: &Shop, key: &str, lines: Lines) -> String {
    let request = keyed("GET /.well-known/idempotency/effects", key, lines, "");
    let (head, body) = shop.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
    match head.status.as_u16() {
        200 => format!("{} {}", page["state"].as_str().unwrap(), page["effect"].as_str().unwrap()),
        status => format!("{status} {}", page["type"].as_str().unwrap().rsplit('/').next().unwrap()),
    }
}

/// A shop of a world of its own whose `n`th effect is `order n`.
async fn shop(settings: OriginSettings) -> (World, Count, Shop) {
    let (world, count) = (World::start().await, Count::default());
    let shop = world.shop(settings, ordering(&count));
    (world, count, shop)
}
