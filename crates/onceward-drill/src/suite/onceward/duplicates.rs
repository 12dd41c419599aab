//! Many at once, duplicates that wait, callers that go away (L1, L6, W1, W2).

use std::time::Duration;

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};

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

/// Sends a request whose caller goes away while the origin holds back its answer.
async fn abandon(talk: &Talk<'_>, ask: &Ask) -> Judged {
    let mut line = talk.line().await?;
    let held = ask.clone().told("hold");
    if let Err(fault) = line.write(&held.bytes(&talk.subject.target)).await {
        return failed(fault.to_string());
    }
    talk.await_calls(1).await
}

/// How long a server is given to see that its caller is gone. One that sees it later does what it does all the same.
const NOTICE_TIME: Duration = Duration::from_millis(300);

async fn what_runs_ends_when_its_caller_goes_away(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    abandon(talk, &ask).await?;
    sleep(NOTICE_TIME).await;
    talk.effects_are(0).await?;
    talk.release().await?;
    talk.await_effects(1).await?;
    let first = talk.ask(&ask).await?;
    equal("status", first.status, 201)?;
    field(&first, "intent-status", Some("replayed"))?;
    talk.calls_are(1).await
}

async fn who_went_away_and_comes_back_gets_the_outcome(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    abandon(talk, &ask).await?;
    let back = talk.ask_and_release(&ask).await?;
    equal("status", back.status, 201)?;
    field(&back, "intent-status", Some("replayed"))?;
    replay(&talk.ask(&ask).await?, &back)?;
    talk.calls_are(1).await
}

async fn a_duplicate_waits_for_the_outcome(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key());
    let (first, duplicate) = talk.while_held(&ask, talk.ask_and_release(&ask)).await?;
    committed(&first, 201)?;
    replay(&duplicate, &first)?;
    talk.calls_are(1).await
}

async fn a_duplicate_that_waited_too_long_is_told_to_come_back(talk: &Talk<'_>) -> Judged {
    /// What the reference's `/impatient` is set up with.
    const WAIT: Duration = Duration::from_secs(1);
    let ask = talk.keyed(talk.post("/impatient"), &talk.key());
    let duplicate = async {
        let begun = Instant::now();
        let answer = talk.ask(&ask).await?;
        let problem = refused(&answer, 409, "in-progress")?;
        let waited = begun.elapsed();
        holds(&format!("it was told after {waited:?} already"), waited >= WAIT)?;
        field(&answer, "intent-status", Some("in-progress"))?;
        field(&answer, "idempotency-key-consumed", Some("true"))?;
        problem.has("retry", &"same-key".into())?;
        let pause = answer.field("retry-after").and_then(|pause| pause.parse::<u64>().ok());
        holds("no Retry-After in seconds", pause.is_some_and(|pause| pause > 0))
    };
    let (first, ()) = talk.while_held(&ask, duplicate).await?;
    committed(&first, 201)?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.effects_are(1).await
}

async fn a_route_may_let_nobody_wait(talk: &Talk<'_>) -> Judged {
    let ask = talk.keyed(talk.post("/immediate"), &talk.key());
    let duplicate = async {
        refused(&talk.ask(&ask).await?, 409, "in-progress")?;
        talk.effects_are(0).await
    };
    let (first, ()) = talk.while_held(&ask, duplicate).await?;
    committed(&first, 201)?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.calls_are(1).await
}

/// At most 64 wait for one key; the others are told at once, and what they wait for ends when all of those have been.
async fn those_that_wait_for_one_key_are_bounded(talk: &Talk<'_>) -> Judged {
    const WAITERS_MAX: usize = 64;
    const REFUSED: usize = MANY - 1 - WAITERS_MAX;
    let ask = talk.order(&talk.key());
    let duplicates = async {
        let mut answers = Vec::new();
        let mut duplicates: FuturesUnordered<_> = (1..MANY).map(|_| talk.ask(&ask)).collect();
        while let Some(answer) = duplicates.next().await {
            answers.push(answer);
            if answers.len() == REFUSED {
                talk.release().await?;
            }
        }
        Ok(answers)
    };
    let (first, mut answers) = talk.while_held(&ask, duplicates).await?;
    answers.push(Ok(first));
    let crowd = sort(answers)?;
    equal("replays and refusals", (crowd.replayed, crowd.in_progress), (WAITERS_MAX, REFUSED))?;
    talk.calls_are(1).await
}
