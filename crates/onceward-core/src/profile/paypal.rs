//! `paypal`: PayPal's REST APIs, "Idempotency", and the descriptions of `PayPal-Request-Id`.

use core::time::Duration;

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KeyForm, KeyRule},
    outcome::{Policy, StatusSet},
    profile::{Manner, Namespace, Profile, RefusalBody},
};

impl Profile {
    /// Orders v2 for the key's length, Payments v2 for how long it is stored, being the strictest and the longest.
    #[must_use]
    pub fn paypal() -> Self {
        Self {
            name: "paypal",
            carriers: Carriers::new(&["paypal-request-id"]),
            body_member: None,
            issue_field: None,
            key_rule: KeyRule { chars_min: 1, chars_max: 108, form: KeyForm::Any },
            is_key_required: false,
            methods: &["POST"],
            namespace: Namespace::Route,
            equality: Equality::Canonical(Volatile::none()),
            policy: Policy {
                wait: Duration::ZERO,
                retention: Duration::from_secs(45 * 24 * 60 * 60),
                doubtful_statuses: StatusSet::NONE.with(500, 599),
                ..Policy::middleware()
            },
            manner: Manner {
                body: RefusalBody::PayPal,
                codes: &[
                    ("key-missing", "PAYPAL_REQUEST_ID_REQUIRED"),
                    ("key-reused", "PAYPAL_REQUEST_ID_PREVIOUSLY_USED"),
                    ("in-progress", "PREVIOUS_REQUEST_IN_PROGRESS"),
                ],
                ..Manner::ONCEWARD
            },
        }
    }
}
