//! Profiles: the published contracts that clients of an origin already speak, as data (C4).
//!
//! A profile sets carriers, the form of keys, statuses, equality, what is final, waiting, retention and markers. It sets nothing in the
//! life of a record: where a contract's letter would repeat an effect that may have happened, doubt wins, and the profile's page under
//! `docs/profiles/` says so.

mod onceward;

use crate::{
    fingerprint::Equality,
    key::{Carriers, KeyRule},
    outcome::Policy,
};

/// One published contract.
#[derive(Clone, Debug)]
pub struct Profile {
    /// By which configuration names it, and the name of its page under `docs/profiles/`.
    pub name: &'static str,
    /// The fields that carry a key.
    pub carriers: Carriers,
    /// The member of a JSON body that carries one, as a name in its outermost object.
    pub body_member: Option<&'static str>,
    /// Which keys are accepted beside what K2 asks of all.
    pub key_rule: KeyRule,
    /// Whether a guarded route refuses a request without a key (K3).
    pub is_key_required: bool,
    /// The methods that are guarded, where a route does not name its own.
    pub methods: &'static [&'static str],
    /// What a key is unique in (K5).
    pub namespace: Namespace,
    /// When two bodies are equal (F1).
    pub equality: Equality,
    /// Waiting, leases, retention and what is final.
    pub policy: Policy,
    /// How its answers look.
    pub manner: Manner,
}

/// What a key is unique in (K5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// One namespace an actor: the same key on another route is a mismatch.
    Actor,
    /// A namespace a route of an actor.
    Route,
}

/// How the answers of a contract look where they differ from onceward's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The status of a problem type, by its slug, where the contract has another.
    pub statuses: &'static [(&'static str, u16)],
    /// The body of a refusal for a client that did not ask for Markdown or HTML.
    pub body: RefusalBody,
    /// Further fields of an answer that is given for the first time.
    pub first: &'static [(&'static str, &'static str)],
    /// Further fields of a replay.
    pub replayed: &'static [(&'static str, &'static str)],
    /// Further fields of a refusal.
    pub refused: &'static [(&'static str, &'static str)],
}

/// The body of a refusal for a client that did not ask for Markdown or HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalBody {
    /// RFC 9457 `application/problem+json`.
    Problem,
}

impl Manner {
    /// Onceward's own, which every contract begins from.
    pub const ONCEWARD: Self =
        Self { statuses: &[], body: RefusalBody::Problem, first: &[], replayed: &[], refused: &[] };
}

impl Profile {
    /// Every profile, in the order in which they are documented.
    pub const NAMES: &'static [&'static str] = &["onceward"];

    /// The profile of a name; `None` for one that there is not.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "onceward" => Some(Self::onceward()),
            _ => None,
        }
    }

    /// Whether a request with this method is guarded where its route does not say otherwise.
    #[must_use]
    pub fn guards(&self, method: &str) -> bool {
        self.methods.contains(&method)
    }
}
