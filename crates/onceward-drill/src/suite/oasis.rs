//! `oasis`: Repeatable Requests 1.0, by what those quote who implement it.

use super::{
    Suite,
    published::{
        accepted, another_body, crowd, declined, failure_is_not_kept, has_texts, in_flight, is_kept,
        repeated, runs_again, two_actors, two_effects,
    },
};
use crate::{
    case::{Case, Judged, cases},
    expect::field,
    talk::{Dialect, KeyForm, Talk},
    wire::{Answer, Ask},
};

const FIRST_SENT: &str = "Repeatability-First-Sent";

pub(super) const SUITE: Suite = Suite {
    name: "oasis",
    source: "OASIS Repeatable Requests 1.0 CS01; learn.microsoft.com/rest/api/communication/repeatable-requests",
    dialect: Dialect {
        carrier: "Repeatability-Request-ID",
        form: KeyForm::Bare,
        issue_field: Some(FIRST_SENT),
    },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_first_request_is_accepted [] "sec_RepeatabilityResult";
    a_repeat_gets_the_answer_and_is_accepted [] "response codes, 2xx";
    an_error_is_answered_again [Reference] "response codes, 4xx";
    a_failure_is_not_answered_again [Reference] "response codes, 5xx";
    a_failure_without_effect_is_executed_again [Reference] "response codes, 5xx";
    a_date_that_is_missing_is_rejected [] "3.1.2", "response codes, 400";
    a_date_that_is_none_is_rejected [] "3.1.2", "response codes, 400";
    a_date_of_tomorrow_is_rejected [Reference] "3.1.2";
    a_request_first_sent_too_long_ago_is_rejected [] "response codes, 412";
    another_request_is_rejected [OtherBody] "response codes, 400";
    a_request_in_progress_is_accepted [Reference] "response codes, 409";
    of_many_at_once_one_runs [] "response codes, 409";
    a_request_without_an_id_is_no_repeatable_one [Reference] "abstract";
    puts_patches_and_deletes_are_repeatable [Reference] "abstract";
    another_id_is_another_request [] "3.1.1";
    an_id_is_its_callers_own [TwoActors] "3.1.1";
    an_error_is_written_as_odata_has_it [OtherBody] "OData JSON 4.01, 21.1";
};

fn result_is(answer: &Answer, expected: &str) -> Judged {
    field(answer, "repeatability-result", Some(expected))
}

async fn a_first_request_is_accepted(talk: &Talk<'_>) -> Judged {
    let answer = talk.ask(&talk.order(&talk.key())).await?;
    accepted(&answer)?;
    result_is(&answer, "accepted")
}

async fn a_repeat_gets_the_answer_and_is_accepted(talk: &Talk<'_>) -> Judged {
    let (_, again) = repeated(talk).await?;
    result_is(&again, "accepted")
}

async fn an_error_is_answered_again(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=404", 404).await
}

async fn a_failure_is_not_answered_again(talk: &Talk<'_>) -> Judged {
    failure_is_not_kept(talk).await
}

async fn a_failure_without_effect_is_executed_again(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "not-consumed=500", 500).await
}

fn first_sent(talk: &Talk<'_>, date: &str) -> Ask {
    talk.order(&talk.key()).without(FIRST_SENT).with(FIRST_SENT, date)
}

async fn is_rejected(talk: &Talk<'_>, ask: &Ask, expected: u16) -> Judged {
    result_is(&declined(talk, ask, expected).await?, "rejected")
}

async fn a_date_that_is_missing_is_rejected(talk: &Talk<'_>) -> Judged {
    is_rejected(talk, &talk.order(&talk.key()).without(FIRST_SENT), 400).await
}

async fn a_date_that_is_none_is_rejected(talk: &Talk<'_>) -> Judged {
    is_rejected(talk, &first_sent(talk, "2026-11-21T12:00:03Z"), 400).await
}

async fn a_date_of_tomorrow_is_rejected(talk: &Talk<'_>) -> Judged {
    is_rejected(talk, &first_sent(talk, "Tue, 01 Jan 2999 00:00:00 GMT"), 400).await
}

async fn a_request_first_sent_too_long_ago_is_rejected(talk: &Talk<'_>) -> Judged {
    is_rejected(talk, &first_sent(talk, "Wed, 01 Jan 2020 00:00:00 GMT"), 412).await
}

async fn another_request_is_rejected(talk: &Talk<'_>) -> Judged {
    result_is(&another_body(talk, 400).await?, "rejected")
}

/// "Accepted": a client that is told "rejected" may send the action under a new ID.
async fn a_request_in_progress_is_accepted(talk: &Talk<'_>) -> Judged {
    result_is(&in_flight(talk, 409).await?, "accepted")
}

async fn of_many_at_once_one_runs(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

async fn a_request_without_an_id_is_no_repeatable_one(talk: &Talk<'_>) -> Judged {
    for _ in 0..2 {
        let answer = talk.ask(&talk.unkeyed()).await?;
        accepted(&answer)?;
        field(&answer, "repeatability-result", None)?;
    }
    talk.effects_are(2).await
}

async fn puts_patches_and_deletes_are_repeatable(talk: &Talk<'_>) -> Judged {
    for method in ["PUT", "PATCH", "DELETE"] {
        let ask = talk.order(&talk.key()).by(method);
        let first = talk.ask(&ask).await?;
        accepted(&first)?;
        result_is(&talk.ask(&ask).await?, "accepted")?;
    }
    talk.effects_are(3).await
}

async fn another_id_is_another_request(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.order(&talk.key()), talk.order(&talk.key())).await
}

async fn an_id_is_its_callers_own(talk: &Talk<'_>) -> Judged {
    two_actors(talk).await
}

async fn an_error_is_written_as_odata_has_it(talk: &Talk<'_>) -> Judged {
    has_texts(&another_body(talk, 400).await?, &["/error/code", "/error/message"])
}
