//! `onceward`: this project's own contract, `docs/protocol.md`.

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KeyRule},
    outcome::Policy,
    profile::{Manner, Namespace, Profile},
};

impl Profile {
    /// What `docs/protocol.md` says, with `Idempotency-Key` and `X-Idempotency-Key` as carriers.
    #[must_use]
    pub fn onceward() -> Self {
        Self {
            name: "onceward",
            carriers: Carriers::new(&["idempotency-key", "x-idempotency-key"]),
            body_member: None,
            issue_field: None,
            key_rule: KeyRule::ANY,
            is_key_required: false,
            methods: &["POST", "PATCH", "PUT", "DELETE"],
            namespace: Namespace::Actor,
            equality: Equality::Canonical(Volatile::common()),
            policy: Policy::middleware(),
            manner: Manner::ONCEWARD,
        }
    }
}
