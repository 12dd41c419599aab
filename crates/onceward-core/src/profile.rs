//! Profiles: the published contracts that clients of an origin already speak, as data (C4).
//!
//! A profile sets carriers, the form of keys, statuses, equality, what is final, waiting, retention and markers. It sets nothing in the
//! life of a record: where a contract's letter would repeat an effect that may have happened, doubt wins, and the profile's page under
//! `docs/profiles/` says so.

mod acp;
mod adcp;
mod adcp_mcp;
mod idempot_js;
mod idemstep;
mod ietf_07;
mod oasis;
mod onceward;
mod paypal;
mod stripe_v1;
mod ucp;

use core::time::Duration;

use crate::{
    fingerprint::Equality,
    key::{Carriers, KEY_SKEW_MAX, KeyInvalid, KeyPath, KeyRule},
    outcome::Policy,
    problem::Form,
    refusal::{Effect, Refusal},
    time::Timestamp,
};

/// One published contract.
#[derive(Clone, Debug)]
pub struct Profile {
    /// By which configuration names it, and the name of its page under `docs/profiles/`.
    pub name: &'static str,
    /// The fields that carry a key; none where only the body does.
    pub carriers: Carriers,
    /// The member of a JSON body that carries one. A field and the member that disagree are refused.
    pub body_member: Option<KeyPath>,
    /// The field (lower-case) in which a key's time of issue travels as an HTTP date (RFC 9110, 5.6.7). Every request that carries a key
    /// is held against it by [`check_issue`], before anything is claimed.
    pub issue_field: Option<&'static str>,
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
    /// A namespace a method and path of an actor, without the query: the same key elsewhere is another key.
    Operation,
}

/// How the answers of a contract look where they differ from onceward's own, whose fields (O3, C2) they carry as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The status of a problem type, by its slug, where the contract has another.
    pub statuses: &'static [(&'static str, u16)],
    /// The body of a refusal for a client that did not ask for Markdown or HTML.
    pub body: RefusalBody,
    /// The contract's own code of a problem type, by its slug. Every other type goes by its slug, spelled as [`RefusalBody`] says.
    pub codes: &'static [(&'static str, &'static str)],
    /// The request fields (lower-case) whose value every answer to it repeats as it was sent, the refusals included.
    pub echo: &'static [&'static str],
    /// Further fields of an answer that is given for the first time, whatever it is worth.
    pub first: &'static [(&'static str, &'static str)],
    /// Further fields of a replay.
    pub replayed: &'static [(&'static str, &'static str)],
    /// Further fields of a refusal after which nothing has happened and nothing will under this key; see [`Manner::marks`].
    pub refused: &'static [(&'static str, &'static str)],
    /// Further fields of a refusal about a request that was let in before: it runs, its answer is gone, or nobody knows.
    pub unsettled: &'static [(&'static str, &'static str)],
}

/// The body of a refusal for a client that did not ask for Markdown or HTML.
///
/// `{…}` stands for the members of onceward's problems that the shape has no place for: `retryable`, `effect`, `retry`, `next_action` and
/// the like. Where a contract's schema admits no further members, the message ends with the next action in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalBody {
    /// RFC 9457 `application/problem+json`.
    Problem,
    /// `{"error":{"type","code","message","doc_url",{…}}}`; codes as `key_reused`.
    Stripe,
    /// `{"type","code","message"}`, closed; codes as `key_reused`.
    Acp,
    /// `{"code","content",{…}}`; codes as `key_reused`.
    Ucp,
    /// `{"status":"failed","adcp_error":{…},"errors":[{"code","message","recovery","suggestion",{…}}]}`; codes as `KEY_REUSED`.
    Adcp,
    /// `{"error":{"code","message","innererror":{…}}}`; codes as `key-reused`.
    OData,
    /// `{"name","message","debug_id","details":[{"issue","description"}],"links":[…],{…}}`; issues as `KEY_REUSED`.
    PayPal,
}

