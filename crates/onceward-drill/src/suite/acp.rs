//! `acp`: the Agentic Commerce Protocol, RFC "Agentic Checkout", section 6.

use super::{
    Suite,
    published::{
        another_body, conflicting, crowd, declined, failure_is_not_kept, has_retry_after, has_texts,
        in_flight, is_kept, json, refused_key, repeated, repeated_as, repeats, runs_again, says, two_actors,
        two_effects,
    },
};
use crate::{
    case::{Case, Judged, cases},
    expect::{field, holds},
    talk::{Dialect, KeyForm, Talk},
    wire::{Answer, Ask},
};

pub(super) const SUITE: Suite = Suite {
    name: "acp",
    source: "github.com/agentic-commerce-protocol/agentic-commerce-protocol at c2afc86, rfcs/rfc.agentic_checkout.md",
    dialect: Dialect { carrier: "Idempotency-Key", form: KeyForm::Bare, issue_field: None },
    groups: &[CASES, BODIES],
};

const CASES: &[Case] = cases! {
    a_post_without_a_key_is_refused [] "6.1";
    a_key_of_255_characters_is_taken [] "6.1";
    a_key_of_256_characters_is_not [] "6.1";
    a_key_is_its_identitys_own [TwoActors] "6.1";
    a_key_is_its_paths_own [Reference] "6.1";
    a_repeat_gets_status_and_body [] "6.3";
    a_repeat_is_marked [] "6.3";
    an_error_below_500_is_replayed [Reference] "6.3";
    another_body_is_a_conflict [OtherBody] "6.4";
    a_request_in_flight_is_a_conflict [Reference] "6.4";
    of_many_at_once_one_runs [] "6.4";
    a_failure_is_not_cached [Reference] "6.5";
    a_failure_without_effect_is_processed_afresh [Reference] "6.5";
    an_error_is_flat_and_closed [OtherBody] "3";
    an_answer_repeats_its_ids [Reference] "3";
};

const BODIES: &[Case] = cases! {
    the_order_of_members_does_not_count [Reference] "6.2";
    the_spelling_of_a_number_does_not_count [Reference] "6.2";
    null_is_not_absence [Reference] "6.2";
    the_order_of_an_array_counts [Reference] "6.2";
    an_extension_field_counts [Reference] "6.7";
};

async fn a_post_without_a_key_is_refused(talk: &Talk<'_>) -> Judged {
    let refusal = declined(talk, &talk.unkeyed(), 400).await?;
    says(&refusal, "/code", "idempotency_key_required")?;
    says(&refusal, "/type", "invalid_request")
}

async fn a_key_of_255_characters_is_taken(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&format!("{:k<255}", talk.key()));
    repeated_as(talk, ask.clone(), ask).await.map(drop)
}

async fn a_key_of_256_characters_is_not(talk: &Talk<'_>) -> Judged {
    refused_key(talk, &format!("{:k<256}", talk.key())).await.map(drop)
}

async fn a_key_is_its_identitys_own(talk: &Talk<'_>) -> Judged {
    two_actors(talk).await
}

async fn a_key_is_its_paths_own(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    two_effects(talk, talk.order(&key), talk.keyed(talk.post("/payments"), &key)).await
}

async fn a_repeat_gets_status_and_body(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn a_repeat_is_marked(talk: &Talk<'_>) -> Judged {
    let (first, again) = repeated(talk).await?;
    field(&first, "idempotent-replayed", None)?;
    field(&again, "idempotent-replayed", Some("true"))
}

async fn an_error_below_500_is_replayed(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=404", 404).await
}

async fn another_body_is_a_conflict(talk: &Talk<'_>) -> Judged {
    let conflict = another_body(talk, 422).await?;
    says(&conflict, "/code", "idempotency_conflict")?;
    says(&conflict, "/type", "invalid_request")
}

async fn a_request_in_flight_is_a_conflict(talk: &Talk<'_>) -> Judged {
    let conflict = in_flight(talk, 409).await?;
    says(&conflict, "/code", "idempotency_in_flight")?;
    has_retry_after(&conflict)
}

async fn of_many_at_once_one_runs(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

async fn a_failure_is_not_cached(talk: &Talk<'_>) -> Judged {
    failure_is_not_kept(talk).await
}

async fn a_failure_without_effect_is_processed_afresh(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "not-consumed=500", 500).await
}

fn is_flat(answer: &Answer) -> Judged {
    has_texts(answer, &["/type", "/code", "/message"])?;
    let body = json(answer)?;
    let names: Vec<&str> = body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let known = |name: &&str| ["type", "code", "message", "param"].contains(name);
    holds(&format!("members that the schema does not admit: {names:?}"), names.iter().all(known))
}

async fn an_error_is_flat_and_closed(talk: &Talk<'_>) -> Judged {
    is_flat(&declined(talk, &talk.unkeyed(), 400).await?)?;
    is_flat(&another_body(talk, 422).await?)
}

async fn an_answer_repeats_its_ids(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    for (ask, id) in [(talk.order(&key), "r1"), (talk.order(&key), "r2"), (talk.other_order(&key), "r3")] {
        let answer = talk.ask(&ask.with("Request-Id", id)).await?;
        repeats(&answer, "idempotency-key", &key)?;
        repeats(&answer, "request-id", id)?;
    }
    Ok(())
}

fn pair(talk: &Talk<'_>, first: &str, second: &str) -> (Ask, Ask) {
    let key = talk.key();
    let carrying = |body: &str| talk.order(&key).carrying("application/json", body);
    (carrying(first), carrying(second))
}

async fn the_order_of_members_does_not_count(talk: &Talk<'_>) -> Judged {
    let (first, second) = pair(talk, r#"{"a":1,"b":{"c":2,"d":3}}"#, r#"{"b":{"d":3,"c":2},"a":1}"#);
    repeated_as(talk, first, second).await.map(drop)
}

async fn the_spelling_of_a_number_does_not_count(talk: &Talk<'_>) -> Judged {
    let (first, second) = pair(talk, r#"{"a":1}"#, r#"{"a":1.0}"#);
    repeated_as(talk, first, second).await.map(drop)
}

async fn null_is_not_absence(talk: &Talk<'_>) -> Judged {
    let (first, second) = pair(talk, r#"{"a":1,"b":null}"#, r#"{"a":1}"#);
    conflicting(talk, first, second, 422).await.map(drop)
}

async fn the_order_of_an_array_counts(talk: &Talk<'_>) -> Judged {
    let (first, second) = pair(talk, r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#);
    conflicting(talk, first, second, 422).await.map(drop)
}

async fn an_extension_field_counts(talk: &Talk<'_>) -> Judged {
    let (first, second) = pair(talk, r#"{"a":1,"csrf_token":"x"}"#, r#"{"a":1,"csrf_token":"y"}"#);
    conflicting(talk, first, second, 422).await.map(drop)
}
