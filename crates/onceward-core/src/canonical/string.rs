//! JSON strings: scanned, escaped in the one way of RFC 8785, and ordered by UTF-16 code units.
//!
//! "Text" is a string's canonical content between its quotes. Escaping is injective, so equal texts mean equal strings.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::slice;

use super::Reason;

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// Length of the leading run without a quote, a backslash or a control character.
///
/// Eight bytes at a time: most of a body is such runs.
pub(super) fn run_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut len = 0;
    for word in words {
        let marks = special(u64::from_le_bytes(*word));
        if marks != 0 {
            return len + (marks.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    len + tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(tail.len())
}

/// Sets the high bit of each byte that is a quote, a backslash or a control character.
///
/// A borrow may set bits above the lowest true one, never below it; only the lowest is used.
fn special(word: u64) -> u64 {
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero_bytes(word ^ (ONES * b'"' as u64));
    let backslash = zero_bytes(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH_BITS
}

/// Reads the escape that `bytes` begin with; the second value is its length.
pub(crate) fn unescape(bytes: &[u8]) -> Result<(char, usize), Reason> {
    let simple = match bytes {
        [_, b'u', hex @ ..] => return unescape_unit(hex),
        [_, byte @ (b'"' | b'\\' | b'/'), ..] => char::from(*byte),
        [_, b'b', ..] => '\u{8}',
        [_, b't', ..] => '\t',
        [_, b'n', ..] => '\n',
        [_, b'f', ..] => '\u{c}',
        [_, b'r', ..] => '\r',
        [] | [_] => return Err(Reason::End),
        _ => return Err(Reason::Syntax),
    };
    Ok((simple, 2))
}

fn unescape_unit(hex: &[u8]) -> Result<(char, usize), Reason> {
    let (unit, rest) = unit(hex)?;
    if let Some(scalar) = char::from_u32(unit) {
        return Ok((scalar, 6));
    }
    let ([b'\\', b'u', low_hex @ ..], 0xD800..=0xDBFF) = (rest, unit) else {
        return Err(Reason::LoneSurrogate);
    };
    let (low, _) = self::unit(low_hex)?;
    if !(0xDC00..=0xDFFF).contains(&low) {
        return Err(Reason::LoneSurrogate);
    }
    let scalar = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    char::from_u32(scalar).map(|scalar| (scalar, 12)).ok_or(Reason::LoneSurrogate)
}

/// Four hexadecimal digits and what follows.
fn unit(bytes: &[u8]) -> Result<(u32, &[u8]), Reason> {
    let Some((digits, rest)) = bytes.split_first_chunk::<4>() else {
        // A digit that is wrong is wrong whether or not the body goes on.
        let valid = bytes.iter().all(u8::is_ascii_hexdigit);
        return Err(if valid { Reason::End } else { Reason::Syntax });
    };
    let mut unit = 0;
    for digit in digits {
        unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(Reason::Syntax)?;
    }
    Ok((unit, rest))
}

/// Writes one scalar as RFC 8785 section 3.2.2.2 does.
pub(crate) fn escape(scalar: char, text: &mut Vec<u8>) {
    match scalar {
        '"' => text.extend_from_slice(b"\\\""),
        '\\' => text.extend_from_slice(b"\\\\"),
        '\u{8}' => text.extend_from_slice(b"\\b"),
        '\t' => text.extend_from_slice(b"\\t"),
        '\n' => text.extend_from_slice(b"\\n"),
        '\u{c}' => text.extend_from_slice(b"\\f"),
        '\r' => text.extend_from_slice(b"\\r"),
        '\0'..'\u{20}' => {
            let low = char::from_digit(u32::from(scalar) % 16, 16).unwrap_or('0');
            text.extend_from_slice(if scalar < '\u{10}' { b"\\u000" } else { b"\\u001" });
            text.push(low as u8);
        }
        _ => text.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Compares two texts as RFC 8785 section 3.2.3 orders member names.
pub(super) fn order(a: &[u8], b: &[u8]) -> Ordering {
    Weights(a.iter()).cmp(Weights(b.iter()))
}

/// The bytes of the string that a text stands for, weighted so that their order is that of UTF-16.
///
/// UTF-8 sorts by code point. UTF-16 differs in one place: what lies past U+FFFF is written with surrogates and so comes
/// before U+E000 to U+FFFF, whose UTF-8 starts with 0xEE or 0xEF.
struct Weights<'a>(slice::Iter<'a, u8>);

impl Iterator for Weights<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        match *self.0.next()? {
            b'\\' => match *self.0.next()? {
                b'b' => Some(0x8),
                b't' => Some(b'\t'),
                b'n' => Some(b'\n'),
                b'f' => Some(0xC),
                b'r' => Some(b'\r'),
                b'u' => {
                    let [_, _, sixteens, ones] =
                        [self.0.next()?, self.0.next()?, self.0.next()?, self.0.next()?];
                    let value = |digit: u8| char::from(digit).to_digit(16);
                    u8::try_from(value(*sixteens)? * 16 + value(*ones)?).ok()
                }
                byte => Some(byte),
            },
            byte @ (0xEE | 0xEF) => Some(byte + 0x10),
            byte => Some(byte),
        }
    }
}
