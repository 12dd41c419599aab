//! `acp`: the Agentic Commerce Protocol, RFC "Agentic Checkout" section 6 (specification 2026-04-17).

use core::time::Duration;

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KeyRule},
    outcome::{Policy, StatusSet},
    profile::{Manner, Namespace, Profile, RefusalBody},
    record::AfterRetention,
};

impl Profile {
    /// Every POST needs a key, scoped to identity and path; bodies are compared as JSON values; 5xx is never an outcome.
    #[must_use]
    pub fn acp() -> Self {
        Self {
            name: "acp",
            carriers: Carriers::ietf(),
            body_member: None,
            issue_field: None,
            key_rule: KeyRule::ANY,
            is_key_required: true,
            methods: &["POST"],
            namespace: Namespace::Operation,
            equality: Equality::Canonical(Volatile::none()),
            policy: Policy {
                wait: Duration::ZERO,
                after_retention: AfterRetention::Execute,
                // 6.5 would run a retry afresh; without the origin's word that nothing happened, that could be a second order.
                doubtful_statuses: StatusSet::NONE.with(500, 599),
                ..Policy::middleware()
            },
            manner: Manner {
                body: RefusalBody::Acp,
                codes: &[
                    ("key-missing", "idempotency_key_required"),
                    ("key-reused", "idempotency_conflict"),
                    ("in-progress", "idempotency_in_flight"),
                ],
                echo: &["idempotency-key", "request-id"],
                ..Manner::ONCEWARD
            },
        }
    }
}
