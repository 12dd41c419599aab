//! Which targets the proxies dial (S5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};

use crate::target::{Host, Target, TargetFault};

/// Names that stand for this machine or its own network wherever they are resolved: RFC 6761 section 6.3,
/// RFC 6762 section 3, RFC 8375, ICANN resolution 2024.07.29.06, and the `localdomain` of common hosts files.
const LOCAL_DOMAINS: [&str; 5] = ["localhost", "local", "home.arpa", "internal", "localdomain"];

/// Whether loopback, private, link-local and other non-public addresses may be dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrivateTargets {
    /// Any address but our own listeners.
    Allow,
    /// Public unicast addresses only.
    #[default]
    Refuse,
}

/// The addresses that this program listens on, shared with whoever opens and closes listeners.
///
/// The proxies never dial them: a control API behind a loopback address must not be reachable through the
/// program's own proxy, and a request to the proxy itself would loop.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses(Arc<RwLock<Vec<SocketAddr>>>);

impl OwnAddresses {
    /// Adds the bound address of a listener.
    pub fn add(&self, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    /// Removes the address of a listener that is closed.
    pub fn remove(&self, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|own| *own != address);
    }

    /// Whether `address` may lead to a listener.
    ///
    /// Any local address with a listener's port counts: whether `0.0.0.0`, `127.0.0.2` or another interface
    /// reaches a given listener depends on the platform.
    fn may_be_reached_at(&self, address: SocketAddr) -> bool {
        self.has_port(address.port()) && spellings(address.ip()).any(|ip| self.has_ip(ip) || is_local(ip))
    }

    fn has_port(&self, port: u16) -> bool {
        self.any(|own| own.port() == port)
    }

    fn has_ip(&self, ip: IpAddr) -> bool {
        self.any(|own| own.ip().to_canonical() == ip)
    }

    fn any(&self, matches: impl Fn(&SocketAddr) -> bool) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().any(matches)
    }
}

/// Why a target is not dialled.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetRefusal {
    #[error("the request target is not an absolute http or https url")]
    NotAbsolute,
    #[error("the request target is not valid")]
    Invalid(#[from] TargetFault),
    #[error("{0} is a listener of this proxy")]
    OwnListener(String),
    #[error("{0} is not a public address")]
    NotPublic(IpAddr),
    #[error("{0} names this machine or its own network")]
    LocalName(Box<str>),
}

/// The rule that every dialled address passes.
#[derive(Clone, Debug)]
pub(super) struct TargetFilter {
    pub(super) private_targets: PrivateTargets,
    pub(super) own: OwnAddresses,
}

impl TargetFilter {
    /// Judges an address that is about to be dialled.
    pub(super) fn check_address(&self, address: SocketAddr) -> Result<(), TargetRefusal> {
        if self.own.may_be_reached_at(address) {
            return Err(TargetRefusal::OwnListener(address.to_string()));
        }
        match self.private_targets {
            PrivateTargets::Allow => Ok(()),
            PrivateTargets::Refuse if spellings(address.ip()).all(is_public) => Ok(()),
            PrivateTargets::Refuse => Err(TargetRefusal::NotPublic(address.ip())),
        }
    }

    /// Judges a target that an upstream proxy will resolve and dial: by its literal address, or by the names
    /// that are local everywhere.
    pub(super) fn check_unresolved(&self, target: &Target) -> Result<(), TargetRefusal> {
        let name = match &target.host {
            Host::Ip(ip) => return self.check_address(SocketAddr::new(*ip, target.port)),
            Host::Name(name) => name,
        };
        if !is_local_name(name) {
            return Ok(());
        }
        if self.own.has_port(target.port) {
            return Err(TargetRefusal::OwnListener(target.to_string()));
        }
        match self.private_targets {
            PrivateTargets::Allow => Ok(()),
            PrivateTargets::Refuse => Err(TargetRefusal::LocalName(name.clone())),
        }
    }
}

/// The address itself and the IPv4 address that it carries, if any: all of them must be fit to dial.
fn spellings(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let carried = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => carried_v4(ip).map(IpAddr::V4),
    };
    std::iter::once(ip.to_canonical()).chain(carried)
}

/// The IPv4 address in a mapped (RFC 4291), compatible (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056) address.
fn carried_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(v4(high, low)),
        // `::` and `::1` are addresses in their own right.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => Some(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Whether the IANA IPv4 special-purpose registry leaves the address globally reachable.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [224..=255, ..]
    )
}

