//! What the service is told about the client, and what of the client's own words it is not told.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::{EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue, VIA};
use http::request::Parts;
use http::{Method, Version};

use super::trusted::TrustedProxies;
use crate::target::Scheme;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The fence of a guarded request; only the gateway says it.
pub(super) const EPOCH: HeaderName = HeaderName::from_static("onceward-epoch");

/// Fields that frame a request or say whose it is.
///
/// Servers that hand fields on as variables (RFC 3875 section 4.1.18) take `Content_Length` for `Content-Length`.
const MEANT_WITH_HYPHEN: [&str; 6] = [
    "content-length",
    "content-type",
    "proxy-authorization",
    "transfer-encoding",
    "x-http-method",
    "x-method-override",
];

/// The methods of RFC 9110 and RFC 5789, by which some servers also know other spellings of them.
const METHODS: [Method; 9] = [
    Method::CONNECT,
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
    Method::TRACE,
];

/// A head that the service may read differently than the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ambiguous {
    /// `post` is a method of its own, and `POST` to many.
    #[error("the method is written in another case than it is defined in")]
    MethodCase,
    /// `Content_Length` is a field of its own, and `Content-Length` to many.
    #[error("a field name has an underscore in the place of a hyphen")]
    Underscore,
    /// The fields that name the client do not make one field.
    #[error("the fields that name the client are malformed")]
    Forwarding,
}

impl From<InvalidHeaderValue> for Ambiguous {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::Forwarding
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) scheme: Scheme,
}

/// Takes off what the client has no say in, and says who the client is.
///
/// A trusted proxy's word on who came before it is kept and added to; anybody else's goes.
///
/// # Errors
/// When the service may read the head differently.
pub(super) fn tell(head: &mut Parts, client: Client, trusted: &TrustedProxies) -> Result<(), Ambiguous> {
    let method = head.method.as_str();
    if METHODS.iter().any(|known| known.as_str() != method && known.as_str().eq_ignore_ascii_case(method)) {
        return Err(Ambiguous::MethodCase);
    }
    let is_misspelt = |name: &HeaderName| {
        name.as_str().contains('_') && MEANT_WITH_HYPHEN.contains(&&*name.as_str().replace('_', "-"))
    };
    if head.headers.keys().any(is_misspelt) {
        return Err(Ambiguous::Underscore);
    }
    let is_trusted = trusted.contains(client.peer.ip());
    let host = host(head);
    let headers = &mut head.headers;
    if !headers.keys().all(|name| is_passed_on(name, is_trusted)) {
        retain(headers, |name| is_passed_on(name, is_trusted));
    }
    let peer = client.peer.ip().to_canonical();
    let address = peer.to_string();
    let (node, scheme) = (node(peer, &address), client.scheme.as_str());
    append_item(headers, X_FORWARDED_FOR, &[&address])?;
    append_item(headers, FORWARDED, &["for=", &node, ";host=\"", &host, "\";proto=", scheme])?;
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
    if !headers.contains_key(X_FORWARDED_HOST) {
        headers.insert(X_FORWARDED_HOST, HeaderValue::try_from(host)?);
    }
    append_item(headers, VIA, &[version(head.version), " onceward"])
}

/// The host as the client wrote it, or as its target says in HTTP/2; the server has seen to it that it is one.
pub(super) fn host(head: &Parts) -> String {
    let written = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = || head.uri.authority().map_or("", http::uri::Authority::as_str);
    written.unwrap_or_else(authority).to_owned()
}

/// Whether a client's field goes on. `Expect` is answered by our own server when it reads the body.
fn is_passed_on(name: &HeaderName, is_trusted: bool) -> bool {
    let written = name.as_str();
    let is_misspelt = written.contains('_');
    let hyphened = if is_misspelt { Cow::Owned(written.replace('_', "-")) } else { Cow::Borrowed(written) };
    let names_client =
        hyphened.starts_with("x-forwarded-") || matches!(&*hyphened, "forwarded" | "x-real-ip");
    match names_client {
        true => is_trusted && !is_misspelt,
        false => hyphened != EPOCH.as_str() && *name != EXPECT,
    }
}

