//! What reached the wire: the observations that [`Evidence`](super::Evidence) rests on.
//!
//! Two observers watch a guarded connection. [`Metered`] wraps the TCP socket and counts the bytes that the kernel
//! took. [`Tap`] wraps the stream that HTTP is spoken on, above TLS, and notes where in that count the request
//! began, and on HTTP/2 what the origin said about its stream. Request bytes can reach the socket only after they
//! passed the tap, so that a count which has not moved since then proves that none did, whatever a TLS layer
//! buffered between the two.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::evidence::Untouched;

mod frames;

use frames::{Frame, Frames};

/// RFC 9113 section 7.
const REFUSED_STREAM: u32 = 0x7;

/// Bytes that a socket has taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A socket whose accepted bytes are counted.
pub(super) struct Metered<S> {
    pub(super) socket: S,
    pub(super) meter: Meter,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = written {
            self.meter.add(bytes);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(bytes)) = written {
            self.meter.add(bytes);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The version of HTTP that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
}

/// What was seen on a connection that carries one request.
#[derive(Clone, Debug)]
pub(super) struct WireLog {
    meter: Meter,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// What the meter stood at before the first request byte passed the tap.
    request_from: Option<u64>,
    /// The stream of the request: the first that the client opens.
    stream: Option<u32>,
    /// Something of an answer came on that stream.
    answered: bool,
    /// The origin reset that stream with this code, before any answer.
    reset: Option<u32>,
    /// The lowest last-stream id of the origin's GOAWAY frames.
    last_stream: Option<u32>,
}

impl WireLog {
    fn new(meter: Meter) -> Self {
        Self { meter, seen: Arc::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proof that the request was not processed, if there is one.
    ///
    /// Only meaningful once the connection is closed: until then its task may still write.
    pub(super) fn untouched(&self) -> Option<Untouched> {
        let seen = *self.seen();
        match seen.request_from {
            None => return Some(Untouched::NothingWritten),
            Some(from) if self.meter.bytes() == from => return Some(Untouched::NothingWritten),
            Some(_) => {}
        }
        // An origin that began to answer has processed the stream, whatever it says later.
        if seen.answered {
            return None;
        }
        if seen.reset == Some(REFUSED_STREAM) {
            return Some(Untouched::StreamRefused);
        }
        match (seen.last_stream, seen.stream) {
            (Some(last), Some(stream)) if last < stream => Some(Untouched::GoAwayBelow),
            _ => None,
        }
    }

    /// The code with which the origin reset the request's stream.
    pub(super) fn reset_code(&self) -> Option<u32> {
        self.seen().reset
    }

    fn note_sent(&self, frame: Frame, request_from: u64) {
        let mut seen = self.seen();
        if let (Frame::Headers { stream }, None) = (frame, seen.stream) {
            seen.stream = Some(stream);
            seen.request_from = Some(request_from);
        }
    }

    fn note_received(&self, frame: Frame) {
        let mut seen = self.seen();
        match frame {
            Frame::Headers { stream } | Frame::Data { stream } if seen.stream == Some(stream) => {
                seen.answered = true
            }
            Frame::Reset { stream, code } if seen.stream == Some(stream) => {
                seen.reset = seen.reset.or(Some(code));
            }
            Frame::GoAway { last_stream } => {
                seen.last_stream =
                    Some(seen.last_stream.map_or(last_stream, |lowest| lowest.min(last_stream)));
            }
            Frame::Headers { .. } | Frame::Data { .. } | Frame::Reset { .. } | Frame::Other => {}
        }
    }
}

/// The stream that HTTP is spoken on, watched.
pub(super) struct Tap<S> {
    io: S,
    log: WireLog,
    scan: Scan,
}

enum Scan {
    /// On HTTP/1.1 every byte that the client writes is of its request.
    Http1,
    /// On HTTP/2 the preface, SETTINGS and WINDOW_UPDATE go out before any request.
    Http2 { sent: Frames, received: Frames },
}

impl<S> Tap<S> {
    /// Watches a connection on which nothing of HTTP was sent yet.
    pub(super) fn new(io: S, protocol: Protocol, meter: Meter) -> (Self, WireLog) {
        let log = WireLog::new(meter);
        let scan = match protocol {
            Protocol::Http1 => Scan::Http1,
            Protocol::Http2 => Scan::Http2 { sent: Frames::after_preface(), received: Frames::default() },
        };
        (Self { io, log: log.clone(), scan }, log)
    }

    /// Notes bytes that went down to the transport, with what its meter stood at before.
    fn sent<'b>(&mut self, bytes: impl Iterator<Item = &'b [u8]>, meter_before: u64) {
        match &mut self.scan {
            Scan::Http1 => {
                if bytes.into_iter().any(|bytes| !bytes.is_empty()) {
                    let mut seen = self.log.seen();
                    seen.request_from = seen.request_from.or(Some(meter_before));
                }
            }
            Scan::Http2 { sent, .. } => {
                for bytes in bytes {
                    sent.scan(bytes, |frame| self.log.note_sent(frame, meter_before));
                }
            }
        }
    }

    /// Notes what a write came to. After an error any of the bytes may have gone out: a TLS layer can fail with
    /// part of a record written.
    fn wrote(&mut self, outcome: &Poll<io::Result<usize>>, bufs: &[IoSlice<'_>], meter_before: u64) {
        let mut left = match outcome {
            Poll::Pending => return,
            Poll::Ready(Ok(bytes)) => *bytes,
            Poll::Ready(Err(_)) => usize::MAX,
        };
        let taken = bufs.iter().map(move |buf| {
            let (taken, _) = buf.split_at(left.min(buf.len()));
            left -= taken.len();
            taken
        });
        self.sent(taken, meter_before);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled_before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if let (Poll::Ready(Ok(())), Scan::Http2 { received, .. }) = (&read, &mut this.scan) {
            let (_, new) = buf.filled().split_at(filled_before);
            received.scan(new, |frame| this.log.note_received(frame));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let meter_before = this.log.meter.bytes();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.wrote(&written, &[IoSlice::new(buf)], meter_before);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let meter_before = this.log.meter.bytes();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.wrote(&written, bufs, meter_before);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A transport that does with each write what the script says.
    struct Scripted {
        writes: VecDeque<Write>,
        meter: Meter,
    }

    struct Write {
        outcome: Poll<io::Result<usize>>,
        /// What reaches the socket in the course of it.
        moved_bytes: usize,
    }

    impl AsyncWrite for Scripted {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            let write = self.writes.pop_front().unwrap();
            self.meter.add(write.moved_bytes);
            write.outcome
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn took(bytes: usize, moved_bytes: usize) -> Write {
        Write { outcome: Poll::Ready(Ok(bytes)), moved_bytes }
    }

    fn failed(moved_bytes: usize) -> Write {
        Write { outcome: Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())), moved_bytes }
    }

    fn stalled() -> Write {
        Write { outcome: Poll::Pending, moved_bytes: 0 }
    }

    /// What is proven after `sent` was written by the script, on a socket that had carried a handshake before.
    fn proof(protocol: Protocol, sent: &[&[u8]], writes: impl Into<VecDeque<Write>>) -> Option<Untouched> {
        let meter = Meter::default();
        meter.add(300);
        let (mut tap, wire) =
            Tap::new(Scripted { writes: writes.into(), meter: meter.clone() }, protocol, meter);
        for bytes in sent {
            // Which outcome it is, is the script's.
            drop(Pin::new(&mut tap).poll_write(&mut Context::from_waker(Waker::noop()), bytes));
        }
        wire.untouched()
    }

    const NOTHING_WRITTEN: Option<Untouched> = Some(Untouched::NothingWritten);

    // covers: L5
    #[test]
    fn http1_is_untouched_until_a_byte_reaches_the_socket() {
        assert_eq!(proof(Protocol::Http1, &[], []), NOTHING_WRITTEN);
        let proof = |writes| proof(Protocol::Http1, &[b"POST / HTTP/1.1\r\n"], writes);
        assert_eq!(proof([stalled()]), NOTHING_WRITTEN);
        assert_eq!(proof([failed(0)]), NOTHING_WRITTEN);
        assert_eq!(proof([took(0, 0)]), NOTHING_WRITTEN);
        // A TLS layer may hold back what it took, or fail with part of a record out.
        assert_eq!(proof([took(17, 0)]), NOTHING_WRITTEN);
        assert_eq!(proof([took(1, 1)]), None);
        assert_eq!(proof([took(17, 39)]), None);
        assert_eq!(proof([failed(5)]), None);
    }

    // covers: L5
    #[test]
    fn what_a_tls_layer_held_back_counts_when_it_moves() {
        let sent: [&[u8]; 2] = [b"POST / HTTP/1.1\r\n", b"\r\n"];
        assert_eq!(proof(Protocol::Http1, &sent, [took(17, 0), failed(0)]), NOTHING_WRITTEN);
        assert_eq!(proof(Protocol::Http1, &sent, [took(17, 0), failed(39)]), None);
        assert_eq!(proof(Protocol::Http1, &sent, [took(17, 39), failed(0)]), None);
        assert_eq!(proof(Protocol::Http1, &sent, [took(17, 0), stalled()]), NOTHING_WRITTEN);
    }

    // covers: L5
    #[test]
    fn http2_is_untouched_until_the_head_of_its_headers_frame_is_out() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let headers = b"\0\0\x01\x01\x04\0\0\0\x01\x83";
        let proof = |writes| proof(Protocol::Http2, &[preface, headers], writes);
        assert_eq!(proof([took(33, 33), stalled()]), NOTHING_WRITTEN);
        assert_eq!(proof([took(33, 33), failed(0)]), NOTHING_WRITTEN);
        assert_eq!(proof([took(33, 33), took(8, 8)]), NOTHING_WRITTEN);
        assert_eq!(proof([took(33, 33), took(10, 0)]), NOTHING_WRITTEN);
        assert_eq!(proof([took(33, 33), took(9, 9)]), None);
        assert_eq!(proof([took(33, 33), failed(10)]), None);
    }

    // covers: L5
    #[tokio::test]
    async fn gathered_writes_are_watched_as_single_ones_are() {
        let meter = Meter::default();
        let (socket, _peer) = tokio::io::duplex(64);
        let socket = Metered { socket, meter: meter.clone() };
        let (mut tap, wire) = Tap::new(socket, Protocol::Http1, meter.clone());
        let bufs = [IoSlice::new(b""), IoSlice::new(b"POST"), IoSlice::new(b" /")];
        assert_eq!(tap.write_vectored(&bufs[..1]).await.unwrap(), 0);
        assert_eq!(wire.untouched(), NOTHING_WRITTEN);
        let written = tap.write_vectored(&bufs).await.unwrap();
        assert_eq!((wire.untouched(), meter.bytes()), (None, written as u64));
    }
}
