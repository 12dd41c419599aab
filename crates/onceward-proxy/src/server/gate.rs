//! Stands between a client's bytes and hyper's HTTP/1 parser.
//!
//! No byte of a request head passes before the whole head was judged by [`head::judge`](super::head::judge); bodies pass
//! unbuffered and counted, so that the gate knows where the next head begins. A refused head is replaced by a synthetic
//! request, which takes its turn behind the requests before it, and which the service answers with the refusal.

mod ledger;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::Instant;

pub(super) use self::ledger::Ledger;
use super::activity::Activity;
use super::alarm::Alarm;
use super::chunks::Chunks;
use super::head::{self, BodyLength, Framing, HeadFault, Then};
use super::linger::Linger;
use crate::limits::Limits;

/// One read of a head or of chunk framing.
const READ_BYTES: usize = 8 * 1024;

/// What hyper reads in the place of a refused head.
const SYNTHETIC_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// A client connection whose HTTP/1 messages are checked as they are read.
///
/// Reads of bodies and tunnels go straight into the caller's buffer.
pub(super) struct Gate<I> {
    io: I,
    /// Bytes that were read and not handed on.
    buffer: BytesMut,
    /// How much of `buffer` was searched for the end of a head.
    scanned: usize,
    state: State,
    timer: Timer,
    linger: Linger,
    eof: bool,
    ledger: Arc<Ledger>,
    activity: Arc<Activity>,
    limits: Limits,
}

