//! What several targets need.

use std::{
    io::{self, Cursor, Read as _},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, Join, ReadBuf, Sink, join, sink};

/// A client that sends `input`, up to `piece` bytes at a time, closes its sending side, and takes every answer.
pub fn client(input: &[u8], piece: usize) -> Join<Sender, Sink> {
    join(Sender { input: Cursor::new(input.to_vec()), piece }, sink())
}

/// The sending side of a client.
pub struct Sender {
    input: Cursor<Vec<u8>>,
    piece: usize,
}

impl AsyncRead for Sender {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.piece.min(buf.remaining());
        let read = self.input.read(buf.initialize_unfilled_to(len))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}
