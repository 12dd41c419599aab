//! A key in the body (K1).

use std::fmt;

use onceward_core::{
    key::{Key, KeyInvalid, KeyPath, KeyStep},
    refusal::Refusal,
};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The key that `path` leads to in a JSON body; `None` where it leads nowhere.
///
/// What a body that is no JSON means is decided where it is compared.
pub(crate) fn key(path: &KeyPath, body: &[u8]) -> Result<Option<Key>, Refusal> {
    match sought(path.steps(), body) {
        Found::Nothing => Ok(None),
        Found::Text(text) => Key::new(&text).map(Some).map_err(Refusal::KeyInvalid),
        Found::Other => Err(Refusal::KeyInvalid(KeyInvalid::Malformed)),
        Found::Twice => Err(Refusal::KeyInvalid(KeyInvalid::Repeated)),
    }
}

/// What stands at the end of a path.
enum Found {
    Nothing,
    Text(String),
    /// No string.
    Other,
    /// On the way a name stands twice, and not every reader takes the same.
    Twice,
}

fn sought(steps: &[KeyStep], json: &[u8]) -> Found {
    let Some((step, rest)) = steps.split_first() else {
        return serde_json::from_slice(json).map_or(Found::Other, Found::Text);
    };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let found = match step {
        KeyStep::Member(name) => reader.deserialize_map(Member { name, rest }),
        KeyStep::Element(index) => reader.deserialize_seq(Element { index: *index, rest }),
    };
    found.unwrap_or(Found::Nothing)
}

struct Member<'p> {
    name: &'p str,
    rest: &'p [KeyStep],
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found, A::Error> {
        let (mut found, mut is_there) = (Found::Nothing, false);
        while let Some(name) = members.next_key::<String>()? {
            if name != self.name {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = sought(self.rest, members.next_value::<&RawValue>()?.get().as_bytes());
            found = match (found, value) {
                (Found::Nothing, Found::Nothing) => Found::Nothing,
                (Found::Nothing, value) if !is_there => value,
                (_, _) => Found::Twice,
            };
            is_there = true;
        }
        Ok(found)
    }
}

struct Element<'p> {
    index: u64,
    rest: &'p [KeyStep],
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Found, A::Error> {
        let mut found = Found::Nothing;
        let mut index = 0;
        // To its end, so that what breaks off behind the key is no JSON here, as it is none where it is compared.
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if index == self.index {
                found = sought(self.rest, element.get().as_bytes());
            }
            index += 1;
        }
        Ok(found)
    }
}