/// Whether the IANA IPv6 special-purpose registry leaves the address globally reachable, or it carries an IPv4
/// address that is judged by itself. Only 2000::/3 is allocated for global unicast.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [0x2000..=0x3fff, ..] => true,
        _ => carried_v4(ip).is_some(),
    }
}

/// Whether the address belongs to this machine. Binding answers without a list of interfaces.
fn is_local(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

fn is_local_name(name: &str) -> bool {
    // A name of one label is completed from the resolver's own search list.
    !name.contains('.')
        || LOCAL_DOMAINS
            .iter()
            .any(|domain| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(private_targets: PrivateTargets, own: &[&str], address: &str) -> bool {
        let addresses = OwnAddresses::default();
        own.iter().for_each(|own| addresses.add(own.parse().unwrap()));
        let filter = TargetFilter { private_targets, own: addresses };
        filter.check_address(address.parse().unwrap()).is_err()
    }

    // covers: S5
    #[test]
    fn only_public_unicast_is_dialled_unless_allowed() {
        let private = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[fe80::1]",
            "[febf::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[2001::1]",
            "[100::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[::7f00:1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2002:c0a8:101::1]",
            "[fd00:ec2::254]",
        ];
        for address in private {
            assert!(refused(PrivateTargets::Refuse, &[], &format!("{address}:80")), "{address} was allowed");
            assert!(!refused(PrivateTargets::Allow, &[], &format!("{address}:80")), "{address} was refused");
        }
        let public = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "[2606:4700::1111]",
            "[2001:4860:4860::8888]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::8.8.8.8]",
            "[2002:808:808::1]",
        ];
        for address in public {
            assert!(!refused(PrivateTargets::Refuse, &[], &format!("{address}:80")), "{address} was refused");
        }
    }

    // covers: S5
    #[test]
    fn own_listeners_are_refused_in_every_spelling() {
        let own = ["127.0.0.1:8473"];
        let spellings = [
            "127.0.0.1:8473",
            "127.0.0.2:8473",
            "0.0.0.0:8473",
            "[::]:8473",
            "[::1]:8473",
            "[::ffff:127.0.0.1]:8473",
            "[::ffff:0.0.0.0]:8473",
            "[::7f00:1]:8473",
        ];
        for address in spellings {
            assert!(refused(PrivateTargets::Allow, &own, address), "{address} was allowed");
        }
        for address in ["127.0.0.1:8474", "1.1.1.1:8473"] {
            assert!(!refused(PrivateTargets::Allow, &own, address), "{address} was refused");
        }
        assert!(refused(PrivateTargets::Allow, &["203.0.113.9:443"], "203.0.113.9:443"));
    }

    // covers: S5
    #[test]
    fn a_closed_listener_is_a_target_again() {
        let own = OwnAddresses::default();
        let address: SocketAddr = "127.0.0.1:8473".parse().unwrap();
        own.add(address);
        let filter = TargetFilter { private_targets: PrivateTargets::Allow, own: own.clone() };
        assert!(filter.check_address(address).is_err());
        own.remove(address);
        assert!(filter.check_address(address).is_ok());
    }

    // covers: S5
    #[test]
    fn an_unresolved_target_is_judged_by_its_name() {
        let own = OwnAddresses::default();
        own.add("127.0.0.1:8473".parse().unwrap());
        let check = |private_targets, target: &str| {
            let filter = TargetFilter { private_targets, own: own.clone() };
            filter.check_unresolved(&Target::parse(target, Some(80)).unwrap()).is_ok()
        };
        let local = [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "router.home.arpa",
            "intranet",
            "169.254.169.254",
            "[::ffff:10.0.0.1]",
        ];
        for target in local {
            assert!(!check(PrivateTargets::Refuse, target), "{target} was allowed");
            assert!(check(PrivateTargets::Allow, target), "{target} was refused");
        }
        for target in ["localhost:8473", "a.localhost:8473", "127.0.0.1:8473", "[::1]:8473"] {
            assert!(!check(PrivateTargets::Allow, target), "{target} was allowed");
        }
        for target in ["example.com", "localhost.example.com", "notlocal.org", "8.8.8.8"] {
            assert!(check(PrivateTargets::Refuse, target), "{target} was refused");
        }
    }
}
