//! `oasis`: OASIS Repeatable Requests Version 1.0, Committee Specification 01 (7 July 2020).

use core::time::Duration;

use crate::{
    fingerprint::Equality,
    key::{Carriers, KeyRule},
    outcome::{Policy, StatusSet},
    profile::{Manner, Namespace, Profile, RefusalBody},
};

const ACCEPTED: &[(&str, &str)] = &[("repeatability-result", "accepted")];
const REJECTED: &[(&str, &str)] = &[("repeatability-result", "rejected")];

impl Profile {
    /// A request says when it was first sent, and one that is older than what is remembered is refused with 412.
    #[must_use]
    pub fn oasis() -> Self {
        Self {
            name: "oasis",
            carriers: Carriers::new(&["repeatability-request-id"]),
            body_member: None,
            issue_field: Some("repeatability-first-sent"),
            key_rule: KeyRule::ANY,
            is_key_required: false,
            methods: &["POST", "PUT", "PATCH", "DELETE"],
            // "Globally unique for all time".
            namespace: Namespace::Actor,
            equality: Equality::Bytes,
            policy: Policy {
                wait: Duration::ZERO,
                doubtful_statuses: StatusSet::NONE.with(500, 599),
                ..Policy::middleware()
            },
            manner: Manner {
                statuses: &[("key-reused", 400), ("key-expired", 412), ("history-lost", 412)],
                body: RefusalBody::OData,
                first: ACCEPTED,
                replayed: ACCEPTED,
                refused: REJECTED,
                unsettled: ACCEPTED,
                ..Manner::ONCEWARD
            },
        }
    }
}
