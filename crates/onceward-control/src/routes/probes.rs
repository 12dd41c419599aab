//! What probes, scrapers and `store stats` ask.

use std::error::Error;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use crate::{control::Control, present, refused::Refused, wire};

/// The type that Prometheus negotiates for (OpenMetrics 1.0).
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process answers; whether it should get traffic is another question.
pub(super) async fn livez() -> &'static str {
    "live\n"
}

/// Whether traffic may come: the store answers, replay was proven against it (A3), no shutdown has begun, and somebody is there to
/// serve what comes.
pub(super) async fn readyz(State(control): State<Control>) -> Response {
    let mut reasons = Vec::new();
    let mut because = |check: &str, detail: String| {
        reasons.push(wire::NotReady { check: check.to_owned(), detail });
    };
    if control.engine().is_closing() {
        because("draining", String::from("the program is shutting down"));
    }
    if let Err(error) = control.engine().health().await {
        tracing::warn!(error = &error as &dyn Error, "not ready");
        because("store", error.to_string());
    }
    if let Err(error) = control.self_test() {
        because("self-test", error.to_string());
    }
    let upstreams = control.engine().telemetry().upstreams();
    if !upstreams.is_empty() && !upstreams.iter().any(|upstream| upstream.is_up) {
        because("upstream", String::from("no instance of the service is well"));
    }
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(wire::Readiness { ready, reasons })).into_response()
}

/// Every metric (A2).
pub(super) async fn metrics(State(control): State<Control>) -> Response {
    let mut response = control.engine().telemetry().render().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
    response
}

/// What the store says of itself.
pub(super) async fn store(State(control): State<Control>) -> Result<Json<wire::StoreStats>, Refused> {
    Ok(Json(present::store_stats(&control.engine().health().await?)))
}
