//! What can be asked, and behind which checks.

mod audit;
mod changes;
mod effects;
mod intake;
mod pages;
mod probes;

pub(crate) use self::intake::parse_id;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn,
    routing::{get, post},
};

use crate::{
    control::Control,
    gate::{known_host, trusted},
    limits::BODY_BYTES_MAX,
    refused::Refused,
};

/// The control API. It answers only what a door marked with its entrance.
pub(crate) fn router(control: Control) -> Router {
    // Read-only and without anything of a customer's, for probes, scrapers and whoever follows a problem's `type`: no token.
    let open = Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/healthz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .route("/problems/{slug}", get(pages::problem))
        .method_not_allowed_fallback(method_unknown);
    let guarded = Router::new()
        .route("/v1/effects", get(effects::list))
        .route("/v1/effects/{id}", get(effects::show))
        .route("/v1/effects/{id}/resolve", post(changes::resolve))
        .route("/v1/effects/{id}/cancel", post(changes::cancel))
        .route("/v1/actors/{tag}/erase", post(changes::erase))
        .route("/v1/audit", get(audit::read))
        .route("/v1/store", get(probes::store))
        .route("/v1/store/barrier", post(changes::raise_barrier))
        .method_not_allowed_fallback(method_unknown)
        .fallback(path_unknown)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // Outside of the routes and their fallbacks, so that a stranger cannot even learn which paths there are.
        .layer(from_fn(trusted));
    open.merge(guarded)
        // Outermost: a foreign name gets nothing at all, and every answer is kept out of caches.
        .layer(from_fn(known_host))
        .with_state(control)
}

async fn path_unknown() -> Refused {
    Refused::PathUnknown
}

async fn method_unknown() -> Refused {
    Refused::MethodUnknown
}
