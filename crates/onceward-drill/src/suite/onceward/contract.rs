//! What an origin says of itself, and of the state of a key (C1, C5).

use serde_json::Value;

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, equal, failed, field, holds, refused},
    talk::{Talk, Who},
    wire::Ask,
};

pub(super) const CASES: &[Case] = cases! {
    a_guarded_answer_says_what_is_accepted [] "C1";
    an_unkeyed_answer_of_a_guarded_route_says_what_is_accepted [] "C1";
    the_contract_is_published [] "C1";
    the_contract_names_pages_that_are_served [] "C1", "C3";
    the_state_of_a_key_that_is_done [] "C5";
    the_state_of_a_key_that_nobody_used [] "C5";
    the_state_of_a_key_that_runs [Reference] "C5";
    the_state_of_a_key_in_doubt [Reference] "C5";
    the_state_of_a_released_key [Reference] "C5";
    another_actor_sees_no_state [TwoActors] "C5", "K4";
    asking_for_a_state_is_no_effect [] "C5";
    asking_for_a_state_needs_a_key [] "C5";
};

const WELL_KNOWN: &str = "/.well-known/idempotency";
const EFFECTS: &str = "/.well-known/idempotency/effects";

async fn a_guarded_answer_says_what_is_accepted(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    // The first answer, a replay and a refusal.
    for ask in [&ask, &ask, &talk.unkeyed().with("Idempotency-Key", "no, key")] {
        let answer = talk.ask(ask).await?;
        field(&answer, "accepts-idempotency-key", Some("true"))?;
        field(&answer, "accepts-intent-hash", Some("sha256"))?;
    }
    Ok(())
}

async fn an_unkeyed_answer_of_a_guarded_route_says_what_is_accepted(talk: &Talk<'_>) -> Judged {
    field(&talk.ask(&talk.unkeyed()).await?, "accepts-idempotency-key", Some("true"))
}

async fn json(talk: &Talk<'_>, ask: &Ask) -> Result<Value, Stop> {
    let answer = talk.ask(ask).await?;
    equal("status", answer.status, 200)?;
    field(&answer, "content-type", Some("application/json"))?;
    match serde_json::from_slice(&answer.body) {
        Ok(value) => Ok(value),
        Err(error) => failed(format!("no JSON: {error}")),
    }
}

async fn the_contract_is_published(talk: &Talk<'_>) -> Judged {
    let contract = json(talk, &talk.get(WELL_KNOWN)).await?;
    equal("profile", contract.get("profile").and_then(Value::as_str), Some("onceward"))?;
    let carriers = contract.get("carriers").and_then(Value::as_array).cloned().unwrap_or_default();
    let names_the_field =
        carriers.iter().filter_map(Value::as_str).any(|name| name.eq_ignore_ascii_case("idempotency-key"));
    holds("carriers does not name Idempotency-Key", names_the_field)?;
    equal("intent_hash", contract.get("intent_hash").and_then(Value::as_str), Some("sha256"))?;
    equal("effects", contract.get("effects").and_then(Value::as_str), Some(EFFECTS))?;
    let routes = contract.get("routes").and_then(Value::as_array).cloned().unwrap_or_default();
    let guardings: Vec<Value> = contract.get("others").into_iter().cloned().chain(routes).collect();
    holds("neither routes nor others", !guardings.is_empty())?;
    for guarding in &guardings {
        for name in
            ["wait", "retention", "remember", "request_bytes_max", "outcome_bytes_max", "key_chars_max"]
        {
            holds(&format!("no number {name}"), guarding.get(name).is_some_and(Value::is_u64))?;
        }
        holds(
            "no methods",
            guarding.get("methods").and_then(Value::as_array).is_some_and(|methods| !methods.is_empty()),
        )?;
    }
    Ok(())
}

async fn the_contract_names_pages_that_are_served(talk: &Talk<'_>) -> Judged {
    let contract = json(talk, &talk.get(WELL_KNOWN)).await?;
    let problems = contract.get("problems").and_then(Value::as_array).cloned().unwrap_or_default();
    holds("no problems", !problems.is_empty())?;
    for url in problems.iter().filter_map(Value::as_str) {
        let page = talk.ask(&talk.get(&talk.own_path(url)?)).await?;
        equal(url, page.status, 200)?;
        let slug = url.rsplit('/').next().unwrap_or_default();
        holds(&format!("{url} does not name {slug}"), page.text().contains(slug))?;
    }
    Ok(())
}

async fn state_is(talk: &Talk<'_>, who: Who, key: &str, state: &str, effect: &str) -> Judged {
    let path = talk.subject.path.split('?').next().unwrap_or_default();
    let ask = talk.keyed(talk.request(who, "GET", &format!("{EFFECTS}?path={path}")), key);
    let found = json(talk, &ask).await?;
    let member = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    equal("state and effect", (member("state"), member("effect")), (state.to_owned(), effect.to_owned()))
}

async fn the_state_of_a_key_that_is_done(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let answer = talk.ask(&talk.order(&key)).await?;
    committed(&answer, answer.status)?;
    state_is(talk, Who::First, &key, "done", "done").await
}

async fn the_state_of_a_key_that_nobody_used(talk: &Talk<'_>) -> Judged {
    state_is(talk, Who::First, &talk.key(), "absent", "none").await
}

async fn the_state_of_a_key_that_runs(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let look = state_is(talk, Who::First, &key, "claimed", "unknown");
    let (answer, ()) = talk.while_held(&talk.order(&key), look).await?;
    committed(&answer, 201)
}

async fn the_state_of_a_key_in_doubt(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    refused(&talk.ask(&talk.order(&key).told("cut")).await?, 409, "outcome-unknown")?;
    state_is(talk, Who::First, &key, "in-doubt", "unknown").await
}

async fn the_state_of_a_released_key(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    equal("status", talk.ask(&talk.order(&key).told("status=429")).await?.status, 429)?;
    state_is(talk, Who::First, &key, "absent", "none").await
}

async fn another_actor_sees_no_state(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let answer = talk.ask(&talk.order(&key)).await?;
    committed(&answer, answer.status)?;
    state_is(talk, Who::Second, &key, "absent", "none").await
}

async fn asking_for_a_state_is_no_effect(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    state_is(talk, Who::First, &key, "absent", "none").await?;
    let answer = talk.ask(&talk.order(&key)).await?;
    committed(&answer, answer.status)?;
    talk.effects_are(1).await
}

async fn asking_for_a_state_needs_a_key(talk: &Talk<'_>) -> Judged {
    let ask = talk.get(&format!("{EFFECTS}?path={}", talk.subject.path));
    refused(&talk.ask(&ask).await?, 400, "key-missing")?;
    Ok(())
}
