//! The stored form of a record: bytes that either say exactly what was written or are refused (L8).
//!
//! A record is a *head* and, where it has an answer, the answer's sealed bytes beside it, so that listings need not read bodies. Both
//! carry the first eight bytes of a SHA-256 over the lookup id and themselves: a flipped bit, a truncated value and a head that was
//! moved under another id are all unreadable, and never another record. The sum guards against decay, not against an attacker, who
//! could compute it; outcomes are sealed by the engine (S4).
//!
//! Numbers are big-endian. The form is `version, fingerprint, epoch, state, since, claimed_at, terms, overruled, label, sum`, each optional part
//! behind a tag byte. A change of form takes a new version byte; the golden test below holds the old one.

mod decode;
mod encode;

use onceward_core::{
    actor::{Label, LookupId},
    record::{Record, State},
};
use sha2::{Digest, Sha256};

pub(crate) use encode::encode;

/// The only form so far.
const VERSION: u8 = 1;

/// Bytes of SHA-256 that are kept: by chance, one in 2^64 damaged values would pass.
const SUM_BYTES: usize = 8;

/// A record as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Everything but the answer.
    pub(crate) head: Vec<u8>,
    /// The answer's bytes, where there is one.
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
    let (mut record, label, outcome_sum) = decode::head(id, head)?;
    match (&mut record.state, outcome_sum, outcome) {
        (State::Done { outcome: kept, .. }, Some(expected), Some(bytes)) => {
            if sum(OUTCOME, id, &bytes) != expected {
                return Err(Unreadable);
            }
            *kept = Some(onceward_core::record::Sealed(bytes));
            Ok((record, label))
        }
        (_, None, None) => Ok((record, label)),
        (_, Some(_), _) | (_, None, Some(_)) => Err(Unreadable),
    }
}

/// Reads a record without its answer: where there is one, it stands as an empty [`onceward_core::record::Sealed`].
pub(crate) fn decode_head(id: LookupId, head: &[u8]) -> Result<(Record, Label), Unreadable> {
    decode::head(id, head).map(|(record, label, _)| (record, label))
}

/// What a sum is taken of, so that a head never passes for an answer.
const HEAD: &[u8] = b"onceward head\0";
const OUTCOME: &[u8] = b"onceward outcome\0";

fn sum(purpose: &[u8], id: LookupId, bytes: &[u8]) -> [u8; SUM_BYTES] {
    let digest =
        Sha256::new().chain_update(purpose).chain_update(id.as_bytes()).chain_update(bytes).finalize();
    let mut sum = [0; SUM_BYTES];
    for (kept, byte) in sum.iter_mut().zip(digest) {
        *kept = byte;
    }
    sum
}

#[cfg(test)]
mod tests;
