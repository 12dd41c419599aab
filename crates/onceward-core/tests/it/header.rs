//! Which fields travel and which are kept.

use onceward_core::header::{Cookies, IntentStatus, is_hop_by_hop, is_kept};

/// Fields of one connection: RFC 9110, 7.6.1 and 11.7; RFC 9113, 8.2.2.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// End-to-end, but true of one exchange only (O2, O3), or ours to set.
const OF_ONE_EXCHANGE: [&str; 9] = [
    "age",
    "authentication-info",
    "content-length",
    "date",
    "idempotency-key-consumed",
    "idempotent-replayed",
    "intent-status",
    "server-timing",
    "www-authenticate",
];

/// What makes an answer this answer.
const KEPT: [&str; 14] = [
    "cache-control",
    "content-encoding",
    "content-language",
    "content-security-policy",
    "content-type",
    "etag",
    "expires",
    "idempotency-key",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "vary",
    "x-request-id",
];

// covers: O2
#[test]
fn fields_of_one_connection_neither_travel_nor_stay() {
    for name in HOP_BY_HOP {
        let found = (is_hop_by_hop(name), is_kept(name, Cookies::Keep), is_kept(name, Cookies::Drop));
        assert_eq!(found, (true, false, false), "{name}");
    }
}

// covers: O2, O3
#[test]
fn fields_of_one_exchange_travel_and_do_not_stay() {
    for name in OF_ONE_EXCHANGE {
        let found = (is_hop_by_hop(name), is_kept(name, Cookies::Keep), is_kept(name, Cookies::Drop));
        assert_eq!(found, (false, false, false), "{name}");
    }
}

// covers: O2
#[test]
fn every_other_field_stays() {
    for name in KEPT {
        let found = (is_hop_by_hop(name), is_kept(name, Cookies::Keep), is_kept(name, Cookies::Drop));
        assert_eq!(found, (false, true, true), "{name}");
    }
}

// covers: O2
#[test]
fn cookies_stay_where_the_policy_keeps_them() {
    assert!(!is_hop_by_hop("set-cookie"));
    assert!(is_kept("set-cookie", Cookies::Keep));
    assert!(!is_kept("set-cookie", Cookies::Drop));
}

// covers: C2
#[test]
fn an_intents_status_is_one_of_the_protocols_words() {
    let words = [
        (IntentStatus::Committed, "committed"),
        (IntentStatus::Replayed, "replayed"),
        (IntentStatus::Mismatch, "mismatch"),
        (IntentStatus::InProgress, "in-progress"),
        (IntentStatus::Unknown, "unknown"),
        (IntentStatus::Cancelled, "cancelled"),
        (IntentStatus::Expired, "expired"),
        (IntentStatus::Unguarded, "unguarded"),
    ];
    for (status, word) in words {
        assert_eq!(status.as_str(), word);
    }
}
