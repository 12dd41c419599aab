//! Answers and their replays: status, fields, marks (O1, O2, O3, O10, C2).

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{Cookies, committed, equal, failed, field, holds, refused, replay, replay_with, untouched},
    talk::Talk,
};

pub(super) const CASES: &[Case] = cases! {
    a_first_answer_says_that_its_key_is_consumed [] "C2";
    a_replay_is_the_first_answer [] "O1";
    three_replays_are_alike [] "O1";
    a_replay_on_the_same_connection_is_the_first_answer [] "O1";
    a_replay_is_marked [] "O3";
    a_replay_tells_its_age [] "O3";
    a_replay_has_no_cookies [Reference] "O2";
    a_route_may_keep_cookies [Reference] "O2";
    a_repeated_field_is_replayed_line_by_line [Reference] "O2";
    what_belongs_to_one_exchange_is_not_kept [Reference] "O2";
    what_belongs_to_the_connection_is_not_kept [Reference] "O2";
    a_put_and_a_delete_are_guarded [Reference] "O1";
    a_replay_reads_the_body_of_the_retry [Reference] "O10";
    a_refusal_leaves_no_bytes_behind [] "O10";
};

async fn a_first_answer_says_that_its_key_is_consumed(talk: &Talk<'_>) -> Judged {
    let answer = talk.ask(&talk.order(&talk.key())).await?;
    holds("not accepted", (200..300).contains(&answer.status))?;
    committed(&answer, answer.status)
}

async fn a_replay_is_the_first_answer(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let first = talk.ask(&ask).await?;
    committed(&first, first.status)?;
    holds("the first answer has no content", !first.body.is_empty())?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.effects_are(1).await
}

async fn three_replays_are_alike(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let first = talk.ask(&ask).await?;
    for _ in 0..3 {
        replay(&talk.ask(&ask).await?, &first)?;
    }
    talk.effects_are(1).await
}

async fn a_replay_on_the_same_connection_is_the_first_answer(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let mut line = talk.line().await?;
    let first = talk.ask_on(&mut line, &ask).await?;
    committed(&first, first.status)?;
    if first.field("connection").as_deref() == Some("close") {
        return Err(Stop::NotApplicable("the server closes after each answer".to_owned()));
    }
    replay(&talk.ask_on(&mut line, &ask).await?, &first)?;
    talk.effects_are(1).await
}

async fn a_replay_is_marked(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    talk.ask(&ask).await?;
    let again = talk.ask(&ask).await?;
    field(&again, "idempotent-replayed", Some("true"))?;
    field(&again, "idempotency-key-consumed", Some("true"))?;
    field(&again, "intent-status", Some("replayed"))
}

async fn a_replay_tells_its_age(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    talk.ask(&ask).await?;
    sleep(Duration::from_millis(2_050)).await;
    let again = talk.ask(&ask).await?;
    let age = again.field("age").and_then(|age| age.parse::<u64>().ok());
    match age {
        // A busy machine may take its time.
        Some(2..=20) => Ok(()),
        _ => failed(format!("age: {age:?} after 2 s")),
    }
}

async fn a_replay_has_no_cookies(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let first = talk.ask(&ask).await?;
    equal("cookies of the first answer", first.lines("set-cookie").len(), 2)?;
    let again = talk.ask(&ask).await?;
    replay(&again, &first)?;
    field(&again, "set-cookie", None)
}

async fn a_route_may_keep_cookies(talk: &Talk<'_>) -> Judged {
    let ask = talk.keyed(talk.post("/cookies"), &talk.key());
    let first = talk.ask(&ask).await?;
    equal("cookies of the first answer", first.lines("set-cookie").len(), 2)?;
    let again = talk.ask(&ask).await?;
    replay_with(&again, &first, Cookies::Kept)?;
    equal("set-cookie", again.lines("set-cookie"), first.lines("set-cookie"))
}

async fn a_repeated_field_is_replayed_line_by_line(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let first = talk.ask(&ask).await?;
    let again = talk.ask(&ask).await?;
    let lines = vec!["first".to_owned(), "second".to_owned()];
    equal("x-part", first.lines("x-part"), lines.clone())?;
    equal("x-part", again.lines("x-part"), lines)?;
    replay(&again, &first)
}

async fn what_belongs_to_one_exchange_is_not_kept(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let first = talk.ask(&ask).await?;
    field(&first, "server-timing", Some("book;dur=1"))?;
    let again = talk.ask(&ask).await?;
    replay(&again, &first)?;
    field(&again, "server-timing", None)?;
    holds("the replay has more than one date", again.lines("date").len() <= 1)
}

async fn what_belongs_to_the_connection_is_not_kept(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).told("hop");
    let first = talk.ask(&ask).await?;
    committed(&first, 201)?;
    let again = talk.ask(&ask).await?;
    replay(&again, &first)?;
    field(&again, "x-hop", None)
}

async fn a_put_and_a_delete_are_guarded(talk: &Talk<'_>) -> Judged {
    for (method, expected) in [("PUT", 200), ("PATCH", 200), ("DELETE", 204)] {
        let ask = talk.order(&talk.key()).by(method);
        let first = talk.ask(&ask).await?;
        committed(&first, expected)?;
        replay(&talk.ask(&ask).await?, &first)?;
    }
    talk.effects_are(3).await
}

/// The content of the retry looks like a request; on a connection that goes on it must not become one.
async fn a_replay_reads_the_body_of_the_retry(talk: &Talk<'_>) -> Judged {
    let hidden = "DELETE /orders HTTP/1.1\r\nHost: a\r\nIdempotency-Key: hidden\r\n\r\n".repeat(1_000);
    let ask = talk.order(&talk.key()).carrying("text/plain", hidden);
    let mut line = talk.line().await?;
    let first = talk.ask_on(&mut line, &ask).await?;
    committed(&first, 201)?;
    let again = talk.ask_on(&mut line, &ask).await?;
    replay(&again, &first)?;
    if again.field("connection").as_deref() != Some("close") {
        untouched(&talk.ask_on(&mut line, &talk.get("/orders")).await?, 200)?;
    }
    talk.calls_are(1).await
}

async fn a_refusal_leaves_no_bytes_behind(talk: &Talk<'_>) -> Judged {
    let hidden = "DELETE /orders HTTP/1.1\r\nHost: a\r\nIdempotency-Key: hidden\r\n\r\n".repeat(1_000);
    let ask = talk.unkeyed().carrying("text/plain", hidden).with("Idempotency-Key", "no, key");
    let mut line = talk.line().await?;
    refused(&talk.ask_on(&mut line, &ask).await?, 400, "key-invalid")?;
    // Either it closes, or nothing but the next request is answered.
    holds("bytes of the body were answered", line.is_closed().await || line.held.is_empty())?;
    talk.calls_are(0).await
}
