//! The stored form of a twin's mark where it lies among records: `form, holder, epoch, since, until, sum`, 61 bytes.

use onceward_core::{
    actor::LookupId,
    record::Epoch,
    time::Timestamp,
    twin::{Holder, Mark},
};

use super::{MARK, SUM_BYTES, Unreadable, sum};

/// What a mark begins with, and no version of a record's head does.
const FORM: u8 = b'M';

/// Bytes before the sum.
const BODY_BYTES: usize = 1 + 32 + 3 * 8;

/// Whether a head is a mark's.
pub(crate) fn is_mark(head: &[u8]) -> bool {
    head.first() == Some(&FORM)
}

/// Writes a mark down under the id of its row.
pub(crate) fn encode_mark(id: LookupId, mark: Mark) -> Vec<u8> {
    let mut head = Vec::with_capacity(BODY_BYTES + SUM_BYTES);
    head.push(FORM);
    head.extend_from_slice(mark.holder.id.as_bytes());
    for number in [mark.holder.epoch.0, mark.since.as_ms(), mark.until.as_ms()] {
        head.extend_from_slice(&number.to_be_bytes());
    }
    let sum = sum(MARK, id, &head);
    head.extend_from_slice(&sum);
    head
}

/// Reads a mark back.
pub(crate) fn decode_mark(id: LookupId, head: &[u8]) -> Result<Mark, Unreadable> {
    let (body, expected) = head.split_last_chunk::<SUM_BYTES>().ok_or(Unreadable)?;
    if !is_mark(head) || body.len() != BODY_BYTES || sum(MARK, id, body) != *expected {
        return Err(Unreadable);
    }
    let (_, rest) = body.split_at(1);
    let (holder, rest) = rest.split_first_chunk::<32>().ok_or(Unreadable)?;
    let ([epoch, since, until], []) = rest.as_chunks::<8>() else { return Err(Unreadable) };
    Ok(Mark {
        holder: Holder { id: LookupId::from_bytes(*holder), epoch: Epoch(u64::from_be_bytes(*epoch)) },
        since: Timestamp::from_ms(u64::from_be_bytes(*since)),
        until: Timestamp::from_ms(u64::from_be_bytes(*until)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> LookupId {
        LookupId::from_bytes([number; 32])
    }

    fn mark() -> Mark {
        Mark {
            holder: Holder { id: id(3), epoch: Epoch(258) },
            since: Timestamp::from_ms(1),
            until: Timestamp::from_ms(u64::MAX),
        }
    }

    /// The bytes that databases hold; the sum is the CRC-32 of the purpose, the row's id and the rest, computed beside this code.
    #[test]
    fn the_form_is_the_one_that_databases_hold() {
        let bytes = encode_mark(id(9), mark());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let holder = "03".repeat(32);
        let expected = format!("4d{holder}00000000000001020000000000000001ffffffffffffffff7a1a400f");
        assert_eq!(hex, expected);
        assert_eq!(decode_mark(id(9), &bytes), Ok(mark()));
        assert!(is_mark(&bytes));
    }

    // covers: L8
    #[test]
    fn what_was_damaged_or_moved_is_no_mark() {
        let bytes = encode_mark(id(9), mark());
        assert_eq!(decode_mark(id(8), &bytes), Err(Unreadable));
        for len in 0..bytes.len() {
            assert_eq!(decode_mark(id(9), &bytes[..len]), Err(Unreadable), "{len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_mark(id(9), &flipped), Err(Unreadable), "{bit}");
        }
    }
}
