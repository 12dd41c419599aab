//! The fields of a body by which a route tells what a request means.

use alloc::{boxed::Box, string::ToString, sync::Arc, vec::Vec};
use core::fmt;

use super::TwinRuleInvalid;
use crate::{
    canonical::{Volatile, escape, field, form, json},
    fingerprint::{Kind, MediaType, Request},
    key::{KeyPath, KeyStep},
    secret::Digest,
};

/// Fields that one route chooses at the most: a meaning of more is better told by a fingerprint.
pub const FIELDS_MAX: usize = 16;

/// The fields that make two requests twins: JSONPaths (RFC 9535) of names and indexes.
///
/// A form is taken for an object of its fields, so `$.amount` names a field of either. Their order does not count.
///
/// ```
/// use onceward_core::twin::TwinFields;
///
/// let fields = TwinFields::parse(["$.cart", "$.lines[0]['sku']"])?;
/// assert_eq!(fields.paths().count(), 2);
/// # Ok::<(), onceward_core::twin::TwinRuleInvalid>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TwinFields(Arc<[(Box<str>, KeyPath)]>);

impl TwinFields {
    /// Reads one path a field.
    ///
    /// # Errors
    /// [`TwinRuleInvalid`] for no field, too many, and a path that can lead to more than one value.
    pub fn parse<'t>(paths: impl IntoIterator<Item = &'t str>) -> Result<Self, TwinRuleInvalid> {
        let read = |text: &str| {
            let path = KeyPath::parse(text)
                .map_err(|invalid| TwinRuleInvalid::Path { path: text.into(), invalid })?;
            Ok((path.to_string().into_boxed_str(), path))
        };
        let mut paths = paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        paths.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        paths.dedup_by(|(a, _), (b, _)| a == b);
        match paths.len() {
            0 => Err(TwinRuleInvalid::NoField),
            1..=FIELDS_MAX => Ok(Self(paths.into())),
            _ => Err(TwinRuleInvalid::TooMany),
        }
    }

    /// The paths as they are written, in one order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(text, _)| &**text)
    }

    /// Adds each field's name and value to a digest; `None` where the body lacks one.
    pub(super) fn digested(&self, request: &Request<'_>, digest: Digest) -> Option<Digest> {
        let mut text = Vec::with_capacity(request.body.len());
        let mut out = |bytes: &[u8]| text.extend_from_slice(bytes);
        // A form's `1` and JSON's are written alike, and are not the same.
        let (name, is_json) = match MediaType::of(request.media_type.unwrap_or_default()).kind {
            Kind::Json => {
                json(request.body, &Volatile::none(), &mut out).ok()?;
                ("json", true)
            }
            Kind::Form => {
                form(request.body, &Volatile::none(), &mut out);
                ("form", false)
            }
            Kind::Bytes | Kind::Multipart(_) => return None,
        };
        self.0.iter().try_fold(digest.field(name.as_bytes()), |digest, (name, path)| {
            let digest = digest.field(name.as_bytes());
            if is_json {
                Some(digest.field(in_json(&text, path.steps())?))
            } else {
                Some(digest.field(&in_form(&text, path.steps())?))
            }
        })
    }
}

impl fmt::Debug for TwinFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.paths()).finish()
    }
}

/// The text of the value to which `steps` lead in a canonical JSON text.
fn in_json<'t>(text: &'t [u8], steps: &[KeyStep]) -> Option<&'t [u8]> {
    let Some((step, rest)) = steps.split_first() else { return Some(text) };
    let value = match step {
        KeyStep::Member(name) => {
            let mut sought = Vec::with_capacity(name.len());
            name.chars().for_each(|scalar| escape(scalar, &mut sought));
            items(text.strip_prefix(b"{")?).find_map(|member| {
                let (name, value) = member.split_at(value_len(member, b":"));
                let name = name.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
                value.strip_prefix(b":").filter(|_| name == sought)
            })?
        }
        KeyStep::Element(index) => items(text.strip_prefix(b"[")?).nth(usize::try_from(*index).ok()?)?,
    };
    in_json(value, rest)
}

/// The members of an object or the elements of an array, from behind its opening bracket to its closing one.
fn items(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (item, rest) = text.split_at(value_len(text, b",]}"));
        text = rest.get(1..).unwrap_or_default();
        (!item.is_empty()).then_some(item)
    })
}

/// How far it is to the first of `ends` outside of strings and brackets. The text was written by ourselves, and so is well-formed.
fn value_len(text: &[u8], ends: &[u8]) -> usize {
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            byte if depth == 0 && ends.contains(byte) => return at,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

/// The values of the field that `steps` name in a canonical form, in their order, each behind its length.
fn in_form(text: &[u8], steps: &[KeyStep]) -> Option<Vec<u8>> {
    let [KeyStep::Member(sought)] = steps else { return None };
    let mut rest = text;
    let mut values = Vec::new();
    while let Some((name, behind)) = taken(rest) {
        let (value, behind) = taken(behind)?;
        if name == sought.as_bytes() {
            field(value, &mut |bytes| values.extend_from_slice(bytes));
        }
        rest = behind;
    }
    (!values.is_empty()).then_some(values)
}

/// The length-prefixed bytes that a text begins with, and what is behind them.
fn taken(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, behind) = text.split_first_chunk::<8>()?;
    behind.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(text: &'t str, path: &str) -> Option<&'t str> {
        let path = KeyPath::parse(path).expect("a path");
        in_json(text.as_bytes(), path.steps()).map(|value| core::str::from_utf8(value).expect("text"))
    }

    #[test]
    fn a_value_is_found_by_its_path_in_a_canonical_text() {
        let text = r#"{"a":[1,"]},\"",{"b":null}],"a\"b":{"c":"x"},"d":{},"e":[]}"#;
        let rows = [
            ("$.a", Some(r#"[1,"]},\"",{"b":null}]"#)),
            ("$.a[0]", Some("1")),
            ("$.a[1]", Some(r#""]},\"""#)),
            ("$.a[2].b", Some("null")),
            ("$.a[3]", None),
            (r#"$['a"b'].c"#, Some(r#""x""#)),
            ("$.d", Some("{}")),
            ("$.d.x", None),
            ("$.e", Some("[]")),
            ("$.e[0]", None),
            ("$.a.b", None),
            ("$.a[0].b", None),
            ("$.c", None),
        ];
        for (path, expected) in rows {
            assert_eq!(found(text, path), expected, "{path}");
        }
        assert_eq!(found("7", "$.a"), None);
    }
}
