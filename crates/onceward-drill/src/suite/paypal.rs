//! `paypal`: `PayPal-Request-Id`, as PayPal's guideline and its API descriptions have it.

use super::{
    Suite,
    published::{
        another_body, crowd, declined, failure_is_not_kept, has_texts, in_flight, is_kept, refused_key,
        repeated, repeated_as, runs_again, says, two_actors, two_effects,
    },
};
use crate::{
    case::{Case, Judged, cases},
    talk::{Dialect, KeyForm, Talk},
};

pub(super) const SUITE: Suite = Suite {
    name: "paypal",
    source: "https://developer.paypal.com/reference/guidelines/idempotency; paypal-rest-api-specifications at ec4d8f3",
    dialect: Dialect { carrier: "PayPal-Request-Id", form: KeyForm::Bare, issue_field: None },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_repeat_gets_the_result_of_the_first [] "Idempotency";
    without_an_id_the_request_is_duplicated [Reference] "Idempotency";
    a_call_that_needs_an_id_says_so [Reference] "Orders v2, PAYPAL_REQUEST_ID_REQUIRED";
    of_many_at_once_the_first_is_processed [] "Idempotency";
    one_that_runs_is_told [Reference] "Idempotency";
    an_id_of_108_characters_is_taken [] "Orders v2, paypal_request_id";
    an_id_of_109_characters_is_not [] "Orders v2, paypal_request_id";
    an_id_of_another_request_is_told [OtherBody] "PAYPAL_REQUEST_ID_PREVIOUSLY_USED";
    a_failed_call_is_not_answered_from_store [Reference] "Idempotency";
    a_failed_call_without_effect_can_be_made_again [Reference] "Idempotency";
    an_error_of_the_call_is_its_result [Reference] "Idempotency";
    a_put_has_no_id [Reference] "Idempotency";
    another_id_is_another_request [] "Idempotency";
    an_id_is_its_callers_own [TwoActors] "Idempotency";
    an_error_has_its_members [OtherBody] "Orders v2, error_422";
};

async fn a_repeat_gets_the_result_of_the_first(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn without_an_id_the_request_is_duplicated(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.unkeyed(), talk.unkeyed()).await
}

async fn a_call_that_needs_an_id_says_so(talk: &Talk<'_>) -> Judged {
    let refusal = declined(talk, &talk.post("/strict"), 400).await?;
    says(&refusal, "/name", "INVALID_REQUEST")?;
    says(&refusal, "/details/0/issue", "PAYPAL_REQUEST_ID_REQUIRED")
}

async fn of_many_at_once_the_first_is_processed(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

async fn one_that_runs_is_told(talk: &Talk<'_>) -> Judged {
    says(&in_flight(talk, 409).await?, "/details/0/issue", "PREVIOUS_REQUEST_IN_PROGRESS")
}

async fn an_id_of_108_characters_is_taken(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&format!("{:k<108}", talk.key()));
    repeated_as(talk, ask.clone(), ask).await.map(drop)
}

async fn an_id_of_109_characters_is_not(talk: &Talk<'_>) -> Judged {
    refused_key(talk, &format!("{:k<109}", talk.key())).await.map(drop)
}

async fn an_id_of_another_request_is_told(talk: &Talk<'_>) -> Judged {
    let refusal = another_body(talk, 422).await?;
    says(&refusal, "/name", "UNPROCESSABLE_ENTITY")?;
    says(&refusal, "/details/0/issue", "PAYPAL_REQUEST_ID_PREVIOUSLY_USED")
}

async fn a_failed_call_is_not_answered_from_store(talk: &Talk<'_>) -> Judged {
    failure_is_not_kept(talk).await
}

async fn a_failed_call_without_effect_can_be_made_again(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "not-consumed=500", 500).await
}

async fn an_error_of_the_call_is_its_result(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=404", 404).await
}

async fn a_put_has_no_id(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).by("PUT");
    two_effects(talk, ask.clone(), ask).await
}

async fn another_id_is_another_request(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.order(&talk.key()), talk.order(&talk.key())).await
}

async fn an_id_is_its_callers_own(talk: &Talk<'_>) -> Judged {
    two_actors(talk).await
}

async fn an_error_has_its_members(talk: &Talk<'_>) -> Judged {
    let refusal = another_body(talk, 422).await?;
    has_texts(&refusal, &["/name", "/message", "/debug_id", "/details/0/issue", "/details/0/description"])
}
