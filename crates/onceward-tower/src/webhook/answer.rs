//! What whoever posts is told.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use onceward_core::{actor::LookupId, record::Epoch, refusal::Refusal};
use onceward_engine::StoreError;
use serde::Serialize;

/// When a post that could not be taken now may come again.
const RETRY_AFTER_S: u32 = 2;

/// A verdict stands.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) id: LookupId,
    pub(super) judged: Epoch,
    pub(super) news: News,
}

/// Whether it was news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It ended the doubt, now or in an earlier delivery.
    Resolved,
    /// That much was known; an answer that was stored stays as it is.
    AlreadySo,
}

impl News {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::AlreadySo => "already-so",
        }
    }
}

/// Why a post changes nothing.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another method than POST.
    Method,
    /// Nobody who may post signed it.
    Unsigned(&'static str),
    /// It cannot be read.
    Invalid(String),
    /// It has more bytes than a post may have.
    TooLarge { bytes_max: usize },
    /// No such effect among those that its signer may judge.
    EffectUnknown,
    /// Two processes of a store gave the same epoch to two effects of one key, which may happen to different actors or operations (L14).
    Several,
    /// The attempt still runs.
    Running,
    /// The attempt is over, or was never known; what stands says something else.
    NotInDoubt,
    /// The record cannot be read (L8).
    Corrupt,
    /// Too many bodies are held at once.
    Overloaded,
    /// A limit on time is reached.
    TooSlow,
    /// The store does not answer.
    Store(StoreError),
}

impl From<Refusal> for Refused {
    /// Of reading a body.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BodyTooLarge { bytes_max } => Self::TooLarge { bytes_max },
            Refusal::Overloaded { .. } => Self::Overloaded,
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refused {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::EffectUnknown => StatusCode::NOT_FOUND,
            Self::Several | Self::Running | Self::NotInDoubt => StatusCode::CONFLICT,
            Self::Corrupt | Self::Overloaded | Self::TooSlow | Self::Store(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Method => "a verdict is posted".to_owned(),
            Self::Unsigned(why) => (*why).to_owned(),
            Self::Invalid(why) => why.clone(),
            Self::TooLarge { bytes_max } => format!("a verdict has up to {bytes_max} bytes"),
            Self::EffectUnknown => "no such effect is remembered".to_owned(),
            Self::Several => "several effects have this key and this epoch: name one by its `id`".to_owned(),
            Self::Running => "the attempt still runs: if it falls into doubt, post again".to_owned(),
            Self::NotInDoubt => {
                "this attempt is not in doubt, and what is known of it says otherwise".to_owned()
            }
            Self::Corrupt => "the record cannot be read".to_owned(),
            Self::Overloaded => "too much is posted at once".to_owned(),
            Self::TooSlow => "no answer in time; the verdict may stand: post it again".to_owned(),
            Self::Store(StoreError::Unknown { .. }) => {
                "the store's answer was lost; the verdict may stand: post it again".to_owned()
            }
            Self::Store(_) => "the store is not available; nothing was changed".to_owned(),
        }
    }

    /// Whether the same post may be taken later.
    const fn passes(&self) -> bool {
        matches!(self, Self::Running | Self::Overloaded | Self::TooSlow | Self::Store(_))
    }
}

/// The name under which a post is counted.
pub(super) const fn result_name(heard: &Result<Heard, Refused>) -> &'static str {
    match heard {
        Ok(heard) => heard.news.as_str(),
        Err(Refused::Unsigned(_)) => "unsigned",
        Err(Refused::Method | Refused::Invalid(_) | Refused::TooLarge { .. }) => "invalid",
        Err(Refused::EffectUnknown) => "unknown-effect",
        Err(Refused::Several | Refused::Running | Refused::NotInDoubt) => "conflict",
        Err(Refused::Corrupt | Refused::Overloaded | Refused::TooSlow | Refused::Store(_)) => "unavailable",
    }
}

#[derive(Serialize)]
struct WrittenHeard {
    id: String,
    epoch: u64,
    result: &'static str,
}

/// RFC 9457. Without a type of its own a problem is titled by its status (4.2.1).
#[derive(Serialize)]
struct WrittenRefused {
    #[serde(rename = "type")]
    problem_type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
}

/// The answer to a post.
pub(super) fn response(heard: Result<Heard, Refused>) -> Response<Bytes> {
    let (status, kind, text) = match &heard {
        Ok(Heard { id, judged, news }) => {
            let id = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let written = WrittenHeard { id, epoch: judged.0, result: news.as_str() };
            (StatusCode::OK, "application/json", serde_json::to_vec(&written))
        }
        Err(refused) => {
            let status = refused.status();
            let title = status.canonical_reason().unwrap_or_default();
            let (problem_type, detail) = ("about:blank", refused.detail());
            let written = WrittenRefused { problem_type, title, status: status.as_u16(), detail };
            (status, "application/problem+json", serde_json::to_vec(&written))
        }
    };
    // Texts and numbers have a JSON form.
    let mut response = Response::new(Bytes::from(text.unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match &heard {
        Err(Refused::Method) => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        // RFC 9110, 15.5.2.
        Err(Refused::Unsigned(_)) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Standard-Webhooks"));
        }
        Err(refused) if refused.passes() => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        Ok(_) | Err(_) => {}
    }
    response
}
