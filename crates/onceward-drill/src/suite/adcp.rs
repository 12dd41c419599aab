//! `adcp`: the Ad Context Protocol 3.x, "Security", Idempotency. HTTP statuses are not published, codes are.

use serde_json::json;

use super::{
    Suite,
    published::{
        accepted, crowd, failure_is_not_kept, has_texts, json as body_of, repeated, repeated_as, runs_again,
        same_result, two_actors, two_effects,
    },
};
use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{equal, failed, holds},
    talk::{Dialect, KeyForm, Talk},
    wire::{Answer, Ask},
};

pub(super) const SUITE: Suite = Suite {
    name: "adcp",
    source: "github.com/adcontextprotocol/adcp at 4439b18, docs/building/by-layer/L1/security.mdx",
    dialect: Dialect { carrier: "idempotency_key", form: KeyForm::Member, issue_field: None },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_request_without_a_key_is_invalid [JsonObject] "Idempotency";
    a_key_of_15_characters_is_invalid [JsonObject] "Idempotency";
    a_key_with_another_character_is_invalid [JsonObject] "Idempotency";
    a_key_of_16_characters_is_taken [JsonObject] "Idempotency";
    a_key_is_its_agents_own [TwoActors, JsonObject] "Idempotency";
    a_repeat_gets_the_stored_response [JsonObject] "rule 4";
    an_error_is_not_stored [Reference] "rule 2", "rule 3";
    a_failure_is_not_stored [Reference] "rule 2", "rule 3";
    a_failure_without_effect_runs_again [Reference] "rule 3";
    another_payload_is_a_conflict [OtherBody, JsonObject] "rule 5";
    a_conflict_gives_no_hint [OtherBody, JsonObject] "IDEMPOTENCY_CONFLICT response shape";
    a_request_in_flight_is_told_or_waited_for [Reference] "rule 9";
    another_payload_in_flight_is_a_conflict [Reference] "rule 9";
    of_many_at_once_one_runs [Reference] "rule 9";
    the_context_does_not_count [JsonObject] "Payload equivalence";
    the_governance_context_does_not_count [Reference] "Payload equivalence";
    the_credentials_of_notifications_do_not_count [Reference] "Payload equivalence";
    where_notifications_go_counts [Reference] "Payload equivalence";
    the_order_of_members_does_not_count [Reference] "Payload equivalence";
    another_key_is_another_request [JsonObject] "Idempotency";
    an_error_stands_in_both_places [OtherBody, JsonObject] "Error handling";
};

/// The code of a refusal, which stands in both places (`core/error.json`).
pub(super) fn code_is(answer: &Answer, expected: &str) -> Judged {
    holds("the refusal is a success", !(200..300).contains(&answer.status))?;
    let body = body_of(answer)?;
    let code =
        |pointer: &str| body.pointer(pointer).and_then(|code| code.as_str()).unwrap_or_default().to_owned();
    equal(
        "codes",
        (code("/adcp_error/code"), code("/errors/0/code")),
        (expected.to_owned(), expected.to_owned()),
    )
}

async fn is_invalid(talk: &Talk<'_>, ask: &Ask) -> Judged {
    let answer = talk.ask(ask).await?;
    code_is(&answer, "INVALID_REQUEST")?;
    talk.effects_are(0).await
}

async fn a_request_without_a_key_is_invalid(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &talk.unkeyed()).await
}

pub(super) async fn a_key_of_15_characters_is_invalid(talk: &Talk<'_>) -> Judged {
    let key: String = talk.key().chars().take(15).collect();
    is_invalid(talk, &talk.order(&key)).await
}

async fn a_key_with_another_character_is_invalid(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &talk.order(&format!("{}/b", talk.key()))).await
}

pub(super) async fn a_key_of_16_characters_is_taken(talk: &Talk<'_>) -> Judged {
    let key: String = talk.key().chars().rev().take(16).collect();
    repeated_as(talk, talk.order(&key), talk.order(&key)).await.map(drop)
}

pub(super) async fn a_key_is_its_agents_own(talk: &Talk<'_>) -> Judged {
    two_actors(talk).await
}

pub(super) async fn a_repeat_gets_the_stored_response(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

pub(super) async fn an_error_is_not_stored(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "status=400", 400).await
}

pub(super) async fn a_failure_is_not_stored(talk: &Talk<'_>) -> Judged {
    failure_is_not_kept(talk).await
}

pub(super) async fn a_failure_without_effect_runs_again(talk: &Talk<'_>) -> Judged {
    runs_again(talk, "not-consumed=500", 500).await
}

