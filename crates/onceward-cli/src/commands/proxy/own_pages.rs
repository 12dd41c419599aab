//! What the proxy says to somebody who opens its own address: the pages of problems, and the state of an effect. Verdicts are posted there, too.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use onceward_control::effect_status;
use onceward_core::{
    actor::Tenant,
    problem::{self, Form},
};
use onceward_engine::Engine;
use onceward_proxy::server::{OwnPage, ProxyBody, RequestBody};
use onceward_tower::Webhooks;

const WELCOME: &str =
    "# onceward\n\nThis is a forward proxy. Point a browser at it; `onceward proxy` printed how.\n";

const NOTHING: &str = "Nothing is here: this is the onceward proxy, not a site.\n";

/// Where verdicts are posted, if anybody may (D2).
const VERDICTS_PATH: &str = "/verdicts";

/// Pages over one engine. They change nothing but by a signed verdict, and the control API is not among them (S5).
pub(super) fn of(engine: Engine, webhooks: Webhooks) -> OwnPage {
    Arc::new(move |request| {
        let (engine, webhooks) = (engine.clone(), webhooks.clone());
        Box::pin(async move { answer(&engine, &webhooks, request).await })
    })
}

async fn answer(engine: &Engine, webhooks: &Webhooks, request: Request<RequestBody>) -> Response<ProxyBody> {
    if request.uri().path() == VERDICTS_PATH && !webhooks.is_empty() {
        let answer = webhooks.hear(engine, &Tenant::single(), request).await;
        return answer.map(|body| body.map_err(|never| match never {}).boxed_unsync());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return page(StatusCode::METHOD_NOT_ALLOWED, Form::Markdown.content_type(), NOTHING.to_owned());
    }
    let path = request.uri().path();
    if let Some(page_of_problem) = path.strip_prefix("/problems/").and_then(problem::page) {
        return page(StatusCode::OK, Form::Markdown.content_type(), page_of_problem.to_owned());
    }
    if let Some(id) = path.strip_prefix("/effects/") {
        return match effect_status(engine, id).await {
            Some(json) => page(StatusCode::OK, "application/json", json),
            None => page(StatusCode::NOT_FOUND, Form::Markdown.content_type(), NOTHING.to_owned()),
        };
    }
    match path {
        "/" => page(StatusCode::OK, Form::Markdown.content_type(), WELCOME.to_owned()),
        _ => page(StatusCode::NOT_FOUND, Form::Markdown.content_type(), NOTHING.to_owned()),
    }
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Response<ProxyBody> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
