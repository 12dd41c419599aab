//! The frame heads of an HTTP/2 connection, read beside the traffic (RFC 9113 section 4.1).

/// RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const GOAWAY: u8 = 0x7;

/// A frame, as far as evidence needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Data { stream: u32 },
    Headers { stream: u32 },
    Reset { stream: u32, code: u32 },
    GoAway { last_stream: u32 },
    Other,
}

/// Reads one direction of a connection, in pieces of any size. Payloads are skipped, not kept.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes to pass over: what is left of the preface or of a payload.
    skip: usize,
    /// The bytes gathered of the head, and of the fixed part of a payload that is read.
    gathered: [u8; HEAD_BYTES + 4],
    filled: usize,
}

/// What the gathered bytes amount to.
enum Parsed {
    Needs(usize),
    Frame { frame: Frame, payload_left: usize },
}

impl Frames {
    /// For the client's direction, which begins with the connection preface.
    pub(super) fn after_preface() -> Self {
        Self { skip: PREFACE_BYTES, ..Self::default() }
    }

    /// Reads on, and calls back for each frame whose head (and, where one is read, payload) is now complete.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut on_frame: impl FnMut(Frame)) {
        loop {
            let (_, rest) = bytes.split_at(self.skip.min(bytes.len()));
            self.skip -= bytes.len() - rest.len();
            bytes = rest;
            match self.parse() {
                Parsed::Frame { frame, payload_left } => {
                    on_frame(frame);
                    self.filled = 0;
                    self.skip = payload_left;
                }
                Parsed::Needs(_) if bytes.is_empty() => return,
                Parsed::Needs(count) => bytes = self.gather(bytes, count),
            }
        }
    }

    fn gather<'b>(&mut self, bytes: &'b [u8], count: usize) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(count.min(bytes.len()));
        for (slot, byte) in self.gathered.iter_mut().skip(self.filled).zip(taken) {
            *slot = *byte;
        }
        self.filled += taken.len();
        rest
    }

    fn parse(&self) -> Parsed {
        if self.filled < HEAD_BYTES {
            return Parsed::Needs(HEAD_BYTES - self.filled);
        }
        let [l0, l1, l2, kind, _flags, s0, s1, s2, s3, word @ ..] = self.gathered;
        let payload = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let stream = u31(s0, s1, s2, s3);
        let [w0, w1, w2, w3] = word;
        // A frame of a length that its type does not have is a connection error, and evidence of nothing.
        let reads_word = match kind {
            RST_STREAM => payload == 4,
            GOAWAY => payload >= 8 && stream == 0,
            _ => false,
        };
        if reads_word && self.filled < self.gathered.len() {
            return Parsed::Needs(self.gathered.len() - self.filled);
        }
        let frame = match kind {
            DATA => Frame::Data { stream },
            HEADERS => Frame::Headers { stream },
            RST_STREAM if reads_word => Frame::Reset { stream, code: u32::from_be_bytes(word) },
            GOAWAY if reads_word => Frame::GoAway { last_stream: u31(w0, w1, w2, w3) },
            _ => Frame::Other,
        };
        Parsed::Frame { frame, payload_left: payload - if reads_word { word.len() } else { 0 } }
    }
}

/// The highest bit of a stream id is reserved and ignored (RFC 9113 section 4.1).
fn u31(b0: u8, b1: u8, b2: u8, b3: u8) -> u32 {
    u32::from_be_bytes([b0 & 0x7f, b1, b2, b3])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: &[&[u8]] = &[
        // SETTINGS with one setting, then its acknowledgement
        &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100],
        &[0, 0, 0, 4, 1, 0, 0, 0, 0],
        // HEADERS on stream 1 (reserved bit set), three bytes that look like a frame head
        &[0, 0, 3, 1, 4, 0x80, 0, 0, 1, 0, 0, 3],
        &[0, 0, 2, 0, 0, 0, 0, 0, 1, 7, 7],
        // RST_STREAM(REFUSED_STREAM) on stream 3
        &[0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 7],
        // GOAWAY, last stream 1, NO_ERROR, two bytes of debug data
        &[0, 0, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xde, 0xad],
        // RST_STREAM of a wrong length
        &[0, 0, 5, 3, 0, 0, 0, 0, 5, 0, 0, 0, 7, 0],
        &[0, 0, 0, 1, 5, 0, 0, 0, 7],
    ];

    const FRAMES: [Frame; 8] = [
        Frame::Other,
        Frame::Other,
        Frame::Headers { stream: 1 },
        Frame::Data { stream: 1 },
        Frame::Reset { stream: 3, code: 7 },
        Frame::GoAway { last_stream: 1 },
        Frame::Other,
        Frame::Headers { stream: 7 },
    ];

    fn scanned(mut frames: Frames, bytes: &[u8], piece_bytes: usize) -> Vec<Frame> {
        let mut seen = Vec::new();
        bytes.chunks(piece_bytes).for_each(|piece| frames.scan(piece, |frame| seen.push(frame)));
        seen
    }

    // covers: L5
    #[test]
    fn frames_are_read_however_the_bytes_are_cut() {
        let received = TRAFFIC.concat();
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend_from_slice(&received);
        for piece_bytes in 1..=sent.len() {
            assert_eq!(scanned(Frames::default(), &received, piece_bytes), FRAMES, "{piece_bytes}");
            assert_eq!(scanned(Frames::after_preface(), &sent, piece_bytes), FRAMES, "{piece_bytes}");
        }
    }

    // covers: L5
    #[test]
    fn a_reset_that_is_not_all_there_is_not_seen() {
        let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
        for cut in 0..reset.len() {
            assert_eq!(scanned(Frames::default(), &reset[..cut], 1), []);
        }
    }
}