#[derive(Debug)]
enum State {
    /// Between messages, or within a head.
    Head,
    /// This many bytes of `buffer` are judged.
    Release {
        left: usize,
        then: After,
    },
    Body {
        left: u64,
        then: Then,
    },
    Chunked {
        chunks: Chunks,
        then: Then,
    },
    /// Waiting for the answer to a request that may switch protocols.
    Switch,
    Opaque,
    /// The synthetic head is out; nothing more is read.
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Message(Framing),
    Refusal,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Gate<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>, limits: Limits) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            scanned: 0,
            state: State::Head,
            timer: Timer::default(),
            linger: Linger::default(),
            eof: false,
            ledger: Arc::default(),
            activity,
            limits,
        }
    }

    /// What the service asks at the beginning of each request.
    pub(super) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        if self.buffer.is_empty() && !self.eof && buf.remaining() >= READ_BYTES {
            match self.poll_head_in_place(cx, buf)? {
                Poll::Ready(true) => return Poll::Ready(Ok(Step::Filled)),
                Poll::Ready(false) => {}
                Poll::Pending => return self.poll_wait(cx),
            }
        }
        loop {
            self.skip_empty_line();
            let end = head::end(&self.buffer, self.scanned);
            self.scanned = self.buffer.len();
            match end {
                Err(fault) => return Poll::Ready(Ok(self.refuse(fault))),
                Ok(Some(end)) => return Poll::Ready(Ok(self.release(end))),
                Ok(None) if self.buffer.len() > self.limits.head_bytes_max => {
                    return Poll::Ready(Ok(self.refuse(HeadFault::TooLong)));
                }
                Ok(None) => {}
            }
            if !self.eof && self.poll_fill(cx)?.is_ready() {
                continue;
            }
            return self.poll_wait(cx);
        }
    }

    /// Reads to where the head is wanted and judges it there, as most heads come in one piece, and their bodies with
    /// them if they are short. Of what does not pass so, `buffer` has the bytes.
    fn poll_head_in_place(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let (_, read) = buf.filled().split_at(before);
        self.eof = read.is_empty();
        let passed = match head::end(read, 0) {
            Ok(Some(end)) if end <= self.limits.head_bytes_max => {
                let (head, rest) = read.split_at(end);
                head::judge(head, self.limits.head_fields_max).ok().map(|framing| (framing, end, rest))
            }
            _ => None,
        };
        let Some((framing, end, rest)) = passed else {
            self.buffer.extend_from_slice(read);
            buf.set_filled(before);
            return Poll::Ready(Ok(false));
        };
        self.ledger.released(framing.then);
        let (state, body_bytes) = match Self::after_release(After::Message(framing)) {
            State::Body { left, then } => {
                let here = left.min(rest.len() as u64);
                (State::Body { left: left - here, then }, usize::try_from(here).unwrap_or(rest.len()))
            }
            state => (state, 0),
        };
        let (_, beyond) = rest.split_at(body_bytes);
        self.buffer.extend_from_slice(beyond);
        buf.set_filled(before + end + body_bytes);
        self.enter(state);
        Poll::Ready(Ok(true))
    }

    /// Nothing to judge and nothing to read: time decides.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let within_head = !self.buffer.is_empty();
        if !self.eof && !within_head {
            return self.poll_unused(cx).map(Ok);
        }
        let wait = match (self.eof, within_head) {
            (true, true) => return Poll::Ready(Ok(self.refuse(HeadFault::Incomplete))),
            (true, false) if self.activity.poll_idle(cx) => return Poll::Ready(Ok(Step::End)),
            // The client may have shut down only its sending side, and wait for its answer.
            (true, false) => Wait::Answer,
            (false, _) => Wait::Head,
        };
        ready!(self.timer.poll(wait, &self.limits, cx));
        Poll::Ready(Ok(match wait {
            Wait::Head => self.refuse(HeadFault::TooSlow),
            Wait::Answer => Step::End,
        }))
    }

    /// Waits until no request was under way for the idle time. The end of one wakes nobody: whether there was one is seen
    /// when the timer of an earlier one is over.
    fn poll_unused(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.timer.stop();
        loop {
            let since = self.activity.idle_since();
            let until = since.unwrap_or_else(Instant::now) + self.limits.idle_time;
            ready!(self.timer.alarm.poll(until, cx));
            if self.activity.idle_since().is_some_and(|since| since.elapsed() >= self.limits.idle_time) {
                return Poll::Ready(Step::End);
            }
        }
    }

    /// One empty line before a request is let go (RFC 9112, section 2.2); old clients send it after a body.
    fn skip_empty_line(&mut self) {
        if self.scanned == 0 && self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
    }

    fn release(&mut self, end: usize) -> Step {
        if end > self.limits.head_bytes_max {
            return self.refuse(HeadFault::TooLong);
        }
        let judged = self.buffer.get(..end).map(|head| head::judge(head, self.limits.head_fields_max));
        match judged.unwrap_or(Err(HeadFault::Incomplete)) {
            Err(fault) => self.refuse(fault),
            Ok(framing) => {
                self.ledger.released(framing.then);
                self.enter(State::Release { left: end, then: After::Message(framing) })
            }
        }
    }

    fn refuse(&mut self, fault: HeadFault) -> Step {
        self.ledger.refused(fault);
        self.buffer = BytesMut::from(SYNTHETIC_HEAD);
        self.enter(State::Release { left: SYNTHETIC_HEAD.len(), then: After::Refusal })
    }

    fn enter(&mut self, state: State) -> Step {
        self.timer.stop();
        self.scanned = 0;
        self.state = state;
        Step::Again
    }

    fn after_release(after: After) -> State {
        match after {
            After::Refusal => State::Refused,
            After::Message(Framing { body: BodyLength::Chunked, then }) => {
                State::Chunked { chunks: Chunks::default(), then }
            }
            After::Message(Framing { body: BodyLength::Bytes(left), then }) => State::Body { left, then },
        }
    }

    fn after_message(then: Then) -> State {
        match then {
            Then::Head => State::Head,
            Then::Switch => State::Switch,
            Then::Tunnel => State::Opaque,
        }
    }

    /// Reads into `buffer`; ready at the end of the input too.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; READ_BYTES];
        let mut read = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.eof = read.filled().is_empty();
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(()))
    }

    /// Hands out up to `max` bytes, of the buffer first; ready without a byte at the end of the input.
    fn poll_pass(&mut self, max: u64, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<u64>> {
        let before = buf.filled().len();
        if self.buffer.is_empty() {
            let mut bounded = (&mut self.io).take(max);
            ready!(Pin::new(&mut bounded).poll_read(cx, buf))?;
        } else {
            let count = self.buffer.len().min(usize::try_from(max).unwrap_or(usize::MAX));
            self.hand_out(count, buf);
        }
        Poll::Ready(Ok((buf.filled().len() - before) as u64))
    }

    fn poll_chunked(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        let State::Chunked { chunks, then } = &mut self.state else { return Poll::Ready(Ok(Step::Again)) };
        if chunks.is_done() {
            let next = Self::after_message(*then);
            return Poll::Ready(Ok(self.enter(next)));
        }
        let data = chunks.data_left();
        if self.buffer.is_empty() && data > 0 {
            let passed = ready!(self.poll_pass(data, cx, buf))?;
            if let State::Chunked { chunks, .. } = &mut self.state {
                chunks.skip_data(passed);
            }
            return Poll::Ready(Ok(if passed == 0 { Step::End } else { Step::Filled }));
        }
        if self.buffer.is_empty() {
            ready!(self.poll_fill(cx))?;
            return Poll::Ready(Ok(if self.eof { Step::End } else { Step::Again }));
        }
        let offered = self.buffer.len().min(buf.remaining());
        let piece = self.buffer.get(..offered).unwrap_or_default();
        let ours = chunks
            .follow(piece, self.limits.head_bytes_max)
            .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        self.hand_out(ours, buf);
        Poll::Ready(Ok(Step::Filled))
    }

    /// Moves `count` bytes of the buffer, or as many as there is room for, and tells how many.
    fn hand_out(&mut self, count: usize, buf: &mut ReadBuf<'_>) -> usize {
        let count = count.min(buf.remaining());
        let (out, _) = self.buffer.split_at(count);
        buf.put_slice(out);
        self.buffer.advance(count);
        count
    }

    fn poll_step(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        match &mut self.state {
            State::Head => self.poll_head(cx, buf),
            State::Release { left: 0, then } => {
                let next = Self::after_release(*then);
                Poll::Ready(Ok(self.enter(next)))
            }
            State::Release { left, .. } => {
                let count = *left;
                let out = self.hand_out(count, buf);
                if let State::Release { left, .. } = &mut self.state {
                    *left -= out;
                }
                Poll::Ready(Ok(Step::Filled))
            }
            State::Body { left: 0, then } => {
                let next = Self::after_message(*then);
                Poll::Ready(Ok(self.enter(next)))
            }
            State::Body { left, .. } => {
                let max = *left;
                let passed = ready!(self.poll_pass(max, cx, buf))?;
                if let State::Body { left, .. } = &mut self.state {
                    *left -= passed;
                }
                Poll::Ready(Ok(if passed == 0 { Step::End } else { Step::Filled }))
            }
            State::Chunked { .. } => self.poll_chunked(cx, buf),
            State::Switch => {
                let next = if ready!(self.ledger.poll_switch(cx)) { State::Opaque } else { State::Head };
                Poll::Ready(Ok(self.enter(next)))
            }
            State::Opaque => {
                let passed = ready!(self.poll_pass(u64::MAX, cx, buf))?;
                Poll::Ready(Ok(if passed == 0 { Step::End } else { Step::Filled }))
            }
            // The answer says `Connection: close`; reporting the end of input now would abort the requests before it.
            State::Refused => Poll::Pending,
        }
    }

    /// Whether all input so far was asked for.
    fn is_between_messages(&self) -> bool {
        match self.state {
            State::Head => self.buffer.is_empty(),
            State::Body { left: 0, .. } => true,
            _ => false,
        }
    }
}

