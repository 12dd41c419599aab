//! Parameters behind a header value: `; name=value; name="value"`.

use alloc::vec::Vec;

/// A lower-cased name and its value.
pub(crate) type Parameter = (Vec<u8>, Vec<u8>);

/// Most parameters of one value; form fields and media types have two or three.
const PARAMETERS_MAX: usize = 32;

/// Reads all parameters, of which no blanks stand in front or behind; `None` if any is malformed or repeated, or if there are more than [`PARAMETERS_MAX`].
///
/// In quotes a backslash escapes a quote or another backslash and else stands for itself: browsers of old sent paths with
/// bare backslashes as file names.
pub(crate) fn parameters(bytes: &[u8]) -> Option<Vec<Parameter>> {
    let mut found: Vec<Parameter> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = rest.strip_prefix(b";")?.trim_ascii_start();
        if matches!(rest, [] | [b';', ..]) {
            continue;
        }
        let (name, after) = rest.split_at(rest.iter().position(|byte| *byte == b'=')?);
        let (value, after) = match after.strip_prefix(b"=")? {
            [b'"', quoted @ ..] => unquote(quoted)?,
            bare => token(bare),
        };
        let (name, beyond) = token(name);
        let name = name.to_ascii_lowercase();
        let repeated = found.iter().any(|(other, _)| *other == name);
        if name.is_empty() || !beyond.is_empty() || repeated || found.len() >= PARAMETERS_MAX {
            return None;
        }
        found.push((name, value));
        rest = after.trim_ascii_start();
    }
    Some(found)
}

/// What stands before a blank, a quote or a semicolon, and the rest.
fn token(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b';');
    let (token, rest) = bytes.split_at(bytes.iter().position(ends).unwrap_or(bytes.len()));
    (token.to_vec(), rest)
}

/// What stands before the closing quote, and the rest behind it.
fn unquote(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return None,
            [b'"', rest @ ..] => return Some((value, rest)),
            [b'\\', byte @ (b'"' | b'\\'), rest @ ..] | [byte, rest @ ..] => {
                value.push(*byte);
                rest
            }
        };
    }
}
