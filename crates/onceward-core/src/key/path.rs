//! Where in a JSON body a key stands (K1).

use alloc::{
    boxed::Box,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::fmt;

use crate::canonical::{PathInvalid, Selector, escape, single, unescape};

/// Where in a JSON body a key stands: a JSONPath (RFC 9535) of member names and array indexes, which leads to one value.
///
/// ```
/// use onceward_core::key::KeyPath;
///
/// let path = KeyPath::parse("$.params.arguments['idempotency_key']")?;
/// assert_eq!(path, KeyPath::members(&["params", "arguments", "idempotency_key"]));
/// assert_eq!(path.to_string(), "$.params.arguments.idempotency_key");
/// # Ok::<(), onceward_core::canonical::PathInvalid>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPath(Arc<[KeyStep]>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// To the member of an object, by its name.
    Member(Box<str>),
    /// To the element of an array, by its index.
    Element(u64),
}

impl KeyPath {
    /// Reads a path: names as `.name` or `['name']`, indexes from the start as `[0]`.
    ///
    /// # Errors
    /// [`PathInvalid`] for what RFC 9535 does not know, and for what can select several values (wildcards, descendants, filters, slices,
    /// unions) or counts from an array's end.
    pub fn parse(text: &str) -> Result<Self, PathInvalid> {
        let steps = single(text)?.into_iter().map(|selector| match selector {
            Selector::Name(name) => Some(KeyStep::Member(unescaped(&name))),
            Selector::Index(index) => Some(KeyStep::Element(index)),
            // `single` reads none.
            Selector::Any => None,
        });
        Ok(Self(steps.flatten().collect()))
    }

    /// The path through objects alone, by the names of members from the outermost one inwards.
    #[must_use]
    pub fn members(names: &[&str]) -> Self {
        Self(names.iter().map(|name| KeyStep::Member((*name).into())).collect())
    }

    /// Its steps, from the outermost value inwards.
    #[must_use]
    pub fn steps(&self) -> &[KeyStep] {
        &self.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|step| match step {
            KeyStep::Member(name) if is_shorthand(name) => write!(f, ".{name}"),
            KeyStep::Member(name) => {
                let mut text = Vec::new();
                name.chars().for_each(|scalar| escape(scalar, &mut text));
                write!(f, "[\"{}\"]", String::from_utf8_lossy(&text))
            }
            KeyStep::Element(index) => write!(f, "[{index}]"),
        })
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

fn is_shorthand(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric() || !c.is_ascii())
}

/// The name that a canonical text stands for; the parser wrote that text itself, so that it has no broken escapes.
fn unescaped(text: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(text);
    let mut rest = text.as_ref();
    let mut name = String::with_capacity(rest.len());
    while let Some(first) = rest.chars().next() {
        let (scalar, len) = match unescape(rest.as_bytes()) {
            Ok(found) if first == '\\' => found,
            Ok(_) | Err(_) => (first, first.len_utf8()),
        };
        name.push(scalar);
        rest = rest.get(len..).unwrap_or_default();
    }
    name.into()
}
