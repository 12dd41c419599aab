//! Keys, and whose they are (K1 to K5, K7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, equal, failed, field, holds, refused, replay, status, untouched},
    talk::{Talk, Who, identity, timed_uuid},
    wire::Field,
};

pub(super) const CASES: &[Case] = cases! {
    a_quoted_and_a_bare_key_are_one [] "K1";
    the_name_of_the_field_has_no_case [] "K1";
    keys_that_differ_by_case_are_two [] "K1";
    two_key_fields_are_refused [] "K1";
    a_key_field_sent_twice_alike_is_refused [] "K1";
    two_carriers_that_agree_are_one_key [Reference] "K1";
    two_carriers_that_disagree_are_refused [Reference] "K1";
    an_empty_key_is_refused [] "K2";
    an_empty_string_as_key_is_refused [] "K2";
    a_key_of_one_character_is_accepted [Reference] "K2";
    a_key_of_255_characters_is_accepted [] "K2";
    a_key_of_256_characters_is_refused [] "K2";
    a_key_with_a_space_is_refused [] "K2";
    a_key_outside_of_ascii_is_refused [] "K2";
    a_list_of_keys_is_refused [] "K2";
    a_bare_list_of_keys_is_refused [] "K2";
    a_key_with_parameters_is_refused [] "K2";
    a_key_whose_quote_does_not_end_is_refused [] "K2";
    a_key_field_with_an_underscore_is_refused [] "K2";
    a_key_that_connection_names_is_refused [] "K2";
    a_key_that_a_trailer_announces_is_refused [] "K2";
    a_key_in_a_trailer_is_refused [] "K2";
    a_key_issued_now_is_accepted [] "K7";
    a_key_issued_in_ten_minutes_is_refused [] "K7";
    what_has_no_key_goes_through_untouched [] "K3";
    a_read_with_a_key_goes_through_untouched [Reference] "K3";
    a_route_that_requires_a_key_refuses_without [Reference] "K3";
    a_route_that_requires_a_key_takes_one [Reference] "K3";
};

pub(super) const NAMESPACES: &[Case] = cases! {
    one_key_of_two_actors_is_two_effects [TwoActors] "K4";
    another_actors_content_is_no_mismatch [Reference, TwoActors] "K4";
    another_actors_request_does_not_block [Reference, TwoActors] "K4";
    without_credentials_nobodys_outcome_is_seen [Actor] "K4";
    credentials_that_stand_twice_are_refused [Reference] "K4";
    a_key_on_another_route_is_a_mismatch [Reference] "K5";
    a_route_with_keys_of_its_own_has_its_own_effects [Reference] "K5";
};

async fn a_quoted_and_a_bare_key_are_one(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key)).await?;
    committed(&first, first.status)?;
    let bare = talk.unkeyed().with("Idempotency-Key", &key);
    replay(&talk.ask(&bare).await?, &first)?;
    talk.effects_are(1).await
}

async fn the_name_of_the_field_has_no_case(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.unkeyed().with(&"Idempotency-Key".to_ascii_uppercase(), &key)).await?;
    replay(&talk.ask(&talk.unkeyed().with("idempotency-key", &key)).await?, &first)?;
    talk.effects_are(1).await
}

async fn keys_that_differ_by_case_are_two(talk: &Talk<'_>) -> Judged {
    let key = format!("a{}", talk.key());
    let first = talk.ask(&talk.order(&key)).await?;
    committed(&first, first.status)?;
    let second = talk.ask(&talk.order(&key.to_ascii_uppercase())).await?;
    committed(&second, first.status)?;
    talk.effects_are(2).await
}

/// Sends an order with these lines of key fields, which has to be refused before anything happens.
async fn is_invalid(talk: &Talk<'_>, lines: &[(&str, &[u8])]) -> Judged {
    let ask = lines.iter().fold(talk.unkeyed(), |ask, (name, value)| ask.with(name, value));
    refused(&talk.ask(&ask).await?, 400, "key-invalid")?;
    talk.effects_are(0).await
}

async fn two_key_fields_are_refused(talk: &Talk<'_>) -> Judged {
    let (one, two) = (talk.key(), talk.key());
    is_invalid(talk, &[("Idempotency-Key", one.as_bytes()), ("Idempotency-Key", two.as_bytes())]).await
}

