//! The client's name for one logical action, and how it travels (K1, K2, K7).

mod path;

use alloc::{boxed::Box, vec::Vec};
use core::{fmt, time::Duration};

use sfv::{BareItem, Item, List, Parser};
use zeroize::Zeroizing;

pub use self::path::{KeyPath, KeyStep};
use crate::time::Timestamp;

/// The longest key in characters (K2); what Stripe and draft-ietf-httpapi-idempotency-key-header-07 implementations accept.
pub const KEY_CHARS_MAX: usize = 255;

/// How far in the future a key's own time of issue may lie before it is refused (K7).
pub const KEY_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// An idempotency key: 1 to 255 visible ASCII characters (K2).
///
/// A key can be a capability, so it has no `Display` and its `Debug` says nothing (K6).
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<Box<str>>);

impl Key {
    /// Takes an unquoted key.
    ///
    /// # Errors
    /// Says which rule of K2 it breaks.
    pub fn new(text: &str) -> Result<Self, KeyInvalid> {
        if text.is_empty() {
            return Err(KeyInvalid::Empty);
        }
        if text.len() > KEY_CHARS_MAX {
            return Err(KeyInvalid::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyInvalid::NotVisibleAscii);
        }
        Ok(Self(Zeroizing::new(text.into())))
    }

    /// Reads one field value: a structured-field String (RFC 9651) or the bare text; both name the same key (K1).
    ///
    /// # Errors
    /// Lists and parameters are refused, never guessed at. A bare text is taken as it stands, also where it could be read as another
    /// structured type (`42`, `?1`): it is visible ASCII, which is all that K2 asks.
    pub fn from_field(value: &[u8]) -> Result<Self, KeyInvalid> {
        let value = trim_blanks(value);
        if value.first() == Some(&b'"') {
            let Ok(item) = Parser::new(value).parse::<Item>() else {
                let is_list = Parser::new(value).parse::<List>().is_ok();
                return Err(if is_list { KeyInvalid::List } else { KeyInvalid::Malformed });
            };
            if !item.params.is_empty() {
                return Err(KeyInvalid::Parameters);
            }
            return match &item.bare_item {
                BareItem::String(text) => Self::new(text.as_str()),
                _ => Err(KeyInvalid::Malformed),
            };
        }
        if value.contains(&b',') {
            return Err(KeyInvalid::List);
        }
        if value.contains(&b';') {
            return Err(KeyInvalid::Parameters);
        }
        if value.contains(&b'"') {
            return Err(KeyInvalid::Malformed);
        }
        Self::new(core::str::from_utf8(value).or(Err(KeyInvalid::NotVisibleAscii))?)
    }