async fn conflict(talk: &Talk<'_>) -> Result<(Answer, Answer), Stop> {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key)).await?;
    accepted(&first)?;
    let second = talk.ask(&talk.other_order(&key)).await?;
    code_is(&second, "IDEMPOTENCY_CONFLICT")?;
    talk.effects_are(1).await?;
    Ok((first, second))
}

pub(super) async fn another_payload_is_a_conflict(talk: &Talk<'_>) -> Judged {
    conflict(talk).await.map(drop)
}

async fn a_conflict_gives_no_hint(talk: &Talk<'_>) -> Judged {
    let (first, second) = conflict(talk).await?;
    let told = second.text();
    let location = first.field("location").unwrap_or_default();
    let first_body = first.text();
    let tells = told.contains(&first_body) || (!location.is_empty() && told.contains(&location));
    holds("the conflict tells what the key stands for", !tells)
}

/// Either is allowed; one that runs twice is not.
pub(super) async fn a_request_in_flight_is_told_or_waited_for(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let (first, repeat) = talk.while_held(&ask, talk.ask_and_release(&ask)).await?;
    accepted(&first)?;
    if (200..300).contains(&repeat.status) {
        same_result(&repeat, &first)?;
    } else {
        code_is(&repeat, "IDEMPOTENCY_IN_FLIGHT")?;
        let pause = body_of(&repeat)?.pointer("/adcp_error/retry_after").and_then(serde_json::Value::as_u64);
        holds("no retry_after", pause.is_some())?;
    }
    talk.calls_are(1).await
}

pub(super) async fn another_payload_in_flight_is_a_conflict(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let other = async { code_is(&talk.ask(&talk.other_order(&key)).await?, "IDEMPOTENCY_CONFLICT") };
    let (first, ()) = talk.while_held(&talk.order(&key), other).await?;
    accepted(&first)?;
    talk.calls_are(1).await
}

pub(super) async fn of_many_at_once_one_runs(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

/// One key with two bodies that are equal but for a member.
async fn member_does_not_count(talk: &Talk<'_>, name: &str, values: [serde_json::Value; 2]) -> Judged {
    let key = talk.key();
    let [first, second] = values.map(|value| talk.keyed(talk.unkeyed().with_member(name, &value), &key));
    repeated_as(talk, first, second).await.map(drop)
}

pub(super) async fn the_context_does_not_count(talk: &Talk<'_>) -> Judged {
    member_does_not_count(talk, "context", [json!({"trace": "a"}), json!({"trace": "b"})]).await
}

pub(super) async fn the_governance_context_does_not_count(talk: &Talk<'_>) -> Judged {
    member_does_not_count(talk, "governance_context", [json!("a"), json!("b")]).await
}

fn notifications(url: &str, credentials: &str) -> serde_json::Value {
    json!({"url": url, "authentication": {"schemes": ["Bearer"], "credentials": credentials}})
}

pub(super) async fn the_credentials_of_notifications_do_not_count(talk: &Talk<'_>) -> Judged {
    let values = [notifications("https://a.example/", "one"), notifications("https://a.example/", "two")];
    member_does_not_count(talk, "push_notification_config", values).await
}

pub(super) async fn where_notifications_go_counts(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let ask = |url: &str| {
        let ask = talk.unkeyed().with_member("push_notification_config", &notifications(url, "one"));
        talk.keyed(ask, &key)
    };
    accepted(&talk.ask(&ask("https://a.example/")).await?)?;
    code_is(&talk.ask(&ask("https://b.example/")).await?, "IDEMPOTENCY_CONFLICT")?;
    talk.effects_are(1).await
}

async fn the_order_of_members_does_not_count(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = format!(r#"{{"idempotency_key":"{key}","a":1,"b":2}}"#);
    let second = format!(r#"{{"b":2,"idempotency_key":"{key}","a":1}}"#);
    let carrying = |body: String| talk.unkeyed().carrying("application/json", body);
    repeated_as(talk, carrying(first), carrying(second)).await.map(drop)
}

pub(super) async fn another_key_is_another_request(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.order(&talk.key()), talk.order(&talk.key())).await
}

pub(super) async fn an_error_stands_in_both_places(talk: &Talk<'_>) -> Judged {
    let (_, conflict) = conflict(talk).await?;
    has_texts(&conflict, &["/adcp_error/message", "/errors/0/message"])?;
    let body = body_of(&conflict)?;
    let recovery =
        body.pointer("/adcp_error/recovery").and_then(serde_json::Value::as_str).unwrap_or_default();
    if ["transient", "correctable", "terminal"].contains(&recovery) {
        return Ok(());
    }
    failed(format!("recovery is {recovery:?}"))
}
