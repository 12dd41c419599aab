//! What an adapter decides by a request's head, before anything is read or run.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, request::Parts};
use onceward_core::{
    actor::{Actor, Scope, Tenant},
    fingerprint::Equality,
    key::{Carriers, Key, KeyPath, KeyRule},
    outcome::Policy,
    profile::Manner,
    refusal::Refusal,
    twin::TwinRule,
};
use onceward_engine::{Consent, Undated};
use zeroize::Zeroizing;

use crate::{contract::Page, origin::Demand, webhook::Webhooks};

/// Decides which requests are guarded, and how.
pub trait Rules: Clone + Send + Sync + 'static {
    /// Judges a request by its head. Fields that must not reach the inner service are removed here.
    fn judge(&self, head: &mut Parts) -> Judgement;

    /// Names the operation that a guarded request is (K5, B2), once its body is there, its content encoding undone.
    fn scope(&self, head: &Parts, body: &[u8]) -> Scope;

    /// What resolvers will need of a guarded request, whole as it came, kept sealed until its effect is known to be over (D2); by default
    /// nothing, and nobody looks.
    fn keep(&self, _head: &Parts, _origin: Option<&Origin>, _content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        None
    }

    /// Adds what the answers of guarded routes say of their origin (C1); by default nothing.
    fn advertise(&self, _headers: &mut HeaderMap) {}
}

/// Says what is kept of a guarded request for resolvers (D2): its head, scheme and authority where it was proxied, and its body as it came.
#[derive(Clone)]
pub struct Keeper(Arc<KeepFn>);

type KeepFn = dyn Fn(&Parts, Option<&Origin>, &[u8]) -> Option<Zeroizing<Vec<u8>>> + Send + Sync;

impl Keeper {
    /// Keeps what `keep` makes of a request; nothing where that is `None`.
    pub fn new<K>(keep: K) -> Self
    where
        K: Fn(&Parts, Option<&Origin>, &[u8]) -> Option<Zeroizing<Vec<u8>>> + Send + Sync + 'static,
    {
        Self(Arc::new(keep))
    }

    /// What is kept of this request.
    #[must_use]
    pub fn keep(&self, head: &Parts, origin: Option<&Origin>, content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        (self.0)(head, origin, content)
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper(..)")
    }
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Judgement {
    /// It goes through untouched.
    Pass,
    /// A request of a guarded route without a key: it goes through, and its answer says what the route accepts. Whoever lets it
    /// pass counts it as unprotected.
    PassUnkeyed,
    /// The guard itself answers.
    Tell(Page),
    /// It is for the guard itself: a verdict, perhaps.
    Hear {
        /// Who may post one.
        webhooks: Webhooks,
        /// Whose effects it may be about.
        tenant: Tenant,
    },
    /// It goes no further.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// The key it carried, given back in the problem.
        key: Option<Key>,
        /// How the refusal looks.
        manner: Manner,
    },
    /// Its key may be in its body.
    SeekKey(Box<SeekKey>),
    /// It runs once.
    Guard(Box<Plan>),
}

/// How one request is guarded.
#[derive(Debug)]
pub struct Plan {
    /// The customer of a shared instance.
    pub tenant: Tenant,
    /// Who the key belongs to.
    pub actor: Actor,
    /// The client's name for the action.
    pub key: Key,
    /// Which fields carry keys, so that none is taken from a trailer (K2).
    pub carriers: Carriers,
    /// The member of a JSON body that may repeat the key and must not name another.
    pub body_member: Option<KeyPath>,
    /// Scheme and authority where they are part of what is asked (F3).
    pub origin: Option<Origin>,
    /// When two bodies are equal (F1).
    pub equality: Arc<Equality>,
    /// What a body that has no canonical form means.
    pub unreadable: Unreadable,
    /// What the route decides.
    pub policy: Arc<Policy>,
    /// Whether the request must say what it means (F5); `None` where what it says is not ours to check.
    pub intent: Option<Demand>,
    /// The fields of an answer that are kept beside its framing; `None` keeps all that O2 lets.
    pub kept_fields: Option<Arc<[HeaderName]>>,
    /// How answers look.
    pub manner: Manner,
    /// What an unknown key without a time of issue means after history was lost (T5).
    pub undated: Undated,
    /// How effects of other keys that mean the same are told; `None` where they do not stand in its way (P5).
    pub twins: Option<TwinPlan>,
}

/// How effects are told that mean what this request does, and what its caller says about them (P5).
#[derive(Clone, Debug)]
pub struct TwinPlan {
    /// By what, and for how long.
    pub rule: TwinRule,
    /// The request's `Effect-Confirm`, which goes no further.
    pub consent: Consent,
}

/// A request whose head has no key, on a route whose keys may be in the body.
pub struct SeekKey {
    /// The member that would carry it.
    pub member: KeyPath,
    /// Whether a request without a key is refused.
    pub is_required: bool,
    /// Which keys are accepted.
    pub rule: KeyRule,
    /// How many bytes are read for it.
    pub request_bytes_max: usize,
    /// Which fields carry keys, so that none is taken from a trailer (K2).
    pub carriers: Carriers,
    /// How a refusal looks.
    pub manner: Manner,
    /// Everything else, once there is a key.
    pub plan: Box<dyn FnOnce(Key) -> Plan + Send>,
}

impl fmt::Debug for SeekKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeekKey").field("member", &self.member).finish_non_exhaustive()
    }
}

/// Scheme and authority of a proxied request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// Host, and port where it is not the scheme's own.
    pub authority: String,
}

/// What a body that has no canonical form means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// 400 `body-invalid` with the place: the origin is ours, and two readings of a body are two requests.
    Refuse,
    /// Its bytes are compared: the site is not ours, and what it accepts is its own matter.
    CompareBytes,
}
