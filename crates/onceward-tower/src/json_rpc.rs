//! JSON-RPC 2.0 answers repeat the id of their request, and clients count ids up: a replay must carry the retry's.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// The members of a request or an answer that matter here; the rest is skipped.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "jsonrpc")]
    _version: IgnoredAny,
    #[serde(borrow)]
    id: &'a RawValue,
}

/// The id of a single call, as its JSON text; `None` for a batch, a notification, and anything that is not JSON-RPC.
pub(crate) fn id(request: &[u8]) -> Option<Box<str>> {
    Some(serde_json::from_slice::<Message<'_>>(request).ok()?.id.get().into())
}

/// The answer with its id replaced; every other byte stays. `None` where it has none.
pub(crate) fn with_id(answer: &[u8], id: &str) -> Option<Vec<u8>> {
    let text = str::from_utf8(answer).ok()?;
    let old = serde_json::from_str::<Message<'_>>(text).ok()?.id.get();
    // The raw value borrows from the text, so its place is the distance between the two.
    let at = old.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let (before, rest) = text.split_at_checked(at)?;
    Some([before, id, rest.get(old.len()..)?].concat().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_id_of_single_calls_alone() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":7,"method":"pay"}"#, Some("7")),
            (r#"{"method":"pay","id":"a\"b","jsonrpc":"2.0"}"#, Some(r#""a\"b""#)),
            (r#"{"jsonrpc":"2.0","method":"pay"}"#, None),
            (r#"[{"jsonrpc":"2.0","id":7,"method":"pay"}]"#, None),
            (r#"{"id":7}"#, None),
            ("", None),
        ];
        for (request, expected) in cases {
            assert_eq!(id(request.as_bytes()).as_deref(), expected, "{request}");
        }
    }

    #[test]
    fn replaces_the_id_and_nothing_else() {
        let cases = [
            (
                r#"{"jsonrpc":"2.0","id": 7 ,"result":{"id":7}}"#,
                Some(r#"{"jsonrpc":"2.0","id": "x" ,"result":{"id":7}}"#),
            ),
            (r#" {"id":null,"jsonrpc":"2.0"}"#, Some(r#" {"id":"x","jsonrpc":"2.0"}"#)),
            (r#"{"result":1}"#, None),
            ("\u{1f4b6}", None),
        ];
        for (answer, expected) in cases {
            let replaced =
                with_id(answer.as_bytes(), r#""x""#).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(replaced.as_deref(), expected, "{answer}");
        }
    }
}
