//! What a caller over TCP shows (S5).

use std::fmt;

use http::HeaderValue;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Characters: 128 bits in hexadecimal. Less can be guessed by somebody on the same machine who tries for long.
const TOKEN_CHARS_MIN: usize = 32;

/// Characters: leaves room for any usual form of 256 bits, and for the field's name within one head.
const TOKEN_CHARS_MAX: usize = 512;

/// The secret that opens the control API over TCP: 32 to 512 characters of RFC 6750's `b64token`.
#[derive(Clone)]
pub struct Token(Zeroizing<Box<str>>);

impl Token {
    /// Takes a token's text.
    ///
    /// # Errors
    /// When it is too short to be safe, or has a character that a bearer token cannot have (a trailing line break of its file, say).
    pub fn new(text: &str) -> Result<Self, TokenInvalid> {
        let chars = text.len();
        if !(TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&chars) {
            return Err(TokenInvalid::Length { chars });
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(TokenInvalid::Character);
        }
        Ok(Self(Zeroizing::new(text.into())))
    }

    /// Compares in a time that depends on the length alone.
    pub(crate) fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    /// The value of `Authorization`.
    pub(crate) fn bearer(&self) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", &**self.0))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a text is no token. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenInvalid {
    /// Too short to be safe, or too long to be sent.
    #[error("the token has {chars} characters; it needs {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX}")]
    Length {
        /// How many it has.
        chars: usize,
    },
    /// Something other than letters, digits and `-._~+/=`.
    #[error("the token has a character other than letters, digits and -._~+/=")]
    Character,
}
