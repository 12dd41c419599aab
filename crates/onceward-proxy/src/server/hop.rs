//! Removes what concerns only one connection.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::head::HeadFault;
use crate::hop::{Hop, Way, ends_unnamed, has_token};

/// Fields whose removal by a `Connection` field would change what is asked, by whom, or under which key.
const END_TO_END: [HeaderName; 9] = [
    AUTHORIZATION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    HOST,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("intent-sha256"),
    HeaderName::from_static("x-idem-key"),
    HeaderName::from_static("x-idempotency-key"),
];

/// Whether a request asks to switch protocols. `h2c` does not count: it is answered in HTTP/1.1.
///
/// The gate reads the same from the raw head; the two must agree.
pub(super) fn asks_to_switch(version: Version, headers: &HeaderMap) -> bool {
    let has = |name, token: &[u8]| {
        headers.get_all(name).iter().any(|field: &HeaderValue| has_token(field.as_bytes(), token))
    };
    version == Version::HTTP_11
        && has(CONNECTION, b"upgrade")
        && headers.get_all(UPGRADE).iter().any(|field| !has_token(field.as_bytes(), b"h2c"))
}

/// Strips a request and leaves the rest in its order; one that switches protocols keeps `Upgrade` and says
/// `Connection: upgrade`.
///
/// # Errors
/// [`HeadFault::ConnectionNames`] when an end-to-end field would go.
pub(super) fn strip_request(headers: &mut HeaderMap, switches: bool) -> Result<(), HeadFault> {
    if !headers.keys().any(|name| ends_unnamed(Way::Request, name.as_ref())) {
        return Ok(());
    }
    let connection = || headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let takes_away = |name: &HeaderName| connection().any(|value| has_token(value, name.as_ref()));
    if END_TO_END.iter().any(takes_away) {
        return Err(HeadFault::ConnectionNames);
    }
    let hop = Hop::of(Way::Request, connection());
    let takes_trailers = headers.get_all(TE).iter().any(|field| has_token(field.as_bytes(), b"trailers"));
    let mut last = None;
    let received = std::mem::take(headers);
    headers.reserve(received.len());
    // Sites tell clients apart by the order of fields, which removing them one by one would change.
    for (name, value) in received {
        // Of a repeated field only the first value comes with its name.
        last = name.or(last);
        let Some(name) = &last else { continue };
        match *name {
            CONNECTION if switches => drop(headers.insert(CONNECTION, HeaderValue::from_static("upgrade"))),
            UPGRADE if switches => drop(headers.append(UPGRADE, value)),
            TE if takes_trailers => drop(headers.insert(TE, HeaderValue::from_static("trailers"))),
            _ if hop.ends(name.as_ref()) => {}
            _ => drop(headers.append(name, value)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    // covers: B6
    #[test]
    fn what_concerns_one_connection_goes() {
        let mut request = headers(&[
            ("connection", "keep-alive, X-Hop"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic YWdlbnQ6"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers, gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-hop", "1"),
            ("authorization", "Bearer a"),
            ("cookie", "a=b"),
        ]);
        assert_eq!(strip_request(&mut request, false), Ok(()));
        assert_eq!(request, headers(&[("te", "trailers"), ("authorization", "Bearer a"), ("cookie", "a=b")]));
    }

    #[test]
    fn a_switch_of_protocols_keeps_its_fields() {
        let mut request = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert!(asks_to_switch(Version::HTTP_11, &request));
        assert!(!asks_to_switch(Version::HTTP_10, &request));
        assert_eq!(strip_request(&mut request, true), Ok(()));
        assert_eq!(request, headers(&[("connection", "upgrade"), ("upgrade", "websocket")]));
        assert!(!asks_to_switch(
            Version::HTTP_11,
            &headers(&[("connection", "upgrade"), ("upgrade", "h2c")])
        ));
        assert!(!asks_to_switch(Version::HTTP_11, &headers(&[("upgrade", "websocket")])));
    }

    // covers: K2
    #[test]
    fn a_connection_field_cannot_take_a_key_away() {
        let mut request = headers(&[("connection", "close, Idempotency-Key"), ("idempotency-key", "a")]);
        assert_eq!(strip_request(&mut request, false), Err(HeadFault::ConnectionNames));
    }
}
