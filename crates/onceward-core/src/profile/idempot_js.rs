//! `idempot-js`: the contract of the idempot-js 1.0 middleware for Express, Fastify and Hono.

use core::time::Duration;

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KEY_CHARS_MAX, KeyForm, KeyRule},
    outcome::Policy,
    profile::{Manner, Namespace, Profile},
};

impl Profile {
    /// The draft's statuses as RFC 9457 problems, with required keys of at least a nanoid's length.
    #[must_use]
    pub fn idempot_js() -> Self {
        Self {
            name: "idempot-js",
            carriers: Carriers::ietf(),
            body_member: None,
            issue_field: None,
            key_rule: KeyRule { chars_min: 21, chars_max: KEY_CHARS_MAX, form: KeyForm::Any },
            is_key_required: true,
            methods: &["POST", "PATCH"],
            namespace: Namespace::Actor,
            equality: Equality::Canonical(Volatile::none()),
            policy: Policy { wait: Duration::ZERO, ..Policy::middleware() },
            manner: Manner { replayed: &[("x-idempotent-replayed", "true")], ..Manner::ONCEWARD },
        }
    }
}
