//! What answers are held against.

use std::fmt::Debug;

use serde_json::Value;

use crate::{
    case::{Judged, Stop},
    wire::Answer,
};

pub(crate) use crate::wire::excerpt;

/// Ends a case as failed.
pub(crate) fn failed<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(why.into()))
}

pub(crate) fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Judged {
    if found == expected { Ok(()) } else { failed(format!("{what}: {found:?}, expected {expected:?}")) }
}

pub(crate) fn holds(what: &str, is_so: bool) -> Judged {
    if is_so { Ok(()) } else { failed(what) }
}

pub(crate) fn status(answer: &Answer, expected: u16) -> Judged {
    equal("status", answer.status, expected)
}

/// A field with one line, or without any.
pub(crate) fn field(answer: &Answer, name: &str, expected: Option<&str>) -> Judged {
    let expected: Vec<String> = expected.map(str::to_owned).into_iter().collect();
    equal(name, answer.lines(name), expected)
}

/// The first answer of an effect (C2).
pub(crate) fn committed(answer: &Answer, expected: u16) -> Judged {
    status(answer, expected)?;
    field(answer, "idempotency-key-consumed", Some("true"))?;
    field(answer, "intent-status", Some("committed"))?;
    field(answer, "idempotent-replayed", None)
}

/// The answer of a request that is not guarded.
pub(crate) fn untouched(answer: &Answer, expected: u16) -> Judged {
    status(answer, expected)?;
    field(answer, "idempotency-key-consumed", None)?;
    field(answer, "intent-status", None)?;
    field(answer, "idempotent-replayed", None)
}

/// An answer that says that nothing happened and that its key is free (L5).
pub(crate) fn released(answer: &Answer, expected: u16) -> Judged {
    status(answer, expected)?;
    field(answer, "idempotency-key-consumed", Some("false"))?;
    field(answer, "intent-status", None)?;
    field(answer, "idempotent-replayed", None)
}

/// The marks of a replay (O3).
pub(crate) fn marked_replayed(answer: &Answer) -> Judged {
    field(answer, "idempotent-replayed", Some("true"))?;
    field(answer, "idempotency-key-consumed", Some("true"))?;
    field(answer, "intent-status", Some("replayed"))?;
    let age = answer.field("age").and_then(|age| age.parse::<u64>().ok());
    holds("age: no number of seconds", age.is_some())
}

/// What becomes of `Set-Cookie` in a replay (O2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookies {
    Kept,
    Dropped,
}

/// A replay: the same status, fields, content and trailers, and its marks (O1, O2, O3).
pub(crate) fn replay(again: &Answer, first: &Answer) -> Judged {
    replay_with(again, first, Cookies::Dropped)
}

pub(crate) fn replay_with(again: &Answer, first: &Answer, cookies: Cookies) -> Judged {
    same_answer(again, first, cookies)?;
    marked_replayed(again)
}

/// The same answer, whatever its marks.
pub(crate) fn same_answer(again: &Answer, first: &Answer, cookies: Cookies) -> Judged {
    status(again, first.status)?;
    holds("the replay is broken off", again.is_whole)?;
    equal("fields", kept(again, cookies), kept(first, cookies))?;
    equal("trailers", &again.trailers, &first.trailers)?;
    if again.body == first.body {
        return Ok(());
    }
    failed(format!("body: {:?}, expected {:?}", excerpt(&again.body), excerpt(&first.body)))
}

/// The lines that first answer and replay have in common, in one order.
fn kept(answer: &Answer, cookies: Cookies) -> Vec<String> {
    let mut lines: Vec<String> = (answer.fields.iter())
        .filter(|(name, _)| !is_own_to_one_answer(name) && (name != "set-cookie" || cookies == Cookies::Kept))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    lines.sort_unstable();
    lines
}

fn is_own_to_one_answer(name: &str) -> bool {
    matches!(
        name,
        "age"
            | "connection"
            | "content-length"
            | "date"
            | "idempotency-key-consumed"
            | "idempotent-replayed"
            | "intent-status"
            | "keep-alive"
            | "server-timing"
            | "transfer-encoding"
            | "x-hop"
    )
}

/// A refusal as a problem (C3) with its marks (C2): its members.
pub(crate) fn refused(answer: &Answer, expected: u16, slug: &str) -> Result<Problem, Stop> {
    let found = problem(answer)?;
    equal("problem", (answer.status, found.slug()), (expected, slug.to_owned()))?;
    equal("member status", found.0.get("status").and_then(Value::as_u64), Some(u64::from(expected)))?;
    let consumed = answer.field("idempotency-key-consumed");
    holds("no Idempotency-Key-Consumed", matches!(consumed.as_deref(), Some("true" | "false")))?;
    field(answer, "idempotent-replayed", None)?;
    field(answer, "cache-control", Some("no-store"))?;
    Ok(found)
}

/// The problem details of an answer (RFC 9457, 3).
pub(crate) fn problem(answer: &Answer) -> Result<Problem, Stop> {
    let content_type = answer.field("content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_owned();
    if essence != "application/problem+json" {
        return failed(format!("{} with {content_type:?}, expected a problem", answer.status));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(members @ Value::Object(_)) => Ok(Problem(members)),
        Ok(_) | Err(_) => failed("the problem is no JSON object"),
    }
}

/// The members of a problem.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem(pub(crate) Value);

impl Problem {
    pub(crate) fn text(&self, name: &str) -> String {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The last segment of its type.
    pub(crate) fn slug(&self) -> String {
        self.text("type").rsplit('/').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn has(&self, name: &str, expected: &Value) -> Judged {
        equal(&format!("member {name}"), self.0.get(name).unwrap_or(&Value::Null), expected)
    }

    /// Without the members that name this one request.
    pub(crate) fn common(&self) -> Value {
        let mut members = self.0.clone();
        if let Some(members) = members.as_object_mut() {
            members.remove("idempotency_key");
        }
        members
    }
}
