//! Many at once, duplicates that wait, callers that go away (L1, L6, W1, W2).

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, equal, failed, field, holds, refused, replay},
    talk::Talk,
    wire::{Answer, Ask},
};

pub(super) const CASES: &[Case] = cases! {
    two_keys_are_two_effects [] "L1";
    a_hundred_at_once_are_one_effect [] "L1";
    a_hundred_at_once_over_http2_are_one_effect [Http2] "L1";
    a_key_is_one_over_both_versions [Http2] "L1";
    what_runs_ends_when_its_caller_goes_away [Reference] "L6";
    who_went_away_and_comes_back_gets_the_outcome [Reference] "L6", "W1";
    a_duplicate_waits_for_the_outcome [Reference] "W1";
    a_duplicate_that_waited_too_long_is_told_to_come_back [Reference] "W1";
    a_route_may_let_nobody_wait [Reference] "W1";
    those_that_wait_for_one_key_are_bounded [Reference] "W2";
};

const MANY: usize = 100;

async fn two_keys_are_two_effects(talk: &Talk<'_>) -> Judged {
    let first = talk.ask(&talk.order(&talk.key())).await?;
    committed(&first, first.status)?;
    committed(&talk.ask(&talk.order(&talk.key())).await?, first.status)?;
    talk.effects_are(2).await
}

/// How a hundred of one key were answered.
struct Crowd {
    committed: usize,
    replayed: usize,
    in_progress: usize,
}

/// One is the effect's own answer; the others are its replays, or are told that it runs.
fn sort(answers: Vec<Result<Answer, Stop>>) -> Result<Crowd, Stop> {
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let is_first = |answer: &&Answer| answer.field("intent-status").as_deref() == Some("committed");
    let Some(first) = answers.iter().find(is_first) else { return failed("none was answered as committed") };
    let mut crowd = Crowd { committed: 0, replayed: 0, in_progress: 0 };
    for answer in &answers {
        if is_first(&answer) {
            crowd.committed += 1;
        } else if answer.status == 409 {
            refused(answer, 409, "in-progress")?;
            crowd.in_progress += 1;
        } else {
            replay(answer, first)?;
            crowd.replayed += 1;
        }
    }
    equal("answers that are committed", crowd.committed, 1)?;
    Ok(crowd)
}

async fn a_hundred_at_once_are_one_effect(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    sort(join_all((0..MANY).map(|_| talk.ask(&ask))).await)?;
    talk.effects_are(1).await
}

async fn a_hundred_at_once_over_http2_are_one_effect(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let session = talk.session().await?;
    sort(join_all((0..MANY).map(|_| talk.ask_http2(&session, &ask))).await)?;
    talk.effects_are(1).await
}

async fn a_key_is_one_over_both_versions(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let first = talk.ask(&ask).await?;
    committed(&first, first.status)?;
    let session = talk.session().await?;
    replay(&talk.ask_http2(&session, &ask).await?, &first)?;
    let ask = talk.order(&talk.key());
    let first = talk.ask_http2(&session, &ask).await?;
    committed(&first, first.status)?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.effects_are(2).await
}

/// Sends a request whose caller goes away as soon as the origin has begun on it.
async fn abandon(talk: &Talk<'_>, ask: &Ask) -> Judged {
    let mut line = talk.line().await?;
    if let Err(fault) = line.write(&ask.bytes(&talk.subject.target)).await {
        return failed(fault.to_string());
    }
    talk.await_calls(1).await
}

async fn what_runs_ends_when_its_caller_goes_away(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    abandon(talk, &talk.order(&key).told("slow=1500")).await?;
    talk.effects_are(0).await?;
    talk.await_effects(1).await?;
    let first = talk.ask(&talk.order(&key)).await?;
    equal("status", first.status, 201)?;
    field(&first, "intent-status", Some("replayed"))?;
    talk.calls_are(1).await
}

