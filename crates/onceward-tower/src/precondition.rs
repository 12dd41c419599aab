//! Preconditions as they stand in a request's fields (P2).

use std::time::UNIX_EPOCH;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use onceward_core::{
    header::name,
    precondition::{IfMatch, PreconditionInvalid, Preconditions, Snapshot},
    refusal::Refusal,
    time::Timestamp,
};

const PRECONDITION_SNAPSHOT: HeaderName = HeaderName::from_static(name::PRECONDITION_SNAPSHOT);

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
