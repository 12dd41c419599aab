//! Where a request is meant to go, if its parts agree on that.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, uri};

use super::Via;
use super::head::HeadFault;
use crate::target::{Host, Scheme, Target};

/// What a request is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A tunnel to there.
    Tunnel(Target),
    /// The proxy itself.
    Own,
    /// An origin.
    Origin(Scheme, Target),
}

/// Reads target and Host of a request that came `via` a connection to the listener at `local`.
///
/// # Errors
/// A [`HeadFault`] when there is no Host, more than one, or one that differs from the target or the tunnel.
pub(super) fn destination(request: &Parts, via: &Via, local: SocketAddr) -> Result<Destination, HeadFault> {
    let host = host_field(&request.headers)?;
    if let Via::Gateway { scheme } = via {
        return at_origin(request, host, *scheme);
    }
    if request.method == Method::CONNECT {
        return connect(request, host, via);
    }
    let Some(authority) = request.uri.authority() else {
        let host = host.ok_or(HeadFault::HostMissing)?;
        return within(host, via);
    };
    let scheme = scheme(&request.uri)?;
    let target = Target::parse(authority.as_str(), Some(scheme.default_port()))?;
    match host {
        Some(host) if host == authority.as_str() => {}
        Some(host) if Target::parse(host, Some(scheme.default_port()))? != target => {
            return Err(HeadFault::HostDiffers);
        }
        // HTTP/2 has `:authority`, HTTP/1.0 has no Host; HTTP/1.1 needs it also with an absolute target.
        None if request.version == Version::HTTP_11 => return Err(HeadFault::HostMissing),
        _ => {}
    }
    match via {
        Via::Proxy if is_own(&target, local) => Ok(Destination::Own),
        Via::Proxy | Via::Gateway { .. } => Ok(Destination::Origin(scheme, target)),
        Via::Tunnel { .. } | Via::Intercepted { .. } => inside(scheme, target, via),
    }
}

/// The one origin has every name. Its scheme is that of the connection: a balancer that has ended TLS still writes `https`.
fn at_origin(request: &Parts, host: Option<&str>, scheme: Scheme) -> Result<Destination, HeadFault> {
    if request.method == Method::CONNECT {
        return Err(HeadFault::ConnectRefused);
    }
    let read = |authority: &str| Target::parse(authority, Some(scheme.default_port()));
    let Some(authority) = request.uri.authority() else {
        return Ok(Destination::Origin(scheme, read(host.ok_or(HeadFault::HostMissing)?)?));
    };
    self::scheme(&request.uri)?;
    let target = read(authority.as_str())?;
    match host {
        Some(host) if read(host)? != target => Err(HeadFault::HostDiffers),
        None if request.version == Version::HTTP_11 => Err(HeadFault::HostMissing),
        _ => Ok(Destination::Origin(scheme, target)),
    }
}

fn host_field(headers: &HeaderMap) -> Result<Option<&str>, HeadFault> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else { return Ok(None) };
    if hosts.next().is_some() {
        return Err(HeadFault::HostRepeated);
    }
    match host.to_str() {
        Ok(host) => Ok(Some(host)),
        Err(_) => Err(HeadFault::FieldValue),
    }
}

/// A Host without a port names any port: it adds nothing to the target of a tunnel, and several clients send it so.
fn connect(request: &Parts, host: Option<&str>, via: &Via) -> Result<Destination, HeadFault> {
    if *via != Via::Proxy {
        return Err(HeadFault::ConnectNested);
    }
    let authority = request.uri.authority().map_or("", uri::Authority::as_str);
    let target = Target::parse(authority, None)?;
    match host {
        Some(host) if Target::parse(host, Some(target.port))? != target => Err(HeadFault::HostDiffers),
        None if request.version == Version::HTTP_11 => Err(HeadFault::HostMissing),
        _ => Ok(Destination::Tunnel(target)),
    }
}

/// A target in origin form: to the proxy itself, or to where the tunnel leads.
fn within(host: &str, via: &Via) -> Result<Destination, HeadFault> {
    match via {
        Via::Proxy | Via::Gateway { .. } => Ok(Destination::Own),
        Via::Tunnel { .. } | Via::Intercepted { .. } => {
            let scheme = via.scheme();
            inside(scheme, Target::parse(host, Some(scheme.default_port()))?, via)
        }
    }
}

/// Inside of a tunnel only its own target can be asked, by the name of the CONNECT or of the TLS handshake.
fn inside(scheme: Scheme, target: Target, via: &Via) -> Result<Destination, HeadFault> {
    let agrees = |tunnel: &Target, name: Option<&Host>| {
        target.port == tunnel.port && (target.host == tunnel.host || Some(&target.host) == name)
    };
    let agrees = scheme == via.scheme()
        && match via {
            Via::Proxy | Via::Gateway { .. } => false,
            Via::Tunnel { target: tunnel } => agrees(tunnel, None),
            Via::Intercepted { target: tunnel, server_name } => agrees(tunnel, server_name.as_ref()),
        };
    if agrees { Ok(Destination::Origin(scheme, target)) } else { Err(HeadFault::HostDiffers) }
}

