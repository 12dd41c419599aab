//! Carries bytes both ways between two streams until both are done, or neither moves.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Copies in both directions. An end of input is passed on, and the other direction goes on.
///
/// Returns when both directions have ended, one has failed, or nothing moved for `idle_time`.
pub(crate) async fn both_ways<A, B>(left: A, right: B, idle_time: Duration) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let pulse = Pulse::default();
    let mut left = Felt { io: left, pulse: pulse.clone() };
    let mut right = Felt { io: right, pulse: pulse.clone() };
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut left, &mut right) => copied.map(|_| ()),
        () = pulse.stopped(idle_time) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// When bytes last moved.
#[derive(Clone)]
struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Pulse {
    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn stopped(&self, idle_time: Duration) {
        loop {
            let deadline = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + idle_time;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

/// A stream whose reads are felt; what is read is written, so that reads alone tell.
struct Felt<I> {
    io: I,
    pulse: Pulse,
}

impl<I: AsyncRead + Unpin> AsyncRead for Felt<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if read.is_ready() {
            this.pulse.beat();
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Felt<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    // covers: S1
    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_ends_and_a_slow_one_does_not() {
        let (mut client, left) = tokio::io::duplex(64);
        let (mut origin, right) = tokio::io::duplex(64);
        let started = Instant::now();
        let slow_talk = async {
            let mut byte = [0; 1];
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                client.write_all(b"x").await.unwrap();
                origin.read_exact(&mut byte).await.unwrap();
            }
            (client, origin)
        };
        let (copied, _ends) = tokio::join!(both_ways(left, right, Duration::from_secs(60)), slow_talk);
        assert_eq!(copied.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 5 * 50 + 60);
    }

    // covers: B6
    #[tokio::test]
    async fn the_answer_arrives_after_the_client_has_closed_its_side() {
        let (mut client, left) = tokio::io::duplex(64);
        let (mut origin, right) = tokio::io::duplex(64);
        let talk = async {
            client.write_all(b"ask").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = String::new();
            origin.read_to_string(&mut asked).await.unwrap();
            origin.write_all(b"answer").await.unwrap();
            origin.shutdown().await.unwrap();
            let mut answered = String::new();
            client.read_to_string(&mut answered).await.unwrap();
            (asked, answered)
        };
        let (copied, said) = tokio::join!(both_ways(left, right, Duration::from_secs(60)), talk);
        copied.unwrap();
        assert_eq!(said, ("ask".to_owned(), "answer".to_owned()));
    }
}
