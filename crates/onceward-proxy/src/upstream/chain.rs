//! The upstream proxy: its URL, the hosts that bypass it, and CONNECT through it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::BoxIo;
use crate::target::{Host, Scheme, Target, TargetFault};

/// An answer to CONNECT is a few header lines; proxies add an error page, of which the head is enough.
const CONNECT_HEAD_BYTES_MAX: usize = 16 * 1024;

/// A proxy that upstream connections go through, from `http://user:password@host:port` or `https://…`.
#[derive(Clone)]
pub struct UpstreamProxy {
    pub(super) scheme: Scheme,
    pub(super) target: Target,
    /// The value of `Proxy-Authorization`, for this proxy alone.
    pub(super) authorization: Option<HeaderValue>,
}

impl UpstreamProxy {
    /// Reads a proxy's URL. User and password are percent-decoded and sent in the Basic scheme (RFC 7617).
    ///
    /// # Errors
    /// When the URL is not `http` or `https`, has no valid host, or carries a path.
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let uri: Uri = url.parse()?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(ProxyUrlError::Scheme),
        };
        if uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(ProxyUrlError::Path);
        }
        let authority = uri.authority().map_or("", Authority::as_str);
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let target = Target::parse(host, Some(scheme.default_port()))?;
        let authorization = credentials.map(basic).transpose()?;
        Ok(Self { scheme, target, authorization })
    }
}

/// Names the proxy without its credentials.
impl fmt::Debug for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.target)
    }
}