fn scheme(uri: &Uri) -> Result<Scheme, HeadFault> {
    match uri.scheme_str() {
        Some("http") => Ok(Scheme::Http),
        Some("https") => Ok(Scheme::Https),
        _ => Err(HeadFault::Scheme),
    }
}

/// Whether the target is the listener by its address, or by `localhost`; other names are the dialer's to refuse.
fn is_own(target: &Target, local: SocketAddr) -> bool {
    let is_here = match &target.host {
        Host::Ip(ip) => *ip == local.ip() || (ip.is_loopback() && local.ip().is_unspecified()),
        Host::Name(name) => {
            name.as_ref() == "localhost" && (local.ip().is_loopback() || local.ip().is_unspecified())
        }
    };
    is_here && target.port == local.port()
}

/// The absolute URI of a request to `target`, which its own URI or else its `host` names.
///
/// # Errors
/// [`HeadFault::RequestTarget`] for a target without a path, such as `*` or `http://shop.example?page=1`: only to some servers
/// that is `/`.
pub(super) fn absolute(
    uri: &Uri,
    host: Option<&HeaderValue>,
    scheme: Scheme,
    target: &Target,
) -> Result<Uri, HeadFault> {
    if uri.path_and_query().is_some_and(|path| !path.as_str().starts_with('/')) {
        return Err(HeadFault::RequestTarget);
    }
    let authority = uri.authority().map(uri::Authority::as_str);
    let written = authority.or_else(|| host?.to_str().ok());
    let written = written.filter(|text| is_written_so(text, target, scheme));
    if written.is_some() && uri.scheme_str() == Some(scheme.as_str()) {
        return Ok(uri.clone());
    }
    let authority = match written {
        Some(text) => Bytes::copy_from_slice(text.as_bytes()),
        None => Bytes::from(target.authority(scheme)),
    };
    let path = uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    let mut absolute = uri::Parts::default();
    absolute.scheme = Some(match scheme {
        Scheme::Http => uri::Scheme::HTTP,
        Scheme::Https => uri::Scheme::HTTPS,
    });
    absolute.authority = uri::Authority::from_maybe_shared(authority).ok();
    absolute.path_and_query = Some(path);
    Uri::from_parts(absolute).ok().ok_or(HeadFault::RequestTarget)
}

