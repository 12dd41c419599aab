//! JSON numbers as exact decimal values.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Reason;

/// Most digits that a number may have, exponent included.
///
/// Far past any amount, identifier or measurement; it bounds the work that one number can cause.
pub const NUMBER_DIGITS_MAX: usize = 1_000;

/// Significant digits that every double carries (`DBL_DIG` of IEEE 754 binary64).
const DOUBLE_DIGITS: usize = 15;

/// Between these scales a number is written without an exponent (ECMA-262, `Number::toString`).
const PLAIN_SCALE_MIN: i64 = -5;
const PLAIN_SCALE_MAX: i64 = 21;

/// Exponents of so many digits fit an `i64` with room to add a digit count.
const EXPONENT_DIGITS_SMALL: usize = 18;

/// A number as it stands in the body (RFC 8259 section 6), in pieces.
pub(super) struct Literal<'a> {
    /// All of it.
    pub(super) source: &'a [u8],
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: &'a [u8],
    exponent_negative: bool,
}

/// What is wrong with a number, and how far from its start.
pub(super) type Fault = (Reason, usize);

impl<'a> Literal<'a> {
    /// Reads the number that `bytes` begin with.
    pub(super) fn scan(bytes: &'a [u8]) -> Result<Self, Fault> {
        let at = |rest: &[u8]| bytes.len() - rest.len();
        let (negative, rest) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (integer, rest) = digits(rest, at(rest))?;
        if let [b'0', _, ..] = integer {
            return Err((Reason::Syntax, at(rest) - integer.len() + 1));
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest, at(rest))?,
            rest => (&[] as &[u8], rest),
        };
        let exponent_negative = matches!(rest, [b'e' | b'E', b'-', ..]);
        let (exponent, rest) = match rest {
            [b'e' | b'E', b'-' | b'+', rest @ ..] | [b'e' | b'E', rest @ ..] => digits(rest, at(rest))?,
            rest => (&[] as &[u8], rest),
        };
        if integer.len() + fraction.len() + exponent.len() > NUMBER_DIGITS_MAX {
            return Err((Reason::NumberLength, 0));
        }
        let (source, _) = bytes.split_at(at(rest));
        Ok(Self { source, negative, integer, fraction, exponent, exponent_negative })
    }

    /// Whether the source is its own canonical text and a double carries it; most numbers are and need no more work.
    pub(super) fn is_canonical(&self) -> bool {
        let zeros = || self.fraction.iter().take_while(|digit| **digit == b'0').count();
        let tidy = match (self.integer, self.fraction) {
            ([b'0'], []) => !self.negative,
            (_, [.., b'0']) => false,
            ([b'0'], _) => -(zeros() as i64) >= PLAIN_SCALE_MIN,
            _ => true,
        };
        tidy && self.exponent.is_empty() && self.integer.len() + self.fraction.len() <= DOUBLE_DIGITS
    }

    /// The value, its digits in `digits`, which it overwrites.
    pub(super) fn value<'d>(&self, digits: &'d mut Vec<u8>) -> Decimal<'d> {
        digits.clear();
        digits.extend(self.integer.iter().chain(self.fraction).skip_while(|digit| **digit == b'0'));
        let leading_zeros = self.integer.len() + self.fraction.len() - digits.len();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = self.integer.len() as i64 - leading_zeros as i64;
        Decimal { negative: self.negative, digits, scale: self.scale(point) }
    }

    fn scale(&self, point: i64) -> Scale {
        let zeros = self.exponent.iter().take_while(|digit| **digit == b'0').count();
        let (_, exponent) = self.exponent.split_at(zeros);
        let sign = if self.exponent_negative { -1 } else { 1 };
        if exponent.len() <= EXPONENT_DIGITS_SMALL {
            let magnitude = exponent.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            return Scale::Small(point + sign * magnitude);
        }
        // One less, since the exponent that is written counts from behind the first digit.
        let mut carry = sign * (point - 1);
        let mut magnitude = exponent.to_vec();
        for digit in magnitude.iter_mut().rev() {
            let sum = i64::from(*digit - b'0') + carry;
            *digit = b'0' + sum.rem_euclid(10) as u8;
            carry = sum.div_euclid(10);
        }
        if carry > 0 {
            magnitude.insert(0, b'1');
        }
        if magnitude.first() == Some(&b'0') {
            magnitude.remove(0);
        }
        Scale::Huge { negative: self.exponent_negative, magnitude }
    }
}

fn digits(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), Fault> {
    let len = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    match (len, bytes) {
        (0, []) => Err((Reason::End, at)),
        (0, _) => Err((Reason::Syntax, at)),
        _ => Ok(bytes.split_at(len)),
    }
}

