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
        let stop = CancellationToken::new();
        let handles = (0..count.clamp(1, WORKERS_MAX)).map(|index| start(index, stop.clone()));
        let handles = handles.collect::<io::Result<_>>()?;
        Ok(Self { handles, next: AtomicUsize::new(0), _stop: stop.drop_guard() })
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
