//! Listens to both ends of a tunnel until one has said what is spoken.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{sleep, timeout};

use crate::limits::Limits;
use crate::server::sniff::{Speech, speech};

/// A tunnel whose client's first words are awaited.
pub(super) struct Opening<T> {
    /// What the client has said.
    pub(super) ahead: BytesMut,
    /// The server, if it is connected already.
    pub(super) dialled: Option<T>,
    /// What the server has said.
    pub(super) reply: BytesMut,
}

impl<T: AsyncRead + Unpin> Opening<T> {
    pub(super) fn new(dialled: Option<T>) -> Self {
        Self { ahead: BytesMut::new(), dialled, reply: BytesMut::new() }
    }

    /// Lets go of the server, which requests reach on connections of their own: one that takes them in turn would wait for this one.
    pub(super) fn undial(self) -> Bytes {
        self.ahead.freeze()
    }

    /// Finds out what is spoken; [`Speech::Other`] if the server speaks first.
    ///
    /// A client that is merely slow must not slip by unseen, so silence alone decides nothing: after
    /// [`Limits::tunnel_silence_time`] the server, reached with `dial`, is listened to as well. A server that cannot be
    /// reached or closes is no reason to stop listening: the client's request may have an answer that needs none.
    ///
    /// # Errors
    /// When the client closes before its first byte, or says nothing for [`Limits::tunnel_idle_time`].
    pub(super) async fn listen<C, D>(
        &mut self,
        client: &mut C,
        limits: &Limits,
        dial: D,
    ) -> io::Result<Speech>
    where
        C: AsyncRead + Unpin,
        D: Future<Output = Option<T>>,
    {
        if self.dialled.is_none() {
            if let Ok(heard) = timeout(limits.tunnel_silence_time, hear(client, &mut self.ahead)).await {
                return heard;
            }
            tokio::select! {
                heard = hear(client, &mut self.ahead) => return heard,
                dialled = dial => self.dialled = dialled,
            }
        }
        loop {
            let wait = if self.ahead.is_empty() { limits.tunnel_idle_time } else { limits.head_time };
            tokio::select! {
                heard = hear(client, &mut self.ahead) => return heard,
                server_speaks = hear_server(self.dialled.as_mut(), &mut self.reply) => {
                    if server_speaks {
                        return Ok(Speech::Other);
                    }
                    self.dialled = None;
                }
                () = sleep(wait), if self.ahead.is_empty() => return Err(io::ErrorKind::TimedOut.into()),
                // An unfinished first line for which the server waits too is not HTTP.
                () = sleep(wait), if !self.ahead.is_empty() => return Ok(Speech::Other),
            }
        }
    }
}

/// Reads until it is clear what the client speaks.
async fn hear<C: AsyncRead + Unpin>(client: &mut C, ahead: &mut BytesMut) -> io::Result<Speech> {
    loop {
        match speech(ahead) {
            Speech::Unclear => {}
            clear => return Ok(clear),
        }
        if client.read_buf(ahead).await? == 0 {
            return if ahead.is_empty() {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(Speech::Other)
            };
        }
    }
}

/// Whether the server has said something; `false` if it has closed. Without a server this waits for ever.
async fn hear_server<T: AsyncRead + Unpin>(server: Option<&mut T>, reply: &mut BytesMut) -> bool {
    match server {
        Some(server) => matches!(server.read_buf(reply).await, Ok(count) if count > 0),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{Duration, Instant};

    const LIMITS_SILENCE: Duration = Duration::from_millis(500);

    fn limits() -> Limits {
        Limits { tunnel_silence_time: LIMITS_SILENCE, ..Limits::default() }
    }

    async fn unreachable() -> Option<DuplexStream> {
        None
    }

    // covers: B6
    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_still_heard() {
        let (mut client, mut ours) = duplex(64);
        let (server, theirs) = duplex(64);
        let late = async {
            sleep(Duration::from_mins(10)).await;
            client.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
        };
        let mut opening = Opening::new(None);
        let limits = limits();
        let (heard, ()) = tokio::join!(opening.listen(&mut ours, &limits, async { Some(theirs) }), late);
        assert_eq!(heard.unwrap(), Speech::Http1);
        drop(server);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_closes_or_is_gone_decides_nothing() {
        let (mut client, mut ours) = duplex(64);
        let (server, theirs) = duplex(64);
        drop(server);
        let late = async {
            sleep(Duration::from_mins(10)).await;
            client.write_all(b"\x16\x03\x01\x00\x05\x01").await.unwrap();
        };
        let mut opening = Opening::new(Some(theirs));
        let limits = limits();
        let (heard, ()) = tokio::join!(opening.listen(&mut ours, &limits, unreachable()), late);
        assert_eq!(heard.unwrap(), Speech::Tls);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_speaks_first_has_the_tunnel() {
        let (client, mut ours) = duplex(64);
        let (mut server, theirs) = duplex(64);
        server.write_all(b"220 mail.example\r\n").await.unwrap();
        let mut opening = Opening::new(None);
        let heard = opening.listen(&mut ours, &limits(), async { Some(theirs) }).await;
        assert_eq!(heard.unwrap(), Speech::Other);
        assert_eq!(opening.reply.as_ref(), b"220 mail.example\r\n");
        drop(client);
    }

    // covers: S1
    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end() {
        let (client, mut ours) = duplex(64);
        let started = Instant::now();
        let mut opening = Opening::new(None);
        let heard = opening.listen(&mut ours, &limits(), unreachable()).await;
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), LIMITS_SILENCE + limits().tunnel_idle_time);
        drop(client);
    }
}
