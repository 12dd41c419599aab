//! Numbers compared by what they mean, exactly.

/// Most characters of a number; longer ones are no amounts.
const NUMBER_BYTES_MAX: usize = 100;

/// Largest power of ten that a number may be written with.
const EXPONENT_MAX: i64 = 1_000;

/// A decimal number: `0.digits × 10^exponent`, the digits without leading and trailing zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a plain number: a sign, digits, a fraction, a power of ten.
    pub(crate) fn plain(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let power: i64 = power.parse().ok()?;
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let all = [whole, fraction].concat();
        if whole.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) || power.abs() > EXPONENT_MAX {
            return None;
        }
        let significant = all.trim_start_matches('0');
        let leading = i64::try_from(all.len() - significant.len()).ok()?;
        let exponent = i64::try_from(whole.len()).ok()? - leading + power;
        let digits = significant.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        Some(Self { is_negative, digits, exponent })
    }

    /// Reads an amount as pages show it: a currency's sign or code before or behind, and thousands set apart. `mark` is the character
    /// before the fraction; the other of `.` and `,`, blanks and apostrophes between digits set thousands apart.
    pub(crate) fn money(text: &str, mark: char) -> Option<Self> {
        let text = text.trim();
        if text.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let is_outer = |character: char| !character.is_ascii_digit() && !matches!(character, '-' | '−');
        let inner = text.trim_matches(is_outer);
        // `-€ 5` has its sign before the currency's.
        let (sign, inner) = match inner.strip_prefix(['-', '−']) {
            Some(rest) => ("-", rest.trim_start_matches(is_outer)),
            None => ("", inner),
        };
        let (whole, fraction) = inner.split_once(mark).unwrap_or((inner, ""));
        let mut plain = sign.to_owned();
        let mut groups = whole.split(|character: char| is_separator(character, mark));
        plain.push_str(groups.next()?);
        for group in groups {
            // A group of another length is a fraction by another mark, or no number.
            if group.len() != 3 {
                return None;
            }
            plain.push_str(group);
        }
        if !fraction.is_empty() {
            plain.push('.');
            plain.push_str(fraction);
        }
        let has_only_digits =
            plain.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        has_only_digits.then(|| Self::plain(&plain)).flatten()
    }
}

fn is_separator(character: char, mark: char) -> bool {
    matches!(character, '.' | ',' | '\'' | '’' | ' ' | '\u{a0}' | '\u{202f}') && character != mark
}
