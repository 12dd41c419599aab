//! Runs the inner service under a claim and records its answer (O1, O7, O8).

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, Method, Request, Response, StatusCode, header, response::Parts,
};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use onceward_core::{
    header::{is_kept, name},
    outcome::{Content, Evidence, Finality, Outcome, Policy, Statuses},
    record::DoubtReason,
    time::Timestamp,
};
use onceward_engine::{Effected, StreamEnd};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;
use tower_service::Service;

use crate::{
    body::{BodyError, RequestBody, ResponseBody},
    handler::Signal,
    json_rpc::Field,
    precondition,
    testimony::Testimony,
};

/// How long an answer is held back to be stored whole before its first byte goes out (O1). An answer that takes longer flows while it
/// is recorded, since its reader may be waiting for its parts (O8).
const HOLD_TIME_MAX: Duration = Duration::from_secs(5);

/// What is known of a guarded request while its answer is read.
pub(crate) struct Reading {
    pub(crate) policy: Arc<Policy>,
    pub(crate) method: Method,
    pub(crate) sent_at: Timestamp,
    /// Where the inner service's error goes, for the problem that its caller gets.
    pub(crate) cause: Arc<OnceLock<String>>,
    /// What is kept beside the answer's fields for its replays.
    pub(crate) note: Option<Field>,
    /// The fields that are kept beside the answer's framing, where its route names them.
    pub(crate) kept_fields: Option<Arc<[HeaderName]>>,
}

/// Calls `inner` once.
pub(crate) async fn execute<S, B, C>(
    inner: S,
    request: Request<RequestBody<B>>,
    reading: Reading,
) -> Effected<Response<ResponseBody<C>>>
where
    S: Service<Request<RequestBody<B>>, Response = Response<C>>,
    S::Error: Testimony,
    C: Body<Data = Bytes> + Send + 'static,
    C::Error: Into<BodyError>,
{
    let response = match inner.oneshot(request).await {
        Ok(response) => response,
        Err(error) => {
            // Set once, by the one call of the inner service.
            if let Some(cause) = error.cause() {
                drop(reading.cause.set(cause));
            }
            return Effected::Unanswered(error.evidence());
        }
    };
    let (mut head, body) = response.into_parts();
    precondition::publish(&mut head.headers, &head.extensions);
    let consumed = consumed(&head.headers, &head.extensions);
    if let Some(evidence) = withheld(&reading.policy, head.status, consumed) {
        return Effected::Unanswered(evidence);
    }
    let recording = Recording::new(&reading, head, consumed);
    recording.read(Box::pin(body)).await
}

/// What an answer proves that is not passed on (O4, B3).
fn withheld(policy: &Policy, status: StatusCode, consumed: Option<bool>) -> Option<Evidence> {
    let status = status.as_u16();
    let doubt = Evidence::Unknown(DoubtReason::AmbiguousStatus(status));
    // An interim answer is none to what was asked (RFC 9110, 15.2), and nothing follows it here.
    if status < 200 {
        return Some(doubt);
    }
    // Browsers send a request again by themselves that is answered so, whatever stands beside it.
    let is_repeated = policy.statuses == Statuses::Upstream && matches!(status, 408 | 421);
    match policy.finality(status, consumed) {
        Finality::Doubtful(reason) => Some(Evidence::Unknown(reason)),
        Finality::Released(proof) => is_repeated.then_some(Evidence::Untouched(proof)),
        Finality::Final => is_repeated.then_some(doubt),
    }
}

/// The origin's own word on whether it consumed the key (L5): the handler's signal, or the field. A field that is said twice is no word.
pub(crate) fn consumed(headers: &HeaderMap, extensions: &Extensions) -> Option<bool> {
    if let Some(signal) = extensions.get::<Signal>() {
        return Some(signal.is_done());
    }
    let mut words = headers.get_all(name::IDEMPOTENCY_KEY_CONSUMED).iter();
    match (words.next()?.as_bytes(), words.next()) {
        (b"true" | b"?1", None) => Some(true),
        (b"false" | b"?0", None) => Some(false),
        (_, Some(_) | None) => None,
    }
}

/// Without these an answer's content cannot be read.
fn is_framing(name: &HeaderName) -> bool {
    matches!(*name, header::CONTENT_TYPE | header::CONTENT_ENCODING | header::CONTENT_RANGE | header::TRAILER)
}

/// An answer while it is read.
struct Recording {
    head: Parts,
    consumed: Option<bool>,
    fields: Vec<(Box<str>, Vec<u8>)>,
    sent_at: Timestamp,
    bytes_max: usize,
    has_content: bool,
    kept: Vec<u8>,
    len: u64,
    /// Begun when the content exceeds what is kept.
    digest: Option<Sha256>,
    trailers: Option<HeaderMap>,
}

/// What reading one more frame came to.
enum Step {
    Read(Frame<Bytes>),
    End,
    Cut(BodyError),
}

