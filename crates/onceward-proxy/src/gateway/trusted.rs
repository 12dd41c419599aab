//! Whose word about the client is taken.

use std::net::IpAddr;
use std::str::FromStr;

/// The proxies in front of the gateway. What anybody else says about who sent a request is not passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// The proxies with addresses in these networks.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

/// The addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// With zeros behind the prefix.
    bits: u128,
    prefix_len: u32,
    width: u32,
}

/// The text is neither an address nor an address with a length of prefix that it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the network is not written as ADDRESS or ADDRESS/BITS")]
pub struct NetworkError;

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let (bits, width) = bits(address);
        width == self.width && prefix(bits, width, self.prefix_len) == self.bits
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().or(Err(NetworkError))?;
        let (bits, width) = bits(address);
        let prefix_len = match prefix_len {
            Some(len) => len.parse().or(Err(NetworkError))?,
            None => width,
        };
        if prefix_len > width {
            return Err(NetworkError);
        }
        Ok(Self { bits: prefix(bits, width, prefix_len), prefix_len, width })
    }
}

/// The bits of an address, and how many there are.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}

fn prefix(bits: u128, width: u32, len: u32) -> u128 {
    let behind = width - len;
    bits.checked_shr(behind).and_then(|front| front.checked_shl(behind)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(networks: &[&str], address: &str) -> bool {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        TrustedProxies::new(networks).contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        assert!(trusts(&["10.0.0.0/8"], "10.255.0.1"));
        assert!(!trusts(&["10.0.0.0/8"], "11.0.0.1"));
        assert!(trusts(&["192.0.2.1"], "192.0.2.1"));
        assert!(!trusts(&["192.0.2.1"], "192.0.2.2"));
        assert!(trusts(&["10.9.9.9/8"], "10.0.0.1"), "bits behind the prefix do not count");
        assert!(trusts(&["0.0.0.0/0"], "203.0.113.7"));
        assert!(!trusts(&["0.0.0.0/0"], "2001:db8::1"), "another family");
        assert!(trusts(&["::/0"], "2001:db8::1"));
        assert!(trusts(&["2001:db8::/32"], "2001:db8:ffff::1"));
        assert!(!trusts(&["2001:db8::/32"], "2001:db9::1"));
        assert!(trusts(&["127.0.0.0/8"], "::ffff:127.0.0.1"), "a socket for both families writes it so");
        assert!(!trusts(&[], "127.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "a.example", "::/129", "10.0.0.0/8/8"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
