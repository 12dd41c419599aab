//! Reads a guarded request to its end and makes an engine call of it (S6, O10, F3).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use onceward_core::{
    actor::Scope,
    fingerprint::{Equality, Fingerprint, Request, Version},
    intent::IntentDigest,
    key::{Carriers, KeyInvalid},
    refusal::Refusal,
    secret::Secret,
    twin::TwinId,
};
use onceward_engine::{Call, Trace, TwinGuard, Twins};

use crate::{
    body::{BodyError, RequestBody},
    budget::{Budget, Share},
    coding::{codings, decoded},
    original::original_uri,
    rules::{Plan, TwinPlan, Unreadable},
};

/// Characters of a caller's trace id that are kept; the ids in use have 16 to 64.
const TRACE_CHARS_MAX: usize = 128;

/// Characters of the effect's label: enough to recognise it, whatever a path holds.
pub(crate) const EFFECT_CHARS_MAX: usize = 512;

/// How a request body is read.
#[derive(Clone, Copy)]
pub(crate) struct BodyReading<'a> {
    /// How many bytes it may have, encoded and decoded.
    pub(crate) bytes_max: usize,
    /// The fields that may not stand in its trailer.
    pub(crate) carriers: &'a Carriers,
    /// The memory that it shares with others.
    pub(crate) budget: &'a Budget,
}

