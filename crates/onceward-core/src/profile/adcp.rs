//! `adcp`: the Ad Context Protocol 3.x, "Security", Idempotency.

use core::time::Duration;

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KEY_CHARS_MAX, KeyForm, KeyPath, KeyRule},
    outcome::{Policy, StatusSet},
    profile::{Manner, Namespace, Profile, RefusalBody},
};

/// What a body's comparison leaves out: a closed list, with [`CREDENTIALS`].
const EXCLUDED: &[&str] = &["idempotency_key", "context", "governance_context"];

/// Where a task's secret for its webhooks stands, which may be another at each try.
const CREDENTIALS: [&str; 3] = ["push_notification_config", "authentication", "credentials"];

impl Profile {
    /// The key travels in the body; only success is an outcome; a key whose time is over is refused.
    #[must_use]
    pub fn adcp() -> Self {
        Self {
            name: "adcp",
            carriers: Carriers::new(&[]),
            body_member: Some(KeyPath::members(&["idempotency_key"])),
            issue_field: None,
            // `^[A-Za-z0-9_.:-]{16,255}$`
            key_rule: KeyRule { chars_min: 16, chars_max: KEY_CHARS_MAX, form: KeyForm::Word },
            is_key_required: true,
            methods: &["POST"],
            namespace: Namespace::Actor,
            equality: Equality::Canonical(Volatile::members(EXCLUDED, &[&CREDENTIALS])),
            policy: Policy {
                wait: Duration::ZERO,
                // Rule 3: no error is stored. A 4xx is the agent's own word that the task was not done; 408 and 421 may be a proxy's.
                released_statuses: StatusSet::NONE.with(400, 407).with(409, 420).with(422, 499),
                doubtful_statuses: StatusSet::NONE.with(500, 599),
                ..Policy::middleware()
            },
            manner: Manner {
                body: RefusalBody::Adcp,
                codes: &[
                    ("key-invalid", "INVALID_REQUEST"),
                    ("key-missing", "INVALID_REQUEST"),
                    ("body-invalid", "INVALID_REQUEST"),
                    ("actor-unknown", "AUTH_INVALID"),
                    ("key-reused", "IDEMPOTENCY_CONFLICT"),
                    ("in-progress", "IDEMPOTENCY_IN_FLIGHT"),
                    ("key-expired", "IDEMPOTENCY_EXPIRED"),
                    // Rule 6: fail closed where "never seen" and "evicted" cannot be told apart.
                    ("history-lost", "IDEMPOTENCY_EXPIRED"),
                    ("store-unavailable", "SERVICE_UNAVAILABLE"),
                    ("upstream-unreachable", "SERVICE_UNAVAILABLE"),
                    ("overloaded", "SERVICE_UNAVAILABLE"),
                ],
                ..Manner::ONCEWARD
            },
        }
    }
}
