//! The end of a connection whose client may still be sending.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::alarm::Alarm;

/// One read of what nobody wants.
const READ_BYTES: usize = 8 * 1024;

/// Discards what a client sends behind the last answer, once the sending side is shut down: a close with input unread makes
/// TCP take back what the client has not read yet (RFC 9112 section 9.6).
///
/// A client that sends nothing is not waited for.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// When it was enough; set once there is something to discard.
    until: Option<Instant>,
    alarm: Alarm,
}

impl Linger {
    /// Takes for granted that the client is sending.
    pub(super) fn begin(&mut self, time: Duration) {
        self.until.get_or_insert_with(|| Instant::now() + time);
    }

    /// Ready when the connection may be dropped: at the end of its input, `time` after the first that was discarded, or at
    /// once where there is none.
    pub(super) fn poll<I>(&mut self, io: &mut I, time: Duration, cx: &mut Context<'_>) -> Poll<()>
    where
        I: AsyncRead + Unpin,
    {
        loop {
            // The time comes first: a client that never stops leaves no moment without input.
            if self.until.is_some_and(|until| self.alarm.poll(until, cx).is_ready()) {
                return Poll::Ready(());
            }
            match (poll_discard(io, cx), self.until) {
                (Poll::Ready(Ok(1..)), _) => self.begin(time),
                (Poll::Ready(Ok(0) | Err(_)), _) | (Poll::Pending, None) => return Poll::Ready(()),
                (Poll::Pending, Some(_)) => return Poll::Pending,
            }
        }
    }
}

fn poll_discard<I: AsyncRead + Unpin>(io: &mut I, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut space = [0; READ_BYTES];
    let mut read = ReadBuf::new(&mut space);
    Pin::new(io).poll_read(cx, &mut read).map_ok(|()| read.filled().len())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const TIME: Duration = Duration::from_secs(2);

    async fn lingered(io: &mut (impl AsyncRead + Unpin)) -> Duration {
        let (mut linger, began) = (Linger::default(), Instant::now());
        poll_fn(|cx| linger.poll(io, TIME, cx)).await;
        began.elapsed()
    }

    // covers: S1
    #[tokio::test(start_paused = true)]
    async fn only_a_client_that_sends_is_waited_for_and_not_for_ever() {
        let (mut client, mut ours) = tokio::io::duplex(64);
        assert_eq!(lingered(&mut ours).await, Duration::ZERO);

        client.write_all(b"more").await.unwrap();
        let held = lingered(&mut ours).await;
        assert!(held >= TIME && held < TIME * 2, "{held:?}");

        client.write_all(b"more").await.unwrap();
        drop(client);
        assert_eq!(lingered(&mut ours).await, Duration::ZERO);
    }

    // covers: S1
    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_stops_is_cut() {
        let mut endless = tokio::io::repeat(b'x');
        let mut linger = Linger::default();
        linger.begin(TIME);
        tokio::time::advance(TIME).await;
        poll_fn(|cx| linger.poll(&mut endless, TIME, cx)).await;
    }
}
