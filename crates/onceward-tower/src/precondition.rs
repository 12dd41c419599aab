//! Preconditions as they stand in a request's fields, and the versions that answers publish for them (P2).

use std::time::{Duration, UNIX_EPOCH};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use onceward_core::{
    header::name,
    precondition::{Current, IfMatch, PreconditionInvalid, Preconditions, Snapshot},
    refusal::Refusal,
    time::Timestamp,
};

const PRECONDITION_SNAPSHOT: HeaderName = HeaderName::from_static(name::PRECONDITION_SNAPSHOT);

const SNAPSHOT: HeaderName = HeaderName::from_static(name::SNAPSHOT);

/// What a request expects to find as it was read; an extractor.
///
/// Whether it is so the handler alone can say, in the step that writes: [`Preconditions::check`] against what is [`Current`] there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected(pub Preconditions);

/// What is current at the resource that a handler answers about; an extension of the response.
///
/// The guard publishes it as `ETag`, `Last-Modified` and `Snapshot`, on guarded and on other answers, so that a client has what it sends
/// back in `If-Match`, `If-Unmodified-Since` or `Precondition-Snapshot`. A field that the handler set itself stays as it is.
///
/// A write that depends on several resources has their versions in one tag:
///
/// ```
/// use onceward_core::precondition::{Current, ETag};
/// use onceward_tower::precondition::Versioned;
///
/// let etag = ETag::composite(&[("cart/7", "41"), ("prices", "2026-11-21")]);
/// let mut response = http::Response::new("{}");
/// response.extensions_mut().insert(Versioned(Current { etag: Some(etag), ..Current::default() }));
/// ```
///
/// With axum it is part of an answer like a field: `(Versioned(current), Json(document))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned(pub Current);

/// Writes what a handler said of its versions into the fields of its answer.
pub(crate) fn publish(headers: &mut HeaderMap, extensions: &Extensions) {
    let Some(Versioned(Current { etag, modified, snapshot })) = extensions.get() else { return };
    let modified = modified.map(|at| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(at.as_ms())));
    let fields = [
        (header::ETAG, etag.as_ref().map(ToString::to_string)),
        (header::LAST_MODIFIED, modified),
        (SNAPSHOT, snapshot.map(|snapshot| snapshot.to_string())),
    ];
    for (name, text) in fields {
        // A tag may have bytes beyond ASCII, which a field carries as they are.
        if let Some(value) = text.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            headers.entry(name).or_insert(value);
        }
    }
}

/// Reads the preconditions of a request.
///
/// # Errors
/// 400 `precondition-invalid` for a condition that cannot be read, which must not count as none. A date that is none is ignored, as RFC 9110,
/// 13.1.4 has it.
pub fn read(headers: &HeaderMap) -> Result<Preconditions, Refusal> {
    let tags = joined(headers, &header::IF_MATCH, PreconditionInvalid::Tag)?;
    let snapshot = joined(headers, &PRECONDITION_SNAPSHOT, PreconditionInvalid::Snapshot)?;
    Ok(Preconditions {
        if_match: tags.map(|text| IfMatch::parse(&text)).transpose().map_err(Refusal::PreconditionInvalid)?,
        if_unmodified_since: date(headers, header::IF_UNMODIFIED_SINCE.as_str()),
        snapshot: snapshot
            .map(|text| Snapshot::parse(&text, time_of))
            .transpose()
            .map_err(Refusal::PreconditionInvalid)?,
    })
}

/// The HTTP date (RFC 9110, 5.6.7) of a field that stands once; `None` for anything else.
pub(crate) fn date(headers: &HeaderMap, name: &str) -> Option<Timestamp> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since_epoch = date.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_ms(u64::try_from(since_epoch.as_millis()).ok()?))
}

/// A point in time as RFC 3339 writes it; `None` for anything else, and for what lies before 1970.
pub(crate) fn time_of(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp::from_ms)
}

/// The lines of a field as one list; `None` where there is none.
fn joined(
    headers: &HeaderMap,
    name: &HeaderName,
    invalid: PreconditionInvalid,
) -> Result<Option<String>, Refusal> {
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    match lines {
        Ok(lines) if lines.is_empty() => Ok(None),
        Ok(lines) => Ok(Some(lines.join(", "))),
        Err(_) => Err(Refusal::PreconditionInvalid(invalid)),
    }
}

#[cfg(feature = "axum")]
mod axum_face {
    use std::convert::Infallible;

    use axum::{
        extract::FromRequestParts,
        http::{StatusCode, request::Parts},
        response::{IntoResponseParts, ResponseParts},
    };

    use super::{Expected, Versioned, read};

    impl<S: Sync> FromRequestParts<S> for Expected {
        /// A guarded request with such a condition is refused before its handler.
        type Rejection = (StatusCode, String);

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
            let preconditions = read(&parts.headers);
            preconditions.map(Self).map_err(|refusal| (StatusCode::BAD_REQUEST, refusal.to_string()))
        }
    }

    impl IntoResponseParts for Versioned {
        type Error = Infallible;

        fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
            parts.extensions_mut().insert(self);
            Ok(parts)
        }
    }
}
