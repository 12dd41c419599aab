//! `ietf-07`: the draft by its sections, row by row as `docs/ietf-07.md` has it.
//!
//! What the draft leaves to the resource is held against onceward's own choice, before the reference origin alone.

use serde_json::Value;

use super::{
    Suite,
    published::{
        accepted, another_body, conflicting, crowd, declined, in_flight, is_kept, json, refused_key,
        repeated, repeated_as, runs_again, same_result, two_actors, two_effects,
    },
};
use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{equal, failed, field, holds, status},
    talk::{Dialect, KeyForm, Talk},
    wire::Answer,
};

pub(super) const SUITE: Suite = Suite {
    name: "ietf-07",
    source: "draft-ietf-httpapi-idempotency-key-header-07, 15 October 2025",
    dialect: Dialect { carrier: "Idempotency-Key", form: KeyForm::Quoted, issue_field: None },
    groups: &[SYNTAX, ENFORCEMENT, ERRORS, SECURITY],
};

const SYNTAX: &[Case] = cases! {
    a_quoted_and_a_bare_key_are_one [Reference] "2.1";
    what_is_no_string_is_refused [] "2.1";
    another_key_is_another_request [] "2.2";
    another_path_under_a_key_is_refused [Reference] "2.2";
    the_examples_of_the_draft_are_keys [] "2.2", "6";
    retention_is_published [Reference] "2.3", "2.5.2";
    the_order_of_members_does_not_count [Reference] "2.4";
    the_contract_is_published [Reference] "2.5.1", "2.5.2";
    a_key_is_honoured_where_none_is_required [Reference] "2.5.1";
    a_request_without_a_key_passes_where_none_is_required [Reference] "2.5.1";
    a_key_that_stands_twice_is_refused [Reference] "2.5.2";
    a_body_that_reads_in_two_ways_is_refused [Reference] "2.5.2";
};

const ENFORCEMENT: &[Case] = cases! {
    a_first_request_is_answered_as_ever [] "2.6";
    a_retry_gets_the_first_answer [] "2.2", "2.6";
    an_error_is_a_result [Reference] "2.6";
    a_refused_credential_frees_the_key [Reference] "2.6";
    an_answer_too_large_to_keep_is_told [Reference] "2.6";
    of_many_at_once_one_takes_effect [] "2.5.2", "2.6";
    a_concurrent_request_is_a_conflict [Reference] "2.6", "2.7";
};

const ERRORS: &[Case] = cases! {
    a_missing_key_is_refused_with_a_link [] "2.7";
    another_body_under_a_key_is_refused [OtherBody] "2.2", "2.4", "2.7";
    what_is_not_corrected_is_refused_again [OtherBody] "2.7";
    a_corrected_request_runs [] "2.7";
    every_answer_says_whether_the_key_was_consumed [Reference] "2.7";
};

const SECURITY: &[Case] = cases! {
    a_key_belongs_to_its_actor [TwoActors] "5";
    a_key_of_256_characters_is_refused [Reference] "5";
    an_invalid_key_is_refused_before_the_body [Reference] "5";
};

/// A link to documentation, in the problem's `type` or in `Link` (2.7).
fn documented(answer: &Answer) -> Judged {
    let link = answer.field("link").unwrap_or_default();
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
    holds(
        "neither a Link nor a problem type",
        link.contains('<') || (!kind.is_empty() && kind != "about:blank"),
    )
}

async fn a_quoted_and_a_bare_key_are_one(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let bare = talk.unkeyed().with("Idempotency-Key", &key);
    repeated_as(talk, talk.order(&key), bare).await.map(drop)
}

async fn what_is_no_string_is_refused(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let malformed =
        [format!("\"{key}"), format!("\"{key}\", \"b\""), format!("\"{key}\\x\""), "\"\"".to_owned()];
    for value in malformed {
        declined(talk, &talk.unkeyed().with("Idempotency-Key", value), 400).await?;
    }
    Ok(())
}

async fn another_key_is_another_request(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.order(&talk.key()), talk.order(&talk.key())).await
}

async fn another_path_under_a_key_is_refused(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    conflicting(talk, talk.order(&key), talk.keyed(talk.post("/payments"), &key), 422).await.map(drop)
}

/// They are everybody's, so an earlier run may have used them: what counts is that they are taken, and that they are keys.
async fn the_examples_of_the_draft_are_keys(talk: &Talk<'_>) -> Judged {
    for key in ["8e03978e-40d5-43e8-bc93-6894a57f9324", "clkyoesmbgybucifusbbtdsbohtyuuwz"] {
        let first = talk.ask(&talk.order(key)).await?;
        accepted(&first)?;
        same_result(&talk.ask(&talk.order(key)).await?, &first)?;
    }
    talk.effects_are_seen();
    Ok(())
}

async fn contract(talk: &Talk<'_>) -> Result<Value, Stop> {
    let answer = talk.ask(&talk.get("/.well-known/idempotency")).await?;
    status(&answer, 200)?;
    json(&answer)
}

