//! Request and response heads as they cross this hop.
//!
//! What belongs to one connection stays on it (RFC 9110 section 7.6.1); all else passes in its order and case, as
//! far as hyper keeps it. Nothing is added but what a change of HTTP version needs: no `Via`, no
//! `X-Forwarded-For`, no `User-Agent`.

use std::mem;

use bytes::BytesMut;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{StatusCode, Uri, Version};

use super::dial::Form;
use super::wire::Protocol;
use crate::hop::{Hop, Way, ends_unnamed, has_token};

/// Whether the length of a request's body is known before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Known,
    Unknown,
}

/// Whether the request asks to leave HTTP on its connection, as WebSocket does.
///
/// `Upgrade: h2c` is not taken along: it is about the client's own connection, and obsolete (RFC 9113 section 3.1).
pub(super) fn asks_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && !has_option(headers, &UPGRADE, b"h2c")
        && has_option(headers, &CONNECTION, b"upgrade")
}

/// Makes `head`, whose URI is absolute, the one to send in `form` on a connection of `protocol`.
///
/// A head that was made for one connection and never left becomes that of another one by being passed here again, once
/// its URI is absolute again.
///
/// # Errors
/// When joined cookies or the authority do not make a valid field, which no valid request brings about.
pub(super) fn for_origin(
    mut head: Parts,
    protocol: Protocol,
    form: &Form,
    body_length: BodyLength,
) -> Result<Parts, http::Error> {
    match protocol {
        Protocol::Http1 => {
            head.version = Version::HTTP_11;
            if !is_sent_as_is(&head.headers) {
                head.headers = http1_headers(&head)?;
            }
            if let Form::Absolute { authorization: Some(authorization) } = form {
                head.headers.insert(PROXY_AUTHORIZATION, authorization.clone());
            }
            // hyper sends no body of unknown length with a GET unless it is told to.
            if body_length == BodyLength::Unknown && !head.headers.contains_key(CONTENT_LENGTH) {
                head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            if matches!(form, Form::Origin) {
                let path = head.uri.path_and_query().cloned();
                head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
            }
        }
        Protocol::Http2 => {
            head.version = Version::HTTP_2;
            if let Some(host) = head.headers.get(HOST) {
                let mut uri = mem::take(&mut head.uri).into_parts();
                uri.authority = Some(Authority::try_from(host.as_bytes())?);
                head.uri = Uri::from_parts(uri)?;
            }
            head.headers = http2_headers(&head.headers);
        }
    }
    Ok(head)
}

/// Whether HTTP/1.1 sends these fields unchanged, as it does most: one `Host`, at most one `Cookie`, nothing of a hop.
fn is_sent_as_is(headers: &HeaderMap) -> bool {
    headers.contains_key(HOST)
        && !headers.keys().any(|name| ends_unnamed(Way::Request, name.as_ref()))
        && headers.get_all(COOKIE).iter().nth(1).is_none()
}

/// Takes off a response what belongs to the origin's connection.
pub(super) fn strip_response(headers: &mut HeaderMap, status: StatusCode) {
    let hop = hop(Way::Answer, headers);
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    let ends_here = |name: &HeaderName| hop.ends(name.as_ref());
    if !switches {
        // Taken off the end, a field leaves the rest in its order; many servers write these last.
        while let Some(last) = headers.keys().last().filter(|name| ends_here(name)).cloned() {
            headers.remove(last);
        }
        if !headers.keys().any(ends_here) {
            return;
        }
    }
    let mut name = None;
    let received = mem::take(headers);
    headers.reserve(received.len());
    for (next, value) in received {
        // A repeated field comes without its name.
        name = next.or(name);
        let Some(name) = &name else { continue };
        if *name == UPGRADE && switches {
            headers.append(UPGRADE, value);
        } else if *name == CONNECTION && switches {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        } else if !ends_here(name) {
            headers.append(name, value);
        }
    }
}

fn http1_headers(parts: &Parts) -> Result<HeaderMap, http::Error> {
    let hop = hop(Way::Request, &parts.headers);
    let upgrades = asks_upgrade(&parts.headers);
    let takes_trailers = has_option(&parts.headers, &TE, b"trailers");
    let connection = match (upgrades, takes_trailers) {
        (true, _) => Some("Upgrade"),
        (false, true) => Some("TE"),
        (false, false) => None,
    };
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 3);
    if !parts.headers.contains_key(HOST) {
        let authority = parts.uri.authority().map_or("", Authority::as_str);
        headers.insert(HOST, HeaderValue::try_from(authority)?);
    }
    for (name, value) in &parts.headers {
        match (name, connection) {
            (&CONNECTION, Some(option)) => {
                headers.insert(CONNECTION, HeaderValue::from_static(option));
            }
            (&UPGRADE, _) if upgrades => {
                headers.append(UPGRADE, value.clone());
            }
            (&TE, _) if takes_trailers => {
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
            (&COOKIE, _) if !headers.contains_key(COOKIE) => {
                headers.insert(COOKIE, joined_cookies(&parts.headers)?);
            }
            (&COOKIE, _) => {}
            _ if hop.ends(name.as_ref()) => {}
            _ => {
                headers.append(name, value.clone());
            }
        }
    }
    if let (Some(option), false) = (connection, headers.contains_key(CONNECTION)) {
        headers.insert(CONNECTION, HeaderValue::from_static(option));
    }
    Ok(headers)
}

fn http2_headers(sent: &HeaderMap) -> HeaderMap {
    let hop = hop(Way::Request, sent);
    let takes_trailers = has_option(sent, &TE, b"trailers");
    let mut headers = HeaderMap::with_capacity(sent.len());
    for (name, value) in sent {
        if *name == TE && takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        } else if *name != HOST && !hop.ends(name.as_ref()) {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// HTTP/2 clients may split cookies into several fields; HTTP/1.1 has one (RFC 9113 section 8.2.3).
fn joined_cookies(headers: &HeaderMap) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), more) = (cookies.next(), cookies) else {
        return HeaderValue::try_from("");
    };
    let mut joined = BytesMut::from(first.as_bytes());
    for cookie in more {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    HeaderValue::from_maybe_shared(joined.freeze())
}

fn hop(way: Way, headers: &HeaderMap) -> Hop {
    Hop::of(way, headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes))
}

