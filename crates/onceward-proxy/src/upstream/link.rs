//! A connection of unguarded requests.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::TaskTracker;

use super::UpstreamPeer;
use super::dial::{BoxError, BoxIo, Dialed, Form};
use super::session;
use super::wire::Protocol;

/// A request body as pooled connections carry it.
pub(super) type SentBody = UnsyncBoxBody<Bytes, BoxError>;

/// A connection that is ready for a request, or one handle of an HTTP/2 connection that several share.
#[derive(Debug)]
pub(super) struct Link {
    sender: Sender,
    pub(super) form: Form,
    pub(super) peer: UpstreamPeer,
    pub(super) is_reused: bool,
    /// Whether it is to carry no other request, although it could.
    pub(super) is_spent: bool,
    /// Counts the handles of a shared connection.
    handles: Arc<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(Box<Driven>),
    Http2(http2::SendRequest<SentBody>),
}

/// A request got no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: hyper::Error,
    /// The request if, and only if, none of it was written.
    pub(super) request: Option<Request<SentBody>>,
}

impl Link {
    /// Begins HTTP on a new connection.
    pub(super) async fn begin(dialed: Dialed, tasks: &TaskTracker) -> hyper::Result<Self> {
        let peer = dialed.peer;
        let sender = match peer.protocol {
            Protocol::Http1 => Sender::Http1(Box::new(Driven::begin(dialed.io).await?)),
            Protocol::Http2 => Sender::Http2(session::http2(dialed.io, tasks).await?),
        };
        Ok(Self {
            sender,
            form: dialed.form,
            peer,
            is_reused: false,
            is_spent: false,
            handles: Arc::default(),
        })
    }

    /// Sends a request.
    ///
    /// # Cancel safety
    /// After a cancelled call an HTTP/1.1 connection is of no further use; dropping it closes it.
    pub(super) async fn send(&mut self, request: Request<SentBody>) -> Result<Response<Incoming>, Failed> {
        match &mut self.sender {
            Sender::Http1(driven) => driven.send(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await.map_err(|mut error| {
                let request = error.take_message();
                Failed { error: error.into_error(), request }
            }),
        }
    }

    /// Polls what comes over an HTTP/1.1 connection, and moves the connection for it as far as it gets. One of HTTP/2 has a
    /// task that does so.
    pub(super) fn poll_driven<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        match &mut self.sender {
            Sender::Http1(driven) => driven.engine.poll_driven(cx, poll),
            Sender::Http2(_) => Poll::Pending,
        }
    }

    /// Waits until the whole exchange on an HTTP/1.1 connection is over, and tells whether another may follow.
    pub(super) async fn finish(&mut self) -> bool {
        let Sender::Http1(driven) = &mut self.sender else { return false };
        let ready = std::future::poll_fn(|cx| {
            driven.engine.drive(cx);
            if driven.is_sending() { Poll::Pending } else { driven.sender.poll_ready(cx) }
        });
        ready.await.is_ok()
    }

    /// Whether a part of the request is still on its way over an HTTP/1.1 connection.
    pub(super) fn is_sending(&self) -> bool {
        match &self.sender {
            Sender::Http1(driven) => driven.is_sending(),
            Sender::Http2(_) => false,
        }
    }

    /// Whether nothing is under way on an HTTP/1.1 connection, as far as it was moved.
    pub(super) fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::Http1(driven) => driven.sender.is_ready(),
            Sender::Http2(_) => false,
        }
    }

    /// Whether a request may be sent, by a look at the connection now.
    pub(super) fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(driven) => {
                // Nobody has looked at the connection since it was put away: the close of its origin may be waiting.
                driven.engine.drive(&mut Context::from_waker(Waker::noop()));
                driven.sender.is_ready()
            }
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    /// One more handle of an open HTTP/2 connection.
    pub(super) fn another(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http2(sender) if !sender.is_closed() => Some(Self {
                sender: Sender::Http2(sender.clone()),
                form: self.form.clone(),
                peer: self.peer,
                is_reused: true,
                is_spent: false,
                handles: Arc::clone(&self.handles),
            }),
            Sender::Http2(_) | Sender::Http1(_) => None,
        }
    }

    /// Whether responses are still being read from a shared connection.
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.handles) > 1
    }
}

