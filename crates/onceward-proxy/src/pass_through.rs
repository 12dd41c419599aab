//! The exchange of unguarded traffic: everything goes to its origin as it came.

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use crate::pages::page;
use crate::server::{Exchange, ProxyBody, RequestBody};
use crate::session::Session;
use crate::target::Target;
use crate::upstream::{DialError, Evidence, Tunnel, Unanswered, Unknown, Untouched, Upstream};

/// Forwards each request and turns the lack of an answer into a page.
#[derive(Clone)]
pub struct PassThrough {
    upstream: Upstream,
}

impl PassThrough {
    /// Forwards through `upstream`.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }
}

impl Exchange for PassThrough {
    type Tunnel = Tunnel;

    async fn call(&self, request: Request<RequestBody>) -> Response<ProxyBody> {
        let fields = request.headers().clone();
        match self.upstream.forward(request).await {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(unanswered) => unanswered_page(&unanswered, &fields),
        }
    }

    async fn tunnel(&self, _session: &Session, target: &Target) -> Result<Tunnel, Response<ProxyBody>> {
        self.upstream.tunnel(target).await.map_err(|error| undialled_page(&error))
    }
}

impl std::fmt::Debug for PassThrough {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PassThrough").finish_non_exhaustive()
    }
}

/// The page for a request without an answer, in the form that its fields accept.
#[must_use]
pub fn unanswered_page(unanswered: &Unanswered, request: &HeaderMap) -> Response<ProxyBody> {
    page(status(unanswered.evidence), &with_causes(unanswered), request)
}

/// The answer to a `CONNECT` whose target cannot be reached.
fn undialled_page(error: &DialError) -> Response<ProxyBody> {
    page(status(Evidence::Untouched(error.untouched)), &with_causes(error), &HeaderMap::new())
}

fn status(evidence: Evidence) -> StatusCode {
    match evidence {
        Evidence::Untouched(Untouched::TargetRefused) => StatusCode::FORBIDDEN,
        Evidence::Untouched(Untouched::LimitReached) => StatusCode::SERVICE_UNAVAILABLE,
        Evidence::Unknown(Unknown::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
        Evidence::Untouched(_) | Evidence::Unknown(_) => StatusCode::BAD_GATEWAY,
    }
}

/// An error with what caused it, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