/// An exact decimal value: `0.digits × 10^scale`, the digits without a zero at either end, none at all for zero.
pub(super) struct Decimal<'d> {
    negative: bool,
    digits: &'d [u8],
    scale: Scale,
}

enum Scale {
    Small(i64),
    /// The exponent as it is written behind the `e`, too long for an integer.
    Huge {
        negative: bool,
        magnitude: Vec<u8>,
    },
}

impl Decimal<'_> {
    /// Writes the value as [the module page](super) lays it out.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        let Some((first, others)) = self.digits.split_first() else {
            text.push(b'0');
            return;
        };
        if self.negative {
            text.push(b'-');
        }
        let count = self.digits.len() as i64;
        let exponent = match &self.scale {
            Scale::Small(scale @ 1..=PLAIN_SCALE_MAX) => {
                let (integer, fraction) = self.digits.split_at(count.min(*scale) as usize);
                text.extend_from_slice(integer);
                text.extend((count..*scale).map(|_| b'0'));
                if !fraction.is_empty() {
                    text.push(b'.');
                    text.extend_from_slice(fraction);
                }
                return;
            }
            Scale::Small(scale @ PLAIN_SCALE_MIN..=0) => {
                text.extend_from_slice(b"0.");
                text.extend((*scale..0).map(|_| b'0'));
                text.extend_from_slice(self.digits);
                return;
            }
            Scale::Small(scale) => format!("{:+}", scale - 1).into_bytes(),
            Scale::Huge { negative, magnitude } => {
                [if *negative { b"-" } else { b"+" }, magnitude.as_slice()].concat()
            }
        };
        text.push(*first);
        if !others.is_empty() {
            text.push(b'.');
            text.extend_from_slice(others);
        }
        text.push(b'e');
        text.extend_from_slice(&exponent);
    }

    /// Whether the shortest text of the nearest double, which is what ECMAScript writes, has this very value.
    pub(super) fn is_carried_by(&self, double: f64) -> bool {
        if self.digits.is_empty() {
            return true;
        }
        let shortest = shortest(double.abs());
        let Some((digits, exponent)) = shortest.split_once('e') else {
            return false;
        };
        let digits = digits.bytes().filter(|byte| *byte != b'.');
        match self.scale {
            Scale::Small(scale) => {
                exponent.parse() == Ok(scale - 1) && digits.eq(self.digits.iter().copied())
            }
            Scale::Huge { .. } => false,
        }
    }
}

/// The digits that ECMAScript writes of a finite double (ECMA-262, Number::toString), in Rust's `{:e}` layout.
///
/// Both write the fewest digits that read back as the same double, and of several the closest. Where two are equally close, V8, as
/// RFC 8785 (3.2.2.3) asks, takes the even one, and Rust does not: 1646005450226390.25 ends in .2, and in .3.
fn shortest(double: f64) -> String {
    let text = format!("{double:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let places = mantissa.len().saturating_sub(2);
    // One digit more than the shortest; a tie ends there, in a 5.
    let further = format!("{double:.places$e}", places = places + 1);
    let half = further.split_once('e').map_or("", |(half, _)| half);
    let Some(below) = half.strip_suffix('5') else { return text };
    let exact = format!("{double:.EXACT_PLACES$e}");
    let is_tie = exact
        .strip_prefix(half)
        .is_some_and(|rest| rest.bytes().take_while(|byte| *byte != b'e').all(|byte| byte == b'0'));
    let is_odd = mantissa.bytes().next_back().is_some_and(|digit| digit % 2 == 1);
    if !is_tie || !is_odd {
        return text;
    }
    // Rust took the one above, so that the even one is below.
    let even = format!("{}e{exponent}", below.trim_end_matches('.'));
    // It may not read back at a power of two.
    if even.parse() == Ok(double) { even } else { text }
}

/// More than the 767 digits that the longest double has.
const EXACT_PLACES: usize = 800;

#[cfg(test)]
mod tests {
    use super::shortest;

    // What `JSON.stringify` of Node 20 writes, in Rust's layout.
    #[test]
    fn the_digits_of_a_double_are_those_of_ecmascript() {
        for (double, digits) in [
            (0.1, "1e-1"),
            (6_584_021_800_905_561.0 / 4.0, "1.6460054502263902e15"),
            (6_584_021_800_905_563.0 / 4.0, "1.6460054502263908e15"),
            // Between two that read back, past the middle by 12 of 10,000: the closer one, though it is odd.
            (28_458_131_077_881_536_512.0, "2.8458131077881537e19"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(shortest(double), digits);
        }
    }
}
