//! What the published contracts have in common: each suite says with which status and code.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    case::{Judged, Stop},
    expect::{equal, excerpt, failed, field, holds, status},
    talk::{Talk, Who, identity},
    wire::{Answer, Ask},
};

/// Repeats that are sent at once.
const CROWD: usize = 20;

/// An answer that says that the order was taken.
pub(super) fn accepted(answer: &Answer) -> Judged {
    holds(&format!("status: {}, expected 2xx", answer.status), (200..300).contains(&answer.status))
}

/// Status and body of then.
pub(super) fn same_result(again: &Answer, first: &Answer) -> Judged {
    status(again, first.status)?;
    if again.body == first.body {
        return Ok(());
    }
    failed(format!("body: {:?}, expected {:?}", excerpt(&again.body), excerpt(&first.body)))
}

/// Sends an order twice: the first answer and the second, which is the same.
pub(super) async fn repeated(talk: &Talk<'_>) -> Result<(Answer, Answer), Stop> {
    let ask = talk.order(&talk.key());
    repeated_as(talk, ask.clone(), ask).await
}

/// Sends two requests that are one: the answers, which are the same.
pub(super) async fn repeated_as(talk: &Talk<'_>, first: Ask, again: Ask) -> Result<(Answer, Answer), Stop> {
    let first = talk.ask(&first).await?;
    accepted(&first)?;
    let again = talk.ask(&again).await?;
    same_result(&again, &first)?;
    talk.effects_are(1).await?;
    Ok((first, again))
}

/// Sends two requests that differ under one key: the answer to the second, which was not run.
pub(super) async fn conflicting(
    talk: &Talk<'_>,
    first: Ask,
    second: Ask,
    expected: u16,
) -> Result<Answer, Stop> {
    let first = talk.ask(&first).await?;
    accepted(&first)?;
    let second = talk.ask(&second).await?;
    status(&second, expected)?;
    holds("the refusal is the first one's answer", second.body != first.body)?;
    talk.effects_are(1).await?;
    Ok(second)
}

/// Sends an order, and another body under its key.
pub(super) async fn another_body(talk: &Talk<'_>, expected: u16) -> Result<Answer, Stop> {
    let key = talk.key();
    conflicting(talk, talk.order(&key), talk.other_order(&key), expected).await
}

/// Sends two requests that are two effects though they have one key.
pub(super) async fn two_effects(talk: &Talk<'_>, first: Ask, second: Ask) -> Judged {
    accepted(&talk.ask(&first).await?)?;
    accepted(&talk.ask(&second).await?)?;
    talk.effects_are(2).await
}

/// One key of two callers is two effects.
pub(super) async fn two_actors(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key)).await?;
    accepted(&first)?;
    let second = talk.ask(&talk.order_of(Who::Second, &key)).await?;
    accepted(&second)?;
    holds("a caller got another one's answer", identity(&second) != identity(&first))?;
    talk.effects_are(2).await
}

/// Sends one order many times at once: one effect, and every answer is its own or says that it runs.
pub(super) async fn crowd(talk: &Talk<'_>, conflict: u16) -> Judged {
    let ask = talk.order(&talk.key());
    let answers = join_all((0..CROWD).map(|_| talk.ask(&ask))).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (done, refused): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| (200..300).contains(&answer.status));
    for answer in refused {
        status(answer, conflict)?;
    }
    let told: BTreeSet<Vec<u8>> = done.iter().map(|answer| identity(answer)).collect();
    equal("different answers", told.len(), 1)?;
    talk.effects_are(1).await
}

/// Sends an order while it runs: the answer to the repeat. Afterwards it is the first one's.
pub(super) async fn in_flight(talk: &Talk<'_>, expected: u16) -> Result<Answer, Stop> {
    let ask = talk.order(&talk.key());
    let repeat = async {
        let answer = talk.ask(&ask).await?;
        status(&answer, expected)?;
        talk.effects_are(0).await?;
        Ok(answer)
    };
    let (first, repeat) = talk.while_held(&ask, repeat).await?;
    accepted(&first)?;
    same_result(&talk.ask(&ask).await?, &first)?;
    talk.calls_are(1).await?;
    Ok(repeat)
}

/// Sends a request with a key that its contract does not allow: the refusal, and no effect.
pub(super) async fn refused_key(talk: &Talk<'_>, key: &str) -> Result<Answer, Stop> {
    declined(talk, &talk.order(key), 400).await
}

/// Sends a request that is refused before anything happens.
pub(super) async fn declined(talk: &Talk<'_>, ask: &Ask, expected: u16) -> Result<Answer, Stop> {
    let answer = talk.ask(ask).await?;
    status(&answer, expected)?;
    talk.effects_are(0).await?;
    Ok(answer)
}

/// The origin answers as it is told, and the repeat gets that again.
pub(super) async fn is_kept(talk: &Talk<'_>, directive: &str, expected: u16) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key).told(directive)).await?;
    status(&first, expected)?;
    same_result(&talk.ask(&talk.order(&key)).await?, &first)?;
    talk.calls_are(1).await
}

/// The origin answers as it is told, and the repeat runs.
pub(super) async fn runs_again(talk: &Talk<'_>, directive: &str, expected: u16) -> Judged {
    let key = talk.key();
    status(&talk.ask(&talk.order(&key).told(directive)).await?, expected)?;
    accepted(&talk.ask(&talk.order(&key)).await?)?;
    talk.calls_are(2).await?;
    talk.effects_are(1).await
}

/// A failure is not given again as the result of the repeat, and what may have happened is not run twice.
pub(super) async fn failure_is_not_kept(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    talk.ask(&talk.order(&key).told("status=500")).await?;
    let again = talk.ask(&talk.order(&key)).await?;
    holds("the repeat got the failure of then", again.status != 500)?;
    // The origin booked before it failed: a second run is a second order.
    talk.effects_are(1).await
}

/// Every member that a pointer names is text that is not empty.
pub(super) fn has_texts(answer: &Answer, pointers: &[&str]) -> Judged {
    let body = json(answer)?;
    for pointer in pointers {
        let text = body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        holds(&format!("no text at {pointer} of {body}"), !text.is_empty())?;
    }
    Ok(())
}

/// The member that a pointer names is this text.
pub(super) fn says(answer: &Answer, pointer: &str, expected: &str) -> Judged {
    let body = json(answer)?;
    equal(pointer, body.pointer(pointer).and_then(Value::as_str), Some(expected))
}

pub(super) fn json(answer: &Answer) -> Result<Value, Stop> {
    match serde_json::from_slice(&answer.body) {
        Ok(body) => Ok(body),
        Err(error) => failed(format!("the body is no JSON: {error}")),
    }
}

/// The number of seconds in `Retry-After`.
pub(super) fn has_retry_after(answer: &Answer) -> Judged {
    let pause = answer.field("retry-after").and_then(|pause| pause.parse::<u64>().ok());
    holds("no Retry-After in seconds", pause.is_some())
}

/// An answer repeats a field of its request.
pub(super) fn repeats(answer: &Answer, name: &str, value: &str) -> Judged {
    field(answer, name, Some(value))
}
