//! JSON-RPC 2.0 answers repeat the ids of their requests, and clients count ids up: a replay must carry the retry's.

mod address;
mod events;

use std::{collections::HashMap, fmt, ops::Range};

use onceward_core::outcome::Outcome;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// A field of an outcome.
pub(crate) type Field = (Box<str>, Vec<u8>);

/// Under which the ids of a batch stand among its outcome's fields: a name that no field of an answer has.
const NOTE: &str = ":json-rpc-ids";

/// Bytes of one request's ids, as they are kept beside its outcome: a thousand counted ones. With more it is not taken for JSON-RPC.
const IDS_BYTES_MAX: usize = 8 * 1_024;

/// Messages of one batch; each is a reference of 16 bytes, to a message that may have two.
const MESSAGES_MAX: usize = 1_024;

/// The members of a message that matter here; the rest is skipped.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "jsonrpc")]
    _version: IgnoredAny,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<IgnoredAny>,
}

/// The calls of one request that are answered, by their ids as JSON texts.
#[derive(Clone, Debug)]
pub(crate) enum Calls {
    /// A single call, whose id every answer in its response has.
    One(Box<str>),
    /// A batch, in its order. Its answers may stand in another (JSON-RPC 2.0, section 6).
    Batch(Vec<Box<str>>),
}

impl Calls {
    /// Reads a request; `None` for what is not JSON-RPC, what has no answer, such as notifications alone, and what exceeds a limit.
    pub(crate) fn of(request: &[u8]) -> Option<Self> {
        let text = str::from_utf8(request).ok()?;
        let call = |message: &RawValue| -> Option<Box<str>> {
            let message: Message<'_> = serde_json::from_str(message.get()).ok()?;
            message.method.and(message.id).map(|id| id.get().into())
        };
        let mut ids: Vec<_> = messages(text)?.into_iter().filter_map(call).collect();
        if ids.iter().map(|id| id.len()).sum::<usize>() > IDS_BYTES_MAX {
            return None;
        }
        if is_batch(text) { (!ids.is_empty()).then_some(Self::Batch(ids)) } else { ids.pop().map(Self::One) }
    }

    /// What has to be kept with the outcome so that its answers can be told apart later; a single call's need not be.
    pub(crate) fn note(&self) -> Option<Field> {
        match self {
            Self::One(_) => None,
            Self::Batch(ids) => Some((NOTE.into(), format!("[{}]", ids.join(",")).into_bytes())),
        }
    }

    /// Which id becomes which, where `note` says what the first request's were. `None` for a batch of another shape, and for one
    /// that had an id twice: which of its answers is whose cannot be said.
    fn renaming(&self, note: Option<&[u8]>) -> Option<Renaming<'_>> {
        let new = match self {
            Self::One(id) => return Some(Renaming::All(id)),
            Self::Batch(ids) => ids,
        };
        let old: Vec<Value> = serde_json::from_slice(note?).ok()?;
        let each: HashMap<String, &str> =
            old.iter().map(ToString::to_string).zip(new.iter().map(|id| &**id)).collect();
        (old.len() == new.len() && each.len() == new.len()).then_some(Renaming::Each(each))
    }
}

/// Takes the note off an outcome that is replayed: it is no field of the answer.
pub(crate) fn take_note(outcome: &mut Outcome) -> Option<Vec<u8>> {
    let at = outcome.fields.iter().position(|(name, _)| **name == *NOTE)?;
    Some(outcome.fields.remove(at).1)
}

/// Which id becomes which.
enum Renaming<'a> {
    All(&'a str),
    /// By what the old id means: servers write the same id in other characters.
    Each(HashMap<String, &'a str>),
}

impl Renaming<'_> {
    /// The text that takes an id's place; `None` where it stays.
    fn of(&self, old: &RawValue) -> Option<&str> {
        let meant = serde_json::from_str::<Value>(old.get()).ok()?;
        let new = match self {
            Self::All(new) => new,
            Self::Each(each) => each.get(&meant.to_string())?,
        };
        (serde_json::from_str::<Value>(new).ok()? != meant).then_some(new)
    }
}

/// A piece of a text that something else takes the place of.
#[derive(Debug, PartialEq, Eq)]
struct Edit<'a> {
    at: Range<usize>,
    new: &'a str,
}

/// The edits that give the answers in a JSON text their new ids, in their order.
///
/// A server's own requests, which streams and batches of answers may hold, keep theirs; so does an answer without an id, or with
/// `null` for one that could not be read.
fn edits<'a>(text: &str, renaming: &'a Renaming<'_>) -> Vec<Edit<'a>> {
    let edit = |message: &RawValue| {
        let message: Message<'_> = serde_json::from_str(message.get()).ok()?;
        let id = message.id.filter(|_| message.method.is_none())?;
        // The raw value borrows from the text, so its place is the distance between the two.
        let start = id.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        Some(Edit { at: start..start + id.get().len(), new: renaming.of(id)? })
    };
    messages(text).into_iter().flatten().filter_map(edit).collect()
}

fn is_batch(text: &str) -> bool {
    text.trim_ascii_start().starts_with('[')
}

/// The elements of a batch, or the one message that is none; `None` for what is not JSON, or too many.
fn messages(text: &str) -> Option<Vec<&RawValue>> {
    if is_batch(text) {
        serde_json::from_str(text).ok().map(|Batch(messages)| messages)
    } else {
        serde_json::from_str(text).ok().map(|message| vec![message])
    }
}

struct Batch<'a>(Vec<&'a RawValue>);

impl<'a> Deserialize<'a> for Batch<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor)
    }
}

