//! The canonical form `c1` of request bodies: one text for all bodies that ask for the same thing (F1, F2, F4).
//!
//! A retry is rarely the same bytes: members come in another order, `1` turns into `1.0`, a form carries a fresh CSRF
//! token, a multipart body a fresh boundary. The canonical form removes such differences and no others. Whatever two
//! readers could take for two different requests is refused ([`BodyInvalid`]), never settled by a guess.
//!
//! Stored fingerprints are digests of this text, so the text of `c1` never changes; a correction is a `c2`.
//!
//! # The text of a JSON body
//! No blanks. Members in ascending order of the UTF-16 code units of their names, strings escaped as RFC 8785 section
//! 3.2.2.2 does, not Unicode-normalised. A number is its exact decimal value, whatever its size or precision, in the layout
//! of ECMAScript's `Number::toString`: with digits `d` (no zero at either end) and the value `0.d × 10^n`, plain for
//! `-6 < n <= 21`, else `d.dde±x`; zero, of either sign, is `0`. Where a double carries the value, this is RFC 8785's text.
//! An array element that does not count ([`Volatile`]) leaves its place empty, `[,2]`, unless no counted one follows.
//!
//! # The text of a form
//! Every name, value and other field is preceded by its length in bytes as a big-endian `u64`, so no two sequences of fields
//! share a text. [`form`] and [`multipart`] say which fields.

mod form;
mod invalid;
mod json;
mod multipart;
mod number;
mod parameter;
mod path;
mod string;
mod volatile;

pub use form::form;
pub use invalid::{BodyInvalid, Reason};
pub use json::{DEPTH_MAX, json};
pub use multipart::{BOUNDARY_BYTES_MAX, multipart};
pub use number::NUMBER_DIGITS_MAX;
pub use path::{PathFault, PathInvalid, STEPS_MAX};
pub use volatile::Volatile;

pub(crate) use json::{Numbers, write};
pub(crate) use parameter::parameters;
pub(crate) use path::{Selector, single};
pub(crate) use string::{escape, unescape};

/// Hands on one length-prefixed field.
pub(crate) fn field(bytes: &[u8], out: &mut dyn FnMut(&[u8])) {
    out(&(bytes.len() as u64).to_be_bytes());
    out(bytes);
}