async fn a_key_field_sent_twice_alike_is_refused(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    is_invalid(talk, &[("Idempotency-Key", key.as_bytes()), ("Idempotency-Key", key.as_bytes())]).await
}

async fn two_carriers_that_agree_are_one_key(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key).with("X-Idempotency-Key", &key)).await?;
    committed(&first, 201)?;
    replay(&talk.ask(&talk.unkeyed().with("X-Idempotency-Key", &key)).await?, &first)?;
    talk.effects_are(1).await
}

async fn two_carriers_that_disagree_are_refused(talk: &Talk<'_>) -> Judged {
    let (one, two) = (talk.key(), talk.key());
    is_invalid(talk, &[("Idempotency-Key", one.as_bytes()), ("X-Idempotency-Key", two.as_bytes())]).await
}

async fn an_empty_key_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", b"")]).await
}

async fn an_empty_string_as_key_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", b"\"\"")]).await
}

/// Browsers mint short keys by themselves, so there is no minimum.
async fn a_key_of_one_character_is_accepted(talk: &Talk<'_>) -> Judged {
    // The key is everybody's, so an earlier run may have used it: the first answer and its replay are both right.
    let answer = talk.ask(&talk.post("/till-a").with("Idempotency-Key", "k")).await?;
    status(&answer, 201)?;
    field(&answer, "idempotency-key-consumed", Some("true"))
}

async fn a_key_of_255_characters_is_accepted(talk: &Talk<'_>) -> Judged {
    let key = format!("{:k<255}", talk.key());
    let first = talk.ask(&talk.order(&key)).await?;
    committed(&first, first.status)?;
    replay(&talk.ask(&talk.order(&key)).await?, &first)?;
    talk.effects_are(1).await
}

async fn a_key_of_256_characters_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", format!("{:k<256}", talk.key()).as_bytes())]).await
}

async fn a_key_with_a_space_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", format!("\"{} b\"", talk.key()).as_bytes())]).await
}

async fn a_key_outside_of_ascii_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", format!("{}ä", talk.key()).as_bytes())]).await
}

async fn a_list_of_keys_is_refused(talk: &Talk<'_>) -> Judged {
    let list = format!("\"{}\", \"{}\"", talk.key(), talk.key());
    is_invalid(talk, &[("Idempotency-Key", list.as_bytes())]).await
}

async fn a_bare_list_of_keys_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", format!("{},{}", talk.key(), talk.key()).as_bytes())]).await
}

async fn a_key_with_parameters_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", format!("\"{}\";v=1", talk.key()).as_bytes())]).await
}

async fn a_key_whose_quote_does_not_end_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency-Key", format!("\"{}", talk.key()).as_bytes())]).await
}

async fn a_key_field_with_an_underscore_is_refused(talk: &Talk<'_>) -> Judged {
    is_invalid(talk, &[("Idempotency_Key", talk.key().as_bytes())]).await
}

async fn a_key_that_connection_names_is_refused(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).with("Connection", "Idempotency-Key");
    let answer = talk.ask(&ask).await?;
    // A gateway whose head reader refuses it as ambiguous is as right (S6).
    equal("status", answer.status, 400)?;
    talk.effects_are(0).await
}

async fn a_key_that_a_trailer_announces_is_refused(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let ask = talk.unkeyed().with("Trailer", "Idempotency-Key").trailed_by(&[("Idempotency-Key", &key)]);
    refused(&talk.ask(&ask).await?, 400, "key-invalid")?;
    talk.effects_are(0).await
}

async fn a_key_in_a_trailer_is_refused(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let ask = talk.order(&key).trailed_by(&[("Idempotency-Key", &key)]);
    refused(&talk.ask(&ask).await?, 400, "key-invalid")?;
    talk.effects_are(0).await
}

fn key_issued_in(ahead: Duration) -> Result<String, Stop> {
    let issued = SystemTime::now() + ahead;
    let ms = issued.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok());
    ms.map(timed_uuid)
        .ok_or_else(|| Stop::NotApplicable("this machine's clock stands before 1970".to_owned()))
}

async fn a_key_issued_now_is_accepted(talk: &Talk<'_>) -> Judged {
    let answer = talk.ask(&talk.order(&key_issued_in(Duration::ZERO)?)).await?;
    committed(&answer, answer.status)?;
    talk.effects_are(1).await
}