/// Why the URL of an upstream proxy was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ProxyUrlError {
    /// The text is not a URL.
    #[error("not a url")]
    Url(#[from] http::uri::InvalidUri),
    /// Other schemes, SOCKS among them, are not spoken.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// A proxy is a host and a port.
    #[error("the url has a path")]
    Path,
    /// The host or port is not valid.
    #[error("the url's host is not valid")]
    Target(#[from] TargetFault),
    /// The credentials cannot be sent.
    #[error("the credentials are not percent-encoded")]
    Credentials,
    /// The credentials cannot stand in a header.
    #[error("the credentials do not fit a header")]
    Header(#[from] http::header::InvalidHeaderValue),
}

fn basic(credentials: &str) -> Result<HeaderValue, ProxyUrlError> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut pair = percent_decoded(user)?;
    pair.push(b':');
    pair.extend(percent_decoded(password)?);
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?;
    value.set_sensitive(true);
    Ok(value)
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, ProxyUrlError> {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(ProxyUrlError::Credentials)?;
        // `from_str_radix` alone would take a sign.
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
        decoded.push(byte.ok_or(ProxyUrlError::Credentials)?);
        decoded.extend_from_slice(rest.as_bytes());
    }
    Ok(decoded)
}

/// The hosts that are dialled directly although an upstream proxy is set, as in the `NO_PROXY` variable.
#[derive(Clone, Debug, Default)]
pub struct NoProxy(Vec<Bypass>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bypass {
    hosts: BypassHosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum BypassHosts {
    All,
    /// The domain itself and all names below it.
    Domain(String),
    Network {
        address: IpAddr,
        prefix_bits: u32,
    },
}

impl NoProxy {
    /// Reads a comma-separated list of `*`, `example.com` or `.example.com` (both with all names below),
    /// addresses and networks (`10.0.0.0/8`), each but the networks with an optional port.
    ///
    /// # Errors
    /// The first entry that is none of these.
    pub fn parse(list: &str) -> Result<Self, NoProxyError> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| Bypass::parse(entry).ok_or_else(|| NoProxyError(entry.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn contains(&self, target: &Target) -> bool {
        self.0.iter().any(|bypass| bypass.contains(target))
    }
}

/// An entry of a bypass list that is neither a domain, an address nor a network.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a domain, an address nor a network")]
pub struct NoProxyError(String);

impl Bypass {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self { hosts: BypassHosts::All, port: None });
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let prefix_bits = bits.parse().ok()?;
            let valid = prefix_bits <= if address.is_ipv4() { 32 } else { 128 };
            return valid
                .then_some(Self { hosts: BypassHosts::Network { address, prefix_bits }, port: None });
        }
        let entry = entry.trim_start_matches("*.").trim_start_matches('.');
        let (host, port) = match (Host::parse(entry), Target::parse(entry, None)) {
            (Ok(host), _) => (host, None),
            (Err(_), Ok(target)) => (target.host, Some(target.port)),
            (Err(_), Err(_)) => return None,
        };
        let hosts = match host {
            Host::Name(name) => BypassHosts::Domain(name.into()),
            Host::Ip(address) => {
                BypassHosts::Network { address, prefix_bits: if address.is_ipv4() { 32 } else { 128 } }
            }
        };
        Some(Self { hosts, port })
    }

    fn contains(&self, target: &Target) -> bool {
        if self.port.is_some_and(|port| port != target.port) {
            return false;
        }
        match (&self.hosts, &target.host) {
            (BypassHosts::All, _) => true,
            (BypassHosts::Domain(domain), Host::Name(name)) => {
                name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (BypassHosts::Network { address, prefix_bits }, Host::Ip(ip)) => {
                in_network(*ip, *address, *prefix_bits)
            }
            (BypassHosts::Domain(_), Host::Ip(_)) | (BypassHosts::Network { .. }, Host::Name(_)) => false,
        }
    }
}

fn in_network(ip: IpAddr, network: IpAddr, prefix_bits: u32) -> bool {
    // A shift by the full width is a prefix of zero bits, which everything matches.
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(32 - prefix_bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(128 - prefix_bits).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Why a proxy did not open a tunnel.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the upstream proxy answered {0} to connect")]
    Refused(StatusCode),
    #[error("the exchange with the upstream proxy broke off")]
    Broken(#[from] hyper::Error),
    #[error("the target does not fit a connect request")]
    Request(#[from] http::Error),
}

/// Asks a proxy for a tunnel to `target` (RFC 9110 section 9.3.6).
pub(super) async fn connect(
    io: BoxIo,
    target: &Target,
    authorization: Option<&HeaderValue>,
) -> Result<BoxIo, ConnectError> {
    let authority = target.to_string();
    let mut request = Request::builder().method(Method::CONNECT).uri(&authority).header(HOST, &authority);
    if let Some(authorization) = authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let handshake = http1::Builder::new()
        .max_buf_size(CONNECT_HEAD_BYTES_MAX)
        .title_case_headers(true)
        .handshake(TokioIo::new(io));
    let (mut sender, connection) = handshake.await?;
    let mut connection = pin!(connection.without_shutdown());
    let answer = pin!(sender.send_request(request));
    // The connection yields its socket once the answer is in, and may do so before the answer is seen here.
    let (answer, parts) = match select(answer, connection.as_mut()).await {
        Either::Left((answer, _)) => (answer?, None),
        Either::Right((parts, answer)) => (answer.await?, Some(parts?)),
    };
    if !answer.status().is_success() {
        return Err(ConnectError::Refused(answer.status()));
    }
    let parts = match parts {
        Some(parts) => parts,
        None => connection.await?,
    };
    Ok(Box::new(Rewound { ahead: parts.read_buf, io: parts.io.into_inner() }))
}

/// A stream of which some bytes were read ahead.
struct Rewound {
    ahead: Bytes,
    io: BoxIo,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_url_yields_its_target_and_credentials() {
        let proxy = UpstreamProxy::parse("http://user%40corp:p%3Aw@Proxy.example:3128/").unwrap();
        assert_eq!(proxy.scheme, Scheme::Http);
        assert_eq!(proxy.target.to_string(), "proxy.example:3128");
        // base64 of `user@corp:p:w`
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dXNlckBjb3JwOnA6dw==");
        assert_eq!(format!("{proxy:?}"), "http://proxy.example:3128");
        let plain = UpstreamProxy::parse("https://proxy.example").unwrap();
        assert_eq!((plain.target.port, plain.authorization), (443, None));
        for url in [
            "socks5://proxy.example:1080",
            "proxy.example:3128",
            "http://proxy.example/path",
            "http://a%zz@proxy.example",
        ] {
            assert!(UpstreamProxy::parse(url).is_err(), "{url} was taken");
        }
    }

    #[test]
    fn a_bypass_list_matches_as_curl_reads_it() {
        let list = NoProxy::parse(
            "localhost, .internal.example,*.wild.example,10.0.0.0/8,[fd00::1],::1,192.0.2.7:8080,fe80::/10",
        )
        .unwrap();
        let contains = |target: &str| list.contains(&Target::parse(target, Some(80)).unwrap());
        for target in [
            "localhost",
            "internal.example",
            "a.internal.example:443",
            "wild.example",
            "10.255.0.1",
            "[fd00::1]",
            "[::1]",
            "192.0.2.7:8080",
            "[febf::1]",
        ] {
            assert!(contains(target), "{target} goes through the proxy");
        }
        for target in [
            "notlocalhost",
            "xinternal.example",
            "11.0.0.1",
            "192.0.2.7",
            "[fd00::2]",
            "[fec0::1]",
            "example.com",
        ] {
            assert!(!contains(target), "{target} bypasses the proxy");
        }
        assert!(NoProxy::parse("*").unwrap().contains(&Target::parse("example.com:443", None).unwrap()));
        assert!(NoProxy::parse("0.0.0.0/0").unwrap().contains(&Target::parse("8.8.8.8:443", None).unwrap()));
        for list in ["10.0.0.0/33", "a b", "10.0.0.0/x", "exa/mple"] {
            assert!(NoProxy::parse(list).is_err(), "{list} was taken");
        }
    }
}
