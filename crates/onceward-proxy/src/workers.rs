//! Threads with a reactor each, so that a connection stays on the processor that it began on.
//!
//! On a runtime whose threads share their tasks, the two or three wake-ups of a forwarded request may each come on
//! another processor, and take the connection's memory along. Connections are handed out in turn and never move, so that
//! one that keeps its thread busy delays the others there: a price worth paying for requests that take microseconds.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinError;
use tokio_util::sync::{CancellationToken, DropGuard};

/// No machine in sight has more processors to give; what is kept for each worker stays small with it.
pub(crate) const WORKERS_MAX: usize = 64;

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The threads that serve connections. They end when this is dropped, with all that still runs on them.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _stop: DropGuard,
}

impl Workers {
    /// Starts `count` threads, one at least and 64 at most.
    ///
    /// # Errors
    /// When the system has no thread or no reactor to give.
    pub fn start(count: usize) -> io::Result<Self> {
        Self::start_by(count, start)
    }

    fn start_by(
        count: usize,
        start: impl Fn(usize, CancellationToken) -> io::Result<Handle>,
    ) -> io::Result<Self> {
        let stop = CancellationToken::new();
        // Where a later one fails to start, it ends those before.
        let guard = stop.clone().drop_guard();
        let handles = (0..count.clamp(1, WORKERS_MAX)).map(|index| start(index, stop.clone()));
        Ok(Self { handles: handles.collect::<io::Result<_>>()?, next: AtomicUsize::new(0), _stop: guard })
    }

    /// Waits until each worker has run a task that does nothing, which one that hangs never does.
    ///
    /// # Errors
    /// When a worker has ended.
    pub async fn answer(&self) -> Result<(), JoinError> {
        let tasks: Vec<_> = self.handles.iter().map(|handle| handle.spawn(async {})).collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    }

    /// Moves an accepted connection to the worker whose turn it is.
    pub(crate) fn take_over(&self, stream: TcpStream) -> io::Result<(TcpStream, Handle)> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = stream.into_std()?;
        let handle = self.handles.get(turn % self.handles.len());
        let handle = handle.cloned().unwrap_or_else(Handle::current);
        let reactor = handle.enter();
        let stream = TcpStream::from_std(stream)?;
        drop(reactor);
        Ok((stream, handle))
    }
}

/// Which worker this thread is.
pub(crate) fn current() -> Option<usize> {
    CURRENT.get()
}

fn start(index: usize, stop: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        CURRENT.set(Some(index));
        runtime.block_on(stop.cancelled());
        runtime.shutdown_background();
    })?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn one_that_fails_to_start_ends_those_before() {
        let tokens = Mutex::new(Vec::new());
        let started = Workers::start_by(3, |index, stop| {
            tokens.lock().unwrap().push(stop.clone());
            if index < 2 { start(index, stop) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        assert_eq!(started.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let stopped: Vec<_> = tokens.lock().unwrap().iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(stopped, [true; 3]);
    }

    #[tokio::test]
    async fn one_that_hangs_does_not_answer() {
        let workers = Workers::start(2).unwrap();
        workers.answer().await.unwrap();
        let (go_on, going) = mpsc::channel::<()>();
        let hanging = workers.handles[1].spawn(async move { going.recv() });
        // waits: nobody says that a thread hangs; one that does not answers within microseconds.
        assert!(timeout(Duration::from_millis(200), workers.answer()).await.is_err());
        go_on.send(()).unwrap();
        workers.answer().await.unwrap();
        assert_eq!(hanging.await.unwrap(), Ok(()));
    }
}
