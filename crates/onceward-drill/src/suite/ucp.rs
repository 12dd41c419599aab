//! `ucp`: the Universal Commerce Protocol, "Message Signatures", Replay Protection, and its REST binding.

use super::{
    Suite,
    published::{
        another_body, conflicting, crowd, declined, has_texts, is_kept, refused_key, repeated, repeated_as,
        two_actors, two_effects,
    },
};
use crate::{
    case::{Case, Judged, cases},
    talk::{Dialect, KeyForm, Talk},
};

pub(super) const SUITE: Suite = Suite {
    name: "ucp",
    source: "github.com/Universal-Commerce-Protocol/ucp at fdcf893, docs/specification",
    dialect: Dialect { carrier: "Idempotency-Key", form: KeyForm::Bare, issue_field: None },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_write_without_a_key_is_refused [] "rest.openapi.json, idempotency_key";
    a_key_of_22_characters_is_taken [] "signatures, Idempotency Key Requirements";
    a_key_of_too_little_entropy_is_not [] "signatures, Idempotency Key Requirements";
    a_key_is_its_clients_own [TwoActors] "signatures, Idempotency Key Requirements";
    a_key_is_its_operation_types_own [Reference] "signatures, Idempotency Key Requirements";
    a_repeat_gets_the_cached_response [] "signatures, Payload Matching";
    another_payload_is_a_conflict_and_not_executed [OtherBody] "signatures, Payload Matching", "overview, Protocol Errors";
    payloads_are_compared_by_their_bytes [JsonObject] "signatures, Payload Matching";
    a_put_is_guarded [Reference] "rest.openapi.json, idempotency_key";
    an_error_of_the_business_is_cached [Reference] "signatures, Payload Matching";
    of_many_at_once_one_runs [] "signatures, Payload Matching";
    another_key_is_another_request [] "signatures, Payload Matching";
    a_protocol_error_has_code_and_content [OtherBody] "checkout/rest, Error Responses";
};

async fn a_write_without_a_key_is_refused(talk: &Talk<'_>) -> Judged {
    declined(talk, &talk.unkeyed(), 400).await.map(drop)
}

async fn a_key_of_22_characters_is_taken(talk: &Talk<'_>) -> Judged {
    let key: String = talk.key().replace('-', "").chars().take(22).collect();
    repeated_as(talk, talk.order(&key), talk.order(&key)).await.map(drop)
}

async fn a_key_of_too_little_entropy_is_not(talk: &Talk<'_>) -> Judged {
    let key: String = talk.key().replace('-', "").chars().take(16).collect();
    refused_key(talk, &key).await.map(drop)
}

async fn a_key_is_its_clients_own(talk: &Talk<'_>) -> Judged {
    two_actors(talk).await
}

async fn a_key_is_its_operation_types_own(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    two_effects(talk, talk.order(&key), talk.keyed(talk.post("/strict"), &key)).await
}

async fn a_repeat_gets_the_cached_response(talk: &Talk<'_>) -> Judged {
    repeated(talk).await.map(drop)
}

async fn another_payload_is_a_conflict_and_not_executed(talk: &Talk<'_>) -> Judged {
    another_body(talk, 409).await.map(drop)
}

async fn payloads_are_compared_by_their_bytes(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let spaced = [talk.subject.body.as_slice(), b" "].concat();
    let second = talk.order(&key).carrying(&talk.subject.media_type, spaced);
    conflicting(talk, talk.order(&key), second, 409).await.map(drop)
}

async fn a_put_is_guarded(talk: &Talk<'_>) -> Judged {
    let ask = talk.order(&talk.key()).by("PUT");
    repeated_as(talk, ask.clone(), ask).await.map(drop)
}

async fn an_error_of_the_business_is_cached(talk: &Talk<'_>) -> Judged {
    is_kept(talk, "status=404", 404).await
}

async fn of_many_at_once_one_runs(talk: &Talk<'_>) -> Judged {
    crowd(talk, 409).await
}

async fn another_key_is_another_request(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.order(&talk.key()), talk.order(&talk.key())).await
}

async fn a_protocol_error_has_code_and_content(talk: &Talk<'_>) -> Judged {
    let conflict = another_body(talk, 409).await?;
    if conflict.body.is_empty() {
        return Ok(());
    }
    has_texts(&conflict, &["/code", "/content"])
}
