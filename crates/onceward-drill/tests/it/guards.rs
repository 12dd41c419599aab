//! A guard keeps every promise of its profile: the reference origin behind the tower layer.

use onceward_core::profile::Profile;
use onceward_drill::{Suite, suite};

use crate::servers::{guarded, judged};

/// What depends on an answer being somebody else's word; here it is the handler's.
const UPSTREAM: [&str; 4] = [
    "a_502_from_upstream_is_doubt",
    "a_503_from_upstream_is_doubt",
    "a_504_from_upstream_is_doubt",
    "a_408_from_upstream_is_doubt",
];

/// What hyper reads before the layer sees it.
const HEADS: [&str; 16] = [
    "a_length_beside_an_encoding_is_refused",
    "a_length_that_stands_twice_is_refused",
    "two_lengths_are_refused",
    "a_list_of_lengths_is_refused",
    "a_length_with_a_sign_is_refused",
    "a_length_with_a_leading_zero_is_refused",
    "an_encoding_beside_chunked_is_refused",
    "an_encoding_that_stands_twice_is_refused",
    "bare_line_feeds_are_refused",
    "a_head_without_a_host_is_refused",
    "two_hosts_are_refused",
    "a_host_that_differs_from_the_target_is_refused",
    "a_space_before_a_colon_is_refused",
    "a_folded_field_is_refused",
    "a_body_on_a_read_is_refused",
    "a_method_in_small_letters_is_refused",
];

/// Every case passes but for those that cannot be judged here.
async fn keeps_all(name: &str, left_out: &[&str]) {
    let server = guarded(Profile::named(name).unwrap()).await;
    let report = judged(server.subject(), name).await;
    assert!(report.is_ok(), "{}", report.text());
    assert_eq!(report.names("not-observable"), [""; 0]);
    assert_eq!(report.names("not-applicable"), left_out);
    assert_eq!(report.names("pass").len() + left_out.len(), Suite::named(name).unwrap().cases().count());
}

// covers: K1 K2 K3 K4 K5 K7 F1 F2 F3 F4 F5 F6 L1 L5 L6 W1 W2 O1 O2 O3 O4 O5 O7 O8 O10 D1 P2 C2 C3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn onceward_is_whole() {
    keeps_all("onceward", &[UPSTREAM.as_slice(), &HEADS].concat()).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ietf_is_whole() {
    keeps_all("ietf-07", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stripe_is_whole() {
    keeps_all("stripe-v1", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acp_is_whole() {
    keeps_all("acp", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ucp_is_whole() {
    keeps_all("ucp", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adcp_is_whole() {
    keeps_all("adcp", &[]).await;
}

// covers: C4 K1 B2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adcp_over_mcp_is_whole() {
    keeps_all("adcp-mcp", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oasis_is_whole() {
    keeps_all("oasis", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paypal_is_whole() {
    keeps_all("paypal", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idemstep_is_whole() {
    keeps_all("idemstep", &[]).await;
}

// covers: C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempot_js_is_whole() {
    keeps_all("idempot-js", &[]).await;
}

#[test]
fn every_profile_has_its_suite_and_every_case_its_own_name() {
    assert_eq!(Suite::names().collect::<Vec<_>>(), Profile::NAMES);
    assert!(Suite::named("nobodys").is_none());
    for name in Suite::names() {
        let cases: Vec<&str> = Suite::named(name).unwrap().cases().map(|case| case.name).collect();
        let mut distinct = cases.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), cases.len(), "{name}");
    }
}

/// A second run meets no key of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suite_can_be_run_again_at_once() {
    let server = guarded(Profile::ietf_07()).await;
    let suite = Suite::named("ietf-07").unwrap();
    for _ in 0..2 {
        let report = suite::run(&server.subject(), suite, |_| ()).await.unwrap();
        assert!(report.is_ok(), "{}", report.text());
    }
}
