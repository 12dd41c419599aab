//! Preconditions beside the key: what a write was decided upon must still hold (P2; RFC 9110, 13).

use alloc::{boxed::Box, format, vec::Vec};
use core::{error::Error, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{refusal::Refusal, time::Timestamp};

/// An entity tag (RFC 9110, 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag {
    is_weak: bool,
    opaque: Box<str>,
}

impl ETag {
    /// A strong tag.
    ///
    /// # Errors
    /// [`PreconditionInvalid`] where the text holds a character that RFC 9110 does not allow between the quotes.
    pub fn strong(opaque: &str) -> Result<Self, PreconditionInvalid> {
        if !opaque.bytes().all(is_etagc) {
            return Err(PreconditionInvalid::Tag);
        }
        Ok(Self { is_weak: false, opaque: opaque.into() })
    }

    /// A strong tag over the versions of several resources, for a write that depends on all of them.
    ///
    /// Names and versions are digested with their lengths, so that no two lists meet in one text; their order counts.
    #[must_use]
    pub fn composite(versions: &[(&str, &str)]) -> Self {
        let mut hash = Sha256::new();
        for (name, version) in versions {
            for text in [name, version] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
        Self { is_weak: false, opaque: URL_SAFE_NO_PAD.encode(hash.finalize()).into() }
    }

    /// Reads one tag.
    ///
    /// # Errors
    /// [`PreconditionInvalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self, PreconditionInvalid> {
        match read_tag(text.trim_matches([' ', '\t']))? {
            (tag, "") => Ok(tag),
            _ => Err(PreconditionInvalid::Tag),
        }
    }

    /// Strong comparison: a weak tag equals nothing, not even itself (RFC 9110, 8.8.3.2).
    #[must_use]
    pub fn is_strongly(&self, other: &Self) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.is_weak { "W/" } else { "" }, self.opaque)
    }
}

/// What stands between the quotes: visible characters but the quote, and obs-text, which arrives here as other than ASCII.
const fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

/// Reads a tag from the front of `text`; what follows it comes back.
fn read_tag(text: &str) -> Result<(ETag, &str), PreconditionInvalid> {
    let (is_weak, rest) = match text.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let rest = rest.strip_prefix('"').ok_or(PreconditionInvalid::Tag)?;
    let (opaque, rest) = rest.split_once('"').ok_or(PreconditionInvalid::Tag)?;
    ETag::strong(opaque).map(|tag| (ETag { is_weak, ..tag }, rest))
}

/// The condition of `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: there is a current representation.
    Any,
    /// One of these is current.
    Tags(Vec<ETag>),
}

impl IfMatch {
    /// Reads the field's lines, joined with commas.
    ///
    /// # Errors
    /// [`PreconditionInvalid`] for what is neither `*` nor a list of tags: a condition that cannot be read must not count as none.
    pub fn parse(text: &str) -> Result<Self, PreconditionInvalid> {
        let blanks = [' ', '\t', ','];
        let mut rest = text.trim_matches(blanks);
        if rest == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        while !rest.is_empty() {
            let (tag, after) = read_tag(rest)?;
            tags.push(tag);
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() {
                rest = rest.strip_prefix(',').ok_or(PreconditionInvalid::Tag)?.trim_start_matches(blanks);
            }
        }
        if tags.is_empty() { Err(PreconditionInvalid::Tag) } else { Ok(Self::Tags(tags)) }
    }
}

/// The state of the data that a client read: the values of `Snapshot` and `Precondition-Snapshot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// `version: 17`: a counter of the aggregate.
    Version(u64),
    /// `ts=2026-11-21T12:00:03.250Z`: a read timestamp, in milliseconds.
    At(Timestamp),
    /// `lsn:16/B374D848`: a position in the database's log, as Postgres writes it.
    Lsn(u64),
}