async fn a_key_issued_in_ten_minutes_is_refused(talk: &Talk<'_>) -> Judged {
    let key = key_issued_in(Duration::from_mins(10))?;
    is_invalid(talk, &[("Idempotency-Key", key.as_bytes())]).await
}

async fn what_has_no_key_goes_through_untouched(talk: &Talk<'_>) -> Judged {
    let first = talk.ask(&talk.unkeyed()).await?;
    untouched(&first, first.status)?;
    holds("not accepted without a key", (200..300).contains(&first.status))?;
    untouched(&talk.ask(&talk.unkeyed()).await?, first.status)?;
    talk.effects_are(2).await
}

async fn a_read_with_a_key_goes_through_untouched(talk: &Talk<'_>) -> Judged {
    let ask = talk.keyed(talk.get("/orders"), &talk.key());
    for _ in 0..2 {
        untouched(&talk.ask(&ask).await?, 200)?;
    }
    Ok(())
}

async fn a_route_that_requires_a_key_refuses_without(talk: &Talk<'_>) -> Judged {
    let answer = talk.ask(&talk.post("/strict")).await?;
    let problem = refused(&answer, 400, "key-missing")?;
    let link = format!("<{}>; rel=\"describedby\"", problem.text("type"));
    field(&answer, "link", Some(&link))?;
    talk.effects_are(0).await
}

async fn a_route_that_requires_a_key_takes_one(talk: &Talk<'_>) -> Judged {
    let ask = talk.keyed(talk.post("/strict"), &talk.key());
    let first = talk.ask(&ask).await?;
    committed(&first, 201)?;
    replay(&talk.ask(&ask).await?, &first)?;
    talk.effects_are(1).await
}

async fn one_key_of_two_actors_is_two_effects(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key)).await?;
    committed(&first, first.status)?;
    let second = talk.ask(&talk.order_of(Who::Second, &key)).await?;
    committed(&second, first.status)?;
    replay(&talk.ask(&talk.order(&key)).await?, &first)?;
    replay(&talk.ask(&talk.order_of(Who::Second, &key)).await?, &second)?;
    talk.effects_are(2).await
}

async fn another_actors_content_is_no_mismatch(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    committed(&talk.ask(&talk.order(&key)).await?, 201)?;
    let other = talk.order_of(Who::Second, &key).carrying("application/json", r#"{"item":"coffee"}"#);
    committed(&talk.ask(&other).await?, 201)?;
    talk.effects_are(2).await
}

async fn another_actors_request_does_not_block(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let other = async {
        committed(&talk.ask(&talk.order_of(Who::Second, &key)).await?, 201)?;
        // The first one's is still running.
        talk.effects_are(1).await
    };
    let (first, ()) = talk.while_held(&talk.order(&key), other).await?;
    committed(&first, 201)?;
    talk.effects_are(2).await
}

async fn without_credentials_nobodys_outcome_is_seen(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let first = talk.ask(&talk.order(&key)).await?;
    committed(&first, first.status)?;
    let stranger = talk.ask(&talk.order_of(Who::Nobody, &key)).await?;
    field(&stranger, "idempotent-replayed", None)?;
    if (200..300).contains(&stranger.status) && identity(&stranger) == identity(&first) {
        return failed("a caller without credentials got an actor's outcome");
    }
    Ok(())
}

async fn credentials_that_stand_twice_are_refused(talk: &Talk<'_>) -> Judged {
    let mut ask = talk.order(&talk.key());
    ask.fields.push(Field::secret("Authorization", "Bearer third"));
    refused(&talk.ask(&ask).await?, 403, "actor-unknown")?;
    talk.effects_are(0).await
}

async fn a_key_on_another_route_is_a_mismatch(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    committed(&talk.ask(&talk.order(&key)).await?, 201)?;
    let elsewhere = talk.keyed(talk.post("/payments"), &key);
    refused(&talk.ask(&elsewhere).await?, 422, "key-reused")?;
    talk.effects_are(1).await
}

async fn a_route_with_keys_of_its_own_has_its_own_effects(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let (one, two) = (talk.keyed(talk.post("/till-a"), &key), talk.keyed(talk.post("/till-b"), &key));
    let first = talk.ask(&one).await?;
    committed(&first, 201)?;
    committed(&talk.ask(&two).await?, 201)?;
    replay(&talk.ask(&one).await?, &first)?;
    talk.effects_are(2).await
}