async fn who_went_away_and_comes_back_gets_the_outcome(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    abandon(talk, &talk.order(&key).told("slow=1000")).await?;
    let back = talk.ask(&talk.order(&key)).await?;
    equal("status", back.status, 201)?;
    field(&back, "intent-status", Some("replayed"))?;
    replay(&talk.ask(&talk.order(&key)).await?, &back)?;
    talk.calls_are(1).await
}

async fn a_duplicate_waits_for_the_outcome(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let slow = talk.order(&key).told("slow=1500");
    let duplicate = async {
        talk.await_calls(1).await?;
        let answer = talk.ask(&talk.order(&key)).await?;
        // It was answered by the effect's end, not by a look from time to time that came before it.
        talk.effects_are(1).await?;
        Ok::<_, Stop>(answer)
    };
    let (first, duplicate) = tokio::join!(talk.ask(&slow), duplicate);
    let (first, duplicate) = (first?, duplicate?);
    committed(&first, 201)?;
    replay(&duplicate, &first)?;
    talk.calls_are(1).await
}

async fn a_duplicate_that_waited_too_long_is_told_to_come_back(talk: &Talk<'_>) -> Judged {
    let Some(guarding) = talk.subject.guarding() else {
        return Err(Stop::NotApplicable("needs the reference origin".to_owned()));
    };
    let key = talk.key();
    let takes = guarding.wait + Duration::from_millis(1_500);
    let slow = talk.order(&key).told(&format!("slow={}", takes.as_millis()));
    let duplicate = async {
        talk.await_calls(1).await?;
        let begun = Instant::now();
        let answer = talk.ask(&talk.order(&key)).await?;
        let problem = refused(&answer, 409, "in-progress")?;
        let waited = begun.elapsed();
        holds(&format!("it was told after {waited:?} already"), waited >= guarding.wait)?;
        holds("it waited for the outcome", waited < takes)?;
        field(&answer, "intent-status", Some("in-progress"))?;
        field(&answer, "idempotency-key-consumed", Some("true"))?;
        problem.has("retry", &"same-key".into())?;
        let pause = answer.field("retry-after").and_then(|pause| pause.parse::<u64>().ok());
        holds("no Retry-After in seconds", pause.is_some_and(|pause| pause > 0))
    };
    let (first, duplicate) = tokio::join!(talk.ask(&slow), duplicate);
    duplicate?;
    // Over five seconds an answer may flow (O8); this one is shorter.
    let first = first?;
    committed(&first, 201)?;
    replay(&talk.ask(&talk.order(&key)).await?, &first)?;
    talk.effects_are(1).await
}

async fn a_route_may_let_nobody_wait(talk: &Talk<'_>) -> Judged {
    let ask = talk.keyed(talk.post("/immediate"), &talk.key());
    let slow = ask.clone().told("slow=1500");
    let duplicate = async {
        talk.await_calls(1).await?;
        refused(&talk.ask(&ask).await?, 409, "in-progress")?;
        talk.effects_are(0).await
    };
    let (first, duplicate) = tokio::join!(talk.ask(&slow), duplicate);
    duplicate?;
    let first = first?;
    committed(&first, 201)?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.calls_are(1).await
}

/// At most 64 wait for one key; the others are told at once.
async fn those_that_wait_for_one_key_are_bounded(talk: &Talk<'_>) -> Judged {
    const WAITERS_MAX: usize = 64;
    let key = talk.key();
    let slow = talk.order(&key).told("slow=2500");
    let duplicates = async {
        talk.await_calls(1).await?;
        let ask = talk.order(&key);
        Ok::<_, Stop>(join_all((1..MANY).map(|_| talk.ask(&ask))).await)
    };
    let (first, duplicates) = tokio::join!(talk.ask(&slow), duplicates);
    let mut answers = duplicates?;
    answers.push(first);
    let crowd = sort(answers)?;
    equal(
        "replays and refusals",
        (crowd.replayed, crowd.in_progress),
        (WAITERS_MAX, MANY - 1 - WAITERS_MAX),
    )?;
    talk.calls_are(1).await
}