/// What one step of reading came to.
enum Step {
    Again,
    Filled,
    End,
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match ready!(gate.poll_step(cx, buf))? {
                Step::Again => {}
                Step::Filled | Step::End => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Closes the sending side, then discards what the client still sends. The input of a tunnel is another's.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        ready!(Pin::new(&mut gate.io).poll_shutdown(cx))?;
        if gate.eof || matches!(gate.state, State::Opaque) {
            return Poll::Ready(Ok(()));
        }
        if !gate.is_between_messages() {
            gate.linger.begin(gate.limits.linger_time);
        }
        gate.linger.poll(&mut gate.io, gate.limits.linger_time, cx).map(Ok)
    }
}

/// What the gate waits for, beside the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The rest of a head.
    Head,
    /// The answer to a client that has closed its sending side.
    Answer,
}

/// One timer for all waits; a wait that is polled again goes on, another one starts anew.
#[derive(Default)]
struct Timer {
    wait: Option<(Wait, Instant)>,
    alarm: Alarm,
}

impl Timer {
    fn stop(&mut self) {
        self.wait = None;
    }

    fn poll(&mut self, wait: Wait, limits: &Limits, cx: &mut Context<'_>) -> Poll<()> {
        let until = match self.wait {
            Some((begun, until)) if begun == wait => until,
            _ => {
                let time = match wait {
                    Wait::Head => limits.head_time,
                    Wait::Answer => limits.half_close_time,
                };
                Instant::now() + time
            }
        };
        self.wait = Some((wait, until));
        self.alarm.poll(until, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// What comes out of a gate whose client sends `input` in pieces of `size` bytes and closes.
    async fn passed(input: &[u8], size: usize) -> (Vec<u8>, Arc<Ledger>) {
        let (mut client, ours) = tokio::io::duplex(size);
        let mut gate = Gate::new(ours, Arc::default(), Limits::default());
        let ledger = gate.ledger();
        let send = async {
            for piece in input.chunks(size) {
                client.write_all(piece).await.unwrap();
            }
            client.shutdown().await.unwrap();
            std::future::pending().await
        };
        let mut output = Vec::new();
        let receive = async {
            while !output.ends_with(SYNTHETIC_HEAD) && gate.read_buf(&mut output).await.unwrap() > 0 {}
        };
        // After a refusal nothing more is taken from the client, and no end of input follows.
        tokio::select! {
            () = send => {}
            () = receive => {}
        }
        (output, ledger)
    }

    const MESSAGES: &[u8] = b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n20\r\nGET / HTTP/1.1\nContent-Length: 1\r\n0\r\nX: y\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\n\nbody\
        GET /3 HTTP/1.1\r\nHost: a\r\n\r\n";

    // covers: S6
    #[tokio::test]
    async fn messages_pass_unchanged_in_any_pieces() {
        for size in 1..=MESSAGES.len() {
            let (output, ledger) = passed(MESSAGES, size).await;
            assert_eq!(output.escape_ascii().to_string(), MESSAGES.escape_ascii().to_string(), "{size}");
            for _ in 0..3 {
                assert!(ledger.begin().is_ok());
            }
        }
    }

    // covers: S6
    #[tokio::test]
    async fn a_refused_head_is_replaced_in_its_turn_and_nothing_follows() {
        let input = [MESSAGES, b"GET /4 HTTP/1.1\r\nHost: a\nX: y\r\n\r\nGET /5 HTTP/1.1\r\n\r\n"].concat();
        for size in 1..=input.len() {
            let (output, ledger) = passed(&input, size).await;
            let expected = [MESSAGES, SYNTHETIC_HEAD].concat();
            assert_eq!(output.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{size}");
            for _ in 0..3 {
                assert!(ledger.begin().is_ok());
            }
            assert_eq!(ledger.begin(), Err(HeadFault::LineEnd));
        }
    }

    #[tokio::test]
    async fn what_follows_a_possible_switch_waits_for_the_answer() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let raw = b"\x00\n\xff";
        for switched in [true, false] {
            let (mut client, ours) = tokio::io::duplex(1024);
            let mut gate = Gate::new(ours, Arc::default(), Limits::default());
            let ledger = gate.ledger();
            client.write_all(head).await.unwrap();
            client.write_all(raw).await.unwrap();
            client.shutdown().await.unwrap();
            let mut output = vec![0; head.len()];
            gate.read_exact(&mut output).await.unwrap();
            assert_eq!(output, head);

            let place = ledger.begin().unwrap();
            let mut rest = Vec::new();
            tokio::select! {
                biased;
                read = gate.read_buf(&mut rest) => panic!("read {read:?} before the answer"),
                () = std::future::ready(()) => {}
            }
            ledger.decide(place, switched);
            gate.read_buf(&mut rest).await.unwrap();
            assert_eq!(rest, if switched { raw.as_slice() } else { SYNTHETIC_HEAD });
        }
    }
}
