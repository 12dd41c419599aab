//! The operation that a request's body names beside its path (B2).

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, de::IgnoredAny};

/// Next.js names a server action by this field (`Next-Action`), whatever page it is posted to.
const NEXT_ACTION: HeaderName = HeaderName::from_static("next-action");

/// Operations of one JSON-RPC or GraphQL batch that are told apart; a longer batch counts by its first ones.
const BATCH_MAX: usize = 64;

/// What names a request's operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Method and path alone.
    None,
    /// One or more operations of an endpoint that serves many: GraphQL, JSON-RPC.
    Listed(String),
    /// A Next.js server action, which has no path of its own.
    ServerAction(String),
}

impl Name {
    /// The text that goes into the scope; empty for [`Name::None`].
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Listed(text) => text,
            Self::ServerAction(id) => format!("next-action {id}"),
        }
    }
}

/// Reads the operation's name. A body that names none, or cannot be read, is told apart by method and path alone.
///
/// tRPC and gRPC name their procedures in the path.
#[must_use]
pub fn name(headers: &HeaderMap, body: &[u8]) -> Name {
    if let Some(action) = headers.get(NEXT_ACTION) {
        return Name::ServerAction(String::from_utf8_lossy(action.as_bytes()).into_owned());
    }
    if !is_json(headers) {
        return Name::None;
    }
    let calls = match serde_json::from_slice::<Document<'_>>(body) {
        Ok(Document::One(call)) => vec![*call],
        Ok(Document::Batch(calls)) => calls,
        Ok(Document::Other(IgnoredAny)) | Err(_) => return Name::None,
    };
    let names: Vec<String> = calls.iter().take(BATCH_MAX).filter_map(Call::name).collect();
    if names.is_empty() { Name::None } else { Name::Listed(names.join("\n")) }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(media_type)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Document<'a> {
    #[serde(borrow)]
    One(Box<Call<'a>>),
    Batch(Vec<Call<'a>>),
    Other(IgnoredAny),
}

/// The members that name an operation.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "operationName")]
    operation_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    query: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    extensions: Option<Extensions<'a>>,
}

#[derive(Deserialize)]
struct Extensions<'a> {
    #[serde(borrow, default, rename = "persistedQuery")]
    persisted_query: Option<PersistedQuery<'a>>,
}

#[derive(Deserialize)]
struct PersistedQuery<'a> {
    #[serde(borrow, rename = "sha256Hash")]
    hash: Cow<'a, str>,
}

impl Call<'_> {
    fn name(&self) -> Option<String> {
        if let (Some(_), Some(method)) = (&self.jsonrpc, &self.method) {
            return Some(format!("json-rpc {method}"));
        }
        if let (Some(operation), true) = (&self.operation_name, self.is_graphql()) {
            return Some(format!("graphql {operation}"));
        }
        if let Some(document) = &self.query {
            return graphql_operation(document).map(|operation| format!("graphql {operation}"));
        }
        let persisted = self.extensions.as_ref()?.persisted_query.as_ref()?;
        Some(format!("graphql {}", persisted.hash))
    }

    fn is_graphql(&self) -> bool {
        self.query.is_some() || self.extensions.is_some()
    }
}

/// The name of a GraphQL document's first operation (GraphQL October 2021, 2.3), or its kind where it has none.
fn graphql_operation(document: &str) -> Option<String> {
    let mut words = document
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(|line| line.split_inclusive(['{', '(', '@', ' ', '\t']))
        .map(|word| word.trim_end_matches(['{', '(', '@', ' ', '\t']))
        .filter(|word| !word.is_empty());
    let kind = words.find(|word| matches!(*word, "mutation" | "query" | "subscription"))?;
    let name = words.next().unwrap_or_default();
    Some(format!("{kind} {name}"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn json(body: &str) -> Name {
        let headers = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        )]);
        name(&headers, body.as_bytes())
    }

    // covers: B2
    #[test]
    fn names_the_operation_of_endpoints_that_serve_many() {
        let listed = |text: &str| Name::Listed(text.to_owned());
        let cases = [
            (
                r#"{"operationName":"PlaceOrder","query":"mutation PlaceOrder { x }"}"#,
                listed("graphql PlaceOrder"),
            ),
            (
                r#"{"query":"mutation PlaceOrder($id: ID!) { order(id: $id) { id } }"}"#,
                listed("graphql mutation PlaceOrder"),
            ),
            (r##"{"query":"# pays\nmutation { pay }"}"##, listed("graphql mutation pay")),
            (
                r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab12"}},"operationName":null}"#,
                listed("graphql ab12"),
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"order.place","params":{}}"#,
                listed("json-rpc order.place"),
            ),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"b"}]"#,
                listed("json-rpc a\njson-rpc b"),
            ),
            (r#"{"method":"card","amount":5}"#, Name::None),
            (r#"{"operationName":"not graphql"}"#, Name::None),
            (r#"{"query":"shoes"}"#, Name::None),
            (r#"{"query":{"bool":[]}}"#, Name::None),
            ("{", Name::None),
            ("7", Name::None),
        ];
        for (body, expected) in cases {
            assert_eq!(json(body), expected, "{body}");
        }
    }

    // covers: B2
    #[test]
    fn a_server_action_is_named_by_its_field_alone() {
        let headers = HeaderMap::from_iter([(NEXT_ACTION, HeaderValue::from_static("40f1"))]);
        assert_eq!(name(&headers, b"------x"), Name::ServerAction("40f1".to_owned()));
    }

    #[test]
    fn other_media_types_are_not_looked_into() {
        assert_eq!(name(&HeaderMap::new(), br#"{"jsonrpc":"2.0","method":"a"}"#), Name::None);
    }
}
