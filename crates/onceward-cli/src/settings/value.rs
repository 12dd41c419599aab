//! How values are written in flags, variables and files alike.

use std::time::Duration;

use anyhow::{Context, bail};

/// `250ms`, `5s`, `15m`, `24h`, `400d`.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().with_context(|| expected_duration(text))?;
    let ms_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => bail!(expected_duration(text)),
    };
    number.checked_mul(ms_per_unit).map(Duration::from_millis).with_context(|| format!("{text} is too long"))
}

fn expected_duration(text: &str) -> String {
    format!("{text:?} is no time; write a number and ms, s, m, h or d, such as 90s")
}

/// A number of bytes, with `k` or `M` for 1,024 and 1,048,576 of them.
pub(crate) fn bytes(text: &str) -> anyhow::Result<usize> {
    let (number, factor) = match text.strip_suffix('k') {
        Some(number) => (number, 1_024),
        None => text.strip_suffix('M').map_or((text, 1), |number| (number, 1_048_576)),
    };
    let number: usize = number.parse().ok().with_context(|| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(factor).with_context(|| format!("{text} is too large"))
}

/// `true` or `false`.
pub(crate) fn truth(text: &str) -> anyhow::Result<bool> {
    text.parse().ok().with_context(|| format!("{text:?} is neither `true` nor `false`"))
}

/// The items of a comma-separated list; an empty text has none.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_number_and_a_known_unit() {
        let cases = [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("15m", Some(900_000)),
            ("24h", Some(86_400_000)),
            ("400d", Some(34_560_000_000)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("1.5h", None),
            ("5 s", None),
            ("5w", None),
            ("18446744073709551615d", None),
        ];
        for (text, expected_ms) in cases {
            assert_eq!(duration(text).ok(), expected_ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn bytes_may_be_counted_in_k_and_m() {
        let cases = [
            ("0", Some(0)),
            ("4096", Some(4_096)),
            ("64k", Some(65_536)),
            ("2M", Some(2_097_152)),
            ("2G", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }
}
