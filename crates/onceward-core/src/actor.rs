//! Who a key belongs to, and the id under which a record is found (K4, K5, K6).

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use zeroize::Zeroizing;

use crate::{
    key::Key,
    secret::{Digest, Secret},
};

/// The customer of a shared instance; a single-tenant deployment has exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant(Box<str>);

impl Tenant {
    /// The tenant of a deployment that has only one.
    #[must_use]
    pub fn single() -> Self {
        Self("default".into())
    }

    /// A tenant by its configured name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// The configured name, which is not secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who a key belongs to: a session of the forward proxy, or a principal of an origin.
///
/// The identity may be a credential (an `Authorization` value, a cookie), so it has no `Display` and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Actor {
    source: &'static str,
    identity: Zeroizing<Vec<u8>>,
}

impl Actor {
    /// An actor read from one source (`authorization`, `cookie`, `session` …).
    ///
    /// The source is part of the identity: the same bytes in a cookie and in a header are two actors.
    #[must_use]
    pub fn new(source: &'static str, identity: &[u8]) -> Self {
        Self { source, identity: Zeroizing::new(identity.to_vec()) }
    }

    /// The one actor that all callers without credentials share, where policy allows that (K4).
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new("anonymous", b"")
    }

    /// What audit events and listings show instead of the identity.
    #[must_use]
    pub fn tag(&self, secret: &Secret, tenant: &Tenant) -> ActorTag {
        ActorTag(Tag::of(&self.within(tenant, secret.digest("actor-tag")).finish()))
    }

    /// Binds a digest to this actor of a tenant.
    pub(crate) fn within(&self, tenant: &Tenant, digest: Digest) -> Digest {
        digest.field(tenant.as_str().as_bytes()).field(self.source.as_bytes()).field(&self.identity)
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({}:..)", self.source)
    }
}

/// The namespace within which a key names one effect (K5, B2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One namespace an actor: the same key on another route is a mismatch.
    Actor,
    /// A namespace a route, named by its template.
    Route(Box<str>),
    /// A namespace an operation: method, origin, path and the operation that the body names (B2).
    Operation {
        /// The request method.
        method: Box<str>,
        /// Scheme and authority.
        origin: Box<str>,
        /// Path without query.
        path: Box<str>,
        /// What the body names (a GraphQL operation, a server action); empty where it names none.
        name: Box<str>,
    },
}

/// The id a record is stored under: HMAC-SHA-256 of tenant, actor, scope and key (K6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupId([u8; 32]);

impl LookupId {
    /// Derives the id of one key of one actor.
    #[must_use]
    pub fn of(secret: &Secret, tenant: &Tenant, actor: &Actor, scope: &Scope, key: &Key) -> Self {
        let digest = actor.within(tenant, secret.digest("lookup-id"));
        let digest = match scope {
            Scope::Actor => digest.field(b"actor"),
            Scope::Route(template) => digest.field(b"route").field(template.as_bytes()),
            Scope::Operation { method, origin, path, name } => digest
                .field(b"operation")
                .field(method.as_bytes())
                .field(origin.as_bytes())
                .field(path.as_bytes())
                .field(name.as_bytes()),
        };
        Self(digest.field(key.expose().as_bytes()).finish())
    }

    /// An id read back from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The stored bytes. Not secret: without the deployment's secret they say nothing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for LookupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LookupId({})", Tag::of(&self.0))
    }
}

/// Eight bytes of a keyed digest: enough to tell things apart in a listing, useless for guessing what it names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Tag([u8; 8]);

impl Tag {
    fn of(digest: &[u8; 32]) -> Self {
        let mut tag = [0; 8];
        for (short, byte) in tag.iter_mut().zip(digest) {
            *short = *byte;
        }
        Self(tag)
    }

    /// Reads 16 lower-case hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let well_formed =
            text.len() == 16 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Tag);

        impl $name {
            /// A tag read back from a store.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 8]) -> Self {
                Self(Tag(bytes))
            }

            /// The eight bytes that are stored.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 8] {
                &self.0.0
            }

            /// Reads the 16 lower-case hexadecimal digits that `Display` writes; `None` for anything else.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Tag::parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

tags! {
    /// What stands for an actor in audit events and listings (A1).
    ActorTag,
    /// What stands for a key in audit events and listings: its keyed fingerprint (A1, K6).
    KeyTag,
}

impl KeyTag {
    /// The tag of a key, the same for every actor and scope of the deployment, so that an operator can find it.
    #[must_use]
    pub fn of(secret: &Secret, key: &Key) -> Self {
        Self(Tag::of(&secret.digest("key-tag").field(key.expose().as_bytes()).finish()))
    }
}

/// What a record says of itself in listings and doubt pages: no key, no body, no query, no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The tenant's configured name.
    pub tenant: Tenant,
    /// Stands for the actor.
    pub actor: ActorTag,
    /// Stands for the key.
    pub key: KeyTag,
    /// What was asked, for a person: `POST https://shop.example/order`.
    pub effect: String,
}
