//! Follows a chunked body to its end, strictly, without taking it apart.

/// The longest chunk size: 15 hex digits keep every sum within 64 bits.
const SIZE_DIGITS_MAX: u8 = 15;

/// The place in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    step: Step,
    /// Whether a size may have spaces behind it.
    takes_padding: bool,
    /// Bytes of chunk extensions, sizes and trailers so far: what a sender could make endless without sending data.
    overhead: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Size { digits: u8, value: u64 },
    Padding { value: u64 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastLf,
    Done,
}

impl Default for Step {
    fn default() -> Self {
        Self::Size { digits: 0, value: 0 }
    }
}

/// The body cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is malformed")]
pub(crate) struct ChunkFault;

/// What a body goes on with: framing, and then data of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) framing_bytes: usize,
    /// Zero where nothing follows the framing yet, or at all.
    pub(crate) data_bytes: usize,
}

impl Chunks {
    /// An answer's. Some old servers write sizes in a field of fixed width; nobody reads them in another way.
    pub(crate) fn of_answer() -> Self {
        Self { takes_padding: true, ..Self::default() }
    }

    /// Whether the whole body has passed.
    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Bytes of the current chunk that are still to come; zero outside of chunk data.
    pub(super) fn data_left(&self) -> u64 {
        match self.step {
            Step::Data { left } => left,
            _ => 0,
        }
    }

    /// Takes note of chunk data that was passed on unseen. At most [`data_left`](Self::data_left) bytes.
    pub(super) fn skip_data(&mut self, count: u64) {
        if let Step::Data { left } = self.step {
            self.step = after_data(left.saturating_sub(count));
        }
    }

    /// Follows `bytes` and tells how many of them belong to this body.
    ///
    /// `overhead_max` bounds all bytes that are not data.
    pub(crate) fn follow(&mut self, bytes: &[u8], overhead_max: usize) -> Result<usize, ChunkFault> {
        let mut at = 0;
        loop {
            let piece = self.piece(bytes.get(at..).unwrap_or_default(), overhead_max)?;
            at += piece.framing_bytes + piece.data_bytes;
            if piece.data_bytes == 0 {
                return Ok(at);
            }
        }
    }

    /// Follows `bytes` through framing and the data behind it.
    ///
    /// `overhead_max` bounds all bytes that are not data.
    pub(crate) fn piece(&mut self, bytes: &[u8], overhead_max: usize) -> Result<Piece, ChunkFault> {
        let mut framing_bytes = 0;
        while let Some(&byte) = bytes.get(framing_bytes) {
            match self.step {
                Step::Done => break,
                Step::Data { left } => {
                    let behind = bytes.len() - framing_bytes;
                    let data_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(behind);
                    self.step = after_data(left - data_bytes as u64);
                    return Ok(Piece { framing_bytes, data_bytes });
                }
                framing => {
                    self.step = self.next(framing, byte)?;
                    framing_bytes += 1;
                    self.count_overhead(framing, overhead_max)?;
                }
            }
        }
        Ok(Piece { framing_bytes, data_bytes: 0 })
    }

    fn next(&self, step: Step, byte: u8) -> Result<Step, ChunkFault> {
        match (step, byte) {
            (Step::Size { digits, value }, b' ' | b'\t') if digits > 0 && self.takes_padding => {
                Ok(Step::Padding { value })
            }
            (Step::Padding { value }, b' ' | b'\t') => Ok(Step::Padding { value }),
            _ => next(step, byte),
        }
    }

    /// Line ends and sizes of chunks with data are paid for by their data.
    fn count_overhead(&mut self, step: Step, overhead_max: usize) -> Result<(), ChunkFault> {
        let is_overhead = matches!(
            step,
            Step::Padding { .. }
                | Step::Extension { .. }
                | Step::TrailerStart
                | Step::Trailer
                | Step::TrailerEnd
        );
        self.overhead += usize::from(is_overhead);
        if self.overhead > overhead_max { Err(ChunkFault) } else { Ok(()) }
    }
}

fn after_data(left: u64) -> Step {
    if left == 0 { Step::DataCr } else { Step::Data { left } }
}

