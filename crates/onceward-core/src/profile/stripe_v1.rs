//! `stripe-v1`: Stripe's API v1, "Idempotent requests" and "Advanced error handling".

use core::time::Duration;

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KeyRule},
    outcome::Policy,
    profile::{Manner, Namespace, Profile, RefusalBody},
    record::AfterRetention,
};

impl Profile {
    /// Every answer is kept, 500 included; a key is pruned after a day and new from then on.
    #[must_use]
    pub fn stripe_v1() -> Self {
        Self {
            name: "stripe-v1",
            carriers: Carriers::ietf(),
            body_member: None,
            issue_field: None,
            key_rule: KeyRule::ANY,
            is_key_required: false,
            // "All POST requests accept idempotency keys"; on GET and DELETE they have no effect.
            methods: &["POST"],
            // `idempotency_error` also where the endpoint is another one.
            namespace: Namespace::Actor,
            equality: Equality::Canonical(Volatile::none()),
            policy: Policy {
                wait: Duration::ZERO,
                after_retention: AfterRetention::Execute,
                ..Policy::middleware()
            },
            manner: Manner {
                statuses: &[("key-reused", 400)],
                body: RefusalBody::Stripe,
                codes: &[("in-progress", "idempotency_key_in_use")],
                echo: &["idempotency-key"],
                ..Manner::ONCEWARD
            },
        }
    }
}
