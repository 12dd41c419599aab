//! Texts with places that a request's values fill.

mod url;

use std::fmt::Write as _;

use http::HeaderName;
use jiff::Timestamp;
use regex::Regex;
use serde_json_path::JsonPath;

pub(crate) use url::{Origin, UrlTemplate};

use crate::{
    moment::duration_ms,
    request::{EffectRequest, decoded_utf8},
};

/// Most bytes of one value that a template takes from a request: more belongs into no address and no comparison.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Why a request's effect cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// The recipe is for other requests.
    #[error("the recipe does not look for effects of such requests")]
    OtherEffect,
    /// The request does not carry a value that the look needs.
    #[error("the request has no {what}")]
    Missing {
        /// The value, as the recipe names it.
        what: String,
    },
    /// A value is there and empty, so that it would tell nothing apart.
    #[error("the request's {what} is empty")]
    Empty {
        /// The value, as the recipe names it.
        what: String,
    },
    /// The request carries several values where one is needed.
    #[error("the request has several of {what}")]
    Several {
        /// The value, as the recipe names it.
        what: String,
    },
    /// A value is there and cannot be read.
    #[error("the request's {what} cannot be read: {why}")]
    Unreadable {
        /// The value, as the recipe names it.
        what: String,
        /// What stands in the way.
        why: &'static str,
    },
    /// A value that would change the meaning of the place it is put in.
    #[error("the request's values would change the look's address: {why}")]
    Unsafe {
        /// In which way.
        why: &'static str,
    },
}

/// A text with places, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Literal(String),
    Place(Place),
}

/// A place: where its value comes from, and which part of it is taken.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// As the recipe spells it.
    text: String,
    pub(crate) source: Source,
    pub(crate) extract: Option<Regex>,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Origin,
    Path,
    Query(String),
    Form(String),
    Json(JsonPath),
    Header(HeaderName),
    ClaimedAt { offset_ms: i64, stamp: Stamp },
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    UnixSeconds,
    UnixMs,
    /// In UTC, by a pattern of `strftime`.
    Pattern(String),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            literal.push_str(before);
            let doubled = [("{{", '{'), ("}}", '}')].into_iter();
            let mut doubled = doubled.filter_map(|(twice, once)| Some((after.strip_prefix(twice)?, once)));
            if let Some((after, brace)) = doubled.next() {
                literal.push(brace);
                rest = after;
                continue;
            }
            let inner =
                after.strip_prefix('{').ok_or("a `}` without its `{`: write `}}` for the character")?;
            let len = place_len(inner).ok_or("a `{` without its `}`: write `{{` for the character")?;
            let (place, after) = inner.split_at(len);
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Place(Place::parse(place)?));
            rest = after.strip_prefix('}').unwrap_or(after);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Place(place) => Some(place),
        })
    }

    /// The text with its places filled, for where every character stands for itself.
    pub(crate) fn plain(&self, effect: &EffectRequest) -> Result<String, LookError> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Place(place) => text.push_str(&place.value(effect)?),
            }
        }
        Ok(text)
    }
}

/// The bytes of a place up to its closing brace; braces in quotes belong to it.
fn place_len(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, character) in inner.char_indices() {
        match (quote, character) {
            (None, '}') => return Some(at),
            (None, '"' | '\'') => quote = Some(character),
            (Some(_), '\\') if !is_escaped => {
                is_escaped = true;
                continue;
            }
            (Some(open), _) if open == character && !is_escaped => quote = None,
            _ => {}
        }
        is_escaped = false;
    }
    None
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (source, extract) = match text.rsplit_once(" ~ ") {
            Some((source, pattern)) => (source.trim(), Some(quoted_regex(pattern.trim())?)),
            None => (text, None),
        };
        let source = Source::parse(source)?;
        if extract.is_some() && matches!(source, Source::Origin | Source::ClaimedAt { .. }) {
            return Err(format!("`{text}`: no part is taken from the origin or the time of the claim"));
        }
        Ok(Self { text: text.to_owned(), source, extract })
    }

    /// Its value; never empty.
    pub(crate) fn value(&self, effect: &EffectRequest) -> Result<String, LookError> {
        let whole = match &self.source {
            Source::Origin => effect.origin(),
            Source::Path => effect.uri().path().to_owned(),
            Source::Query(name) => effect.query_value(name)?,
            Source::Form(name) => effect.form_value(name)?,
            Source::Json(path) => effect.json_value(path)?,
            Source::Header(name) => effect.header_value(name)?,
            Source::ClaimedAt { offset_ms, stamp } => self.stamped(effect, *offset_ms, stamp)?,
        };
        let mut value = match &self.extract {
            Some(regex) => first_group(regex, &whole)
                .ok_or_else(|| LookError::Missing { what: self.text.clone() })?
                .to_owned(),
            None => whole,
        };
        if matches!(self.source, Source::Path) {
            value = decoded_utf8(&value)
                .ok_or_else(|| LookError::Unreadable { what: self.text.clone(), why: "it is no UTF-8" })?;
        }
        match value.len() {
            0 => Err(LookError::Empty { what: self.text.clone() }),
            1..=VALUE_BYTES_MAX => Ok(value),
            _ => Err(LookError::Unreadable { what: self.text.clone(), why: "it is longer than 4 KiB" }),
        }
    }

    fn stamped(&self, effect: &EffectRequest, offset_ms: i64, stamp: &Stamp) -> Result<String, LookError> {
        let unreadable = || LookError::Unreadable { what: self.text.clone(), why: "no such time" };
        let claimed_at_ms = i64::try_from(effect.claimed_at_ms()).ok().ok_or_else(unreadable)?;
        let at_ms = claimed_at_ms.checked_add(offset_ms).ok_or_else(unreadable)?;
        stamp.write(at_ms).ok_or_else(unreadable)
    }
}

