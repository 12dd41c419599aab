//! Every no of the control API, and the one place where it becomes a response (C3).

use std::error::Error;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use onceward_core::refusal::Refusal;
use onceward_store::StoreError;

use crate::{limits, wire};

/// Why a request to the control API is not fulfilled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// No door admitted it.
    #[error("this request came in through no door of the control API")]
    NoDoor,
    /// The name that it was asked under is not one of its own: a page whose name was rebound to this address, perhaps.
    #[error("the Host field names another server")]
    HostForeign,
    /// A page of another origin asks.
    #[error("the request comes from a page of another origin")]
    OriginForeign,
    /// No bearer token.
    #[error("this request needs a bearer token")]
    TokenMissing,
    /// Another bearer token.
    #[error("the bearer token is not the one of this server")]
    TokenWrong,
    /// A change that is not said to be JSON: an HTML form could have sent it.
    #[error("a change needs a body of type application/json")]
    NotJson,
    /// No such route.
    #[error("there is nothing at this path")]
    PathUnknown,
    /// The route has other methods.
    #[error("this path does not take this method")]
    MethodUnknown,
    /// No record under this id.
    #[error("no effect is remembered under this id")]
    EffectUnknown,
    /// A parameter, a field or a body that cannot be read.
    #[error("{0}")]
    Invalid(String),
    /// The body exceeds its limit.
    #[error("the body exceeds {} bytes", limits::BODY_BYTES_MAX)]
    BodyTooLarge,
    /// The effect still runs.
    #[error("the effect still runs; a verdict or a cancellation has to wait for its end")]
    StillRunning,
    /// There is no doubt to resolve.
    #[error("the effect is not in doubt; there is nothing to resolve")]
    NotInDoubt,
    /// A verdict about one attempt, and by now another one is in doubt.
    #[error("attempt {judged} is not the one in doubt; list the effect again")]
    OtherInDoubt {
        /// The epoch that the verdict names.
        judged: u64,
    },
    /// The effect's time is over.
    #[error("the effect was over long ago; its answer is gone")]
    LongOver,
    /// A limit on time is reached.
    #[error("no answer within {} s; a change may stand: look at the effect", limits::REQUEST_TIME_MAX.as_secs())]
    TooSlow,
    /// The store does not answer.
    #[error("{}", store_detail(.0))]
    Store(#[from] StoreError),
    /// A refusal that the protocol itself defines.
    #[error("{0}")]
    Protocol(Refusal),
}

fn store_detail(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable { .. } => "the store is not available; nothing was changed",
        StoreError::Busy { .. } => "the store has too much to do at once; nothing was changed",
        StoreError::Full { .. } => "the store is full; nothing was changed",
        StoreError::Unknown { .. } => "the store's answer was lost; a change may stand: look at the effect",
    }
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            // Not 421: browsers send a request again that was answered so.
            Self::NoDoor | Self::HostForeign | Self::OriginForeign => StatusCode::FORBIDDEN,
            Self::TokenMissing | Self::TokenWrong => StatusCode::UNAUTHORIZED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PathUnknown | Self::EffectUnknown => StatusCode::NOT_FOUND,
            Self::MethodUnknown => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::StillRunning | Self::NotInDoubt | Self::OtherInDoubt { .. } | Self::LongOver => {
                StatusCode::CONFLICT
            }
            Self::TooSlow | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Protocol(refusal) => StatusCode::from_u16(refusal.problem_type().status)
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn problem(&self) -> wire::Problem {
        let status = self.status();
        let (problem_type, title) = match self {
            Self::Protocol(refusal) => {
                let problem_type = refusal.problem_type();
                (format!("/problems/{}", problem_type.slug), problem_type.title)
            }
            // RFC 9457, 4.2.1: without a type of its own a problem is titled by its status.
            _ => (String::from("about:blank"), status.canonical_reason().unwrap_or_default()),
        };
        wire::Problem {
            problem_type,
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        if let Self::Store(error) = &self {
            tracing::warn!(error = error as &dyn Error, "store did not answer the control API");
        }
        let mut response = (self.status(), Json(self.problem())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::TokenMissing => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"onceward control\""),
                );
            }
            Self::TokenWrong => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"onceward control\", error=\"invalid_token\""),
                );
            }
            Self::TooSlow | Self::Store(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(limits::RETRY_AFTER.as_secs()));
            }
            _ => {}
        }
        response
    }
}
