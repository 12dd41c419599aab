//! Which answers are final, and which leave the key free (O4, O5, L5).

use crate::{
    case::{Case, Judged, cases},
    expect::{committed, field, refused, released, replay},
    talk::Talk,
};

pub(super) const CASES: &[Case] = cases! {
    a_400_of_the_handler_is_final [Reference] "O4";
    a_404_of_the_handler_is_final [Reference] "O4";
    a_409_of_the_handler_is_final [Reference] "O4";
    a_422_of_the_handler_is_final [Reference] "O4";
    a_500_of_the_handler_is_final [Reference] "O4";
    a_503_of_the_handler_is_final [HandlerVerdict] "O4";
    a_401_frees_the_key [Reference] "O4", "L5";
    a_403_frees_the_key [Reference] "O4", "L5";
    a_425_frees_the_key [Reference] "O4", "L5";
    a_429_frees_the_key [Reference] "O4", "L5";
    a_408_of_the_handler_frees_the_key [HandlerVerdict] "O4", "L5";
    a_502_from_upstream_is_doubt [UpstreamVerdict] "O4";
    a_503_from_upstream_is_doubt [UpstreamVerdict] "O4";
    a_504_from_upstream_is_doubt [UpstreamVerdict] "O4";
    a_408_from_upstream_is_doubt [UpstreamVerdict] "O4";
    an_answer_that_consumed_nothing_frees_the_key [Reference] "O4", "L5";
    an_answer_that_consumed_the_key_is_final [Reference] "O4";
    a_challenge_is_not_kept [Reference] "O2";
    a_handler_that_panics_leaves_doubt [HandlerVerdict] "O5";
    a_route_may_call_a_panic_final [HandlerVerdict] "O5";
};

/// The second request would be booked, if it reached the origin.
async fn is_final(talk: &Talk<'_>, directive: &str, expected: u16) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key).told(directive)).await?;
    committed(&first, expected)?;
    replay(&talk.ask(&talk.order(&key)).await?, &first)?;
    talk.calls_are(1).await
}

async fn frees(talk: &Talk<'_>, directive: &str, expected: u16) -> Judged {
    let key = talk.key();
    released(&talk.ask(&talk.order(&key).told(directive)).await?, expected)?;
    let second = talk.ask(&talk.order(&key)).await?;
    committed(&second, 201)?;
    replay(&talk.ask(&talk.order(&key)).await?, &second)?;
    talk.calls_are(2).await?;
    talk.effects_are(1).await
}

async fn is_doubt(talk: &Talk<'_>, directive: &str) -> Judged {
    let key = talk.key();
    refused(&talk.ask(&talk.order(&key).told(directive)).await?, 409, "outcome-unknown")?;
    let again = talk.ask(&talk.order(&key)).await?;
    refused(&again, 409, "outcome-unknown")?;
    field(&again, "intent-status", Some("unknown"))?;
    talk.calls_are(1).await
}

async fn a_400_of_the_handler_is_final(talk: &Talk<'_>) -> Judged {
    is_final(talk, "status=400", 400).await
}

async fn a_404_of_the_handler_is_final(talk: &Talk<'_>) -> Judged {
    is_final(talk, "status=404", 404).await
}

async fn a_409_of_the_handler_is_final(talk: &Talk<'_>) -> Judged {
    is_final(talk, "status=409", 409).await
}

async fn a_422_of_the_handler_is_final(talk: &Talk<'_>) -> Judged {
    is_final(talk, "status=422", 422).await
}

async fn a_500_of_the_handler_is_final(talk: &Talk<'_>) -> Judged {
    is_final(talk, "status=500", 500).await
}

async fn a_503_of_the_handler_is_final(talk: &Talk<'_>) -> Judged {
    is_final(talk, "status=503", 503).await
}

async fn a_401_frees_the_key(talk: &Talk<'_>) -> Judged {
    frees(talk, "status=401", 401).await
}

async fn a_403_frees_the_key(talk: &Talk<'_>) -> Judged {
    frees(talk, "status=403", 403).await
}

async fn a_425_frees_the_key(talk: &Talk<'_>) -> Judged {
    frees(talk, "status=425", 425).await
}

async fn a_429_frees_the_key(talk: &Talk<'_>) -> Judged {
    frees(talk, "status=429", 429).await
}

async fn a_408_of_the_handler_frees_the_key(talk: &Talk<'_>) -> Judged {
    frees(talk, "status=408", 408).await
}

async fn a_502_from_upstream_is_doubt(talk: &Talk<'_>) -> Judged {
    is_doubt(talk, "status=502").await
}

async fn a_503_from_upstream_is_doubt(talk: &Talk<'_>) -> Judged {
    is_doubt(talk, "status=503").await
}

async fn a_504_from_upstream_is_doubt(talk: &Talk<'_>) -> Judged {
    is_doubt(talk, "status=504").await
}

async fn a_408_from_upstream_is_doubt(talk: &Talk<'_>) -> Judged {
    is_doubt(talk, "status=408").await
}

async fn an_answer_that_consumed_nothing_frees_the_key(talk: &Talk<'_>) -> Judged {
    frees(talk, "not-consumed=500", 500).await
}

async fn an_answer_that_consumed_the_key_is_final(talk: &Talk<'_>) -> Judged {
    is_final(talk, "consumed=429", 429).await
}

/// A 401 that its origin calls final, whose challenge is for that one exchange.
async fn a_challenge_is_not_kept(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key).told("consumed=401")).await?;
    committed(&first, 401)?;
    field(&first, "www-authenticate", Some("Bearer realm=\"orders\""))?;
    let again = talk.ask(&talk.order(&key)).await?;
    field(&again, "intent-status", Some("replayed"))?;
    field(&again, "www-authenticate", None)
}

async fn a_handler_that_panics_leaves_doubt(talk: &Talk<'_>) -> Judged {
    is_doubt(talk, "panic").await
}

async fn a_route_may_call_a_panic_final(talk: &Talk<'_>) -> Judged {
    let ask = talk.keyed(talk.post("/final-panic"), &talk.key());
    let first = talk.ask(&ask.clone().told("panic")).await?;
    committed(&first, 500)?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.calls_are(1).await
}
