//! Contents of every kind, replayed as they were (O2, O7, O8).

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, equal, failed, field, holds, refused, replay},
    talk::Talk,
    wire::{Answer, Ask},
};

pub(super) const CASES: &[Case] = cases! {
    an_answer_without_content_is_replayed [Reference] "O2";
    a_not_modified_is_replayed [Reference] "O2";
    a_redirect_is_replayed [Reference] "O2";
    compressed_content_is_replayed [Reference] "O2";
    binary_content_is_replayed [Reference] "O2";
    trailers_are_replayed [Reference] "O2";
    trailers_are_replayed_over_http2 [Reference, Http2] "O2";
    every_content_is_replayed_over_http2 [Reference, Http2] "O2";
    a_large_answer_goes_through_whole [Reference] "O7";
    a_large_answer_is_not_run_again [Reference] "O7";
    events_flow_while_they_come [Reference] "O8";
    events_are_replayed [Reference] "O8";
};

/// Sends an order twice, the second time without telling the origin: its answer has to come from the record.
async fn twice(talk: &Talk<'_>, directive: &str) -> Result<(Answer, Answer), Stop> {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key).told(directive)).await?;
    let again = talk.ask(&talk.order(&key)).await?;
    Ok((first, again))
}

async fn is_replayed(talk: &Talk<'_>, directive: &str, expected: u16) -> Result<Answer, Stop> {
    let (first, again) = twice(talk, directive).await?;
    committed(&first, expected)?;
    replay(&again, &first)?;
    talk.calls_are(1).await?;
    Ok(first)
}

async fn an_answer_without_content_is_replayed(talk: &Talk<'_>) -> Judged {
    let first = is_replayed(talk, "status=204", 204).await?;
    field(&first, "content-length", None)
}

async fn a_not_modified_is_replayed(talk: &Talk<'_>) -> Judged {
    is_replayed(talk, "status=304", 304).await?;
    Ok(())
}

async fn a_redirect_is_replayed(talk: &Talk<'_>) -> Judged {
    let first = is_replayed(talk, "status=303", 303).await?;
    holds("no location", first.field("location").is_some())
}

async fn compressed_content_is_replayed(talk: &Talk<'_>) -> Judged {
    let first = is_replayed(talk, "gzip", 201).await?;
    field(&first, "content-encoding", Some("gzip"))?;
    equal("first bytes", first.body.get(..2), Some(&[0x1f, 0x8b][..]))
}

async fn binary_content_is_replayed(talk: &Talk<'_>) -> Judged {
    let first = is_replayed(talk, "binary", 201).await?;
    let bytes: Vec<u8> = (0..=255).collect();
    equal("bytes", first.body.get(..256), Some(bytes.as_slice()))
}

fn with_trailers(talk: &Talk<'_>, key: &str) -> Ask {
    talk.order(key).told("trailers").with("TE", "trailers")
}

async fn trailers_are_replayed(talk: &Talk<'_>) -> Judged {
    let ask = with_trailers(talk, &talk.key());
    let first = talk.ask(&ask).await?;
    committed(&first, 201)?;
    equal("trailers", &first.trailers, &vec![("x-sum".to_owned(), b"9".to_vec())])?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.calls_are(1).await
}

async fn trailers_are_replayed_over_http2(talk: &Talk<'_>) -> Judged {
    let ask = with_trailers(talk, &talk.key());
    let session = talk.session().await?;
    let first = talk.ask_http2(&session, &ask).await?;
    committed(&first, 201)?;
    equal("trailers", &first.trailers, &vec![("x-sum".to_owned(), b"9".to_vec())])?;
    replay(&talk.ask_http2(&session, &ask).await?, &first)?;
    talk.calls_are(1).await
}

async fn every_content_is_replayed_over_http2(talk: &Talk<'_>) -> Judged {
    let session = talk.session().await?;
    let directives = ["status=201", "status=204", "gzip", "binary", "events"];
    for directive in directives {
        let ask = talk.order(&talk.key()).told(directive);
        let first = talk.ask_http2(&session, &ask).await?;
        committed(&first, first.status)?;
        replay(&talk.ask_http2(&session, &ask).await?, &first)?;
    }
    talk.calls_are(directives.len()).await
}

/// What the reference origin answers to `large`.
const LARGE_BYTES: usize = 2 * 1024 * 1024;

async fn a_large_answer_goes_through_whole(talk: &Talk<'_>) -> Judged {
    let first = talk.ask(&talk.order(&talk.key()).told("large")).await?;
    committed(&first, 201)?;
    equal("bytes", (first.body.len(), first.is_whole), (LARGE_BYTES, true))
}

async fn a_large_answer_is_not_run_again(talk: &Talk<'_>) -> Judged {
    let (first, again) = twice(talk, "large").await?;
    committed(&first, 201)?;
    let problem = refused(&again, 409, "outcome-not-kept")?;
    problem.has("effect", &"done".into())?;
    problem.has("retry", &"never".into())?;
    holds("the status of then is not named", problem.text("detail").contains("201"))?;
    field(&again, "idempotency-key-consumed", Some("true"))?;
    talk.calls_are(1).await
}

/// The origin sends its later events only when the first has arrived here.
async fn events_flow_while_they_come(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).told("hold; events");
    let mut line = talk.line().await?;
    let answer = async {
        line.write(&ask.bytes(&talk.subject.target)).await?;
        line.hold_until(b"id: 1\ndata: order ").await
    };
    if let Err(fault) = answer.await {
        return failed(format!("the first event does not come before the last: {fault}"));
    }
    talk.release().await?;
    let answer = line.read("POST").await;
    let first = talk.noted("POST", ask.shown(&talk.subject.target), answer)?;
    committed(&first, 201)?;
    equal("events", first.text().matches("data: order").count(), 3)
}

async fn events_are_replayed(talk: &Talk<'_>) -> Judged {
    let first = is_replayed(talk, "events", 201).await?;
    field(&first, "content-type", Some("text/event-stream"))
}
