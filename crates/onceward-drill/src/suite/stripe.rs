//! `stripe-v1`: "Idempotent requests", "Errors" and "Advanced error handling" of Stripe's API v1.

use super::{
    Suite,
    published::{
        another_body, conflicting, crowd, has_texts, in_flight, is_kept, json, refused_key, repeated,
        repeated_as, repeats, runs_again, says, two_actors, two_effects,
    },
};
use crate::{
    case::{Case, Judged, cases},
    expect::{field, holds},
    talk::{Dialect, KeyForm, Talk},
    wire::Answer,
};

pub(super) const SUITE: Suite = Suite {
    name: "stripe-v1",
    source: "https://docs.stripe.com/api/idempotent_requests, /api/errors, /error-low-level",
    dialect: Dialect { carrier: "Idempotency-Key", form: KeyForm::Bare, issue_field: None },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_repeat_gets_status_and_body_of_the_first [] "Idempotent requests";
    a_repeat_is_marked [] "Error handling";
    a_failure_is_saved [Reference] "Idempotent requests";
    an_error_of_the_endpoint_is_saved [Reference] "Idempotent requests";
    a_missing_credential_is_not_saved [Reference] "Error handling";
    a_rate_limit_is_not_saved [Reference] "Error handling";
    other_parameters_are_an_idempotency_error [OtherBody] "Idempotent requests", "Errors";
    another_endpoint_is_an_idempotency_error [Reference] "Errors";
    of_many_at_once_one_runs [] "Errors";
    one_that_runs_is_a_conflict [Reference] "Errors";
    a_key_of_255_characters_is_taken [] "Idempotent requests";
    a_key_of_256_characters_is_not [] "Idempotent requests";
    a_get_and_a_delete_need_no_key [Reference] "Idempotent requests";
    without_a_key_each_request_runs [Reference] "Idempotent requests";
    another_key_is_another_request [] "Idempotent requests";
    an_answer_repeats_its_key [Reference] "stripe-node, RequestSender";
    an_error_has_its_members [OtherBody] "Errors";
    an_accounts_keys_are_its_own [TwoActors] "Idempotent requests";
};

async fn a_repeat_gets_status_and_body_of_the_first(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn a_repeat_is_marked(talk: &Talk<'_>) -> Judged {
    let (first, again) = repeated(talk).await?;
    field(&first, "idempotent-replayed", None)?;
    field(&again, "idempotent-replayed", Some("true"))
}

async fn a_failure_is_saved(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=500", 500).await
}

async fn an_error_of_the_endpoint_is_saved(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=402", 402).await
}

async fn a_missing_credential_is_not_saved(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "status=401", 401).await
}

async fn a_rate_limit_is_not_saved(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "status=429", 429).await
}

async fn other_parameters_are_an_idempotency_error(talk: &Talk<'_>) -> Judged {
    says(&another_body(talk, 400).await?, "/error/type", "idempotency_error")
}

async fn another_endpoint_is_an_idempotency_error(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let elsewhere = talk.keyed(talk.post("/payments"), &key);
    says(&conflicting(talk, talk.order(&key), elsewhere, 400).await?, "/error/type", "idempotency_error")
}

async fn of_many_at_once_one_runs(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

async fn one_that_runs_is_a_conflict(talk: &Talk<'_>) -> Judged {
    let conflict = in_flight(talk, 409).await?;
    says(&conflict, "/error/code", "idempotency_key_in_use")?;
    has_type(&conflict)
}

/// One of the four types that are published.
fn has_type(answer: &Answer) -> Judged {
    let body = json(answer)?;
    let kind = body.pointer("/error/type").and_then(serde_json::Value::as_str).unwrap_or_default();
    let known = ["api_error", "card_error", "idempotency_error", "invalid_request_error"];
    holds(&format!("error.type is {kind:?}"), known.contains(&kind))
}

async fn a_key_of_255_characters_is_taken(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&format!("{:k<255}", talk.key()));
    repeated_as(talk, ask.clone(), ask).await.map(drop)
}

async fn a_key_of_256_characters_is_not(talk: &Talk<'_>) -> Judged {
    has_type(&refused_key(talk, &format!("{:k<256}", talk.key())).await?)
}

async fn a_get_and_a_delete_need_no_key(talk: &Talk<'_>) -> Judged {
    let delete = talk.order(&talk.key()).by("DELETE");
    two_effects(talk, delete.clone(), delete).await?;
    let get = talk.keyed(talk.get("/orders"), &talk.key());
    for _ in 0..2 {
        field(&talk.ask(&get).await?, "idempotent-replayed", None)?;
    }
    Ok(())
}

async fn without_a_key_each_request_runs(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.unkeyed(), talk.unkeyed()).await
}

async fn another_key_is_another_request(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.order(&talk.key()), talk.order(&talk.key())).await
}

async fn an_answer_repeats_its_key(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    for _ in 0..2 {
        repeats(&talk.ask(&talk.order(&key)).await?, "idempotency-key", &key)?;
    }
    repeats(&talk.ask(&talk.other_order(&key)).await?, "idempotency-key", &key)
}

async fn an_error_has_its_members(talk: &Talk<'_>) -> Judged {
    let error = another_body(talk, 400).await?;
    has_type(&error)?;
    has_texts(&error, &["/error/message"])
}

async fn an_accounts_keys_are_its_own(talk: &Talk<'_>) -> Judged {
    two_actors(talk).await
}
