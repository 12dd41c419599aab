//! A key in the body (K1).

use std::fmt;

use onceward_core::{
    key::{Key, KeyInvalid},
    refusal::Refusal,
};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The key in the member `name` of a JSON body's outermost object; `None` where the body has no such member, or is no such object.
///
/// What a body that is no JSON means is decided where it is compared.
pub(crate) fn key(name: &'static str, body: &[u8]) -> Result<Option<Key>, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    match reader.deserialize_map(Member { name }) {
        Ok(Found::None) | Err(_) => Ok(None),
        Ok(Found::Text(text)) => Key::new(&text).map(Some).map_err(Refusal::KeyInvalid),
        Ok(Found::Other) => Err(Refusal::KeyInvalid(KeyInvalid::Malformed)),
        Ok(Found::Twice) => Err(Refusal::KeyInvalid(KeyInvalid::Repeated)),
    }
}

enum Found {
    None,
    Text(String),
    Other,
    Twice,
}

struct Member {
    name: &'static str,
}

impl<'de> Visitor<'de> for Member {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found, A::Error> {
        let mut found = Found::None;
        while let Some(name) = members.next_key::<String>()? {
            if name != self.name {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = members.next_value::<serde_json::Value>().map_err(A::Error::custom)?;
            found = match (found, value) {
                (Found::None, serde_json::Value::String(text)) => Found::Text(text),
                (Found::None, _) => Found::Other,
                (Found::Text(_) | Found::Other | Found::Twice, _) => Found::Twice,
            };
        }
        Ok(found)
    }
}
