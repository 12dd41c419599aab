//! `idempot-js`: idempot-js 1.0, by its documentation.

use super::{
    Suite,
    published::{
        another_body, crowd, declined, has_texts, in_flight, is_kept, refused_key, repeated, repeated_as,
        says, two_effects,
    },
};
use crate::{
    case::{Case, Judged, cases},
    expect::{field, holds, status},
    talk::{Dialect, KeyForm, Talk},
    wire::Answer,
};

pub(super) const SUITE: Suite = Suite {
    name: "idempot-js",
    source: "github.com/idempot-dev/idempot-js at fe0486f, docs",
    dialect: Dialect { carrier: "Idempotency-Key", form: KeyForm::Bare, issue_field: None },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_missing_key_is_refused [] "guide/configuration, required";
    a_key_of_20_characters_is_refused [] "guide/configuration, minKeyLength";
    a_key_of_21_characters_is_taken [] "guide/configuration, minKeyLength";
    a_key_of_256_characters_is_refused [] "guide/configuration, maxKeyLength";
    a_key_with_a_comma_is_refused [] "guide/configuration";
    a_repeat_gets_the_first_answer [] "packages/core, prepareCachedResponse";
    a_repeat_is_marked [] "packages/core, prepareCachedResponse";
    the_order_of_members_does_not_count [Reference] "packages/core, fingerprint";
    another_body_is_unprocessable [OtherBody] "reference/errors";
    a_request_in_flight_is_a_conflict [Reference] "reference/errors";
    of_many_at_once_one_runs [] "reference/errors";
    an_error_is_kept [Reference] "packages/frameworks/express";
    a_failure_is_kept [Reference] "packages/frameworks/express";
    a_patch_is_guarded [Reference] "guide/configuration";
    a_put_is_not_guarded [Reference] "guide/configuration";
    a_refusal_has_its_members [OtherBody] "reference/errors";
    a_refusal_is_markdown_for_an_agent [] "reference/errors";
};

async fn a_missing_key_is_refused(talk: &Talk<'_>) -> Judged {
    is_problem(&declined(talk, &talk.unkeyed(), 400).await?)
}

fn is_problem(answer: &Answer) -> Judged {
    let content_type = answer.field("content-type").unwrap_or_default();
    holds(&format!("content-type: {content_type:?}"), content_type.starts_with("application/problem+json"))?;
    has_texts(answer, &["/type", "/title", "/detail", "/instance"])
}

fn cut(key: &str, chars: usize) -> String {
    key.chars().take(chars).collect()
}

async fn a_key_of_20_characters_is_refused(talk: &Talk<'_>) -> Judged {
    refused_key(talk, &cut(&talk.key(), 20)).await.map(drop)
}

async fn a_key_of_21_characters_is_taken(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&cut(&talk.key(), 21));
    repeated_as(talk, ask.clone(), ask).await.map(drop)
}

async fn a_key_of_256_characters_is_refused(talk: &Talk<'_>) -> Judged {
    refused_key(talk, &format!("{:k<256}", talk.key())).await.map(drop)
}

async fn a_key_with_a_comma_is_refused(talk: &Talk<'_>) -> Judged {
    refused_key(talk, &format!("{},b", talk.key())).await.map(drop)
}

async fn a_repeat_gets_the_first_answer(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn a_repeat_is_marked(talk: &Talk<'_>) -> Judged {
    let (first, again) = repeated(talk).await?;
    field(&first, "x-idempotent-replayed", None)?;
    field(&again, "x-idempotent-replayed", Some("true"))
}

async fn the_order_of_members_does_not_count(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let carrying = |body: &str| talk.order(&key).carrying("application/json", body);
    repeated_as(talk, carrying(r#"{"a":1,"b":2}"#), carrying(r#"{"b":2,"a":1}"#)).await.map(drop)
}

async fn another_body_is_unprocessable(talk: &Talk<'_>) -> Judged {
    is_problem(&another_body(talk, 422).await?)
}

async fn a_request_in_flight_is_a_conflict(talk: &Talk<'_>) -> Judged {
    is_problem(&in_flight(talk, 409).await?)
}

async fn of_many_at_once_one_runs(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

async fn an_error_is_kept(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=404", 404).await
}

async fn a_failure_is_kept(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=500", 500).await
}

async fn a_patch_is_guarded(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).by("PATCH");
    repeated_as(talk, ask.clone(), ask).await.map(drop)
}

async fn a_put_is_not_guarded(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).by("PUT");
    two_effects(talk, ask.clone(), ask).await
}

async fn a_refusal_has_its_members(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    talk.ask(&talk.order(&key)).await?;
    let refusal = talk.ask(&talk.other_order(&key)).await?;
    is_problem(&refusal)?;
    says(&refusal, "/idempotency_key", &key)?;
    let body = super::published::json(&refusal)?;
    holds("no member retryable", body.get("retryable").is_some_and(serde_json::Value::is_boolean))
}

async fn a_refusal_is_markdown_for_an_agent(talk: &Talk<'_>) -> Judged {
    let answer = talk.ask(&talk.unkeyed().with("Accept", "text/markdown")).await?;
    status(&answer, 400)?;
    let content_type = answer.field("content-type").unwrap_or_default();
    holds(&format!("content-type: {content_type:?}"), content_type.starts_with("text/markdown"))?;
    holds("no front matter", answer.text().starts_with("---\n"))
}