/// Leaves the other fields in their order.
fn retain(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    let mut last = None;
    for (name, value) in std::mem::take(headers) {
        // Of a repeated field only the first value comes with its name.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| is_kept(name)) {
            headers.append(name, value);
        }
    }
}

/// Adds an item, of these parts, to a list on one line: some servers read only one.
fn append_item(headers: &mut HeaderMap, name: HeaderName, item: &[&str]) -> Result<(), Ambiguous> {
    let mut list = Vec::with_capacity(item.iter().map(|part| part.len()).sum());
    for line in headers.get_all(&name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    item.iter().for_each(|part| list.extend_from_slice(part.as_bytes()));
    headers.insert(name, HeaderValue::try_from(list)?);
    Ok(())
}

/// RFC 7239, section 6.
fn node(ip: IpAddr, address: &str) -> Cow<'_, str> {
    match ip {
        IpAddr::V4(_) => Cow::Borrowed(address),
        IpAddr::V6(_) => Cow::Owned(format!("\"[{address}]\"")),
    }
}

/// RFC 9110, section 7.6.3.
fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn told(
        method: &str,
        peer: &str,
        trusted: &[&str],
        fields: &[(&str, &str)],
    ) -> Result<Vec<String>, Ambiguous> {
        let mut request = Request::builder().method(method).uri("https://shop.example/order");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        let client = Client { peer: SocketAddr::new(peer.parse().unwrap(), 1234), scheme: Scheme::Https };
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        tell(&mut head, client, &TrustedProxies::new(trusted))?;
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut lines: Vec<_> = head.headers.iter().map(line).collect();
        lines.sort();
        Ok(lines)
    }

    #[test]
    fn a_client_has_no_say_in_who_it_is() {
        let lines = told(
            "POST",
            "2001:db8::7",
            &["10.0.0.0/8"],
            &[
                ("host", "Shop.example:8443"),
                ("x-forwarded-for", "127.0.0.1"),
                ("x_forwarded_for", "127.0.0.1"),
                ("x-forwarded-user", "admin"),
                ("forwarded", "for=127.0.0.1"),
                ("x-real-ip", "127.0.0.1"),
                ("onceward-epoch", "7"),
                ("onceward_epoch", "7"),
                ("expect", "100-continue"),
                ("via", "1.0 fred"),
                ("cookie", "a=b"),
            ],
        );
        let expected = [
            "cookie: a=b",
            "forwarded: for=\"[2001:db8::7]\";host=\"Shop.example:8443\";proto=https",
            "host: Shop.example:8443",
            "via: 1.0 fred, 1.1 onceward",
            "x-forwarded-for: 2001:db8::7",
            "x-forwarded-host: Shop.example:8443",
            "x-forwarded-proto: https",
        ];
        assert_eq!(lines, Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to() {
        let lines = told(
            "GET",
            "::ffff:10.1.2.3",
            &["10.0.0.0/8"],
            &[
                ("x-forwarded-for", "198.51.100.9"),
                ("x-forwarded-for", "198.51.100.10"),
                ("x_forwarded_for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "public.example"),
                ("forwarded", "for=198.51.100.9"),
            ],
        );
        let expected = [
            "forwarded: for=198.51.100.9, for=10.1.2.3;host=\"shop.example\";proto=https",
            "via: 1.1 onceward",
            "x-forwarded-for: 198.51.100.9, 198.51.100.10, 10.1.2.3",
            "x-forwarded-host: public.example",
            "x-forwarded-proto: http",
        ];
        assert_eq!(lines, Ok(expected.map(str::to_owned).to_vec()));
    }

    // covers: S6
    #[test]
    fn heads_that_a_service_may_read_differently_are_refused() {
        let refused = |method, field| told(method, "127.0.0.1", &[], &[(field, "1")]);
        assert_eq!(refused("post", "a"), Err(Ambiguous::MethodCase));
        assert_eq!(refused("Get", "a"), Err(Ambiguous::MethodCase));
        assert!(refused("PROPFIND", "a").is_ok());
        assert_eq!(refused("POST", "content_length"), Err(Ambiguous::Underscore));
        assert_eq!(refused("POST", "transfer_encoding"), Err(Ambiguous::Underscore));
        assert!(refused("POST", "my_field").is_ok());
    }
}
