//! Where the instances of the service are.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use crate::target::{Scheme, Target, TargetFault};

/// One instance of the service: `http://HOST:PORT`, `https://HOST:PORT`, or `h2c://HOST:PORT` for HTTP/2 without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    pub(super) scheme: Scheme,
    pub(super) target: Target,
    pub(super) is_cleartext_http2: bool,
    authority: Authority,
}

/// Why an address of an instance was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamUrlError {
    /// Another scheme, or none.
    #[error("the address does not begin with http://, https:// or h2c://")]
    Scheme,
    /// A path, a query or a fragment: requests go on with the path that they came with.
    #[error("the address of an upstream has no path")]
    Path,
    /// No valid host and port.
    #[error("the address names no valid host")]
    Target(#[from] TargetFault),
}

impl UpstreamUrl {
    /// The URI by which `path` is asked for there.
    pub(super) fn uri(&self, path: PathAndQuery) -> Result<Uri, http::Error> {
        let builder = Uri::builder().scheme(self.scheme.as_str()).authority(self.authority.clone());
        builder.path_and_query(path).build()
    }

    /// Host and port as a `Host` field has them.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(text: &str) -> Result<Self, UpstreamUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UpstreamUrlError::Scheme)?;
        let (scheme, is_cleartext_http2) = match scheme {
            "http" => (Scheme::Http, false),
            "h2c" => (Scheme::Http, true),
            "https" => (Scheme::Https, false),
            _ => return Err(UpstreamUrlError::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(UpstreamUrlError::Path);
        }
        let target = Target::parse(authority, Some(scheme.default_port()))?;
        let authority = Authority::try_from(target.authority(scheme));
        let authority = authority.or(Err(UpstreamUrlError::Target(TargetFault::Host)))?;
        Ok(Self { scheme, target, is_cleartext_http2, authority })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_cleartext_http2 { "h2c" } else { self.scheme.as_str() };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_scheme_a_host_and_a_port() {
        let shown = |text: &str| text.parse::<UpstreamUrl>().map(|url| url.to_string());
        assert_eq!(shown("http://127.0.0.1:3000"), Ok("http://127.0.0.1:3000".to_owned()));
        assert_eq!(shown("https://Shop.internal:443/"), Ok("https://shop.internal".to_owned()));
        assert_eq!(shown("h2c://[::1]:50051"), Ok("h2c://[::1]:50051".to_owned()));
        assert_eq!(shown("127.0.0.1:3000"), Err(UpstreamUrlError::Scheme));
        assert_eq!(shown("ftp://a:1"), Err(UpstreamUrlError::Scheme));
        assert_eq!(shown("http://a:1/api"), Err(UpstreamUrlError::Path));
        assert_eq!(shown("http://a:1?x"), Err(UpstreamUrlError::Path));
        assert_eq!(shown("http://u@a:1"), Err(UpstreamUrlError::Target(TargetFault::UserInfo)));
        assert_eq!(shown("http://"), Err(UpstreamUrlError::Target(TargetFault::Host)));
    }
}