/// An HTTP/1.1 connection without a task of its own.
///
/// It moves only while somebody polls it, and that is whoever waits for its answer: what the origin sends wakes one
/// task then, and nothing is handed over between two.
struct Driven {
    sender: http1::SendRequest<Upload>,
    engine: Engine,
    /// Counts the request bodies that hyper has not taken to their end: one beside this handle, or none.
    uploads: Arc<()>,
    /// Whether the socket takes no more for now of what hyper has taken.
    is_blocked: Arc<AtomicBool>,
}

impl Driven {
    async fn begin(io: BoxIo) -> hyper::Result<Self> {
        let is_blocked = Arc::default();
        let outlet = Outlet { io, is_blocked: Arc::clone(&is_blocked) };
        let (sender, connection) = session::http1_builder().handshake(TokioIo::new(outlet)).await?;
        Ok(Self { sender, engine: Engine::new(connection), uploads: Arc::default(), is_blocked })
    }

    async fn send(&mut self, request: Request<SentBody>) -> Result<Response<Incoming>, Failed> {
        let request = request.map(|body| Upload { body, _open: Arc::clone(&self.uploads) });
        let mut answer = pin!(self.sender.try_send_request(request));
        let engine = &mut self.engine;
        let answered = std::future::poll_fn(|cx| engine.poll_driven(cx, |cx| answer.as_mut().poll(cx)));
        answered.await.map_err(|mut error| {
            let request = error.take_message().map(|request| request.map(|upload| upload.body));
            Failed { error: error.into_error(), request }
        })
    }

    fn is_sending(&self) -> bool {
        self.engine.connection.is_some()
            && (Arc::strong_count(&self.uploads) > 1 || self.is_blocked.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Driven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven").finish_non_exhaustive()
    }
}

/// What moves an HTTP/1.1 connection.
struct Engine {
    /// `None` once it is over.
    connection: Option<http1::Connection<TokioIo<Outlet>, Upload>>,
    relay: Arc<Relay>,
}

impl Engine {
    fn new(connection: http1::Connection<TokioIo<Outlet>, Upload>) -> Self {
        Self { connection: Some(connection), relay: Arc::default() }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else { return };
        self.relay.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(&self.relay));
        if let Poll::Ready(end) = Pin::new(connection).poll(&mut Context::from_waker(&waker)) {
            // Dropped, it tells whoever waits for an answer.
            self.connection = None;
            session::log_end(end);
        }
    }

    /// `poll` looks at what only the connection can bring: it needs no waker, for it is asked again whenever the connection
    /// has moved.
    fn poll_driven<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut unwoken = Context::from_waker(Waker::noop());
        self.relay.mute();
        if let Poll::Ready(brought) = poll(&mut unwoken) {
            self.relay.unmute();
            return Poll::Ready(brought);
        }
        loop {
            self.relay.unmute();
            self.drive(cx);
            self.relay.mute();
            let polled = poll(&mut unwoken);
            // hyper wants to be polled when something was taken of it; that is now or at the next call.
            if !self.relay.unmute() || polled.is_ready() {
                return polled;
            }
        }
    }
}

/// Passes the wake-ups of a connection on to the task that waits for it; those that the task brings about itself would
/// have it polled once more for nothing.
#[derive(Default)]
struct Relay {
    task: AtomicWaker,
    state: AtomicU8,
}

impl Relay {
    const OPEN: u8 = 0;
    const MUTED: u8 = 1;
    const DUE: u8 = 2;

    fn mute(&self) {
        self.state.store(Self::MUTED, Ordering::Release);
    }

    /// Whether there was a wake-up in the meantime, which is the caller's then.
    fn unmute(&self) -> bool {
        self.state.swap(Self::OPEN, Ordering::AcqRel) == Self::DUE
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let muted = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            (state != Self::OPEN).then_some(Self::DUE)
        });
        if muted.is_err() {
            self.task.wake();
        }
    }
}

/// A request body that counts until it is sent or given up.
#[derive(Debug)]
struct Upload {
    body: SentBody,
    _open: Arc<()>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The stream of a connection, which notes whether the last write or flush had to wait. hyper ends each turn with a
/// flush, so that what it still holds of a request is known so too.
struct Outlet {
    io: BoxIo,
    is_blocked: Arc<AtomicBool>,
}

impl Outlet {
    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }
}

impl AsyncRead for Outlet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Outlet {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
