//! Requests as they are written.

use std::io::Write as _;

use serde_json::json;

use crate::target::Target;

/// The tool that is called where the order names none: AdCP's own order.
const TOOL: &str = "create_media_buy";

/// One field line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
    /// A credential, which no report shows.
    pub(crate) is_secret: bool,
}

impl Field {
    pub(crate) fn new(name: &str, value: impl AsRef<[u8]>) -> Self {
        Self { name: name.to_owned(), value: value.as_ref().to_vec(), is_secret: false }
    }

    pub(crate) fn secret(name: &str, value: impl AsRef<[u8]>) -> Self {
        Self { is_secret: true, ..Self::new(name, value) }
    }
}

/// A key as a structured-field String (RFC 9651, 3.3.3).
pub(crate) fn keyed_field(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Body,
}

/// The content of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Sized(Vec<u8>),
    /// In one chunk, with trailers.
    Chunked(Vec<u8>, Vec<Field>),
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), fields: Vec::new(), body: Body::None }
    }

    /// Adds a field line, also where one of this name stands already.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push(Field::new(name, value));
        self
    }

    /// Tells the reference origin what to do.
    pub(crate) fn told(self, directive: &str) -> Self {
        self.with("x-drill", directive)
    }

    /// Uses another method.
    pub(crate) fn by(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Has one more parameter in its query.
    pub(crate) fn with_query(mut self, parameter: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(parameter);
        self
    }

    /// Leaves out every line of a name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|field| !field.name.eq_ignore_ascii_case(name));
        self
    }

    /// Has another body of a media type.
    pub(crate) fn carrying(self, media_type: &str, body: impl AsRef<[u8]>) -> Self {
        let mut ask = self.without("content-type").with("content-type", media_type);
        ask.body = Body::Sized(body.as_ref().to_vec());
        ask
    }

    /// Has one more member, where its body is a JSON object.
    pub(crate) fn with_member(mut self, name: &str, value: &serde_json::Value) -> Self {
        if let Body::Sized(content) = &mut self.body
            && let Ok(serde_json::Value::Object(mut members)) = serde_json::from_slice(content)
        {
            members.insert(name.to_owned(), value.clone());
            *content = serde_json::Value::Object(members).to_string().into_bytes();
        }
        self
    }

    /// As a call of a tool (Model Context Protocol, `tools/call`): of the one that its body calls, else of [`TOOL`], with its body as arguments.
    pub(crate) fn calling(mut self, id: u64) -> Self {
        if let Body::Sized(content) = &mut self.body
            && let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(content)
        {
            let mut call = if members.contains_key("jsonrpc") {
                serde_json::Value::Object(members)
            } else {
                json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": TOOL, "arguments": members}})
            };
            if let Some(members) = call.as_object_mut() {
                members.insert("id".to_owned(), id.into());
            }
            *content = call.to_string().into_bytes();
        }
        self.without("accept").with("accept", "application/json, text/event-stream")
    }

    /// Has one more argument, where its body is a call of a tool.
    pub(crate) fn with_argument(mut self, name: &str, value: &serde_json::Value) -> Self {
        if let Body::Sized(content) = &mut self.body
            && let Ok(mut call) = serde_json::from_slice::<serde_json::Value>(content)
            && let Some(arguments) =
                call.pointer_mut("/params/arguments").and_then(serde_json::Value::as_object_mut)
        {
            arguments.insert(name.to_owned(), value.clone());
            *content = call.to_string().into_bytes();
        }
        self
    }

    /// Sends the same body in chunks, and these fields behind it.
    pub(crate) fn trailed_by(mut self, trailers: &[(&str, &str)]) -> Self {
        let trailers = trailers.iter().map(|(name, value)| Field::new(name, value)).collect();
        self.body = Body::Chunked(self.content().to_vec(), trailers);
        self
    }

    pub(crate) fn content(&self) -> &[u8] {
        match &self.body {
            Body::None => &[],
            Body::Sized(content) | Body::Chunked(content, _) => content,
        }
    }

    /// The bytes on an HTTP/1.1 connection.
    pub(crate) fn bytes(&self, target: &Target) -> Vec<u8> {
        self.written(&target.authority(), Secrets::Sent)
    }

    /// The same for a report: without credentials.
    pub(crate) fn shown(&self, target: &Target) -> Vec<u8> {
        self.written(&target.authority(), Secrets::Hidden)
    }

    /// The field lines alone.
    pub(crate) fn field_lines(&self) -> Vec<u8> {
        let mut text = Vec::new();
        push_fields(&mut text, &self.fields, Secrets::Sent);
        text
    }

    /// The same for a report.
    pub(crate) fn shown_field_lines(&self) -> Vec<u8> {
        let mut text = Vec::new();
        push_fields(&mut text, &self.fields, Secrets::Hidden);
        text
    }

    fn written(&self, authority: &str, secrets: Secrets) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nHost: {authority}\r\n", self.method, self.target).into_bytes();
        push_fields(&mut text, &self.fields, secrets);
        match &self.body {
            Body::None => text.extend_from_slice(b"\r\n"),
            Body::Sized(content) => {
                text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
                text.extend_from_slice(content);
            }
            Body::Chunked(content, trailers) => {
                text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                if !content.is_empty() {
                    text.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
                    text.extend_from_slice(content);
                    text.extend_from_slice(b"\r\n");
                }
                text.extend_from_slice(b"0\r\n");
                push_fields(&mut text, trailers, secrets);
                text.extend_from_slice(b"\r\n");
            }
        }
        text
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Sent,
    Hidden,
}