/// A request body that was read to its end.
pub(crate) struct WholeBody {
    content: Bytes,
    codings: Vec<String>,
    /// The content without its encoding; `None` where that cannot be undone within the limit.
    plain: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl WholeBody {
    /// Reads all of it before anything is claimed, up to the policy's limit, with a share of the budget for as long as anything of
    /// it is in memory.
    pub(crate) async fn read<B>(head: &Parts, body: B, reading: BodyReading<'_>) -> Result<Self, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let BodyReading { bytes_max, carriers, budget } = reading;
        let mut share = budget.share();
        let (content, trailers) = read(body, bytes_max, &mut share).await?;
        let trailing = trailers.iter().flatten().map(|(name, value)| (name.as_str(), value.as_bytes()));
        if !matches!(carriers.read(trailing), Ok(None)) {
            return Err(Refusal::KeyInvalid(KeyInvalid::InTrailer));
        }
        let lines = head.headers.get_all(header::CONTENT_ENCODING).iter();
        let codings = codings(lines.map(HeaderValue::as_bytes));
        let plain = (!codings.is_empty()).then(|| decoded(&codings, &content, bytes_max));
        // Decoding does not yield, so that before its share is taken there is one such content a thread.
        if let Some(Some(plain)) = &plain {
            share.grow(content.len() + plain.len())?;
        }
        let share = Arc::new(share);
        let content = share.hold(content);
        let plain = match plain {
            Some(decoded) => decoded.map(|plain| share.hold(plain.into())),
            None => Some(content.clone()),
        };
        Ok(Self { content, codings, plain, trailers })
    }

    /// The content, its encoding undone where that is possible.
    pub(crate) fn plain(&self) -> &[u8] {
        self.plain.as_ref().unwrap_or(&self.content)
    }

    /// The body as it came.
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The body for the inner service.
    pub(crate) fn into_request_body<B>(self) -> RequestBody<B> {
        RequestBody::whole(self.content, self.trailers)
    }
}

/// Reads a body to its end, and its trailers.
pub(crate) async fn read<B>(
    body: B,
    bytes_max: usize,
    share: &mut Share,
) -> Result<(Bytes, Option<HeaderMap>), Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let mut body = std::pin::pin!(body);
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Refusal::BodyTooLarge { bytes_max });
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(error = &*error.into() as &dyn std::error::Error, "request body broke off");
            Refusal::BodyIncomplete
        })?;
        match frame.into_data() {
            Ok(data) => {
                let len = first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len();
                if len > bytes_max {
                    return Err(Refusal::BodyTooLarge { bytes_max });
                }
                share.grow(len)?;
                match &first {
                    None => first = Some(data),
                    Some(_) => rest.extend_from_slice(&data),
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let content = match first {
        Some(first) if rest.is_empty() => first,
        Some(first) => Bytes::from([&first[..], &rest[..]].concat()),
        None => Bytes::new(),
    };
    Ok((content, trailers))
}

/// Makes an engine call of a plan, a head and a body.
pub(crate) fn call(
    secret: &Secret,
    plan: Plan,
    scope: Scope,
    head: &Parts,
    asked: Asked,
    intent: Option<IntentDigest>,
) -> Result<Call, Refusal> {
    let twins = twins(secret, &plan, &asked);
    let (equality, unreadable) = (plan.equality, plan.unreadable);
    let fingerprint = match (Fingerprint::of(secret, &asked.request(), &equality), unreadable) {
        (Ok(fingerprint), _) => fingerprint,
        (Err(invalid), Unreadable::Refuse) => return Err(Refusal::BodyInvalid(invalid.to_string())),
        (Err(_), Unreadable::CompareBytes) => Fingerprint::of(secret, &asked.request(), &Equality::Bytes)
            .map_err(|invalid| Refusal::BodyInvalid(invalid.to_string()))?,
    };
    let effect = asked.effect();
    let intent = intent.map(|digest| digest.stored(secret, &plan.tenant, &plan.actor));
    let trace = Trace { intent, ..trace(&head.headers) };
    let secret = secret.clone();
    Ok(Call {
        tenant: plan.tenant,
        actor: plan.actor,
        scope,
        key: plan.key,
        fingerprint,
        fingerprint_as: Box::new(move |version: Version| {
            let of =
                |request: &Request<'_>| Fingerprint::of_version(version, &secret, request, &equality).ok();
            of(&asked.request()).or_else(|| match unreadable {
                Unreadable::Refuse => None,
                // Equal to no request that has a form under this version; what that means is the route's to say (B2).
                Unreadable::CompareBytes => of(&Request { method: "", media_type: None, ..asked.request() }),
            })
        }),
        policy: plan.policy,
        effect,
        trace,
        undated: plan.undated,
        request: None,
        twins,
    })
}

/// What the request means, where its route tells by that.
fn twins(secret: &Secret, plan: &Plan, asked: &Asked) -> Twins {
    let Some(TwinPlan { rule, consent }) = &plan.twins else { return Twins::Ignored };
    // A record that is forgotten stands for nothing any more.
    let memory = plan.policy.retention.saturating_add(plan.policy.remember);
    match TwinId::of(secret, &plan.tenant, &plan.actor, &asked.request(), rule.fields()) {
        Some(id) => Twins::Sought(TwinGuard { id, window: rule.window().min(memory), consent: *consent }),
        None => Twins::Unread,
    }
}

/// What a request asks for, owned, so that it can be compared under an older record's version later.
pub(crate) struct Asked {
    scheme: Option<String>,
    authority: Option<String>,
    method: String,
    path: String,
    path_and_query: String,
    media_type: Option<String>,
    content: Bytes,
}

impl Asked {
    pub(crate) fn new(plan: &Plan, head: &Parts, body: &WholeBody) -> Self {
        let uri = original_uri(head);
        let media_type = head.headers.get(header::CONTENT_TYPE);
        let mut media_type = media_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let content = body.plain.clone().unwrap_or_else(|| {
            // Encoded content has no canonical form, and is not what the same bytes are without their encoding.
            media_type =
                Some(format!("{}, {}", media_type.take().unwrap_or_default(), body.codings.join(", ")));
            body.content.clone()
        });
        Self {
            scheme: plan.origin.as_ref().map(|origin| origin.scheme.clone()),
            authority: plan.origin.as_ref().map(|origin| origin.authority.clone()),
            method: head.method.as_str().to_owned(),
            path: uri.path().to_owned(),
            path_and_query: uri.path_and_query().map_or_else(String::new, ToString::to_string),
            media_type,
            content,
        }
    }

    /// The content, its encoding undone where that is possible.
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    fn request(&self) -> Request<'_> {
        Request {
            scheme: self.scheme.as_deref(),
            authority: self.authority.as_deref(),
            method: &self.method,
            path_and_query: &self.path_and_query,
            media_type: self.media_type.as_deref(),
            body: &self.content,
        }
    }

    /// Method, origin and path for a person; queries can hold secrets (K6).
    fn effect(&self) -> String {
        let origin = match (&self.scheme, &self.authority) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            (Some(_), None) | (None, Some(_) | None) => String::new(),
        };
        format!("{} {origin}{}", self.method, self.path).chars().take(EFFECT_CHARS_MAX).collect()
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RUN_ID: HeaderName = HeaderName::from_static("x-agent-run-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

fn trace(headers: &HeaderMap) -> Trace {
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= TRACE_CHARS_MAX).then(|| value.to_owned())
    };
    // version "-" trace-id "-" parent-id "-" flags (W3C Trace Context, 3.2).
    let trace_id = text(TRACEPARENT).and_then(|value| {
        let id = value.split('-').nth(1)?;
        (id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit())).then(|| id.to_owned())
    });
    Trace { request_id: text(REQUEST_ID), run_id: text(RUN_ID), trace_id, intent: None }
}