    /// The key's text, for deriving digests. It belongs in no log line, metric or message.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// When the key says that it was issued: UUIDv7 (RFC 9562) or ULID.
    ///
    /// `None` for every other form. A ULID's text could be an order number by chance, so it counts only with a letter in it and
    /// a time between 2016 (the format's first year) and 2100.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        uuid_v7_ms(&self.0).or_else(|| ulid_ms(&self.0)).map(Timestamp::from_ms)
    }

    /// Refuses a key that claims to come from the future (K7).
    ///
    /// # Errors
    /// [`KeyInvalid::FromTheFuture`] when its time of issue is more than [`KEY_SKEW_MAX`] ahead of `now`.
    pub fn check_issue(&self, now: Timestamp) -> Result<(), KeyInvalid> {
        match self.issued_at() {
            Some(issued) if issued > now.after(KEY_SKEW_MAX) => Err(KeyInvalid::FromTheFuture),
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The field names that may carry a key (K1), all lower-case; the first is what the site's own protocol uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carriers(Vec<Box<str>>);

impl Carriers {
    /// Carriers by lower-case field name.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase().into_boxed_str()).collect())
    }

    /// `Idempotency-Key` alone, as the IETF draft has it.
    #[must_use]
    pub fn ietf() -> Self {
        Self::new(&["idempotency-key"])
    }

    /// `x-idem-key`, which a user of the forward proxy stamps on a request (B1).
    #[must_use]
    pub fn forward_proxy() -> Self {
        Self::new(&["x-idem-key"])
    }

    /// The names, the site's own first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Whether `name` (lower-case) carries a key.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|carrier| &**carrier == name)
    }

    /// Finds the key among a request's fields (names lower-case).
    ///
    /// # Errors
    /// A carrier sent twice, two carriers that disagree, a carrier named in `Connection` or `Trailer`, or its name with an underscore
    /// (which some servers fold into the real one) is refused: each is read differently by different servers (K1, K2).
    pub fn read<'a>(
        &self,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Option<Key>, KeyInvalid> {
        let mut found: Option<Key> = None;
        let mut seen = Vec::new();
        for (name, value) in fields {
            if self.contains(name) {
                if seen.contains(&name) {
                    return Err(KeyInvalid::Repeated);
                }
                seen.push(name);
                let key = Key::from_field(value)?;
                if found.as_ref().is_some_and(|earlier| *earlier != key) {
                    return Err(KeyInvalid::CarriersDisagree);
                }
                found = Some(key);
            } else if name == "trailer" {
                if self.named_in(value) {
                    return Err(KeyInvalid::InTrailer);
                }
            } else if name == "connection" {
                if self.named_in(value) {
                    return Err(KeyInvalid::NamedInConnection);
                }
            } else if name.contains('_') && self.contains(&name.replace('_', "-")) {
                return Err(KeyInvalid::Underscore);
            }
        }
        Ok(found)
    }

    /// Whether a list of field names has a carrier: in `Connection` it would make the key hop-by-hop (RFC 9110, 7.6.1), in `Trailer` it
    /// announces one that comes too late (6.6.2).
    fn named_in(&self, list: &[u8]) -> bool {
        list.split(|byte| *byte == b',')
            .any(|option| self.0.iter().any(|name| trim_blanks(option).eq_ignore_ascii_case(name.as_bytes())))
    }
}

/// Which keys a route accepts beside what K2 asks of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// The fewest characters.
    pub chars_min: usize,
    /// The most characters, at most [`KEY_CHARS_MAX`].
    pub chars_max: usize,
    /// The form.
    pub form: KeyForm,
}

/// The form of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Any.
    Any,
    /// A UUID of any version in its 36-character form (RFC 9562, 4).
    Uuid,
    /// A UUIDv4.
    UuidV4,
    /// One that carries its time of issue: a UUIDv7 or a ULID (K7).
    Timed,
    /// ASCII letters, digits, `_`, `.`, `:` and `-`.
    Word,
}

impl KeyRule {
    /// Every key that K2 allows. Browsers may mint short ones by themselves, so there is no minimum by default.
    pub const ANY: Self = Self { chars_min: 1, chars_max: KEY_CHARS_MAX, form: KeyForm::Any };

    /// Holds a key against the rule.
    ///
    /// # Errors
    /// Says what the key is not.
    pub fn check(&self, key: &Key) -> Result<(), KeyInvalid> {
        let text = key.expose();
        if text.len() < self.chars_min {
            return Err(KeyInvalid::TooShort { chars_min: self.chars_min });
        }
        if text.len() > self.chars_max {
            return Err(KeyInvalid::LongerThanAllowed { chars_max: self.chars_max });
        }
        let is_well_formed = match self.form {
            KeyForm::Any => true,
            KeyForm::Uuid => uuid_version(text).is_some(),
            KeyForm::UuidV4 => uuid_version(text) == Some(b'4'),
            KeyForm::Timed => key.issued_at().is_some(),
            KeyForm::Word => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)),
        };
        if is_well_formed { Ok(()) } else { Err(KeyInvalid::WrongForm(self.form)) }
    }
}

/// The version digit of a UUID in its 36-character form.
fn uuid_version(text: &str) -> Option<u8> {
    let bytes = text.as_bytes();
    let well_formed = bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if well_formed { bytes.get(14).copied() } else { None }
}

