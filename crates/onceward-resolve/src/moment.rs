//! When something happened, as far as two clocks and a site's way to write times can tell.

use jiff::{
    Timestamp,
    fmt::strtime,
    tz::{Offset, TimeZone},
};

/// Most that a site's clock is trusted to move between the claim and the look, and to differ between its machines.
const DRIFT_MS: i64 = 500;

/// An interval of time in milliseconds since the Unix epoch; `end` is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// How far the site's clock may be ahead of ours, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skew {
    least: i64,
    most: i64,
}

impl Skew {
    /// What an answer's `Date` bounds. It names a whole second, and was written between our asking and our receiving.
    ///
    /// A cache may answer with an old `Date`, and then it says nothing of the clock: so no skew at all is always among what is possible.
    pub(crate) fn bounded(date_ms: i64, asked_at_ms: i64, received_at_ms: i64) -> Self {
        Self {
            least: date_ms.saturating_sub(received_at_ms).min(0).saturating_sub(DRIFT_MS),
            most: date_ms.saturating_add(1_000).saturating_sub(asked_at_ms).max(0).saturating_add(DRIFT_MS),
        }
    }

    /// A span of the site's time in ours.
    pub(crate) fn ours(self, span: Span) -> Span {
        Span { start: span.start.saturating_sub(self.most), end: span.end.saturating_sub(self.least) }
    }
}

/// How a site writes a time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    format: Format,
    zone: Offset,
    resolution_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Format {
    Rfc3339,
    Unix,
    UnixMs,
    Django,
    Pattern(String),
}

impl Clock {
    pub(crate) fn new(format: &str, zone: Option<&str>, resolution: &str) -> Result<Self, String> {
        let (format, has_zone) = match format {
            "rfc3339" => (Format::Rfc3339, true),
            "unix" => (Format::Unix, true),
            "unix_ms" => (Format::UnixMs, true),
            "django" => (Format::Django, false),
            pattern if pattern.contains('%') => {
                (Format::Pattern(pattern.into()), pattern.contains("%z") || pattern.contains("%:z"))
            }
            _ => {
                return Err(format!(
                    "`{format}` is no way to write a time: there are rfc3339, unix, unix_ms, django, and patterns as `%Y-%m-%d %H:%M`"
                ));
            }
        };
        let zone = match (zone, has_zone) {
            (None, true) => Offset::UTC,
            (Some(zone), false) => {
                offset(zone).ok_or_else(|| format!("`{zone}` is no zone: write `UTC` or `+02:00`"))?
            }
            (None, false) => {
                return Err("the format names no zone: give `zone = \"UTC\"` or as `+02:00`".into());
            }
            (Some(_), true) => return Err("the format says its zone itself: take `zone` away".into()),
        };
        let resolution_ms = duration_ms(resolution)?;
        if resolution_ms == 0 {
            return Err("a resolution is more than nothing".into());
        }
        Ok(Self { format, zone, resolution_ms })
    }

    /// The span that a text means; `None` where it is none of this format.
    pub(crate) fn read(&self, text: &str) -> Option<Span> {
        let text = text.trim();
        let start = match &self.format {
            Format::Rfc3339 => text.parse::<Timestamp>().ok()?.as_millisecond(),
            Format::Unix => whole(text)?.checked_mul(1_000)?,
            Format::UnixMs => whole(text)?,
            Format::Django => self.local(&django(text)?, "%Y-%m-%d %H:%M")?,
            Format::Pattern(pattern) => self.local(text, pattern)?,
        };
        // What happened within a step carries its beginning.
        Some(Span { start, end: start.checked_add(self.resolution_ms)? })
    }

    fn local(&self, text: &str, pattern: &str) -> Option<i64> {
        let read = strtime::parse(pattern, text).ok()?;
        if read.offset().is_some() {
            return read.to_timestamp().ok().map(Timestamp::as_millisecond);
        }
        let local = match read.to_datetime() {
            Ok(local) => local,
            Err(_) => read.to_date().ok()?.at(0, 0, 0, 0),
        };
        let zoned = local.to_zoned(TimeZone::fixed(self.zone)).ok()?;
        Some(zoned.timestamp().as_millisecond())
    }
}

fn whole(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `UTC` or `+02:00`.
fn offset(text: &str) -> Option<Offset> {
    if text == "UTC" {
        return Some(Offset::UTC);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (whole(hours)?, whole(minutes)?);
    let seconds = (hours <= 14 && minutes < 60).then(|| sign * (hours * 60 + minutes) * 60)?;
    Offset::from_seconds(i32::try_from(seconds).ok()?).ok()
}

/// Rewrites a time as Django's English formats write it (`Sept. 3, 2026, 1 p.m.`; British: `3 Sep 2026, 1 p.m.`) as `2026-09-03 13:00`.
fn django(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec."];
    const BRITISH: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, time) = text.rsplit_once(", ")?;
    let (month, day, year) = match date.split_once(", ") {
        Some((date, year)) => {
            let (month, day) = date.split_once(' ')?;
            (MONTHS.iter().position(|name| *name == month)?, day, year)
        }
        None => {
            let (day, date) = date.split_once(' ')?;
            let (month, year) = date.split_once(' ')?;
            (BRITISH.iter().position(|name| *name == month)?, day, year)
        }
    };
    let (hour, minute) = match time {
        "midnight" => (0, 0),
        "noon" => (12, 0),
        time => {
            let (time, half) = time.split_once(' ')?;
            let (hour, minute) = time.split_once(':').unwrap_or((time, "0"));
            let late = match half {
                "a.m." => 0,
                "p.m." => 12,
                _ => return None,
            };
            (whole(hour).filter(|hour| (1..=12).contains(hour))? % 12 + late, whole(minute)?)
        }
    };
    Some(format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}", whole(year)?, month + 1, whole(day)?))
}

/// Reads `500ms`, `30s`, `5m`, `1h`, `2d`.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    let unknown = || format!("`{text}` is no duration: write it as `30s` (ms, s, m, h, d)");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(unknown)?);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(unknown()),
    };
    let number: i64 = number.parse().map_err(|error| format!("{}: {error}", unknown()))?;
    number.checked_mul(unit_ms).ok_or_else(unknown)
}