/// Whether `text`, which names `target`, is what [`Target::authority`] would write: quicker to see than to write.
fn is_written_so(text: &str, target: &Target, scheme: Scheme) -> bool {
    let rest = match &target.host {
        Host::Name(name) => text.strip_prefix(&**name),
        // Of the spellings of an address only this one parses.
        Host::Ip(IpAddr::V4(_)) => Some(text.trim_start_matches(|character| character != ':')),
        Host::Ip(IpAddr::V6(_)) => None,
    };
    match rest {
        Some("") => target.port == scheme.default_port(),
        Some(rest) => {
            target.port != scheme.default_port() && rest.starts_with(':') && !rest.starts_with(":0")
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TargetFault;

    fn local() -> SocketAddr {
        "127.0.0.1:8473".parse().unwrap()
    }

    fn target(text: &str) -> Target {
        Target::parse(text, None).unwrap()
    }

    fn read(method: &str, uri: &str, hosts: &[&str], via: &Via) -> Result<Destination, HeadFault> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        destination(&request.body(()).unwrap().into_parts().0, via, local())
    }

    fn origin(scheme: Scheme, text: &str) -> Result<Destination, HeadFault> {
        Ok(Destination::Origin(scheme, target(text)))
    }

    // covers: S6
    #[test]
    fn target_and_host_agree_or_the_request_is_refused() {
        let via = Via::Proxy;
        assert_eq!(
            read("GET", "http://A.example/", &["a.example:80"], &via),
            origin(Scheme::Http, "a.example:80")
        );
        assert_eq!(
            read("GET", "https://a.example/", &["a.example"], &via),
            origin(Scheme::Https, "a.example:443")
        );
        assert_eq!(read("GET", "http://a.example/", &["b.example"], &via), Err(HeadFault::HostDiffers));
        assert_eq!(read("GET", "http://a.example/", &["a.example:81"], &via), Err(HeadFault::HostDiffers));
        assert_eq!(read("GET", "http://a.example/", &[], &via), Err(HeadFault::HostMissing));
        assert_eq!(
            read("GET", "http://a.example/", &["a.example", "a.example"], &via),
            Err(HeadFault::HostRepeated)
        );
        let user_info = Err(HeadFault::Target(TargetFault::UserInfo));
        assert_eq!(read("GET", "http://u:p@a.example/", &["a.example"], &via), user_info);
        assert_eq!(read("GET", "ftp://a.example/", &["a.example"], &via), Err(HeadFault::Scheme));
    }

    #[test]
    fn tunnels_name_a_port_and_one_host() {
        let via = Via::Proxy;
        let opened = Ok(Destination::Tunnel(target("[::1]:443")));
        assert_eq!(read("CONNECT", "[::1]:443", &["[::1]:443"], &via), opened);
        assert_eq!(read("CONNECT", "[::1]:443", &["[::1]"], &via), opened);
        assert_eq!(read("CONNECT", "a.example:443", &["b.example:443"], &via), Err(HeadFault::HostDiffers));
        assert_eq!(read("CONNECT", "a.example:443", &[], &via), Err(HeadFault::HostMissing));
        let port_missing = Err(HeadFault::Target(TargetFault::PortMissing));
        assert_eq!(read("CONNECT", "a.example", &["a.example"], &via), port_missing);
        let inside = Via::Tunnel { target: target("a.example:80") };
        assert_eq!(
            read("CONNECT", "b.example:443", &["b.example:443"], &inside),
            Err(HeadFault::ConnectNested)
        );
    }

    // covers: S6
    #[test]
    fn a_tunnel_leads_to_its_own_target_only() {
        let via = Via::Intercepted {
            target: target("203.0.113.7:443"),
            server_name: Some(Host::parse("a.example").unwrap()),
        };
        assert_eq!(read("GET", "/", &["a.example"], &via), origin(Scheme::Https, "a.example:443"));
        assert_eq!(read("GET", "/", &["203.0.113.7"], &via), origin(Scheme::Https, "203.0.113.7:443"));
        assert_eq!(
            read("GET", "https://a.example/", &["a.example"], &via),
            origin(Scheme::Https, "a.example:443")
        );
        assert_eq!(read("GET", "/", &["b.example"], &via), Err(HeadFault::HostDiffers));
        assert_eq!(read("GET", "/", &["a.example:8443"], &via), Err(HeadFault::HostDiffers));
        assert_eq!(
            read("GET", "http://a.example:443/", &["a.example:443"], &via),
            Err(HeadFault::HostDiffers)
        );
        assert_eq!(read("GET", "/", &[], &via), Err(HeadFault::HostMissing));
    }

    #[test]
    fn the_proxy_knows_its_own_address() {
        let via = Via::Proxy;
        for uri in ["/", "/status", "http://127.0.0.1:8473/", "http://localhost:8473/"] {
            let host = uri.strip_prefix("http://").map_or("any.example", |rest| rest.trim_end_matches('/'));
            assert_eq!(read("GET", uri, &[host], &via), Ok(Destination::Own), "{uri}");
        }
        assert_eq!(
            read("GET", "http://127.0.0.1:8474/", &["127.0.0.1:8474"], &via),
            origin(Scheme::Http, "127.0.0.1:8474")
        );
    }

    #[test]
    fn an_absolute_uri_has_one_spelling() {
        let cases = [
            ("http://a.example/x?y", Scheme::Http, "http://a.example/x?y"),
            ("http://a.example", Scheme::Http, "http://a.example/"),
            ("http://A.example:8080/", Scheme::Http, "http://a.example:8080/"),
            ("http://a.example.:8080/", Scheme::Http, "http://a.example:8080/"),
            ("http://a.example:08080/", Scheme::Http, "http://a.example:8080/"),
            ("http://a.example:80/", Scheme::Http, "http://a.example/"),
            ("http://127.0.0.1:80/", Scheme::Http, "http://127.0.0.1/"),
            ("http://127.0.0.1:8080/", Scheme::Http, "http://127.0.0.1:8080/"),
            ("http://[0:0::1]:8080/", Scheme::Http, "http://[::1]:8080/"),
            ("http://a.example/", Scheme::Https, "https://a.example/"),
            ("https://a.example:443/", Scheme::Https, "https://a.example/"),
        ];
        for (text, scheme, expected) in cases {
            let uri: Uri = text.parse().unwrap();
            let target =
                Target::parse(uri.authority().unwrap().as_str(), Some(scheme.default_port())).unwrap();
            assert_eq!(absolute(&uri, None, scheme, &target).unwrap().to_string(), expected, "{text}");
        }
        let hosts = [("a.example", "http://a.example/x"), ("A.example:80", "http://a.example/x")];
        for (text, expected) in hosts {
            let (uri, host) = (Uri::from_static("/x"), HeaderValue::from_static(text));
            let target = Target::parse(text, Some(80)).unwrap();
            let uri = absolute(&uri, Some(&host), Scheme::Http, &target);
            assert_eq!(uri.unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(
            absolute(&Uri::from_static("*"), None, Scheme::Http, &target("a:80")),
            Err(HeadFault::RequestTarget)
        );
    }
}
