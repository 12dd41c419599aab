//! A request that the service did not answer.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use onceward_core::{outcome, record::DoubtReason};
use onceward_tower::Testimony;

use super::forwarded::Ambiguous;
use crate::pages::page;
use crate::server::ProxyBody;
use crate::upstream::{Evidence, Unanswered, Unknown, Untouched};

/// Why there is no answer. Says nothing of what the service's network looks like: that is for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unserved {
    /// No instance answered.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// Nothing came within [`Times::response_head`](super::Times::response_head).
    #[error("the service did not answer in time")]
    Late,
    /// The client did not finish its request.
    #[error("the request body broke off or is malformed")]
    RequestBroken,
    /// The head makes no request to the service.
    #[error("the request cannot be passed on")]
    Unwritable(#[from] http::Error),
}

impl Unserved {
    fn status(&self) -> StatusCode {
        match self {
            Self::RequestBroken => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Unwritable(_) => StatusCode::BAD_GATEWAY,
            Self::Unanswered(unanswered) => match unanswered.evidence {
                Evidence::Untouched(Untouched::LimitReached) => StatusCode::SERVICE_UNAVAILABLE,
                Evidence::Unknown(Unknown::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
                Evidence::Untouched(_) | Evidence::Unknown(_) => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// The page for whoever waits, in the form that the fields of its request accept.
    pub(super) fn page(&self, request: &HeaderMap) -> Response<ProxyBody> {
        page(self.status(), &self.to_string(), request)
    }
}

impl Testimony for Unserved {
    fn evidence(&self) -> outcome::Evidence {
        match self {
            Self::Unanswered(unanswered) => unanswered.evidence(),
            Self::Late => outcome::Evidence::Unknown(DoubtReason::DeadlinePassed),
            Self::RequestBroken => outcome::Evidence::Unknown(DoubtReason::NoAnswer),
            Self::Unwritable(_) => outcome::Evidence::Untouched(outcome::Untouched::NothingWritten),
        }
    }

    fn cause(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// The page for a head with two readings. What follows it cannot be trusted to be a head.
pub(super) fn refusal(ambiguous: Ambiguous, request: &HeaderMap) -> Response<ProxyBody> {
    let mut response = page(StatusCode::BAD_REQUEST, &ambiguous.to_string(), request);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
