//! `adcp-mcp`: the Ad Context Protocol over the Model Context Protocol. What holds for `adcp` holds, with the key among a tool's arguments.

use serde_json::{Value, json};

use super::{
    Suite,
    adcp::{
        a_failure_is_not_stored, a_failure_without_effect_runs_again, a_key_is_its_agents_own,
        a_key_of_15_characters_is_invalid, a_key_of_16_characters_is_taken,
        a_repeat_gets_the_stored_response, a_request_in_flight_is_told_or_waited_for, an_error_is_not_stored,
        an_error_stands_in_both_places, another_key_is_another_request,
        another_payload_in_flight_is_a_conflict, another_payload_is_a_conflict, code_is,
        of_many_at_once_one_runs, the_context_does_not_count, the_credentials_of_notifications_do_not_count,
        the_governance_context_does_not_count, where_notifications_go_counts,
    },
    published::{accepted, json as body_of, repeated_as, two_effects},
};
use crate::{
    case::{Case, Judged, cases},
    expect::equal,
    talk::{Dialect, KeyForm, Talk},
    wire::Ask,
};

pub(super) const SUITE: Suite = Suite {
    name: "adcp-mcp",
    source: "github.com/adcontextprotocol/adcp at 4439b18, docs/building/by-layer/L0/mcp-guide.mdx and L1/security.mdx",
    dialect: Dialect { carrier: "idempotency_key", form: KeyForm::Argument, issue_field: None },
    groups: &[CASES],
};

const CASES: &[Case] = cases! {
    a_call_without_a_key_passes [JsonObject] "Idempotency";
    a_key_beside_the_arguments_is_none [Reference] "MCP guide";
    a_key_of_15_characters_is_invalid [JsonObject] "Idempotency";
    a_key_of_16_characters_is_taken [JsonObject] "Idempotency";
    a_key_is_its_agents_own [TwoActors, JsonObject] "Idempotency";
    a_repeat_gets_the_stored_response [JsonObject] "rule 4";
    a_replay_has_the_id_of_its_retry [Reference] "rule 4";
    an_error_is_not_stored [Reference] "rule 2", "rule 3";
    a_failure_is_not_stored [Reference] "rule 2", "rule 3";
    a_failure_without_effect_runs_again [Reference] "rule 3";
    another_payload_is_a_conflict [OtherBody, JsonObject] "rule 5";
    another_tool_is_a_conflict [Reference] "rule 5";
    a_request_in_flight_is_told_or_waited_for [Reference] "rule 9";
    another_payload_in_flight_is_a_conflict [Reference] "rule 9";
    of_many_at_once_one_runs [Reference] "rule 9";
    the_context_does_not_count [Reference] "Payload equivalence";
    the_governance_context_does_not_count [Reference] "Payload equivalence";
    the_credentials_of_notifications_do_not_count [Reference] "Payload equivalence";
    where_notifications_go_counts [Reference] "Payload equivalence";
    what_the_protocol_makes_anew_does_not_count [Reference] "Payload equivalence";
    another_key_is_another_request [JsonObject] "Idempotency";
    an_error_stands_in_both_places [OtherBody, JsonObject] "Error handling";
};

/// The order as a call with one member of `params` set.
fn call_with(talk: &Talk<'_>, key: &str, (name, value): (&str, Value)) -> Ask {
    let order = talk.order(key);
    let mut call: Value = serde_json::from_slice(order.content()).unwrap_or_default();
    if let Some(params) = call.pointer_mut("/params").and_then(Value::as_object_mut) {
        params.insert(name.to_owned(), value);
    }
    order.carrying("application/json", call.to_string())
}

async fn a_call_without_a_key_passes(talk: &Talk<'_>) -> Judged {
    two_effects(talk, talk.call(talk.unkeyed()), talk.call(talk.unkeyed())).await
}

async fn a_key_beside_the_arguments_is_none(talk: &Talk<'_>) -> Judged {
    let call = talk.call(talk.unkeyed()).with_member("idempotency_key", &talk.key().into());
    two_effects(talk, call.clone(), call).await
}

async fn a_replay_has_the_id_of_its_retry(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let (call, retry) = (talk.order(&key).told("result"), talk.order(&key).told("result"));
    let first = talk.ask(&call).await?;
    accepted(&first)?;
    let (first, again) = (body_of(&first)?, body_of(&talk.ask(&retry).await?)?);
    let sent = |ask: &Ask| serde_json::from_slice::<Value>(ask.content()).unwrap_or_default();
    equal("id", first.get("id"), sent(&call).get("id"))?;
    equal("id of the replay", again.get("id"), sent(&retry).get("id"))?;
    equal("result", again.get("result"), first.get("result"))?;
    talk.effects_are(1).await
}

async fn another_tool_is_a_conflict(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    accepted(&talk.ask(&talk.order(&key)).await?)?;
    let other = call_with(talk, &key, ("name", json!("update_media_buy")));
    code_is(&talk.ask(&other).await?, "IDEMPOTENCY_CONFLICT")?;
    talk.effects_are(1).await
}

/// The id of the call, which is another one in each of the two, and what the protocol keeps of progress.
async fn what_the_protocol_makes_anew_does_not_count(talk: &Talk<'_>) -> Judged {
    let key = talk.key();
    let call = |token: u32| call_with(talk, &key, ("_meta", json!({"progressToken": token})));
    repeated_as(talk, call(1), call(2)).await.map(drop)
}
