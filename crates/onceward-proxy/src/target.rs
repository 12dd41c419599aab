//! Where a request wants to go: hosts, ports and the strict parsing of both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest DNS name in its text form without the root dot (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// Longest label of a DNS name (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A host: a DNS name in lower case without a trailing dot, or an IP address.
///
/// Names that end in a number (`127.1`, `0x7f000001`) are refused: resolvers read them as IPv4 addresses, so that they
/// would pass a list of names and reach an address (WHATWG URL, "ends in a number checker").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(Box<str>),
    /// An address literal.
    Ip(IpAddr),
}

impl Host {
    /// Parses a name, an IPv4 address, or an IPv6 address with or without brackets.
    ///
    /// # Errors
    /// [`TargetFault::Host`] for anything that is not exactly one of these.
    pub fn parse(text: &str) -> Result<Self, TargetFault> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(ip.into()),
                Err(_) => Err(TargetFault::Host),
            };
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if is_dns_name(name) {
            Ok(Self::Name(name.to_ascii_lowercase().into()))
        } else {
            Err(TargetFault::Host)
        }
    }

    /// The name, unless this is an address.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// The address, unless this is a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ip(ip) => Some(*ip),
        }
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl From<Ipv6Addr> for Host {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(ip.into())
    }
}

/// As in a URL: an IPv6 address stands in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_dns_name(name: &str) -> bool {
    let label_is_valid = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= NAME_BYTES_MAX && name.split('.').all(label_is_valid) && !reads_as_number(last)
}

fn reads_as_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// The scheme of a proxied request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URI of this scheme leaves out.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, never zero.
    pub port: u16,
}

impl Target {
    /// Parses `host:port`, or `host` alone where `port_default` says which port that means.
    ///
    /// # Errors
    /// A [`TargetFault`] that names the part at fault; user information is refused, never dropped.
    pub fn parse(authority: &str, port_default: Option<u16>) -> Result<Self, TargetFault> {
        if authority.contains('@') {
            return Err(TargetFault::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(digits) => parse_port(digits)?,
            None => port_default.ok_or(TargetFault::PortMissing)?,
        };
        Ok(Self { host: Host::parse(host)?, port })
    }

    /// The authority as a URI of `scheme` writes it: without the scheme's default port.
    #[must_use]
    pub fn authority(&self, scheme: Scheme) -> String {
        if self.port == scheme.default_port() { self.host.to_string() } else { self.to_string() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Splits at the colon that is not part of a bracketed address. A bare IPv6 address has no unambiguous port.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), TargetFault> {
    if authority.starts_with('[') {
        let (inner, rest) = authority.split_once(']').ok_or(TargetFault::Host)?;
        let host = authority.get(..=inner.len()).ok_or(TargetFault::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(TargetFault::Host),
        };
    }
    match authority.split_once(':') {
        None => Ok((authority, None)),
        Some((_, rest)) if rest.contains(':') => Err(TargetFault::Host),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn parse_port(digits: &str) -> Result<u16, TargetFault> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TargetFault::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(TargetFault::Port),
        Ok(port) => Ok(port),
    }
}

/// Why an authority was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// Neither a DNS name nor an address.
    #[error("the host is neither a dns name nor an address")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A port is needed here.
    #[error("the port is missing")]
    PortMissing,
    /// User information stands before the host.
    #[error("the authority carries user information")]
    UserInfo,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(authority: &str) -> Result<String, TargetFault> {
        Target::parse(authority, None).map(|target| target.to_string())
    }

    #[test]
    fn authorities_parse_to_one_spelling() {
        assert_eq!(parsed("Example.COM:443"), Ok("example.com:443".to_owned()));
        assert_eq!(parsed("example.com.:443"), Ok("example.com:443".to_owned()));
        assert_eq!(parsed("[::1]:443"), Ok("[::1]:443".to_owned()));
        assert_eq!(parsed("[0:0::0:1]:8080"), Ok("[::1]:8080".to_owned()));
        assert_eq!(parsed("127.0.0.1:80"), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(parsed("my_host-1.local:65535"), Ok("my_host-1.local:65535".to_owned()));
    }

    #[test]
    fn authorities_that_could_be_read_two_ways_are_refused() {
        let cases = [
            ("example.com", TargetFault::PortMissing),
            ("[::1]", TargetFault::PortMissing),
            ("example.com:", TargetFault::Port),
            ("example.com:0", TargetFault::Port),
            ("example.com:65536", TargetFault::Port),
            ("example.com:+80", TargetFault::Port),
            ("example.com:8o", TargetFault::Port),
            ("a@example.com:443", TargetFault::UserInfo),
            ("a:b@example.com:443", TargetFault::UserInfo),
            ("::1:443", TargetFault::Host),
            ("[::1:443", TargetFault::Host),
            ("[::1]x:443", TargetFault::Host),
            ("[127.0.0.1]:443", TargetFault::Host),
            (":443", TargetFault::Host),
            ("a..b:443", TargetFault::Host),
            ("exam ple.com:443", TargetFault::Host),
            ("ex\u{e4}mple.com:443", TargetFault::Host),
            ("127.1:80", TargetFault::Host),
            ("2130706433:80", TargetFault::Host),
            ("0x7f000001:80", TargetFault::Host),
            ("example.com/:80", TargetFault::Host),
        ];
        for (authority, fault) in cases {
            assert_eq!(parsed(authority), Err(fault), "{authority}");
        }
    }

    #[test]
    fn names_are_bounded_as_dns_bounds_them() {
        let label = "a".repeat(63);
        let longest = [label.as_str(), &label, &label, &"a".repeat(61)].join(".");
        assert_eq!(longest.len(), 253);
        assert!(Host::parse(&longest).is_ok());
        assert_eq!(Host::parse(&format!("a{longest}")), Err(TargetFault::Host));
        assert_eq!(Host::parse(&"a".repeat(64)), Err(TargetFault::Host));
    }

    #[test]
    fn default_ports_leave_the_authority() {
        let target = Target { host: Host::parse("a.example").unwrap(), port: 443 };
        assert_eq!(target.authority(Scheme::Https), "a.example");
        assert_eq!(target.authority(Scheme::Http), "a.example:443");
    }
}