/// Why a key is refused with 400 `key-invalid`. The text never holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyInvalid {
    /// No character.
    Empty,
    /// More than [`KEY_CHARS_MAX`] characters.
    TooLong,
    /// Fewer characters than its route asks for.
    TooShort {
        /// The fewest allowed.
        chars_min: usize,
    },
    /// More characters than its route allows.
    LongerThanAllowed {
        /// The most allowed.
        chars_max: usize,
    },
    /// Not of the form that its route asks for.
    WrongForm(KeyForm),
    /// A space, a control character or anything outside ASCII.
    NotVisibleAscii,
    /// A quoted string that RFC 9651 does not allow, or a stray quote.
    Malformed,
    /// A list of keys.
    List,
    /// Parameters behind the key.
    Parameters,
    /// The field stands twice.
    Repeated,
    /// Two carriers with two keys.
    CarriersDisagree,
    /// `Connection` names the carrier.
    NamedInConnection,
    /// The carrier's name with an underscore.
    Underscore,
    /// The key came in a trailer, after the request could have been acted on.
    InTrailer,
    /// Its time of issue is over five minutes ahead (K7).
    FromTheFuture,
    /// Its time of issue travels in a field of its own, and that is missing or holds no date (C4).
    Undated,
}

impl fmt::Display for KeyInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort { chars_min } => {
                return write!(f, "the key has fewer than {chars_min} characters");
            }
            Self::LongerThanAllowed { chars_max } => {
                return write!(f, "the key has more than {chars_max} characters");
            }
            Self::WrongForm(KeyForm::Any) => "the key has another form than this route asks for",
            Self::WrongForm(KeyForm::Uuid) => "the key is not a UUID",
            Self::WrongForm(KeyForm::UuidV4) => "the key is not a UUID of version 4",
            Self::WrongForm(KeyForm::Timed) => "the key is neither a UUIDv7 nor a ULID",
            Self::WrongForm(KeyForm::Word) => "the key has other characters than letters, digits and `_.:-`",
            Self::Empty => "the key is empty",
            Self::TooLong => "the key is longer than 255 characters",
            Self::NotVisibleAscii => "the key has a character that is not visible ASCII",
            Self::Malformed => "the key is not a structured-field String",
            Self::List => "the field holds a list of keys",
            Self::Parameters => "the key has parameters",
            Self::Repeated => "the field was sent twice",
            Self::CarriersDisagree => "two fields carry different keys",
            Self::NamedInConnection => "the Connection field names the key's field",
            Self::Underscore => "the field's name has an underscore in place of a hyphen",
            Self::InTrailer => "the key came in a trailer",
            Self::FromTheFuture => "the key's time of issue is over five minutes in the future",
            Self::Undated => "the field with the key's time of issue is missing or holds no HTTP date",
        })
    }
}

impl core::error::Error for KeyInvalid {}

/// Without the blanks around it: spaces and tabs, and no other control character (RFC 9110, 5.6.3).
fn trim_blanks(value: &[u8]) -> &[u8] {
    let is_visible = |byte: &u8| !matches!(byte, b' ' | b'\t');
    match (value.iter().position(is_visible), value.iter().rposition(is_visible)) {
        (Some(first), Some(last)) => value.get(first..=last).unwrap_or_default(),
        _ => &[],
    }
}

/// The 48-bit millisecond time of a UUIDv7 (RFC 9562, 5.7) in its 36-character form.
fn uuid_v7_ms(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let well_formed = bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'7',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
            _ => byte.is_ascii_hexdigit(),
        });
    if !well_formed {
        return None;
    }
    let high = u64::from_str_radix(text.get(..8)?, 16).ok()?;
    let low = u64::from_str_radix(text.get(9..13)?, 16).ok()?;
    Some(high * 0x1_0000 + low)
}

/// 2016-01-01 and 2100-01-01 in milliseconds: outside of these a 26-character text is not taken for a ULID.
const ULID_MS: core::ops::Range<u64> = 1_451_606_400_000..4_102_444_800_000;

/// The 48-bit millisecond time of a ULID in its canonical, upper-case form.
fn ulid_ms(text: &str) -> Option<u64> {
    const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |byte: &u8| CROCKFORD.iter().position(|symbol| symbol == byte);
    let bytes = text.as_bytes();
    let well_formed = bytes.len() == 26
        && bytes.iter().all(|byte| digit(byte).is_some())
        && bytes.iter().any(u8::is_ascii_alphabetic);
    if !well_formed {
        return None;
    }
    let ms = bytes.iter().take(10).try_fold(0_u64, |ms, byte| Some(ms * 32 + digit(byte)? as u64))?;
    ULID_MS.contains(&ms).then_some(ms)
}
