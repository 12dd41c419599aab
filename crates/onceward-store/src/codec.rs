//! The stored form of a record: bytes that either say exactly what was written or are refused (L8).
//!
//! A record is a *head* and beside it, so that listings need not read them, the sealed bytes of its answer or, as long as there is none, of
//! its request. Each has a CRC-32 over the lookup id and itself: every flipped bit, and every burst of up to 32 bits, is found for certain, other damage and
//! a head that was moved under another id but for one in 2^32. What is damaged is unreadable, and never another record. The sum guards
//! against decay, not against an attacker, who could compute it; outcomes are sealed by the engine (S4). A SHA-256 in its place took a
//! quarter of the writer's time.
//!
//! Numbers are big-endian. The form is `version, fingerprint, epoch, state, since, claimed_at, terms, overruled, label, sum`, each optional part
//! behind a tag byte; since version 2 the inquiry stands behind `overruled`. A change of form takes a new version byte; golden tests hold the
//! old ones, which are read for ever.

mod decode;
mod encode;
#[cfg(any(feature = "fuzz", feature = "shared"))]
mod mark;

use onceward_core::{
    actor::{Label, LookupId},
    record::{Record, Sealed, State},
};

pub(crate) use encode::encode;
#[cfg(any(feature = "fuzz", feature = "shared"))]
pub(crate) use mark::{decode_mark, encode_mark, is_mark};

/// The form that is written.
const VERSION: u8 = 2;

/// The form without an inquiry.
const VERSION_UNASKED: u8 = 1;

/// Bytes of a CRC-32.
const SUM_BYTES: usize = 4;

/// A record as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Everything but the answer and the request.
    pub(crate) head: Vec<u8>,
    /// The answer's bytes, where there is one; before that the request's, where it is kept.
    pub(crate) outcome: Option<Vec<u8>>,
}

/// The stored bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Reads a whole record back.
pub(crate) fn decode(
    id: LookupId,
    head: &[u8],
    outcome: Option<Vec<u8>>,
) -> Result<(Record, Label), Unreadable> {
    let (mut record, label, expected) = decode::head(id, head)?;
    let Some(bytes) = outcome else {
        return if expected.is_none() { Ok((record, label)) } else { Err(Unreadable) };
    };
    let (kept, purpose) = match (&mut record.state, &mut record.inquiry) {
        (State::Done { outcome: Some(kept), .. }, None) => (kept, OUTCOME),
        (_, Some(inquiry)) => (&mut inquiry.request, REQUEST),
        (_, None) => return Err(Unreadable),
    };
    if expected != Some(sum(purpose, id, &bytes)) {
        return Err(Unreadable);
    }
    *kept = Sealed(bytes);
    Ok((record, label))
}

/// Reads a record without its answer and its request: where there is one, it stands as an empty [`Sealed`].
pub(crate) fn decode_head(id: LookupId, head: &[u8]) -> Result<(Record, Label), Unreadable> {
    decode::head(id, head).map(|(record, label, _)| (record, label))
}

/// What a sum is taken of, so that none passes for another.
const HEAD: &[u8] = b"onceward head\0";
const OUTCOME: &[u8] = b"onceward outcome\0";
const REQUEST: &[u8] = b"onceward request\0";
#[cfg(any(feature = "fuzz", feature = "shared"))]
const MARK: &[u8] = b"onceward mark\0";

fn sum(purpose: &[u8], id: LookupId, bytes: &[u8]) -> [u8; SUM_BYTES] {
    let mut crc = crc32fast::Hasher::new();
    for part in [purpose, id.as_bytes(), bytes] {
        crc.update(part);
    }
    crc.finalize().to_be_bytes()
}

#[cfg(test)]
mod tests;
