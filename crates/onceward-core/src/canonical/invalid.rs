use core::error::Error;
use core::fmt;

/// A body that has no canonical form: the refusal `body-invalid` (400).
///
/// It names the fault and the place and quotes nothing of the body, not even a member name, since bodies must not reach
/// logs (K6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyInvalid {
    /// What is wrong.
    pub reason: Reason,
    /// Where the fault begins, in bytes from the start of the decoded body.
    pub offset: usize,
}

/// What makes a body invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The body starts with a byte order mark (RFC 8259 section 8.1).
    ByteOrderMark,
    /// The bytes are not UTF-8.
    Encoding,
    /// A byte that RFC 8259 does not allow here.
    Syntax,
    /// The body ends inside a value or a part.
    End,
    /// Something follows the JSON value.
    Trailing,
    /// A member name occurs twice in one object, perhaps escaped differently.
    DuplicateMember,
    /// An escaped surrogate without its other half.
    LoneSurrogate,
    /// A number of more than [`NUMBER_DIGITS_MAX`](super::NUMBER_DIGITS_MAX) digits.
    NumberLength,
    /// Arrays and objects nested deeper than [`DEPTH_MAX`](super::DEPTH_MAX).
    Depth,
    /// The multipart boundary is absent, not as RFC 2046 section 5.1.1 has it, or runs on.
    Boundary,
    /// A multipart part without well-formed header fields and a field name (RFC 7578 section 4.2).
    PartHeader,
}

impl Reason {
    pub(super) fn at(self, offset: usize) -> BodyInvalid {
        BodyInvalid { reason: self, offset }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByteOrderMark => "byte order mark",
            Self::Encoding => "not utf-8",
            Self::Syntax => "not allowed by rfc 8259",
            Self::End => "body ends too early",
            Self::Trailing => "data after the value",
            Self::DuplicateMember => "member name repeated",
            Self::LoneSurrogate => "lone surrogate",
            Self::NumberLength => "number has too many digits",
            Self::Depth => "nested too deep",
            Self::Boundary => "multipart boundary malformed",
            Self::PartHeader => "multipart part header malformed",
        })
    }
}

impl fmt::Display for BodyInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl Error for BodyInvalid {}
