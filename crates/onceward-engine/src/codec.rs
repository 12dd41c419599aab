//! An outcome as bytes, before it is sealed.
//!
//! One version byte, then every part in order, each length-prefixed (big-endian). Decoding is strict: an unknown tag, a short read or a
//! byte too many is an error, never a different outcome.

use onceward_core::{
    outcome::{Content, Fields, Outcome},
    time::Timestamp,
};

use crate::pieces::{DecodeError, Pieces, put_piece};

/// The version this program writes.
const VERSION: u8 = 1;

/// Writes an outcome.
#[must_use]
pub(crate) fn encode(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(outcome.status.to_be_bytes());
    bytes.extend(outcome.sent_at.as_ms().to_be_bytes());
    put_fields(&mut bytes, &outcome.fields);
    match &outcome.content {
        Content::Kept(content) => {
            bytes.push(0);
            put_piece(&mut bytes, content);
        }
        Content::NotKept { len, sha256 } => {
            bytes.push(1);
            bytes.extend(len.to_be_bytes());
            bytes.extend(sha256);
        }
        Content::None { announced_len: None } => bytes.push(2),
        Content::None { announced_len: Some(len) } => {
            bytes.push(3);
            bytes.extend(len.to_be_bytes());
        }
    }
    put_fields(&mut bytes, &outcome.trailers);
    bytes
}

/// Reads an outcome.
///
/// # Errors
/// Anything but exactly what [`encode`] writes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Outcome, DecodeError> {
    let mut rest = Pieces::of(bytes);
    if rest.array::<1>()? != [VERSION] {
        return Err(DecodeError("unknown version"));
    }
    let outcome = Outcome {
        status: u16::from_be_bytes(rest.array()?),
        sent_at: Timestamp::from_ms(u64::from_be_bytes(rest.array()?)),
        fields: fields(&mut rest)?,
        content: match rest.array::<1>()? {
            [0] => Content::Kept(rest.piece()?.to_vec()),
            [1] => Content::NotKept { len: u64::from_be_bytes(rest.array()?), sha256: rest.array()? },
            [2] => Content::None { announced_len: None },
            [3] => Content::None { announced_len: Some(u64::from_be_bytes(rest.array()?)) },
            _ => return Err(DecodeError("unknown content")),
        },
        trailers: fields(&mut rest)?,
    };
    rest.end()?;
    Ok(outcome)
}

fn put_fields(bytes: &mut Vec<u8>, fields: &[(Box<str>, Vec<u8>)]) {
    bytes.extend((fields.len() as u64).to_be_bytes());
    for (name, value) in fields {
        put_piece(bytes, name.as_bytes());
        put_piece(bytes, value);
    }
}

fn fields(pieces: &mut Pieces<'_>) -> Result<Fields, DecodeError> {
    let count = pieces.count()?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let name = str::from_utf8(pieces.piece()?).or(Err(DecodeError("field name")))?;
        fields.push((name.into(), pieces.piece()?.to_vec()));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Outcome> {
        let plain = Outcome {
            status: 201,
            fields: vec![
                ("location".into(), b"/orders/7".to_vec()),
                ("set-cookie".into(), vec![0xFF, b'=', 0]),
            ],
            content: Content::Kept(b"order 7".to_vec()),
            trailers: vec![("x-sum".into(), b"9".to_vec())],
            sent_at: Timestamp::from_ms(1_795_000_000_123),
        };
        [
            Content::NotKept { len: 5 << 30, sha256: [7; 32] },
            Content::None { announced_len: None },
            Content::None { announced_len: Some(12) },
        ]
        .into_iter()
        .map(|content| Outcome { content, fields: Vec::new(), trailers: Vec::new(), ..plain.clone() })
        .chain([plain.clone()])
        .collect()
    }

    #[test]
    fn reads_what_it_writes() {
        for outcome in samples() {
            assert_eq!(decode(&encode(&outcome)).unwrap(), outcome);
        }
    }

    #[test]
    fn refuses_every_shortening_and_every_extra_byte() {
        for outcome in samples() {
            let bytes = encode(&outcome);
            for len in 0..bytes.len() {
                assert!(
                    decode(&bytes[..len]).is_err(),
                    "{len} of {} bytes were read as an outcome",
                    bytes.len()
                );
            }
            assert!(decode(&[bytes, vec![0]].concat()).is_err());
        }
    }

    #[test]
    fn refuses_a_version_and_a_content_that_it_does_not_know() {
        let bytes = encode(&samples()[1]);
        assert!(decode(&[&[2], &bytes[1..]].concat()).is_err());
        let unknown: Vec<u8> =
            bytes.iter().enumerate().map(|(index, byte)| if index == 19 { 4 } else { *byte }).collect();
        assert!(decode(&unknown).is_err());
    }
}
