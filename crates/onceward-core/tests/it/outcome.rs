//! What an answer says of its effect, against `vectors/outcome.json`.

use std::time::Duration;

use onceward_core::header::Cookies;
use onceward_core::outcome::{
    Content, Finality, OnPanic, Outcome, Policy, Statuses, Untouched, WhenStoreDown,
};
use onceward_core::record::{AfterRetention, DoubtReason, OnLapse, OnMismatch, Terms};
use onceward_core::time::Timestamp;
use serde::Deserialize;

use crate::vectors;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "description")]
    _description: String,
    statuses: Vec<StatusRow>,
    consumed: Vec<ConsumedRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusRow {
    description: String,
    source: String,
    statuses: (u16, u16),
    handler: String,
    upstream: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumedRow {
    description: String,
    source: String,
    consumed: bool,
    finality: String,
}

fn cases() -> Vectors {
    vectors::read(include_str!("../../../../vectors/outcome.json"))
}

fn finality(word: &str, status: u16) -> Finality {
    match word {
        "final" => Finality::Final,
        "released" => Finality::Released(Untouched::Declined(status)),
        "not-consumed" => Finality::Released(Untouched::NotConsumed),
        "doubtful" => Finality::Doubtful(DoubtReason::AmbiguousStatus(status)),
        other => panic!("unknown finality {other}"),
    }
}

fn policies() -> [Policy; 2] {
    let upstream = Policy { statuses: Statuses::Upstream, ..Policy::middleware() };
    [Policy { statuses: Statuses::Handler, ..Policy::middleware() }, upstream]
}

// covers: L12
#[test]
fn a_holder_uses_four_fifths_of_its_lease() {
    let policy = Policy { lease: Duration::from_secs(15), ..Policy::middleware() };
    assert_eq!(policy.lease_usable(), Duration::from_secs(12));
}

// covers: O4
#[test]
fn each_status_is_final_released_or_doubtful() {
    let [handler, upstream] = policies();
    let mut next = 200;
    for row in cases().statuses {
        let (first, last) = row.statuses;
        assert_eq!(first, next, "the rows leave nothing out");
        next = last + 1;
        for status in first..=last {
            let found = (handler.finality(status, None), upstream.finality(status, None));
            let expected = (finality(&row.handler, status), finality(&row.upstream, status));
            assert_eq!(found, expected, "{status}: {} ({})", row.description, row.source);
        }
    }
    assert_eq!(next, 600);
}

// covers: L5, O4
#[test]
fn the_origins_own_word_outranks_every_status() {
    for row in cases().consumed {
        for policy in policies() {
            for status in 200..600 {
                let found = policy.finality(status, Some(row.consumed));
                let expected = finality(&row.finality, status);
                assert_eq!(found, expected, "{status}: {} ({})", row.description, row.source);
            }
        }
    }
}

// covers: B2, O2, O4
#[test]
fn the_proxys_policy_differs_where_the_protocol_says_so() {
    let middleware = Policy::middleware();
    let proxy = Policy::forward_proxy();
    assert_eq!(
        (proxy.on_mismatch, proxy.statuses, proxy.cookies),
        (OnMismatch::Replay, Statuses::Upstream, Cookies::Keep)
    );
    assert_eq!(
        (middleware.on_mismatch, middleware.statuses, middleware.cookies),
        (OnMismatch::Refuse, Statuses::Handler, Cookies::Drop)
    );
    let (on_mismatch, statuses, cookies, wait) =
        (middleware.on_mismatch, middleware.statuses, middleware.cookies, middleware.wait);
    assert_eq!(Policy { on_mismatch, statuses, cookies, wait, ..proxy }, middleware);
}

// covers: L3, L4, L12, O5, O7, S1, T1, T2, W1
#[test]
fn the_defaults_are_the_protocols() {
    let policy = Policy::middleware();
    let hour = Duration::from_secs(60 * 60);
    let mebibyte = 1_048_576;
    assert_eq!((policy.on_panic, policy.outcome_bytes_max), (OnPanic::Doubt, mebibyte));
    assert_eq!(
        policy.when_store_down,
        WhenStoreDown::Closed,
        "a store that is down costs requests, never a second effect"
    );
    assert_eq!(policy.request_bytes_max, 16 * mebibyte);
    // A server's client has other work and asks again; a browser shows whatever it gets, so the proxy is patient.
    assert_eq!(
        (policy.wait, Policy::forward_proxy().wait),
        (Duration::from_secs(5), Duration::from_secs(60))
    );
    assert_eq!(policy.run_time_max, hour / 4);
    let expected = Terms {
        lease: policy.lease,
        on_lapse: OnLapse::Doubt,
        retention: 24 * hour,
        remember: 400 * 24 * hour,
        after_retention: AfterRetention::Refuse,
        on_mismatch: OnMismatch::Refuse,
    };
    assert_eq!(policy.terms(), expected);
}

#[test]
fn what_goes_into_the_record_is_the_routes_own_choice() {
    let policy = Policy {
        lease: Duration::from_secs(1),
        on_lapse: OnLapse::Execute,
        retention: Duration::from_secs(2),
        remember: Duration::from_secs(3),
        after_retention: AfterRetention::Execute,
        on_mismatch: OnMismatch::Replay,
        ..Policy::middleware()
    };
    let expected = Terms {
        lease: Duration::from_secs(1),
        on_lapse: OnLapse::Execute,
        retention: Duration::from_secs(2),
        remember: Duration::from_secs(3),
        after_retention: AfterRetention::Execute,
        on_mismatch: OnMismatch::Replay,
    };
    assert_eq!(policy.terms(), expected);
}

// covers: K6
#[test]
fn debug_text_shows_how_much_and_not_what() {
    let texts = [
        (Content::Kept(b"order 4711".to_vec()), "Kept(10 bytes)"),
        (Content::NotKept { len: 2_000_000, sha256: [7; 32] }, "NotKept(2000000 bytes)"),
        (Content::None { announced_len: Some(5) }, "None(Some(5))"),
        (Content::None { announced_len: None }, "None(None)"),
    ];
    for (content, text) in texts {
        assert_eq!(format!("{content:?}"), text);
    }
}

// covers: A2, L5
#[test]
fn each_proof_has_a_name_of_its_own() {
    let names = [
        (Untouched::ConnectFailed, "connect-failed"),
        (Untouched::TlsFailed, "tls-failed"),
        (Untouched::ProxyHandshakeFailed, "proxy-handshake-failed"),
        (Untouched::TargetRefused, "target-refused"),
        (Untouched::LimitReached, "limit-reached"),
        (Untouched::NothingWritten, "nothing-written"),
        (Untouched::StreamRefused, "stream-refused"),
        (Untouched::GoAwayBelow, "goaway-below"),
        (Untouched::NotConsumed, "not-consumed"),
        (Untouched::Declined(401), "declined"),
        (Untouched::IntentExpired, "intent-expired"),
        (Untouched::HandlerSaidSo, "handler-said-so"),
    ];
    for (proof, name) in names {
        assert_eq!(proof.as_str(), name);
    }
}

// covers: K6
#[test]
fn debug_text_names_fields_and_shows_none_of_their_values() {
    let outcome = Outcome {
        status: 201,
        fields: vec![("set-cookie".into(), b"sid=s3cret".to_vec())],
        content: Content::None { announced_len: None },
        trailers: vec![("x-token".into(), b"t0ken".to_vec())],
        sent_at: Timestamp::from_ms(0),
    };
    let text = format!("{outcome:?}");
    assert_eq!(text, "Outcome { status: 201, fields: [\"set-cookie\"], content: None(None), .. }");
}
