//! When two requests ask for the same (F1 to F6).

use crate::{
    case::{Case, Judged, Stop, cases},
    expect::{committed, failed, refused, replay},
    talk::Talk,
    wire::{Ask, gzipped},
};

pub(super) const JSON: &[Case] = cases! {
    the_order_of_members_does_not_count [JsonObject] "F1";
    white_space_does_not_count [JsonObject] "F1";
    a_number_has_many_spellings [Reference] "F1";
    an_escaped_character_is_the_character [Reference] "F1";
    large_numbers_differ_by_one [Reference] "F1";
    null_is_not_absence [Reference] "F1";
    the_order_of_an_array_counts [Reference] "F1";
    strings_are_not_normalised [Reference] "F1";
    a_name_that_stands_twice_is_refused [Reference] "F1";
    a_name_that_stands_twice_once_unescaped_is_refused [Reference] "F1";
    a_lone_surrogate_is_refused [Reference] "F1";
    invalid_utf8_is_refused [Reference] "F1";
    trailing_data_is_refused [Reference] "F1";
    a_number_of_too_many_digits_is_refused [Reference] "F1";
    a_body_that_is_too_deep_is_refused [Reference] "F1";
    a_route_may_compare_bytes [Reference] "F1";
};

pub(super) const OTHERS: &[Case] = cases! {
    the_order_of_form_pairs_does_not_count [Reference] "F2";
    the_order_of_one_names_values_counts [Reference] "F2";
    the_spelling_of_a_form_does_not_count [Reference] "F2";
    a_multipart_boundary_does_not_count [Reference] "F2";
    multipart_content_counts [Reference] "F2";
    other_media_types_are_compared_by_their_bytes [Reference] "F2";
    a_form_token_does_not_count [Reference] "F4";
    the_query_counts [Reference] "F3";
    the_media_type_counts [Reference] "F3";
    the_method_counts [Reference] "F3";
    a_compressed_body_is_compared_decoded [Reference] "F3";
    content_that_differs_is_a_mismatch [] "F6";
    a_mismatch_looks_the_same_in_every_state [Reference] "F6";
    a_mismatch_gives_nothing_away [JsonObject] "F6";
};

pub(super) const INTENTS: &[Case] = cases! {
    an_intent_that_is_the_bodys_is_accepted [Reference] "F5";
    an_intent_leaves_out_what_is_volatile [Reference] "F5";
    an_intent_that_is_another_bodys_is_refused [Reference] "F5";
    an_intent_with_a_number_it_cannot_carry_is_refused [Reference] "F5";
    an_intent_whose_time_has_passed_is_refused [Reference] "F5";
    an_intent_whose_time_is_to_come_is_accepted [Reference] "F5";
};

/// A first request, and what becomes of another under its key.
enum Then {
    Replayed,
    Mismatch,
}

async fn pair(talk: &Talk<'_>, first: Ask, second: Ask, then: Then) -> Judged {
    let key = talk.key();
    let answer = talk.ask(&talk.keyed(first, &key)).await?;
    committed(&answer, answer.status)?;
    let again = talk.ask(&talk.keyed(second, &key)).await?;
    match then {
        Then::Replayed => replay(&again, &answer)?,
        Then::Mismatch => {
            refused(&again, 422, "key-reused")?;
        }
    }
    talk.effects_are(1).await
}

async fn json_pair(talk: &Talk<'_>, first: &str, second: &str, then: Then) -> Judged {
    typed_pair(talk, "application/json", first, second, then).await
}

async fn typed_pair(talk: &Talk<'_>, media_type: &str, first: &str, second: &str, then: Then) -> Judged {
    let carrying = |body: &str| talk.unkeyed().carrying(media_type, body);
    pair(talk, carrying(first), carrying(second), then).await
}

/// The subject's own body, its members in their order.
fn members(talk: &Talk<'_>) -> Result<Vec<(String, String)>, Stop> {
    let members: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(&talk.subject.body)
    {
        Ok(members) => members,
        Err(error) => return failed(format!("the body is no JSON object: {error}")),
    };
    Ok(members.iter().map(|(name, value)| (serde_json::json!(name).to_string(), value.to_string())).collect())
}

