//! What is not known is said so, and never sent again (D1).

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, equal, field, holds, refused},
    talk::Talk,
    wire::Answer,
};

pub(super) const CASES: &[Case] = cases! {
    an_answer_that_breaks_off_is_doubt [Reference] "D1", "O4";
    a_key_in_doubt_is_never_sent_again [Reference] "D1";
    a_doubt_says_what_to_do [Reference] "D1";
    a_doubt_is_a_page_for_a_person [Reference] "D1", "C3";
    a_doubt_is_markdown_for_an_agent [Reference] "D1", "C3";
    a_doubt_leads_to_its_state [Reference] "D1";
    another_key_is_not_in_doubt [Reference] "D1";
};

async fn doubted(talk: &Talk<'_>, key: &str) -> Result<Answer, Stop> {
    let first = talk.ask(&talk.order(key).told("cut")).await?;
    refused(&first, 409, "outcome-unknown")?;
    Ok(first)
}

async fn an_answer_that_breaks_off_is_doubt(talk: &Talk<'_>) -> Judged {
    let first = doubted(talk, &talk.key()).await?;
    field(&first, "intent-status", Some("unknown"))?;
    field(&first, "idempotency-key-consumed", Some("true"))?;
    talk.calls_are(1).await
}

async fn a_key_in_doubt_is_never_sent_again(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    doubted(talk, &key).await?;
    for _ in 0..3 {
        refused(&talk.ask(&talk.order(&key)).await?, 409, "outcome-unknown")?;
    }
    talk.calls_are(1).await
}

async fn a_doubt_says_what_to_do(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    doubted(talk, &key).await?;
    let again = talk.ask(&talk.order(&key)).await?;
    let problem = refused(&again, 409, "outcome-unknown")?;
    field(&again, "retry-after", Some("30"))?;
    field(&again, "idempotency-key-consumed", Some("true"))?;
    field(&again, "intent-status", Some("unknown"))?;
    problem.has("effect", &"unknown".into())?;
    problem.has("retry", &"after-resolution".into())?;
    problem.has("retryable", &false.into())?;
    problem.has("retry_after", &30.into())?;
    problem.has("idempotency_key", &key.into())?;
    holds("no next_action", !problem.text("next_action").is_empty())?;
    holds("the detail does not say not to submit", problem.text("detail").contains("Do not submit again"))
}

async fn a_doubt_is_a_page_for_a_person(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    doubted(talk, &key).await?;
    let page = talk.ask(&talk.order(&key).with("Accept", "text/html,*/*;q=0.8")).await?;
    equal("status", page.status, 409)?;
    field(&page, "content-type", Some("text/html; charset=utf-8"))?;
    holds("no page", page.text().starts_with("<!doctype html>"))?;
    holds("it does not say not to submit", page.text().contains("Do not submit again"))?;
    holds("it shows the key", !page.text().contains(&key))?;
    talk.calls_are(1).await
}

async fn a_doubt_is_markdown_for_an_agent(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    doubted(talk, &key).await?;
    let page = talk.ask(&talk.order(&key).with("Accept", "text/markdown")).await?;
    equal("status", page.status, 409)?;
    field(&page, "content-type", Some("text/markdown; charset=utf-8"))?;
    let text = page.text();
    holds("no front matter", text.starts_with("---\n") && text.contains("\n---\n"))?;
    holds("it does not say that the effect is unknown", text.contains("\neffect: \"unknown\"\n"))?;
    talk.calls_are(1).await
}

async fn a_doubt_leads_to_its_state(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    doubted(talk, &key).await?;
    let problem = refused(&talk.ask(&talk.order(&key)).await?, 409, "outcome-unknown")?;
    let url = problem.text("status_url");
    holds("no status_url", !url.is_empty())?;
    let state = talk.ask(&talk.keyed(talk.get(&talk.own_path(&url)?), &key)).await?;
    equal("status", state.status, 200)?;
    let state: serde_json::Value = serde_json::from_slice(&state.body).unwrap_or_default();
    equal("state", state.get("state").and_then(|state| state.as_str()), Some("in-doubt"))
}

async fn another_key_is_not_in_doubt(talk: &Talk<'_>) -> Judged {
    doubted(talk, &talk.key()).await?;
    committed(&talk.ask(&talk.order(&talk.key())).await?, 201)?;
    talk.calls_are(2).await
}