async fn retention_is_published(talk: &Talk<'_>) -> Judged {
    const DAY_SECONDS: u64 = 24 * 60 * 60;
    let contract = contract(talk).await?;
    let seconds = |name: &str| contract.pointer(&format!("/others/{name}")).and_then(Value::as_u64);
    equal("retention", seconds("retention"), Some(DAY_SECONDS))?;
    equal("remember", seconds("remember"), Some(400 * DAY_SECONDS))
}

async fn the_order_of_members_does_not_count(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let carrying = |body: &str| talk.keyed(talk.unkeyed().carrying("application/json", body), &key);
    repeated_as(talk, carrying(r#"{"a":1,"b":2}"#), carrying(r#"{"b":2,"a":1}"#)).await.map(drop)
}

async fn the_contract_is_published(talk: &Talk<'_>) -> Judged {
    let contract = contract(talk).await?;
    equal("profile", contract.pointer("/profile").and_then(Value::as_str), Some("ietf-07"))?;
    equal("carriers", contract.pointer("/carriers"), Some(&serde_json::json!(["idempotency-key"])))?;
    equal("methods", contract.pointer("/others/methods"), Some(&serde_json::json!(["POST", "PATCH"])))
}

async fn a_key_is_honoured_where_none_is_required(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn a_request_without_a_key_passes_where_none_is_required(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.unkeyed(), talk.unkeyed()).await
}

async fn a_key_that_stands_twice_is_refused(talk: &Talk<'_>) -> Judged {
    let ask = talk.keyed(talk.order(&talk.key()), &talk.key());
    declined(talk, &ask, 400).await.map(drop)
}

async fn a_body_that_reads_in_two_ways_is_refused(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).carrying("application/json", r#"{"amount":1,"amount":1000}"#);
    declined(talk, &ask, 400).await.map(drop)
}

async fn a_first_request_is_answered_as_ever(talk: &Talk<'_>) -> Judged {
    accepted(&talk.ask(&talk.order(&talk.key())).await?)?;
    talk.effects_are(1).await
}

async fn a_retry_gets_the_first_answer(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn an_error_is_a_result(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=404", 404).await
}

async fn a_refused_credential_frees_the_key(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "status=401", 401).await
}

async fn an_answer_too_large_to_keep_is_told(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    accepted(&talk.ask(&talk.order(&key).told("large")).await?)?;
    status(&talk.ask(&talk.order(&key)).await?, 409)?;
    talk.calls_are(1).await
}

async fn of_many_at_once_one_takes_effect(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

async fn a_concurrent_request_is_a_conflict(talk: &Talk<'_>) -> Judged {
    documented(&in_flight(talk, 409).await?)
}

async fn a_missing_key_is_refused_with_a_link(talk: &Talk<'_>) -> Judged {
    if talk.subject.guarding().is_some() {
        return documented(&declined(talk, &talk.post("/strict"), 400).await?);
    }
    let answer = talk.ask(&talk.unkeyed()).await?;
    if (200..300).contains(&answer.status) {
        return Err(Stop::NotApplicable("the operation does not require a key".to_owned()));
    }
    status(&answer, 400)?;
    documented(&answer)
}

async fn another_body_under_a_key_is_refused(talk: &Talk<'_>) -> Judged {
    documented(&another_body(talk, 422).await?)
}

async fn what_is_not_corrected_is_refused_again(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    accepted(&talk.ask(&talk.order(&key)).await?)?;
    for _ in 0..2 {
        status(&talk.ask(&talk.other_order(&key)).await?, 422)?;
    }
    talk.effects_are(1).await
}

async fn a_corrected_request_runs(talk: &Talk<'_>) -> Judged {
    refused_key(talk, "").await?;
    accepted(&talk.ask(&talk.order(&talk.key())).await?)?;
    talk.effects_are(1).await
}

async fn every_answer_says_whether_the_key_was_consumed(talk: &Talk<'_>) -> Judged {
    for (directive, consumed) in
        [("", "true"), ("status=422", "true"), ("status=429", "false"), ("cut", "true")]
    {
        let answer = talk.ask(&talk.order(&talk.key()).told(directive)).await?;
        field(&answer, "idempotency-key-consumed", Some(consumed))?;
    }
    Ok(())
}

async fn a_key_belongs_to_its_actor(talk: &Talk<'_>) -> Judged {
    two_actors(talk).await
}

async fn a_key_of_256_characters_is_refused(talk: &Talk<'_>) -> Judged {
    refused_key(talk, &format!("{:k<256}", talk.key())).await.map(drop)
}

/// The body never comes, and the answer does.
async fn an_invalid_key_is_refused_before_the_body(talk: &Talk<'_>) -> Judged {
    let ask = talk.unkeyed().with("Idempotency-Key", "no, key");
    let bytes = ask.bytes(&talk.subject.target);
    let Some(head) = bytes.get(..bytes.len() - ask.content().len()) else { return failed("no head") };
    let mut line = talk.line().await?;
    let answer = async {
        line.write(head).await?;
        line.read("POST").await
    };
    let answer = answer.await;
    status(&talk.noted("POST", head.to_vec(), answer)?, 400)?;
    talk.effects_are(0).await
}