/// What the first group takes of a text, or the whole match where there is no group.
pub(crate) fn first_group<'a>(regex: &Regex, text: &'a str) -> Option<&'a str> {
    let captures = regex.captures(text)?;
    let group = if captures.len() > 1 { captures.get(1) } else { captures.get(0) };
    group.map(|group| group.as_str())
}

fn quoted_regex(text: &str) -> Result<Regex, String> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let inner = inner.ok_or_else(|| format!("`{text}`: a pattern stands in double quotes"))?;
    Regex::new(&inner.replace("\\\"", "\""))
        .map_err(|error| format!("`{text}` is no regular expression: {error}"))
}

/// The sources that stand for themselves, for suggestions.
const SOURCES: [&str; 7] =
    ["origin", "path", "query.NAME", "form.NAME", "json PATH", "header.NAME", "claimed_at"];

impl Source {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("json ") {
            let path = JsonPath::parse(path.trim());
            return path.map(Self::Json).map_err(|error| format!("`{text}` is no JSONPath: {error}"));
        }
        if let Some(rest) = text.strip_prefix("claimed_at") {
            return claimed_at(rest.trim()).ok_or_else(|| {
                format!(
                    "`{text}`: write it as `claimed_at - 5m as rfc3339` (or unix, unix_ms, date, %Y-%m-%d …)"
                )
            });
        }
        match text.split_once('.') {
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            Some(("form", name)) if !name.is_empty() => Ok(Self::Form(name.to_owned())),
            Some(("header", name)) => HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes())
                .map(Self::Header)
                .map_err(|error| format!("`{text}` names no header: {error}")),
            None if text == "origin" => Ok(Self::Origin),
            None if text == "path" => Ok(Self::Path),
            _ => Err(format!("`{{{text}}}` names no value: there are {}", SOURCES.join(", "))),
        }
    }
}

/// What follows `claimed_at`: an offset, a way to write it, both or neither.
fn claimed_at(text: &str) -> Option<Source> {
    let (offset, stamp) = match text.split_once("as ") {
        Some((offset, stamp)) => (offset.trim(), Stamp::parse(stamp.trim())?),
        None => (text, Stamp::parse("rfc3339")?),
    };
    let offset_ms = match offset.split_at_checked(1) {
        None => 0,
        Some(("-", duration)) => duration_ms(duration.trim()).ok()?.checked_neg()?,
        Some(("+", duration)) => duration_ms(duration.trim()).ok()?,
        Some(_) => return None,
    };
    Some(Source::ClaimedAt { offset_ms, stamp })
}

impl Stamp {
    fn parse(text: &str) -> Option<Self> {
        let stamp = match text {
            "unix" => Self::UnixSeconds,
            "unix_ms" => Self::UnixMs,
            "rfc3339" => Self::Pattern("%Y-%m-%dT%H:%M:%SZ".into()),
            "date" => Self::Pattern("%Y-%m-%d".into()),
            pattern if pattern.contains('%') => Self::Pattern(pattern.into()),
            _ => return None,
        };
        stamp.write(0).map(|_| stamp)
    }

    fn write(&self, at_ms: i64) -> Option<String> {
        match self {
            Self::UnixSeconds => Some(at_ms.div_euclid(1_000).to_string()),
            Self::UnixMs => Some(at_ms.to_string()),
            Self::Pattern(pattern) => {
                let at = Timestamp::from_millisecond(at_ms).ok()?;
                jiff::fmt::strtime::format(pattern, at).ok()
            }
        }
    }
}

/// Appends a text with everything encoded that is not unreserved (RFC 3986, 2.3): it stays one value in a path segment and in a query.
pub(crate) fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
}