impl Snapshot {
    /// Reads one value; `:` and `=` both separate name and value. A time stamp is read by `read_time`, since the core has no calendar.
    ///
    /// # Errors
    /// [`PreconditionInvalid`] for another name or a value that is not of its kind.
    pub fn parse(
        text: &str,
        read_time: impl FnOnce(&str) -> Option<Timestamp>,
    ) -> Result<Self, PreconditionInvalid> {
        let (name, value) = text.split_once([':', '=']).ok_or(PreconditionInvalid::Snapshot)?;
        let value = value.trim();
        let snapshot = match name.trim() {
            "version" => whole_number(value, 10).map(Self::Version),
            "ts" => read_time(value).map(Self::At),
            "lsn" => value.split_once('/').and_then(|(high, low)| {
                let high = u32::try_from(whole_number(high, 16)?).ok()?;
                let low = u32::try_from(whole_number(low, 16)?).ok()?;
                Some(Self::Lsn(u64::from(high) << 32 | u64::from(low)))
            }),
            _ => None,
        };
        snapshot.ok_or(PreconditionInvalid::Snapshot)
    }

    /// Whether a write that was decided upon `self` may go ahead at `current`: nothing changed since.
    ///
    /// Two kinds of snapshot cannot be compared, so they do not hold.
    #[must_use]
    pub const fn holds_at(self, current: Self) -> bool {
        match (self, current) {
            (Self::Version(read), Self::Version(now)) => read == now,
            // What is current is the last change; the write is fresh when that came no later than its read.
            (Self::At(read), Self::At(changed)) => read.as_ms() >= changed.as_ms(),
            (Self::Lsn(read), Self::Lsn(changed)) => read >= changed,
            (Self::Version(_) | Self::At(_) | Self::Lsn(_), _) => false,
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version: {version}"),
            Self::At(at) => {
                let text = format!("{at}");
                write!(f, "ts={}.{:03}Z", text.trim_end_matches('Z'), at.as_ms() % 1_000)
            }
            Self::Lsn(lsn) => write!(f, "lsn:{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff),
        }
    }
}

/// Digits alone: no sign, no blank.
fn whole_number(text: &str, radix: u32) -> Option<u64> {
    let is_digits = !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
    if is_digits { u64::from_str_radix(text, radix).ok() } else { None }
}

/// What a request asks to hold before its write happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`.
    pub if_match: Option<IfMatch>,
    /// `If-Unmodified-Since`, to the second.
    pub if_unmodified_since: Option<Timestamp>,
    /// `Precondition-Snapshot`.
    pub snapshot: Option<Snapshot>,
}

/// What is current at the resource that a write is about; what it does not have stays `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// Its entity tag.
    pub etag: Option<ETag>,
    /// When it last changed.
    pub modified: Option<Timestamp>,
    /// Its snapshot: version, time of the last change, or position of the last change in the log.
    pub snapshot: Option<Snapshot>,
}

impl Preconditions {
    /// Whether the request asks for nothing.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.if_match.is_none() && self.if_unmodified_since.is_none() && self.snapshot.is_none()
    }

    /// Holds the conditions against what is current, in the order of RFC 9110, 13.2.2: `If-Unmodified-Since` counts only without `If-Match`.
    ///
    /// # Errors
    /// 412 `precondition-failed`, or 409 `snapshot-stale`. A condition on something that the resource does not have fails.
    pub fn check(&self, current: &Current) -> Result<(), Refusal> {
        let holds = match (&self.if_match, self.if_unmodified_since) {
            (Some(IfMatch::Any), _) => *current != Current::default(),
            (Some(IfMatch::Tags(tags)), _) => {
                current.etag.as_ref().is_some_and(|etag| tags.iter().any(|tag| tag.is_strongly(etag)))
            }
            // The field has no fraction of a second, so neither has the time that it is held against.
            (None, Some(since)) => {
                current.modified.is_some_and(|modified| modified.as_ms() / 1_000 <= since.as_ms() / 1_000)
            }
            (None, None) => true,
        };
        if !holds {
            return Err(Refusal::PreconditionFailed);
        }
        match self.snapshot {
            Some(read) if !current.snapshot.is_some_and(|now| read.holds_at(now)) => {
                Err(Refusal::SnapshotStale { current: current.snapshot })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A condition that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreconditionInvalid {
    /// Not an entity tag, or not a list of them.
    Tag,
    /// Not a snapshot.
    Snapshot,
}

impl fmt::Display for PreconditionInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tag => "not an entity tag of RFC 9110",
            Self::Snapshot => "not a snapshot: expected `version: N`, `ts=TIME` or `lsn:X/Y`",
        })
    }
}

impl Error for PreconditionInvalid {}
