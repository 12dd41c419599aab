//! What an adapter decides by a request's head, before anything is read or run.

use std::sync::Arc;

use http::request::Parts;
use onceward_core::{
    actor::{Actor, Scope, Tenant},
    fingerprint::Equality,
    key::{Carriers, Key},
    outcome::Policy,
    refusal::Refusal,
};
use onceward_engine::Undated;

/// Decides which requests are guarded, and how.
pub trait Rules: Clone + Send + Sync + 'static {
    /// Judges a request by its head. Fields that must not reach the inner service are removed here.
    fn judge(&self, head: &mut Parts) -> Judgement;

    /// Names the operation that a guarded request is (K5, B2), once its body is there, its content encoding undone.
    fn scope(&self, head: &Parts, body: &[u8]) -> Scope;
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Judgement {
    /// It goes through untouched.
    Pass,
    /// It goes no further.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// The key it carried, given back in the problem.
        key: Option<Key>,
    },
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
    /// Scheme and authority where they are part of what is asked (F3).
    pub origin: Option<Origin>,
    /// When two bodies are equal (F1).
    pub equality: Arc<Equality>,
    /// What a body that has no canonical form means.
    pub unreadable: Unreadable,
    /// What the route decides.
    pub policy: Arc<Policy>,
    /// What an unknown key without a time of issue means after history was lost (T5).
    pub undated: Undated,
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