async fn the_order_of_members_does_not_count(talk: &Talk<'_>) -> Judged {
    let members = members(talk)?;
    if members.len() < 2 {
        return Err(Stop::NotApplicable("needs a JSON object of two members".to_owned()));
    }
    let written: Vec<String> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let reversed: Vec<String> = written.iter().rev().cloned().collect();
    let (first, second) = (format!("{{{}}}", written.join(",")), format!("{{{}}}", reversed.join(",")));
    json_pair(talk, &first, &second, Then::Replayed).await
}

async fn white_space_does_not_count(talk: &Talk<'_>) -> Judged {
    let members = members(talk)?;
    let spaced: Vec<String> = members.iter().map(|(name, value)| format!("\n  {name} : {value} ")).collect();
    let tight: Vec<String> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let (first, second) = (format!("{{{}}}", tight.join(",")), format!(" {{{}}}\r\n\t", spaced.join(",")));
    json_pair(talk, &first, &second, Then::Replayed).await
}

async fn a_number_has_many_spellings(talk: &Talk<'_>) -> Judged {
    json_pair(talk, r#"{"a":1,"b":100}"#, r#"{"a":1.0,"b":1e2}"#, Then::Replayed).await
}

async fn an_escaped_character_is_the_character(talk: &Talk<'_>) -> Judged {
    json_pair(talk, r#"{"item":"A/ä"}"#, r#"{"\u0069tem":"\u0041\/\u00e4"}"#, Then::Replayed).await
}

/// A double has one value for both (RFC 8785, appendix D).
async fn large_numbers_differ_by_one(talk: &Talk<'_>) -> Judged {
    json_pair(talk, r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#, Then::Mismatch).await
}

async fn null_is_not_absence(talk: &Talk<'_>) -> Judged {
    json_pair(talk, r#"{"a":1,"b":null}"#, r#"{"a":1}"#, Then::Mismatch).await
}

async fn the_order_of_an_array_counts(talk: &Talk<'_>) -> Judged {
    json_pair(talk, r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, Then::Mismatch).await
}

/// One character, and a letter with a combining mark.
async fn strings_are_not_normalised(talk: &Talk<'_>) -> Judged {
    json_pair(talk, r#"{"a":"\u00e9"}"#, r#"{"a":"e\u0301"}"#, Then::Mismatch).await
}

async fn is_unreadable(talk: &Talk<'_>, body: &[u8]) -> Judged {
    let ask = talk.order(&talk.key()).carrying("application/json", body);
    refused(&talk.ask(&ask).await?, 400, "body-invalid")?;
    talk.effects_are(0).await
}

async fn a_name_that_stands_twice_is_refused(talk: &Talk<'_>) -> Judged {
    is_unreadable(talk, br#"{"amount":1,"amount":1000}"#).await
}

async fn a_name_that_stands_twice_once_unescaped_is_refused(talk: &Talk<'_>) -> Judged {
    is_unreadable(talk, br#"{"amount":1,"am\u006funt":1000}"#).await
}

async fn a_lone_surrogate_is_refused(talk: &Talk<'_>) -> Judged {
    is_unreadable(talk, br#"{"a":"\ud800"}"#).await
}

async fn invalid_utf8_is_refused(talk: &Talk<'_>) -> Judged {
    is_unreadable(talk, b"{\"a\":\"\xff\"}").await
}

async fn trailing_data_is_refused(talk: &Talk<'_>) -> Judged {
    is_unreadable(talk, br#"{"a":1}{"a":2}"#).await
}

async fn a_number_of_too_many_digits_is_refused(talk: &Talk<'_>) -> Judged {
    is_unreadable(talk, format!("{{\"a\":{}}}", "1".repeat(1_001)).as_bytes()).await
}

async fn a_body_that_is_too_deep_is_refused(talk: &Talk<'_>) -> Judged {
    is_unreadable(talk, format!("{}{}", "[".repeat(65), "]".repeat(65)).as_bytes()).await
}

async fn a_route_may_compare_bytes(talk: &Talk<'_>) -> Judged {
    let carrying = |body: &str| talk.post("/bytes").carrying("application/json", body);
    pair(talk, carrying(r#"{"a":1}"#), carrying(r#"{"a": 1}"#), Then::Mismatch).await
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn the_order_of_form_pairs_does_not_count(talk: &Talk<'_>) -> Judged {
    typed_pair(talk, FORM, "item=tea&quantity=1", "quantity=1&item=tea", Then::Replayed).await
}

async fn the_order_of_one_names_values_counts(talk: &Talk<'_>) -> Judged {
    typed_pair(talk, FORM, "item=tea&item=milk", "item=milk&item=tea", Then::Mismatch).await
}

async fn the_spelling_of_a_form_does_not_count(talk: &Talk<'_>) -> Judged {
    typed_pair(talk, FORM, "item=green+tea", "%69tem=green%20tea", Then::Replayed).await
}

fn multipart(talk: &Talk<'_>, boundary: &str, item: &str) -> Ask {
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"item\"\r\n\r\n{item}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"note\"; filename=\"n.txt\"\r\n\
         Content-Type: text/plain\r\n\r\nto go\r\n--{boundary}--\r\n"
    );
    talk.unkeyed().carrying(&format!("multipart/form-data; boundary={boundary}"), body)
}

async fn a_multipart_boundary_does_not_count(talk: &Talk<'_>) -> Judged {
    pair(talk, multipart(talk, "one", "tea"), multipart(talk, "two", "tea"), Then::Replayed).await
}

async fn multipart_content_counts(talk: &Talk<'_>) -> Judged {
    pair(talk, multipart(talk, "one", "tea"), multipart(talk, "one", "milk"), Then::Mismatch).await
}

async fn other_media_types_are_compared_by_their_bytes(talk: &Talk<'_>) -> Judged {
    typed_pair(talk, "text/plain", r#"{"a":1}"#, r#"{"a": 1}"#, Then::Mismatch).await
}

/// What Rails makes anew at each rendering.
async fn a_form_token_does_not_count(talk: &Talk<'_>) -> Judged {
    let (first, second) = ("item=tea&authenticity_token=abc", "item=tea&authenticity_token=xyz");
    typed_pair(talk, FORM, first, second, Then::Replayed).await
}

async fn the_query_counts(talk: &Talk<'_>) -> Judged {
    pair(talk, talk.post("/orders?shop=1"), talk.post("/orders?shop=2"), Then::Mismatch).await
}

async fn the_media_type_counts(talk: &Talk<'_>) -> Judged {
    let carrying = |media_type: &str| talk.unkeyed().carrying(media_type, "1");
    pair(talk, carrying("application/json"), carrying("text/plain"), Then::Mismatch).await
}

async fn the_method_counts(talk: &Talk<'_>) -> Judged {
    pair(talk, talk.unkeyed(), talk.unkeyed().by("PUT"), Then::Mismatch).await
}

async fn a_compressed_body_is_compared_decoded(talk: &Talk<'_>) -> Judged {
    let plain = br#"{"item":"tea","quantity":1}"#;
    let Ok(packed) = gzipped(plain) else { return failed("cannot compress") };
    let first = talk.unkeyed().carrying("application/json", plain);
    let second = talk.unkeyed().carrying("application/json", packed).with("content-encoding", "gzip");
    pair(talk, first, second, Then::Replayed).await
}

async fn content_that_differs_is_a_mismatch(talk: &Talk<'_>) -> Judged {
    pair(talk, talk.unkeyed(), talk.unkeyed().with_query("drill=1"), Then::Mismatch).await
}

/// In flight, done and in doubt, since what differs would tell whoever guesses a key.
async fn a_mismatch_looks_the_same_in_every_state(talk: &Talk<'_>) -> Judged {
    let mismatch = async |key: &str| {
        let other = talk.order(key).carrying("application/json", r#"{"item":"coffee"}"#);
        refused(&talk.ask(&other).await?, 422, "key-reused")
    };
    let (done, doubtful, running) = (talk.key(), talk.key(), talk.key());
    let (first, when_running) = talk.while_held(&talk.order(&running), mismatch(&running)).await?;
    committed(&first, 201)?;
    committed(&talk.ask(&talk.order(&done)).await?, 201)?;
    refused(&talk.ask(&talk.order(&doubtful).told("cut")).await?, 409, "outcome-unknown")?;
    let (when_done, when_doubtful) = (mismatch(&done).await?, mismatch(&doubtful).await?);
    if when_done.common() == when_doubtful.common() && when_done.common() == when_running.common() {
        return Ok(());
    }
    failed(format!("they differ: {when_done:?}, {when_doubtful:?}, {when_running:?}"))
}

async fn a_mismatch_gives_nothing_away(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let secret = talk.key();
    let hidden = talk.order(&key).carrying("application/json", format!(r#"{{"item":"{secret}"}}"#));
    let first = talk.ask(&hidden).await?;
    if !(200..300).contains(&first.status) {
        return Err(Stop::NotApplicable(
            "the server does not accept a JSON object of the suite's own".to_owned(),
        ));
    }
    let refusal = talk.ask(&talk.order(&key)).await?;
    refused(&refusal, 422, "key-reused")?;
    let told = refusal.shown();
    let location = first.field("location").unwrap_or_default();
    if told.contains(&secret) || (!location.is_empty() && told.contains(&location)) {
        return failed("the refusal tells what the key stands for");
    }
    // Nor is the owner's record touched.
    replay(&talk.ask(&hidden).await?, &first)?;
    talk.effects_are(1).await
}

/// `printf '{"id":"a","qty":1}' | openssl dgst -sha256 -binary | basenc --base64url`, without its padding.
const DIGEST: &str = "ft4vTXnJLj3fUYDTWcqvg5bxNoXcJSwdArS5JuE9go4";

fn intending(talk: &Talk<'_>, body: &str, digest: &str) -> Ask {
    talk.order(&talk.key()).carrying("application/json", body).with("Intent-SHA256", digest)
}

async fn an_intent_that_is_the_bodys_is_accepted(talk: &Talk<'_>) -> Judged {
    committed(&talk.ask(&intending(talk, r#"{"qty": 1, "id": "a"}"#, DIGEST)).await?, 201)?;
    talk.effects_are(1).await
}

async fn an_intent_leaves_out_what_is_volatile(talk: &Talk<'_>) -> Judged {
    let body = r#"{"qty":1,"id":"a","csrf":"x","nonce":"y","timestamp":7}"#;
    committed(&talk.ask(&intending(talk, body, DIGEST)).await?, 201)?;
    talk.effects_are(1).await
}

async fn an_intent_that_is_another_bodys_is_refused(talk: &Talk<'_>) -> Judged {
    let answer = talk.ask(&intending(talk, r#"{"qty":2,"id":"a"}"#, DIGEST)).await?;
    refused(&answer, 422, "intent-mismatch")?;
    talk.effects_are(0).await
}

async fn an_intent_with_a_number_it_cannot_carry_is_refused(talk: &Talk<'_>) -> Judged {
    let answer = talk.ask(&intending(talk, r#"{"qty":9007199254740993}"#, DIGEST)).await?;
    refused(&answer, 422, "intent-unrepresentable")?;
    talk.effects_are(0).await
}

async fn an_intent_whose_time_has_passed_is_refused(talk: &Talk<'_>) -> Judged {
    let ask =
        intending(talk, r#"{"qty":1,"id":"a"}"#, DIGEST).with("Intent-Expires-At", "2020-01-01T00:00:00Z");
    refused(&talk.ask(&ask).await?, 400, "intent-expired")?;
    talk.effects_are(0).await
}

async fn an_intent_whose_time_is_to_come_is_accepted(talk: &Talk<'_>) -> Judged {
    let ask = intending(talk, r#"{"qty":1,"id":"a"}"#, DIGEST)
        .with("Intent-Expires-At", "2099-01-01T00:00:00.000Z");
    committed(&talk.ask(&ask).await?, 201)?;
    talk.effects_are(1).await
}