fn next(step: Step, byte: u8) -> Result<Step, ChunkFault> {
    match (step, byte) {
        (Step::Size { digits, value }, b'\r') if digits > 0 => Ok(Step::SizeEnd { value }),
        (Step::Size { digits, value }, b';') if digits > 0 => Ok(Step::Extension { value }),
        (Step::Size { digits, value }, _) if digits < SIZE_DIGITS_MAX => {
            let digit = char::from(byte).to_digit(16).ok_or(ChunkFault)?;
            Ok(Step::Size { digits: digits + 1, value: value * 16 + u64::from(digit) })
        }
        (Step::Padding { value } | Step::Extension { value }, b'\r') => Ok(Step::SizeEnd { value }),
        (Step::Padding { value }, b';') => Ok(Step::Extension { value }),
        (Step::Extension { value }, b'\t' | b' '..=b'~') => Ok(Step::Extension { value }),
        (Step::SizeEnd { value: 0 }, b'\n') => Ok(Step::TrailerStart),
        (Step::SizeEnd { value }, b'\n') => Ok(Step::Data { left: value }),
        (Step::DataCr, b'\r') => Ok(Step::DataLf),
        (Step::DataLf, b'\n') => Ok(Step::default()),
        (Step::TrailerStart, b'\r') => Ok(Step::LastLf),
        (Step::TrailerStart, b' ' | b'\t' | b'\n') => Err(ChunkFault),
        (Step::Trailer, b'\r') => Ok(Step::TrailerEnd),
        (Step::Trailer, b'\n') => Err(ChunkFault),
        (Step::TrailerStart | Step::Trailer, _) => Ok(Step::Trailer),
        (Step::TrailerEnd, b'\n') => Ok(Step::TrailerStart),
        (Step::LastLf, b'\n') => Ok(Step::Done),
        _ => Err(ChunkFault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(body: &[u8]) -> Result<(usize, bool), ChunkFault> {
        let mut chunks = Chunks::default();
        let passed = chunks.follow(body, 64)?;
        Ok((passed, chunks.is_done()))
    }

    #[test]
    fn the_end_is_where_the_last_chunk_says() {
        assert_eq!(followed(b"0\r\n\r\nGET"), Ok((5, true)));
        assert_eq!(followed(b"3\r\nabc\r\n0\r\n\r\nGET"), Ok((13, true)));
        assert_eq!(followed(b"3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\nGET"), Ok((25, true)));
        assert_eq!(followed(b"A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), Ok((20, true)));
        assert_eq!(followed(b"3\r\nab"), Ok((5, false)));
    }

    // covers: S6
    #[test]
    fn bodies_with_two_readings_are_refused() {
        let long = [b"1;".as_slice(), &[b'a'; 65], b"\r\n"].concat();
        let cases: [&[u8]; 11] = [
            b"\r\n",
            b"3\nabc\n",
            b" 3\r\n",
            b"3 \r\n",
            b"+3\r\n",
            b"0x3\r\n",
            b"3\r\nabcd\r\n",
            b"3;a\nb\r\n",
            b"0\r\nX: y\n\r\n",
            b"1000000000000000\r\n",
            &long,
        ];
        for body in cases {
            assert_eq!(followed(body), Err(ChunkFault), "{}", body.escape_ascii());
        }
    }

    // covers: S6
    #[test]
    fn only_in_an_answer_a_size_may_be_padded() {
        let followed = |body: &[u8]| {
            let mut chunks = Chunks::of_answer();
            chunks.follow(body, 8).map(|passed| (passed, chunks.is_done()))
        };
        assert_eq!(followed(b"3  \r\nabc\r\n0 \t;a\r\n\r\nGET"), Ok((19, true)));
        for body in [b" 3\r\n".as_slice(), b"3 3\r\n", b"3 \n", b"3          \r\n"] {
            assert_eq!(followed(body), Err(ChunkFault), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn data_comes_apart_from_its_framing() {
        let mut chunks = Chunks::default();
        let mut bytes = b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nGET".as_slice();
        let mut pieces = Vec::new();
        while !chunks.is_done() {
            let piece = chunks.piece(bytes, 64).unwrap();
            let (framing, rest) = bytes.split_at(piece.framing_bytes);
            let (data, rest) = rest.split_at(piece.data_bytes);
            pieces.push((framing, data));
            bytes = rest;
        }
        let expected: [(&[u8], &[u8]); 3] =
            [(b"3;a=b\r\n", b"abc"), (b"\r\n2\r\n", b"de"), (b"\r\n0\r\nX: y\r\n\r\n", b"")];
        assert_eq!(pieces, expected);
        assert_eq!(bytes, b"GET");
    }

    #[test]
    fn data_may_pass_unseen() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.follow(b"ff\r\n", 64), Ok(4));
        assert_eq!(chunks.data_left(), 255);
        chunks.skip_data(255);
        assert_eq!(chunks.data_left(), 0);
        assert_eq!(chunks.follow(b"\r\n0\r\n\r\n", 64), Ok(7));
        assert!(chunks.is_done());
    }
}