/// Ends at the limit, where a `Vec` would grow on.
struct BatchVisitor;

impl<'a> Visitor<'a> for BatchVisitor {
    type Value = Batch<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "up to {MESSAGES_MAX} messages")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Batch<'a>, A::Error> {
        let mut messages = Vec::new();
        while let Some(message) = elements.next_element()? {
            if messages.len() == MESSAGES_MAX {
                return Err(A::Error::invalid_length(MESSAGES_MAX + 1, &self));
            }
            messages.push(message);
        }
        Ok(Batch(messages))
    }
}

/// The text after its edits; `None` where there are none.
fn edited(text: &str, edits: &[Edit<'_>]) -> Option<String> {
    let mut edited = String::with_capacity(text.len());
    let mut end = 0;
    for edit in edits {
        edited.push_str(text.get(end..edit.at.start)?);
        edited.push_str(edit.new);
        end = edit.at.end;
    }
    edited.push_str(text.get(end..)?);
    (!edits.is_empty()).then_some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(request: &str) -> Option<String> {
        Some(match Calls::of(request.as_bytes())? {
            Calls::One(id) => format!("one {id}"),
            Calls::Batch(ids) => format!("batch {}", ids.join(" ")),
        })
    }

    #[test]
    fn reads_the_ids_of_calls_alone() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":7,"method":"pay"}"#, Some("one 7")),
            (r#"{"method":"pay","id":"a\"b","jsonrpc":"2.0"}"#, Some(r#"one "a\"b""#)),
            (r#"{"jsonrpc":"2.0","method":"pay"}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"result":1}"#, None),
            (r#" [{"jsonrpc":"2.0","id":7,"method":"pay"}]"#, Some("batch 7")),
            (
                r#"[{"jsonrpc":"2.0","id":"a","method":"pay"},{"jsonrpc":"2.0","method":"note"},
                    {"jsonrpc":"2.0","id":5,"result":1},1,{"jsonrpc":"2.0","id":3,"method":"pay"}]"#,
                Some(r#"batch "a" 3"#),
            ),
            (r#"[{"jsonrpc":"2.0","method":"note"}]"#, None),
            ("[]", None),
            (r#"[{"jsonrpc":"2.0","id":7,"method":"pay"}"#, None),
            (r#"{"id":7,"method":"pay"}"#, None),
            ("", None),
        ];
        for (request, expected) in cases {
            assert_eq!(ids(request).as_deref(), expected, "{request}");
        }
    }

    // covers: S1
    #[test]
    fn takes_a_request_past_a_limit_for_another() {
        let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"pay"}}"#);
        let batch = |len: usize| format!("[{}]", vec![call("1"); len].join(","));
        assert!(ids(&batch(1_024)).is_some());
        assert_eq!(ids(&batch(1_025)), None);
        let of_len = |len: usize| call(&format!("\"{}\"", "a".repeat(len - 2)));
        assert!(ids(&of_len(8_192)).is_some());
        assert_eq!(ids(&of_len(8_193)), None);
    }

    #[test]
    fn gives_each_answer_of_a_batch_the_id_of_its_call() {
        let renaming = |old: &str, new: &str| {
            let old = Calls::Batch(old.split(' ').map(Into::into).collect());
            let new = Calls::Batch(new.split(' ').map(Into::into).collect());
            let answer = r#"[{"jsonrpc":"2.0","id":2,"result":{"id":1}}, {"id": 1 ,"error":{},"jsonrpc":"2.0"},
                {"jsonrpc":"2.0","id":"\u0061","result":0},{"jsonrpc":"2.0","id":null,"error":{}},
                {"jsonrpc":"2.0","id":1,"method":"ask"},{"id":1}]"#;
            let note = old.note().map(|(_, ids)| ids);
            let renaming = new.renaming(note.as_deref())?;
            edited(answer, &edits(answer, &renaming))
        };
        let expected = r#"[{"jsonrpc":"2.0","id":"x","result":{"id":1}}, {"id": 2 ,"error":{},"jsonrpc":"2.0"},
                {"jsonrpc":"2.0","id":9,"result":0},{"jsonrpc":"2.0","id":null,"error":{}},
                {"jsonrpc":"2.0","id":1,"method":"ask"},{"id":1}]"#;
        assert_eq!(renaming(r#"1 2 "a""#, r#"2 "x" 9"#).as_deref(), Some(expected));
        assert_eq!(renaming(r#"1 2 "a""#, r#"1 2 "\u0061""#), None, "the same ids in other characters");
        assert_eq!(renaming("1 2 3", "4 5"), None, "another number of calls");
        assert_eq!(renaming("1 1", "4 5"), None, "whose answer an id is cannot be said");
    }

    #[test]
    fn replaces_the_id_and_nothing_else() {
        let cases = [
            (
                r#"{"jsonrpc":"2.0","id": 7 ,"result":{"id":7}}"#,
                Some(r#"{"jsonrpc":"2.0","id": "x" ,"result":{"id":7}}"#),
            ),
            (r#" {"id":"y","jsonrpc":"2.0"}"#, Some(r#" {"id":"x","jsonrpc":"2.0"}"#)),
            (r#"{"jsonrpc":"2.0","id":"x"}"#, None),
            (r#"{"jsonrpc":"2.0","id":null}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ask"}"#, None),
            (r#"{"result":1}"#, None),
            ("\u{1f4b6}", None),
        ];
        for (answer, expected) in cases {
            let renaming = Renaming::All(r#""x""#);
            assert_eq!(edited(answer, &edits(answer, &renaming)).as_deref(), expected, "{answer}");
        }
    }
}
