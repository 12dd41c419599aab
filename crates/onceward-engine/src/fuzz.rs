//! A way in to the form of outcomes, for the targets of `fuzz/`; in no user's build.

use onceward_core::outcome::Outcome;

use crate::{codec, pieces::DecodeError};

/// An outcome as bytes, before they are sealed.
#[must_use]
pub fn encode(outcome: &Outcome) -> Vec<u8> {
    codec::encode(outcome)
}

/// Reads an outcome.
///
/// # Errors
/// Anything but exactly what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<Outcome, DecodeError> {
    codec::decode(bytes)
}
