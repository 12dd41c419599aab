//! A connection to an origin for plain requests: heads are written and read here, and bodies pass as they are framed.

mod answer;

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

pub(crate) use self::answer::{Answer, Body, Unreadable};
use super::dial::BoxIo;

/// One read, of which a head of usual size takes a small part.
const READ_BYTES: usize = 8 * 1024;

/// One read of a large body: as much as a socket has on a fast path, so that it takes few of them.
const READ_BYTES_MAX: usize = 64 * 1024;

/// A connection that speaks HTTP/1.1 without TLS, and carries one exchange at a time.
pub(crate) struct PlainLink {
    io: BoxIo,
    buffer: BytesMut,
    /// How much is read at once.
    read_bytes: usize,
    /// Whether it has carried an exchange before.
    pub(crate) is_reused: bool,
}

impl PlainLink {
    pub(super) fn new(io: BoxIo) -> Self {
        Self { io, buffer: BytesMut::new(), read_bytes: READ_BYTES, is_reused: false }
    }

    /// Writes what is left of a request's head behind `sent_bytes`, which it moves on.
    pub(crate) fn poll_send(
        &mut self,
        head: &[u8],
        sent_bytes: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(unsent) = head.get(*sent_bytes..).filter(|unsent| !unsent.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *sent_bytes += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads on, and tells how much; nothing is there at the end of the stream. After a read that was full it reads in
    /// larger pieces.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(self.read_bytes);
        let count = ready!(pin!(self.io.read_buf(&mut self.buffer)).poll(cx))?;
        if count >= self.read_bytes {
            self.read_bytes = READ_BYTES_MAX;
        }
        Poll::Ready(Ok(count))
    }

    /// What was read and not taken.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the first `count` bytes as dealt with.
    pub(crate) fn take(&mut self, count: usize) {
        self.buffer.advance(count.min(self.buffer.len()));
    }

    /// Whether another request may be sent, by a look at the connection now. What comes unasked is an answer to nothing.
    pub(super) fn is_open(&mut self) -> bool {
        self.buffer.is_empty() && self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// As a connection waits for its next exchange.
    pub(super) fn at_rest(self) -> Self {
        let buffer = if self.read_bytes > READ_BYTES { BytesMut::new() } else { self.buffer };
        Self { buffer, read_bytes: READ_BYTES, is_reused: true, ..self }
    }
}