fn has_option(headers: &HeaderMap, name: &HeaderName, option: &[u8]) -> bool {
    headers.get_all(name).iter().any(|value| has_token(value.as_bytes(), option))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn sent(
        parts: &Parts,
        protocol: Protocol,
        form: &Form,
        body_length: BodyLength,
    ) -> (String, Vec<String>) {
        let head = for_origin(parts.clone(), protocol, form, body_length).unwrap();
        (head.uri.to_string(), lines(&head.headers))
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    const BROWSER: [(&str, &str); 12] = [
        ("connection", "keep-alive, X-Hop, host, content-length"),
        ("host", "Shop.example:8080"),
        ("content-length", "3"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("x-hop", "1"),
        ("accept", "*/*"),
        ("te", "gzip, trailers"),
        ("keep-alive", "timeout=5"),
        ("cookie", "a=1"),
        ("transfer-encoding", "chunked"),
        ("cookie", "b=2"),
    ];

    // covers: B6
    #[test]
    fn only_the_hops_own_fields_end_here_on_http1() {
        let parts = parts("http://shop.example:8080/order?id=1", &BROWSER);
        let expected = [
            "connection: TE",
            "host: Shop.example:8080",
            "content-length: 3",
            "accept: */*",
            "te: trailers",
            "cookie: a=1; b=2",
        ];
        let head = sent(&parts, Protocol::Http1, &Form::Origin, BodyLength::Known);
        assert_eq!(head, ("/order?id=1".to_owned(), expected.map(str::to_owned).to_vec()));
    }

    // covers: B6
    #[test]
    fn host_becomes_the_authority_on_http2() {
        let parts = parts("https://shop.example:8080/order", &BROWSER);
        let expected = ["content-length: 3", "accept: */*", "te: trailers", "cookie: a=1", "cookie: b=2"];
        let head = sent(&parts, Protocol::Http2, &Form::Origin, BodyLength::Known);
        assert_eq!(
            head,
            ("https://Shop.example:8080/order".to_owned(), expected.map(str::to_owned).to_vec())
        );
    }

    // covers: B6
    #[test]
    fn an_http2_request_gets_a_host_first_on_http1() {
        let parts = parts("https://shop.example/", &[("accept", "*/*"), ("cookie", "a=1")]);
        let expected = ["host: shop.example", "accept: */*", "cookie: a=1", "transfer-encoding: chunked"];
        let head = sent(&parts, Protocol::Http1, &Form::Origin, BodyLength::Unknown);
        assert_eq!(head, ("/".to_owned(), expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn only_the_upstream_proxy_gets_its_credentials() {
        let parts = parts(
            "http://shop.example/order",
            &[("host", "shop.example"), ("proxy-authorization", "Basic b3Vycw==")],
        );
        let form = Form::Absolute { authorization: Some(HeaderValue::from_static("Basic dXA=")) };
        let expected = ["host: shop.example", "proxy-authorization: Basic dXA="];
        let head = sent(&parts, Protocol::Http1, &form, BodyLength::Known);
        assert_eq!(head, ("http://shop.example/order".to_owned(), expected.map(str::to_owned).to_vec()));
    }

    // covers: B3
    #[test]
    fn a_head_that_never_left_becomes_that_of_another_connection() {
        let parts = parts("http://shop.example:8080/order?id=1", &BROWSER);
        let to_proxy = Form::Absolute { authorization: Some(HeaderValue::from_static("Basic dXA=")) };
        let mut again = for_origin(parts.clone(), Protocol::Http1, &to_proxy, BodyLength::Unknown).unwrap();
        again.uri = parts.uri;
        let expected = [
            "connection: TE",
            "host: Shop.example:8080",
            "content-length: 3",
            "accept: */*",
            "te: trailers",
            "cookie: a=1; b=2",
        ];
        let head = sent(&again, Protocol::Http1, &Form::Origin, BodyLength::Unknown);
        assert_eq!(head, ("/order?id=1".to_owned(), expected.map(str::to_owned).to_vec()));
        let expected = ["content-length: 3", "accept: */*", "te: trailers", "cookie: a=1; b=2"];
        let head = sent(&again, Protocol::Http2, &Form::Origin, BodyLength::Unknown);
        assert_eq!(
            head,
            ("http://Shop.example:8080/order?id=1".to_owned(), expected.map(str::to_owned).to_vec())
        );
    }

    // covers: B6
    #[test]
    fn an_upgrade_passes_unless_it_is_to_http2() {
        let websocket =
            [("host", "a.example"), ("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let head =
            sent(&parts("http://a.example/", &websocket), Protocol::Http1, &Form::Origin, BodyLength::Known);
        assert_eq!(head.1, ["host: a.example", "connection: Upgrade", "upgrade: websocket"]);
        let cleartext = [
            ("host", "a.example"),
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAM"),
        ];
        let head =
            sent(&parts("http://a.example/", &cleartext), Protocol::Http1, &Form::Origin, BodyLength::Known);
        assert_eq!(head.1, ["host: a.example"]);
    }

    // covers: B6
    #[test]
    fn a_response_keeps_all_but_the_hops_own_fields() {
        let fields = [
            ("connection", "close, X-Hop"),
            ("set-cookie", "a=1"),
            ("x-hop", "1"),
            ("set-cookie", "b=2"),
            ("proxy-authenticate", "Basic"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-status", "p"),
        ];
        let mut headers = parts("/", &fields).headers;
        strip_response(&mut headers, StatusCode::OK);
        assert_eq!(lines(&headers), ["set-cookie: a=1", "set-cookie: b=2", "proxy-status: p"]);
        let mut switching = parts("/", &[("upgrade", "websocket"), ("connection", "upgrade, x-hop")]).headers;
        strip_response(&mut switching, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(lines(&switching), ["upgrade: websocket", "connection: Upgrade"]);
    }
}
