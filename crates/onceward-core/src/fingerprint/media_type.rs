use alloc::vec::Vec;

use crate::canonical::{field, parameters};

/// A `Content-Type` value (RFC 9110 section 8.3) as fingerprints see it.
pub(crate) struct MediaType {
    /// What of it counts, as length-prefixed fields.
    pub(crate) text: Vec<u8>,
    pub(crate) kind: Kind,
}

/// How a body of the type is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bytes,
    Json,
    Form,
    /// With the boundary, empty if there is none.
    Multipart(Vec<u8>),
}

impl MediaType {
    /// Reads the raw value. One that cannot be read counts as it is, and its body as bytes.
    ///
    /// The type, the parameters' names and the charset are compared without regard to case, parameters in any order. A
    /// multipart boundary does not count.
    pub(crate) fn of(value: &str) -> Self {
        let value = value.trim_ascii();
        let (essence, rest) = value.split_at(value.find(';').unwrap_or(value.len()));
        let essence = essence.trim_ascii_end().to_ascii_lowercase();
        let mut text = Vec::new();
        let mut add = |bytes: &[u8]| field(bytes, &mut |bytes| text.extend_from_slice(bytes));
        let Some(mut found) = parameters(rest.as_bytes()) else {
            add(value.as_bytes());
            return Self { text, kind: Kind::Bytes };
        };
        let mut boundary = Vec::new();
        if essence.starts_with("multipart/")
            && let Some(at) = found.iter().position(|(name, _)| name == b"boundary")
        {
            boundary = found.swap_remove(at).1;
        }
        for (name, value) in &mut found {
            if name == b"charset" {
                value.make_ascii_lowercase();
            }
        }
        found.sort();
        add(essence.as_bytes());
        for (name, value) in &found {
            add(name);
            add(value);
        }
        let charset = found.iter().find(|(name, _)| name == b"charset").map(|(_, value)| value.as_slice());
        Self { text, kind: kind(&essence, charset, boundary) }
    }
}

fn kind(essence: &str, charset: Option<&[u8]>, boundary: Vec<u8>) -> Kind {
    match essence {
        "application/x-www-form-urlencoded" => Kind::Form,
        "multipart/form-data" => Kind::Multipart(boundary),
        // In another charset the bytes are not the JSON text that RFC 8259 section 8.1 means.
        _ if is_json(essence) && matches!(charset, None | Some(b"utf-8")) => Kind::Json,
        _ => Kind::Bytes,
    }
}

/// `application/json`, or the structured suffix of RFC 6839 section 3.1.
fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence.ends_with("+json")
}
