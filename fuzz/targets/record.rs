//! Fed: stored bytes. The last one picks what they are taken for: a record's head, a twin's mark, an outcome, a remembered request. The
//! check sums of the first two are put right, for no decay would.
//!
//! What must hold: what is read and written again is the same bytes, so that no bytes are another spelling of a record (L8), except that the
//! first version of heads is written as the second; under another id and with other sealed bytes nothing is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onceward_core::{
    actor::{Label, LookupId},
    record::{Record, Sealed, State},
};
use onceward_resolve::EffectRequest;
use onceward_store::fuzz::{decode, decode_head, decode_mark, encode, encode_mark, is_mark};

const ID: LookupId = LookupId::from_bytes([7; 32]);
const OTHER: LookupId = LookupId::from_bytes([8; 32]);

fuzz_target!(|data: &[u8]| {
    let Some((pick, data)) = data.split_last() else { return };
    let is_read: fn(&[u8]) -> bool = match pick % 4 {
        0 => head,
        1 => mark,
        2 => outcome,
        _ => request,
    };
    if is_read(data) {
        // Chance seldom changes one byte of a whole and nothing else.
        let mut near = data.to_vec();
        for at in 0..near.len() {
            // No tag has ten kinds.
            for other in [data[at].wrapping_add(1), 9] {
                near[at] = other;
                is_read(&near);
            }
            near[at] = data[at];
        }
    }
});

fn outcome(data: &[u8]) -> bool {
    let outcome = onceward_engine::fuzz::decode(data);
    assert!(outcome.as_ref().map_or(true, |outcome| onceward_engine::fuzz::encode(outcome) == data));
    outcome.is_ok()
}

fn request(data: &[u8]) -> bool {
    let request = EffectRequest::decode(data);
    assert!(request.as_ref().map_or(true, |request| request.encode() == data));
    request.is_ok()
}

/// With the CRC-32 over purpose, id and bytes behind it.
fn summed(purpose: &[u8], bytes: &[u8]) -> Vec<u8> {
    let sum = crc32fast::hash(&[purpose, ID.as_bytes(), bytes].concat());
    [bytes, &sum.to_be_bytes()].concat()
}

fn head(data: &[u8]) -> bool {
    let head = summed(b"onceward head\0", data);
    let Some((mut record, label)) = decode_head(ID, &head) else {
        assert!(decode(ID, &head, None).is_none());
        return false;
    };
    assert!(decode_head(OTHER, &head).is_none());
    assert!(!is_mark(&head));
    let is_sealed = seal(&mut record);
    assert_eq!(decode(ID, &head, None).is_some(), !is_sealed);

    let (again, sealed) = encode(ID, record.clone(), &label);
    assert_eq!(sealed.as_deref(), is_sealed.then_some(SEALED));
    let whole = decode(ID, &again, sealed.clone());
    assert_eq!(whole, Some((record, label)) as Option<(Record, Label)>);
    if data.first() == Some(&2) {
        assert_eq!(again.len(), head.len());
        if !is_sealed {
            assert_eq!(again, head);
        }
    }
    if is_sealed {
        assert!(decode(ID, &again, None).is_none());
    }
    assert!(decode(ID, &again, Some(b"others".to_vec())).is_none());
    true
}

const SEALED: &[u8] = b"sealed";

/// Puts bytes where the head says that there are some.
fn seal(record: &mut Record) -> bool {
    let place = match (&mut record.state, &mut record.inquiry) {
        (State::Done { outcome: Some(outcome), .. }, _) => outcome,
        (_, Some(inquiry)) => &mut inquiry.request,
        _ => return false,
    };
    *place = Sealed(SEALED.to_vec());
    true
}

fn mark(data: &[u8]) -> bool {
    let head = summed(b"onceward mark\0", data);
    assert!(decode_head(ID, &head).is_none());
    let mark = decode_mark(ID, &head);
    if let Some(mark) = mark {
        assert_eq!(encode_mark(ID, mark), head);
        assert!(decode_mark(OTHER, &head).is_none());
    }
    mark.is_some()
}
