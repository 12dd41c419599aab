//! `idemstep`: the contract of the idemstep 0.6 proxy for agents' browsers.

use crate::{
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, KeyRule},
    outcome::Policy,
    profile::{Manner, Namespace, Profile},
};

impl Profile {
    /// The key alone says which action is meant: a body that drifted replays, and a duplicate waits for the first.
    #[must_use]
    pub fn idemstep() -> Self {
        Self {
            name: "idemstep",
            carriers: Carriers::forward_proxy(),
            body_member: None,
            issue_field: None,
            key_rule: KeyRule::ANY,
            is_key_required: false,
            methods: &["POST", "PATCH", "PUT", "DELETE"],
            // Since any body replays, another path must be another action.
            namespace: Namespace::Operation,
            equality: Equality::Canonical(Volatile::common()),
            policy: Policy::forward_proxy(),
            manner: Manner { replayed: &[("x-idem-replayed", "true")], ..Manner::ONCEWARD },
        }
    }
}
