//! Which tunnels are looked into.

use std::str::FromStr;

use crate::target::{Host, TargetFault};

/// A host, or all hosts under a name: `shop.example`, `*.shop.example`, `[::1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    host: Host,
    subdomains: bool,
}

impl HostPattern {
    fn matches(&self, host: &Host) -> bool {
        match (self.subdomains, self.host.name(), host.name()) {
            (true, Some(suffix), Some(name)) => {
                name.strip_suffix(suffix).is_some_and(|front| front.ends_with('.'))
            }
            (true, ..) => false,
            (false, ..) => self.host == *host,
        }
    }
}

impl FromStr for HostPattern {
    type Err = TargetFault;

    /// `*.` stands for one label or more, never for none.
    fn from_str(text: &str) -> Result<Self, TargetFault> {
        match text.strip_prefix("*.") {
            None => Ok(Self { host: Host::parse(text)?, subdomains: false }),
            Some(suffix) => match Host::parse(suffix)? {
                Host::Ip(_) => Err(TargetFault::Host),
                host => Ok(Self { host, subdomains: true }),
            },
        }
    }
}

/// Which hosts' TLS is decrypted.
///
/// Decrypting changes the TLS and HTTP/2 fingerprints that a site sees, so a list may limit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intercept {
    /// Every host's.
    All,
    /// No host's; plain HTTP inside of tunnels is still served.
    None,
    /// The hosts' that match.
    Hosts(Vec<HostPattern>),
}

/// What becomes of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interception {
    /// Which hosts' TLS is decrypted.
    pub intercept: Intercept,
    /// Hosts whose tunnels pass unseen, whatever is in them: for clients that pin certificates or present their own.
    pub tunnel: Vec<HostPattern>,
}

impl Interception {
    /// Whether tunnels to `host` pass unseen.
    pub(crate) fn skips(&self, host: &Host) -> bool {
        self.tunnel.iter().any(|pattern| pattern.matches(host))
    }

    /// Whether TLS with `host` is decrypted.
    pub(crate) fn decrypts(&self, host: &Host) -> bool {
        let is_listed = match &self.intercept {
            Intercept::All => true,
            Intercept::None => false,
            Intercept::Hosts(hosts) => hosts.iter().any(|pattern| pattern.matches(host)),
        };
        is_listed && !self.skips(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<HostPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn lists_match_whole_labels() {
        let interception = Interception {
            intercept: Intercept::Hosts(patterns(&["shop.example", "*.pay.example", "127.0.0.1"])),
            tunnel: patterns(&["pinned.pay.example"]),
        };
        let cases = [
            ("shop.example", true),
            ("SHOP.example.", true),
            ("www.shop.example", false),
            ("pay.example", false),
            ("a.pay.example", true),
            ("a.b.pay.example", true),
            ("apay.example", false),
            ("pinned.pay.example", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
        ];
        for (host, decrypts) in cases {
            assert_eq!(interception.decrypts(&Host::parse(host).unwrap()), decrypts, "{host}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["", "*", "*.", "*.127.0.0.1", "a*.example", "https://shop.example", "shop.example:443"] {
            assert_eq!(text.parse::<HostPattern>(), Err(TargetFault::Host), "{text}");
        }
    }
}
