//! When a client tries again, against `vectors/retry.json`.

use std::time::Duration;

use onceward_core::retry::{Next, Repeatable, RetryPlan, Try};
use proptest::prelude::*;
use serde::Deserialize;

use crate::vectors;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "description")]
    _description: String,
    default: PlanText,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanText {
    base_ms: u64,
    cap_ms: u64,
    tries_max: u32,
    budget_ms: u64,
}

/// `default`, or a plan of its own.
#[derive(Deserialize)]
#[serde(untagged)]
enum PlanChoice {
    Named(String),
    Own(PlanText),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    description: String,
    source: String,
    plan: PlanChoice,
    tries: u32,
    elapsed_ms: u64,
    ended: Option<Answer>,
    repeatable: bool,
    jitter: u32,
    next: NextText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    problem: Option<String>,
    retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum NextText {
    RetryAfterMs(u64),
    Stop,
    Exhausted,
}

fn plan_of(text: &PlanText) -> RetryPlan {
    RetryPlan {
        base: Duration::from_millis(text.base_ms),
        cap: Duration::from_millis(text.cap_ms),
        tries_max: text.tries_max,
        budget: Duration::from_millis(text.budget_ms),
    }
}

// covers: R1, R2
#[test]
fn a_client_tries_again_as_the_plan_says() {
    let vectors: Vectors = vectors::read(include_str!("../../../../vectors/retry.json"));
    assert_eq!(RetryPlan::default(), plan_of(&vectors.default));
    for case in vectors.cases {
        let plan = match &case.plan {
            PlanChoice::Named(name) => {
                assert_eq!(name, "default");
                RetryPlan::default()
            }
            PlanChoice::Own(text) => plan_of(text),
        };
        let ended = match &case.ended {
            None => Try::NoAnswer,
            Some(answer) => Try::Answered {
                status: answer.status,
                problem: answer.problem.as_deref(),
                retry_after: answer.retry_after_ms.map(Duration::from_millis),
            },
        };
        let repeatable = if case.repeatable { Repeatable::Yes } else { Repeatable::No };
        let elapsed = Duration::from_millis(case.elapsed_ms);
        let expected = match case.next {
            NextText::RetryAfterMs(pause_ms) => Next::RetryAfter(Duration::from_millis(pause_ms)),
            NextText::Stop => Next::Stop,
            NextText::Exhausted => Next::Exhausted,
        };
        let found = plan.next(case.tries, elapsed, ended, repeatable, case.jitter);
        assert_eq!(found, expected, "{} ({})", case.description, case.source);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // covers: R1
    #[test]
    fn a_plan_of_pauses_stays_within_its_bounds(jitters in prop::collection::vec(any::<u32>(), 20)) {
        let plan = RetryPlan::default();
        let mut elapsed = Duration::ZERO;
        let mut tries = 0;
        for jitter in jitters {
            tries += 1;
            match plan.next(tries, elapsed, Try::NoAnswer, Repeatable::Yes, jitter) {
                Next::RetryAfter(pause) => {
                    prop_assert!(pause <= plan.base * (1 << (tries - 1)));
                    prop_assert!(pause <= plan.cap);
                    elapsed += pause;
                }
                Next::Stop => prop_assert!(false, "no answer is no verdict"),
                Next::Exhausted => break,
            }
        }
        prop_assert!(tries <= plan.tries_max);
        prop_assert!(elapsed <= plan.budget);
    }
}
