//! HTTP/1.1 written and read byte by byte.
//!
//! A client library would mend what has to be sent broken here (two key fields, two lengths, half a body) and hide what has to be
//! seen (each field line, a broken-off answer, a connection that closes).

mod answer;
mod ask;
mod http2;

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

pub(crate) use self::{
    answer::{Answer, WireFault, excerpt},
    ask::{Ask, Field, gzipped, keyed_field},
    http2::Session,
};
use crate::target::{Io, Protocol, Target};

/// How long one answer may take; longer than any wait that a suite's subject is set up with.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(12);

/// How long a server may take to close a connection that it said it would close.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// A connection that speaks HTTP/1.1.
pub(crate) struct Line {
    io: Box<dyn Io>,
    /// What was read and not yet used.
    pub(crate) held: Vec<u8>,
}

impl Line {
    pub(crate) async fn open(target: &Target) -> Result<Self, WireFault> {
        Ok(Self { io: target.connect(Protocol::Http1).await?, held: Vec::new() })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        let sent = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        Ok(timeout(ANSWER_TIME_MAX, sent).await??)
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn end_writing(&mut self) -> Result<(), WireFault> {
        Ok(timeout(CLOSE_TIME_MAX, self.io.shutdown()).await??)
    }

    /// Reads the next answer; `method` decides whether it has a body.
    pub(crate) async fn read(&mut self, method: &str) -> Result<Answer, WireFault> {
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        timeout_at(deadline, answer::read(self, method)).await?
    }

    /// Reads on until these bytes are among those that are held.
    pub(crate) async fn hold_until(&mut self, wanted: &[u8]) -> Result<(), WireFault> {
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        while answer::find(&self.held, wanted).is_none() {
            if timeout_at(deadline, self.more()).await?? == 0 {
                return Err(WireFault::Closed);
            }
        }
        Ok(())
    }

    /// Whether the server closes the connection now, with nothing more said.
    pub(crate) async fn is_closed(&mut self) -> bool {
        match timeout(CLOSE_TIME_MAX, self.more()).await {
            // A reset is a close, too: the server had unread bytes before it.
            Ok(Ok(read)) => read == 0,
            Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionReset,
            Err(_) => false,
        }
    }

    /// Reads some more bytes; 0 at the end of the connection.
    async fn more(&mut self) -> io::Result<usize> {
        self.io.read_buf(&mut self.held).await
    }
}
