//! Servers of which nothing is known are judged by their answers, and what these do not tell is said so.

use onceward_core::profile::Profile;
use onceward_drill::{Sight, Subject, Suite, Target, Trust, Unfit, suite};
use tokio::net::TcpListener;

use crate::servers::{answering, guarded, judged, naive};

/// What can be said of a stranger without an origin that does what it is told.
const BY_ANSWERS: [&str; 10] = [
    "what_is_no_string_is_refused",
    "another_key_is_another_request",
    "the_examples_of_the_draft_are_keys",
    "a_first_request_is_answered_as_ever",
    "a_retry_gets_the_first_answer",
    "of_many_at_once_one_takes_effect",
    "another_body_under_a_key_is_refused",
    "what_is_not_corrected_is_refused_again",
    "a_corrected_request_runs",
    "a_key_belongs_to_its_actor",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_effects_are_told_apart_by_their_answers() {
    let server = guarded(Profile::ietf_07()).await;
    let subject = Subject::new(server.target.clone(), "/orders")
        .with_actor("authorization", "Bearer a")
        .with_second_actor("authorization", "Bearer b");
    let report = judged(subject, "ietf-07").await;
    assert_eq!(report.sight, Sight::ByAnswers);
    assert_eq!(report.names("pass"), BY_ANSWERS);
    assert_eq!((report.names("fail"), report.names("not-observable")), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_without_a_guard_fails() {
    let server = naive().await;
    let report = judged(Subject::new(server.target.clone(), "/orders"), "ietf-07").await;
    assert_eq!(report.sight, Sight::ByAnswers);
    assert_eq!(
        report.names("fail"),
        [
            "what_is_no_string_is_refused",
            "the_examples_of_the_draft_are_keys",
            "a_retry_gets_the_first_answer",
            "of_many_at_once_one_takes_effect",
            "another_body_under_a_key_is_refused",
            "what_is_not_corrected_is_refused_again",
            "a_corrected_request_runs",
        ]
    );
}

/// It may run each request, or none: that its answers are equal proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_equal_answers_do_not_tell_is_not_called_right() {
    let server = answering(201, r#"{"ok":true}"#).await;
    let report = judged(Subject::new(server.target.clone(), "/orders"), "ietf-07").await;
    assert_eq!(report.sight, Sight::Blind);
    assert_eq!(report.names("pass"), [""; 0]);
    assert_eq!(
        report.names("not-observable"),
        [
            "another_key_is_another_request",
            "the_examples_of_the_draft_are_keys",
            "a_first_request_is_answered_as_ever",
            "a_retry_gets_the_first_answer",
            "of_many_at_once_one_takes_effect",
        ]
    );
}

#[tokio::test]
async fn what_does_not_take_the_request_is_not_judged() {
    let server = answering(404, "no").await;
    let subject = Subject::new(server.target.clone(), "/orders");
    let unfit = suite::run(&subject, Suite::named("onceward").unwrap(), |_| ()).await.unwrap_err();
    assert_eq!(unfit, Unfit::Declines { address: subject.address(), status: 404 });
}

#[tokio::test]
async fn who_does_not_answer_is_not_judged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let subject = Subject::new(Target::parse(&address, &Trust::Platform).unwrap(), "/orders");
    let unfit = suite::run(&subject, Suite::named("onceward").unwrap(), |_| ()).await.unwrap_err();
    assert!(matches!(&unfit, Unfit::Unreachable { address, .. } if *address == subject.address()), "{unfit}");
}
