//! Follows a chunked body to its end, strictly, without taking it apart.

/// The longest chunk size: 15 hex digits keep every sum within 64 bits.
const SIZE_DIGITS_MAX: u8 = 15;

/// The place in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    step: Step,
    /// Bytes of chunk extensions, sizes and trailers so far: what a sender could make endless without sending data.
    overhead: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Size { digits: u8, value: u64 },
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

impl Chunks {
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
        while let Some(&byte) = bytes.get(at) {
            match self.step {
                Step::Done => break,
                Step::Data { left } => {
                    let here = left.min((bytes.len() - at) as u64);
                    self.step = after_data(left - here);
                    at += usize::try_from(here).unwrap_or(bytes.len());
                }
                framing => {
                    self.step = next(framing, byte)?;
                    at += 1;
                    self.count_overhead(framing, overhead_max)?;
                }
            }
        }
        Ok(at)
    }

    /// Line ends and sizes of chunks with data are paid for by their data.
    fn count_overhead(&mut self, step: Step, overhead_max: usize) -> Result<(), ChunkFault> {
        if matches!(step, Step::Extension { .. } | Step::Trailer | Step::TrailerStart | Step::TrailerEnd) {
            self.overhead += 1;
        }
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
        (Step::Extension { value }, b'\r') => Ok(Step::SizeEnd { value }),
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
