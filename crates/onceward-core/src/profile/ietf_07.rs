//! `ietf-07`: draft-ietf-httpapi-idempotency-key-header-07 (15 October 2025).

use core::time::Duration;

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KeyRule},
    outcome::Policy,
    profile::{Manner, Namespace, Profile},
};

impl Profile {
    /// The draft as it stands: `docs/ietf-07.md` goes through it sentence by sentence.
    #[must_use]
    pub fn ietf_07() -> Self {
        Self {
            name: "ietf-07",
            carriers: Carriers::ietf(),
            body_member: None,
            issue_field: None,
            key_rule: KeyRule::ANY,
            // "A documented idempotent operation requiring this header" (2.7): which ones do is for the origin's routes to say.
            is_key_required: false,
            methods: &["POST", "PATCH"],
            namespace: Namespace::Actor,
            equality: Equality::Canonical(Volatile::common()),
            // 2.6: a concurrent request gets "a resource conflict error".
            policy: Policy { wait: Duration::ZERO, ..Policy::middleware() },
            manner: Manner::ONCEWARD,
        }
    }
}
