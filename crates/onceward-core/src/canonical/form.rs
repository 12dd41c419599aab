use alloc::vec::Vec;
use core::ops::Range;

use super::{Volatile, field};

/// Hands on the canonical form of an `application/x-www-form-urlencoded` body (F2).
///
/// Its fields are name, value, name, value …: decoded to bytes, sorted by name, the values of one name in the body's order.
/// Every body can be read: as the URL standard (WHATWG, section 5.1) has it, a `%` without two hexadecimal digits stands for
/// itself, a pair without `=` has an empty value, and empty pairs are skipped.
pub fn form(body: &[u8], volatile: &Volatile, out: &mut dyn FnMut(&[u8])) {
    let root = volatile.root();
    let mut decoded = Vec::with_capacity(body.len());
    let mut pairs = Vec::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                let (name, rest) = pair.split_at(at);
                (name, rest.strip_prefix(b"=").unwrap_or(rest))
            }
            None => (pair, &[] as &[u8]),
        };
        let name = decode(name, &mut decoded);
        if volatile.field(&root, span(&decoded, &name)).counts {
            let value = decode(value, &mut decoded);
            pairs.push((name, value));
        }
    }
    pairs.sort_by(|(a, _), (b, _)| span(&decoded, a).cmp(span(&decoded, b)));
    for (name, value) in &pairs {
        field(span(&decoded, name), out);
        field(span(&decoded, value), out);
    }
}

/// Appends the bytes that `encoded` stands for and says where they are.
fn decode(encoded: &[u8], decoded: &mut Vec<u8>) -> Range<usize> {
    let start = decoded.len();
    let mut rest = encoded;
    loop {
        rest = match rest {
            [] => return start..decoded.len(),
            [b'+', rest @ ..] => {
                decoded.push(b' ');
                rest
            }
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(nibble(*high) << 4 | nibble(*low));
                rest
            }
            [byte, rest @ ..] => {
                decoded.push(*byte);
                rest
            }
        };
    }
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    (digit & 0xF) + if digit.is_ascii_alphabetic() { 9 } else { 0 }
}

#[expect(clippy::indexing_slicing, reason = "every range was taken from these bytes, which only grow")]
fn span<'d>(decoded: &'d [u8], range: &Range<usize>) -> &'d [u8] {
    &decoded[range.start..range.end]
}