impl Manner {
    /// Onceward's own, which every contract begins from.
    pub const ONCEWARD: Self = Self {
        statuses: &[],
        body: RefusalBody::Problem,
        codes: &[],
        echo: &[],
        first: &[],
        replayed: &[],
        refused: &[],
        unsettled: &[],
    };

    /// The status of a refusal.
    #[must_use]
    pub fn status(&self, refusal: &Refusal) -> u16 {
        let problem_type = refusal.problem_type();
        find(self.statuses, problem_type.slug).unwrap_or(problem_type.status)
    }

    /// The contract's own code of a problem type; `None` where it has none.
    #[must_use]
    pub fn code(&self, slug: &str) -> Option<&'static str> {
        find(self.codes, slug)
    }

    /// The value of `Content-Type` of a refusal in one form.
    #[must_use]
    pub const fn content_type(&self, form: Form) -> &'static str {
        match (form, self.body) {
            (Form::Json, RefusalBody::Problem) | (Form::Markdown | Form::Html, _) => form.content_type(),
            (Form::Json, _) => "application/json",
        }
    }

    /// The further fields of a refusal.
    ///
    /// A client may take a contract's word for "rejected" as leave to ask again under a new key, so it is said only where the request
    /// changed nothing, and of a key whose time is over, which every contract that has such a word calls rejected.
    #[must_use]
    pub const fn marks(&self, refusal: &Refusal) -> &'static [(&'static str, &'static str)] {
        match (refusal, refusal.effect()) {
            (Refusal::KeyExpired { .. }, _) | (_, Effect::None) => self.refused,
            (_, Effect::Done | Effect::Unknown) => self.unsettled,
        }
    }
}

fn find<T: Copy>(table: &[(&str, T)], slug: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == slug).map(|(_, value)| *value)
}

/// Holds a key's time of issue, as it came in [`Profile::issue_field`], against the present.
///
/// It is only ever used to refuse. `issued` is `None` where the field is missing, stands twice or holds no HTTP date; reading it is the
/// adapter's part, since the core has no calendar.
///
/// # Errors
/// 400 `key-invalid` without a date, or with one over [`KEY_SKEW_MAX`] ahead; `key-expired` where it lies further back than `retention`,
/// so that the key may have been used and forgotten.
pub fn check_issue(issued: Option<Timestamp>, now: Timestamp, retention: Duration) -> Result<(), Refusal> {
    let Some(issued) = issued else { return Err(Refusal::KeyInvalid(KeyInvalid::Undated)) };
    if issued > now.after(KEY_SKEW_MAX) {
        return Err(Refusal::KeyInvalid(KeyInvalid::FromTheFuture));
    }
    if issued.after(retention) < now {
        return Err(Refusal::KeyExpired { effect: Effect::Unknown });
    }
    Ok(())
}

impl Profile {
    /// Every profile, in the order in which they are documented.
    pub const NAMES: &'static [&'static str] = &[
        "onceward",
        "ietf-07",
        "stripe-v1",
        "acp",
        "ucp",
        "adcp",
        "adcp-mcp",
        "oasis",
        "paypal",
        "idemstep",
        "idempot-js",
    ];

    /// The profile of a name; `None` for one that there is not.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "onceward" => Some(Self::onceward()),
            "ietf-07" => Some(Self::ietf_07()),
            "stripe-v1" => Some(Self::stripe_v1()),
            "acp" => Some(Self::acp()),
            "ucp" => Some(Self::ucp()),
            "adcp" => Some(Self::adcp()),
            "adcp-mcp" => Some(Self::adcp_mcp()),
            "oasis" => Some(Self::oasis()),
            "paypal" => Some(Self::paypal()),
            "idemstep" => Some(Self::idemstep()),
            "idempot-js" => Some(Self::idempot_js()),
            _ => None,
        }
    }

    /// Whether a request with this method is guarded where its route does not say otherwise.
    #[must_use]
    pub fn guards(&self, method: &str) -> bool {
        self.methods.contains(&method)
    }
}
