//! Refusals as gRPC has them: an answer without content whose status stands in its fields ("gRPC over HTTP2", Trailers-Only).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use onceward_core::{
    header::name,
    refusal::{Refusal, Retry},
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PROBLEM_TYPE: HeaderName = HeaderName::from_static(name::ONCEWARD_PROBLEM);

/// The `Content-Type` of a gRPC call; `None` for every other request.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let rest = value.as_bytes().strip_prefix(b"application/grpc")?;
    matches!(rest.first(), None | Some(b'+' | b';' | b'-')).then(|| value.clone())
}

/// The code of a refusal (grpc.io, "Status codes"): clients send a call again by themselves after `UNAVAILABLE` only.
pub(crate) fn code(refusal: &Refusal) -> u32 {
    const UNKNOWN: u32 = 2;
    const INVALID_ARGUMENT: u32 = 3;
    const PERMISSION_DENIED: u32 = 7;
    const FAILED_PRECONDITION: u32 = 9;
    const UNAVAILABLE: u32 = 14;
    let problem_type = refusal.problem_type();
    match (problem_type.status, problem_type.retry) {
        (_, Retry::AfterResolution) => UNKNOWN,
        (403, _) => PERMISSION_DENIED,
        // A repeat of what is not whole or comes too early would fail the same way.
        (400 | 413, _) => INVALID_ARGUMENT,
        (_, Retry::SameKey) => UNAVAILABLE,
        (_, Retry::NewKey | Retry::Confirmed | Retry::Never) => FAILED_PRECONDITION,
    }
}

/// Puts the status into an answer's fields, and the type's slug, which says more than a code of gRPC can.
pub(crate) fn refuse(headers: &mut HeaderMap, refusal: &Refusal, detail: &str) {
    headers.insert(GRPC_STATUS, HeaderValue::from(code(refusal)));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(detail)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    headers.insert(PROBLEM_TYPE, HeaderValue::from_static(refusal.problem_type().slug));
}

/// Visible ASCII but the percent sign stands as it is.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onceward_core::{
        key::KeyInvalid,
        outcome::Untouched,
        record::DoubtReason,
        refusal::{Doubt, Effect, Told},
        time::Timestamp,
    };

    use super::*;

    // covers: C3
    #[test]
    fn only_what_may_be_sent_again_is_unavailable() {
        let pause = Duration::from_secs(1);
        let doubt =
            Doubt { reason: DoubtReason::NoAnswer, sent_at: Timestamp::from_ms(0), told: Told::Repeat };
        let rows = [
            (Refusal::KeyInvalid(KeyInvalid::Empty), 3),
            (Refusal::KeyMissing, 3),
            (Refusal::ActorUnknown, 7),
            (Refusal::KeyReused, 9),
            (Refusal::InProgress { retry_after: pause }, 14),
            (Refusal::OutcomeUnknown(doubt), 2),
            (Refusal::RecordCorrupt, 2),
            (Refusal::HistoryLost, 2),
            (Refusal::OutcomeNotKept { status: None }, 9),
            (Refusal::KeyExpired { effect: Effect::Done }, 9),
            (Refusal::KeyExpired { effect: Effect::Unknown }, 2),
            (Refusal::Overloaded { retry_after: pause }, 14),
            (Refusal::UpstreamUnreachable(Untouched::ConnectFailed), 14),
            (Refusal::BodyIncomplete, 3),
        ];
        for (refusal, expected) in rows {
            assert_eq!(code(&refusal), expected, "{refusal:?}");
        }
    }

    #[test]
    fn a_message_is_visible_ascii() {
        // "gRPC over HTTP2", Percent-Byte-Unencoded: 0x20 to 0x24 and 0x26 to 0x7E.
        assert_eq!(percent_encoded("a 100 % – b\n"), "a 100 %25 %E2%80%93 b%0A");
    }

    #[test]
    fn a_grpc_call_is_known_by_its_type() {
        let of = |value| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            content_type(&headers).is_some()
        };
        assert!(
            ["application/grpc", "application/grpc+proto", "application/grpc-web+proto"]
                .iter()
                .all(|value| of(value))
        );
        assert!(!["application/grpcx", "application/json", "text/plain"].iter().any(|value| of(value)));
    }
}
