//! Parses requests at the edge, so that the routes see valid values only.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use http::{HeaderMap, StatusCode, request::Parts};
use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    key::{Carriers, Key},
    refusal::Refusal,
    time::Timestamp,
};
use onceward_engine::Engine;
use onceward_store::PageCursor;
use serde::de::DeserializeOwned;

use crate::{
    limits::{PAGE_DEFAULT, PAGE_MAX, REASON_CHARS_MAX},
    refused::Refused,
};

/// The lookup id in the path: 64 hexadecimal digits.
pub(super) struct EffectId(pub(super) LookupId);

impl<S: Send + Sync> FromRequestParts<S> for EffectId {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let invalid = || Refused::Invalid(String::from("an effect's id has 64 hexadecimal digits"));
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.or(Err(invalid()))?;
        parse_id(&text).map(Self).ok_or_else(invalid)
    }
}

/// The tag of an actor in the path: 16 hexadecimal digits.
pub(super) struct ActorInPath(pub(super) ActorTag);

impl<S: Send + Sync> FromRequestParts<S> for ActorInPath {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.or(Err(not_an_actor()))?;
        checked_actor(&text).map(Self)
    }
}

/// The tag of an actor.
pub(super) fn checked_actor(text: &str) -> Result<ActorTag, Refused> {
    ActorTag::parse(text).ok_or_else(not_an_actor)
}

fn not_an_actor() -> Refused {
    Refused::Invalid(String::from("actor is the tag of an actor, 16 hexadecimal digits"))
}

/// Where a listing goes on.
pub(super) fn checked_cursor(text: &str) -> Result<PageCursor, Refused> {
    let place = text.parse().ok().map(PageCursor);
    place.ok_or_else(|| Refused::Invalid(String::from("`after` is what an earlier answer says under `next`")))
}

pub(crate) fn parse_id(text: &str) -> Option<LookupId> {
    let mut id = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(LookupId::from_bytes(id))
}

/// A query with known parameters only: a misspelt filter would otherwise show everything.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Refused::Invalid(rejection.body_text())),
        }
    }
}

/// A JSON body within its limit. Its type was checked at the gate.
pub(super) struct Told<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Told<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Refused::BodyTooLarge
            } else {
                Refused::Invalid(String::from("the body did not arrive whole"))
            }
        })?;
        let told = serde_json::from_slice(&body);
        told.map(Self)
            .map_err(|error| Refused::Invalid(format!("the body is not what was expected: {error}")))
    }
}

/// A time of RFC 3339.
pub(super) fn checked_time(text: &str) -> Result<Timestamp, Refused> {
    let time = text.parse::<jiff::Timestamp>().ok();
    let ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    ms.map(Timestamp::from_ms)
        .ok_or_else(|| Refused::Invalid(String::from("`at` is no time, such as 2026-11-21T12:00:00Z")))
}

/// The key that is asked about: a raw one in a header, where no log shows it, or its tag in the query.
///
/// # Errors
/// Both, a raw key in the query, or a header that no key can be read from.
pub(super) fn asked_key(
    engine: &Engine,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Option<KeyTag>, Refused> {
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let key: Option<Key> = Carriers::new(&["idempotency-key", "x-idem-key"])
        .read(fields)
        .map_err(|invalid| Refused::Protocol(Refusal::KeyInvalid(invalid)))?;
    match (key, query) {
        (Some(_), Some(_)) => {
            Err(Refused::Invalid(String::from("a key stands in a header and in the query")))
        }
        (Some(key), None) => Ok(Some(engine.key_tag(&key))),
        (None, Some(text)) => KeyTag::parse(text).map(Some).ok_or_else(|| {
            let detail = "key is the tag of a key, 16 hexadecimal digits; send a raw key as Idempotency-Key";
            Refused::Invalid(String::from(detail))
        }),
        (None, None) => Ok(None),
    }
}

/// How many entries or lines a page has.
pub(super) fn page_len(limit: Option<usize>) -> Result<usize, Refused> {
    match limit {
        None => Ok(PAGE_DEFAULT),
        Some(limit @ 1..=PAGE_MAX) => Ok(limit),
        Some(_) => Err(Refused::Invalid(format!("limit is 1 to {PAGE_MAX}"))),
    }
}

/// A reason that an audit log can keep and a terminal can show.
pub(super) fn checked_reason(reason: &str) -> Result<&str, Refused> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Refused::Invalid(String::from("a reason is needed: how was it found out?")));
    }
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(Refused::Invalid(format!("the reason has more than {REASON_CHARS_MAX} characters")));
    }
    if reason.chars().any(char::is_control) {
        return Err(Refused::Invalid(String::from("the reason has a control character or a line break")));
    }
    Ok(reason)
}