impl Recording {
    fn new(reading: &Reading, head: Parts, consumed: Option<bool>) -> Self {
        let cookies = reading.policy.cookies;
        let named = connection_options(&head.headers);
        let fields = head
            .headers
            .iter()
            .filter(|(name, _)| {
                is_kept(name.as_str(), cookies)
                    && !named.iter().any(|named| named == name.as_str())
                    && reading.kept_fields.as_ref().is_none_or(|kept| is_framing(name) || kept.contains(name))
            })
            .map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec()))
            .chain(reading.note.clone())
            .collect();
        let has_content = reading.method != Method::HEAD
            && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Self {
            head,
            consumed,
            fields,
            sent_at: reading.sent_at,
            bytes_max: reading.policy.outcome_bytes_max,
            has_content,
            kept: Vec::new(),
            len: 0,
            digest: None,
            trailers: None,
        }
    }

    /// Reads the answer whole, or up to the point from which it has to flow.
    async fn read<C>(mut self, mut body: Pin<Box<C>>) -> Effected<Response<ResponseBody<C>>>
    where
        C: Body<Data = Bytes> + Send + 'static,
        C::Error: Into<BodyError>,
    {
        let hold_until = Instant::now() + HOLD_TIME_MAX;
        let mut held: Vec<Frame<Bytes>> = Vec::new();
        while !self.flows() {
            match timeout_at(hold_until, step(&mut body)).await {
                Ok(Step::Read(frame)) => {
                    self.take(&frame);
                    held.push(frame);
                }
                Ok(Step::End) => return self.whole(held),
                Ok(Step::Cut(error)) => {
                    tracing::debug!(error = &*error as &dyn std::error::Error, "answer broke off");
                    return Effected::Unanswered(Evidence::Unknown(DoubtReason::AnswerCut));
                }
                // A frame that is read but not yet complete stays with the body; nothing is lost by letting go here.
                Err(_) => break,
            }
        }
        self.flow(held, body)
    }

    /// Whether the answer cannot be held back: a stream of events, or too large to be kept.
    fn flows(&self) -> bool {
        let content_type = self.head.headers.get(header::CONTENT_TYPE);
        content_type.is_some_and(|value| is_event_stream(value.as_bytes())) || self.digest.is_some()
    }

    fn take(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        let Some(data) = frame.data_ref() else { return };
        self.len += data.len() as u64;
        match &mut self.digest {
            Some(digest) => digest.update(data),
            None if self.len > self.bytes_max as u64 => {
                let kept = std::mem::take(&mut self.kept);
                self.digest = Some(Sha256::new().chain_update(kept).chain_update(data));
            }
            None => self.kept.extend_from_slice(data),
        }
    }

    fn whole<C>(self, held: Vec<Frame<Bytes>>) -> Effected<Response<ResponseBody<C>>> {
        let mut content = held.into_iter().filter_map(|frame| frame.into_data().ok());
        let content = match (content.next(), self.kept.len()) {
            (Some(only), len) if only.len() == len => only,
            _ => Bytes::copy_from_slice(&self.kept),
        };
        let head = self.head.clone();
        let body = ResponseBody::whole(content, self.trailers.clone());
        let consumed = self.consumed;
        let answer = Response::from_parts(head, body);
        Effected::Whole { answer, outcome: self.outcome(), consumed }
    }

    fn flow<C>(
        mut self,
        held: Vec<Frame<Bytes>>,
        mut body: Pin<Box<C>>,
    ) -> Effected<Response<ResponseBody<C>>>
    where
        C: Body<Data = Bytes> + Send + 'static,
        C::Error: Into<BodyError>,
    {
        let (feed, flowing) = ResponseBody::flowing();
        let answer = Response::from_parts(self.head.clone(), flowing);
        let rest = async move {
            for frame in held {
                feed.pass(frame).await;
            }
            loop {
                match step(&mut body).await {
                    Step::Read(frame) => {
                        self.take(&frame);
                        feed.pass(frame).await;
                    }
                    Step::End => {
                        feed.end();
                        let consumed = self.consumed;
                        return StreamEnd::Whole { outcome: self.outcome(), consumed };
                    }
                    Step::Cut(error) => {
                        feed.cut(error).await;
                        return StreamEnd::Cut;
                    }
                }
            }
        };
        Effected::Streaming { answer, rest: Box::pin(rest) }
    }

    fn outcome(self) -> Outcome {
        let content = match self.digest {
            Some(digest) => Content::NotKept { len: self.len, sha256: digest.finalize().into() },
            None if self.has_content => Content::Kept(self.kept),
            None => Content::None { announced_len: announced_len(&self.head.headers) },
        };
        let trailers = self.trailers.iter().flat_map(HeaderMap::iter);
        let trailers = trailers.map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec()));
        Outcome {
            status: self.head.status.as_u16(),
            fields: self.fields,
            content,
            trailers: trailers.collect(),
            sent_at: self.sent_at,
        }
    }
}

/// Whether a `Content-Type` is that of events.
pub(crate) fn is_event_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

async fn step<C>(body: &mut Pin<Box<C>>) -> Step
where
    C: Body<Data = Bytes>,
    C::Error: Into<BodyError>,
{
    match body.frame().await {
        Some(Ok(frame)) => Step::Read(frame),
        Some(Err(error)) => Step::Cut(error.into()),
        None => Step::End,
    }
}

fn announced_len(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The lower-case field names that `Connection` makes hop-by-hop.
pub(crate) fn connection_options(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .collect()
}
