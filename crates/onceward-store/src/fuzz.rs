//! Ways in to the stored forms, for the targets of `fuzz/`; in no user's build.

use onceward_core::{
    actor::{Label, LookupId},
    record::Record,
    twin::Mark,
};

use crate::codec;

/// The stored form of a record: its head, and the sealed bytes beside it.
#[must_use]
pub fn encode(id: LookupId, record: Record, label: &Label) -> (Vec<u8>, Option<Vec<u8>>) {
    let codec::Row { head, outcome } = codec::encode(id, record, label);
    (head, outcome)
}

/// Reads a whole record.
#[must_use]
pub fn decode(id: LookupId, head: &[u8], sealed: Option<Vec<u8>>) -> Option<(Record, Label)> {
    codec::decode(id, head, sealed).ok()
}

/// Reads a record without its sealed bytes.
#[must_use]
pub fn decode_head(id: LookupId, head: &[u8]) -> Option<(Record, Label)> {
    codec::decode_head(id, head).ok()
}

/// The stored form of a twin's mark.
#[must_use]
pub fn encode_mark(id: LookupId, mark: Mark) -> Vec<u8> {
    codec::encode_mark(id, mark)
}

/// Whether a head is a mark's.
#[must_use]
pub fn is_mark(head: &[u8]) -> bool {
    codec::is_mark(head)
}

/// Reads a twin's mark.
#[must_use]
pub fn decode_mark(id: LookupId, head: &[u8]) -> Option<Mark> {
    codec::decode_mark(id, head).ok()
}
