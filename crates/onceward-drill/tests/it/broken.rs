//! Servers that do not keep their promises fail the cases that say so, and no others.

use futures_util::future::join_all;
use onceward_core::profile::Profile;
use onceward_drill::Suite;

use crate::servers::{answering, guarded, judged, naive};

/// What an origin does right that runs every request: what has to run, and what it decides by itself.
const NAIVE: &[(&str, &[&str])] = &[
    (
        "onceward",
        &[
            "what_has_no_key_goes_through_untouched",
            "a_read_with_a_key_goes_through_untouched",
            "a_weak_tag_matches_nothing",
        ],
    ),
    (
        "ietf-07",
        &[
            "another_key_is_another_request",
            "a_request_without_a_key_passes_where_none_is_required",
            "a_first_request_is_answered_as_ever",
            "a_refused_credential_frees_the_key",
            "a_key_belongs_to_its_actor",
        ],
    ),
    (
        "stripe-v1",
        &[
            "a_missing_credential_is_not_saved",
            "a_rate_limit_is_not_saved",
            "a_get_and_a_delete_need_no_key",
            "without_a_key_each_request_runs",
            "another_key_is_another_request",
            "an_accounts_keys_are_its_own",
        ],
    ),
    (
        "acp",
        &[
            "a_key_is_its_identitys_own",
            "a_key_is_its_paths_own",
            "a_failure_without_effect_is_processed_afresh",
        ],
    ),
    (
        "ucp",
        &["a_key_is_its_clients_own", "a_key_is_its_operation_types_own", "another_key_is_another_request"],
    ),
    (
        "adcp",
        &[
            "a_key_is_its_agents_own",
            "an_error_is_not_stored",
            "a_failure_without_effect_runs_again",
            "another_key_is_another_request",
        ],
    ),
    (
        "adcp-mcp",
        &[
            "a_call_without_a_key_passes",
            "a_key_beside_the_arguments_is_none",
            "a_key_is_its_agents_own",
            "an_error_is_not_stored",
            "a_failure_without_effect_runs_again",
            "another_key_is_another_request",
        ],
    ),
    (
        "oasis",
        &[
            "a_failure_without_effect_is_executed_again",
            "a_request_without_an_id_is_no_repeatable_one",
            "another_id_is_another_request",
            "an_id_is_its_callers_own",
        ],
    ),
    (
        "paypal",
        &[
            "without_an_id_the_request_is_duplicated",
            "a_failed_call_without_effect_can_be_made_again",
            "a_put_has_no_id",
            "another_id_is_another_request",
            "an_id_is_its_callers_own",
        ],
    ),
    ("idemstep", &["what_has_no_key_passes", "another_key_is_another_request"]),
    ("idempot-js", &["a_put_is_not_guarded"]),
];

/// Without a guard only that passes which has to run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_runs_every_request_fails() {
    let server = naive().await;
    let judging = NAIVE.iter().map(|(name, _)| judged(server.subject(), name));
    for (report, (name, expected)) in join_all(judging).await.iter().zip(NAIVE) {
        assert_eq!(report.names("pass"), *expected, "{name}");
    }
}

/// No case passes because nothing happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_everything_passes_nothing() {
    let server = answering(500, "no").await;
    for report in join_all(Suite::names().map(|name| judged(server.subject(), name))).await {
        assert_eq!(report.names("pass"), [""; 0], "{}", report.profile);
    }
}

/// One contract's guard breaks another one's rules exactly where the two differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_of_another_profile_fails_where_the_two_differ() {
    const DIFFER: [(&str, &[&str]); 3] = [
        (
            "stripe-v1",
            &[
                "other_parameters_are_an_idempotency_error",
                "another_endpoint_is_an_idempotency_error",
                "one_that_runs_is_a_conflict",
                "a_key_of_256_characters_is_not",
                "an_answer_repeats_its_key",
                "an_error_has_its_members",
            ],
        ),
        (
            "acp",
            &[
                "a_post_without_a_key_is_refused",
                "a_key_is_its_paths_own",
                "another_body_is_a_conflict",
                "a_request_in_flight_is_a_conflict",
                "a_failure_is_not_cached",
                "an_error_is_flat_and_closed",
                "an_answer_repeats_its_ids",
                "an_extension_field_counts",
            ],
        ),
        (
            "ucp",
            &[
                "a_write_without_a_key_is_refused",
                "a_key_of_too_little_entropy_is_not",
                "a_key_is_its_operation_types_own",
                "another_payload_is_a_conflict_and_not_executed",
                "payloads_are_compared_by_their_bytes",
                "a_put_is_guarded",
                "a_protocol_error_has_code_and_content",
            ],
        ),
    ];
    let server = guarded(Profile::ietf_07()).await;
    for (name, expected) in DIFFER {
        assert_eq!(judged(server.subject(), name).await.names("fail"), expected, "{name}");
    }
}

/// What a person sees of a failure holds no credential.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_shows_what_was_said_and_no_credential() {
    let server = naive().await;
    let subject = server.subject().with_field("cookie", "sid=very-secret");
    let report = judged(subject, "idempot-js").await;
    let text = report.text();
    let failed = text.split("\nFAIL a missing key is refused\n").nth(1).unwrap();
    assert!(
        failed.starts_with("  status: 201, expected 400\n  > POST /orders HTTP/1.1\n  > Host: 127.0.0.1:"),
        "{failed}"
    );
    assert!(failed.contains("\n  > cookie: …\n  > authorization: …\n"), "{failed}");
    assert!(failed.contains("\n  < HTTP/1.1 201\n"), "{failed}");
    for shown in [text, report.json().unwrap()] {
        assert!(!shown.contains("very-secret") && !shown.contains("Bearer"), "{shown}");
    }
}