fn push_fields(text: &mut Vec<u8>, fields: &[Field], secrets: Secrets) {
    for field in fields {
        text.extend_from_slice(field.name.as_bytes());
        text.extend_from_slice(b": ");
        if field.is_secret && secrets == Secrets::Hidden {
            text.extend_from_slice("…".as_bytes());
        } else {
            text.extend_from_slice(&field.value);
        }
        text.extend_from_slice(b"\r\n");
    }
}

/// Compresses a body.
pub(crate) fn gzipped(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Trust;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_is_written_as_it_was_asked_for() {
        let target = Target::parse("http://a:81", &Trust::Platform).unwrap();
        let mut ask =
            Ask::new("POST", "/orders?a=1").with("x", "1").with("X", "2").carrying("text/plain", "ab");
        ask.fields.push(Field::secret("authorization", "Bearer b"));
        let head = "POST /orders?a=1 HTTP/1.1\r\nHost: a:81\r\nx: 1\r\nX: 2\r\ncontent-type: text/plain\r\n";
        let sent = format!("{head}authorization: Bearer b\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(text(ask.bytes(&target)), sent);
        assert_eq!(text(ask.shown(&target)), sent.replace("Bearer b", "…"));

        let trailed = ask.without("authorization").trailed_by(&[("k", "v")]);
        let sent = format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nk: v\r\n\r\n");
        assert_eq!(text(trailed.bytes(&target)), sent);
    }

    #[test]
    fn an_order_becomes_the_call_of_a_tool() {
        let order = Ask::new("POST", "/mcp").carrying("application/json", r#"{"tea":1}"#);
        let call = order.calling(7).with_argument("key", &"k".into());
        let body: serde_json::Value = serde_json::from_slice(call.content()).unwrap();
        let params = json!({"name": "create_media_buy", "arguments": {"tea": 1, "key": "k"}});
        assert_eq!(body, json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}));
        let again = call.calling(8).with_argument("key", &"l".into());
        let body: serde_json::Value = serde_json::from_slice(again.content()).unwrap();
        let params = json!({"name": "create_media_buy", "arguments": {"tea": 1, "key": "l"}});
        assert_eq!(body, json!({"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": params}));
        assert_eq!(again.fields.iter().filter(|field| field.name == "accept").count(), 1);
    }

    #[test]
    fn a_key_is_quoted_as_a_structured_string() {
        assert_eq!(keyed_field(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
