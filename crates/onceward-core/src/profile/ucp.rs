//! `ucp`: the Universal Commerce Protocol, "Message Signatures", Replay Protection, and the REST bindings.

use core::time::Duration;

use crate::{
    fingerprint::Equality,
    key::{Carriers, KEY_CHARS_MAX, KeyForm, KeyRule},
    outcome::Policy,
    profile::{Manner, Namespace, Profile, RefusalBody},
};

impl Profile {
    /// Bodies are compared by their bytes; another body under a key is 409; outcomes are kept for two days.
    #[must_use]
    pub fn ucp() -> Self {
        Self {
            name: "ucp",
            carriers: Carriers::ietf(),
            body_member: None,
            issue_field: None,
            // "Minimum 128 bits (e.g., UUID v4, 22+ char alphanumeric)".
            key_rule: KeyRule { chars_min: 22, chars_max: KEY_CHARS_MAX, form: KeyForm::Any },
            is_key_required: true,
            methods: &["POST", "PUT"],
            namespace: Namespace::Route,
            equality: Equality::Bytes,
            policy: Policy { retention: Duration::from_secs(48 * 60 * 60), ..Policy::middleware() },
            manner: Manner { statuses: &[("key-reused", 409)], body: RefusalBody::Ucp, ..Manner::ONCEWARD },
        }
    }
}
