//! The shop: books whatever is posted to it, and has its troubles with answering.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::{
    ledger::{FIRST_ORDER, Ledger},
    tls::SHOP_IP,
};

/// Connections that may wait to be accepted: more than any scenario opens.
const BACKLOG: u32 = 64;

/// How the shop answers, always after it has booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answering {
    /// At once.
    Promptly,
    /// Not before [`Shop::catch_up`].
    Slowly,
    /// The connections of its first orders close before a byte of the answer.
    CutBeforeHead { orders: u64 },
    /// The connections of its first orders close in the middle of the answer's body.
    CutWithinBody { orders: u64 },
    /// The first order's connection stays open and silent.
    SilentOnFirst,
}

/// A shop with a ledger and an address of its own.
pub(super) struct Shop {
    address: SocketAddr,
    clerk: Clerk,
    tls: Option<TlsAcceptor>,
    /// Bound and not listening: the address is the shop's, and refuses connections.
    closed: Option<TcpSocket>,
    serving: Option<AbortOnDropHandle<()>>,
    booked: watch::Receiver<u64>,
    caught_up: watch::Sender<bool>,
}

impl Shop {
    /// A shop that is not open yet.
    pub(super) fn new(ledger: &Path, answering: Answering, tls: Option<TlsAcceptor>) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((SHOP_IP, 0).into())?;
        let address = socket.local_addr()?;
        let (bookings, booked) = watch::channel(0);
        let (caught_up, is_caught_up) = watch::channel(false);
        let ledger = Ledger::create(ledger).context("cannot create the shop's ledger")?;
        let clerk = Clerk { ledger: Arc::new(ledger), answering, bookings, is_caught_up };
        Ok(Self { address, clerk, tls, closed: Some(socket), serving: None, booked, caught_up })
    }

    /// Starts to listen; until then connections are refused.
    pub(super) fn open(&mut self) -> anyhow::Result<()> {
        if let Some(socket) = self.closed.take() {
            let listener = socket.listen(BACKLOG)?;
            let serving = tokio::spawn(serve(listener, self.tls.clone(), self.clerk.clone()));
            self.serving = Some(AbortOnDropHandle::new(serving));
        }
        Ok(())
    }

    /// Ends the slowness: what waits for its answer gets it, and so does what comes.
    pub(super) fn catch_up(&self) {
        self.caught_up.send_replace(true);
    }

    /// Waits until the shop has booked something.
    pub(super) async fn first_booking(&self) -> anyhow::Result<()> {
        self.booked.clone().wait_for(|orders| *orders > 0).await?;
        Ok(())
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many orders its ledger holds.
    pub(super) fn orders(&self) -> anyhow::Result<usize> {
        self.clerk.ledger.orders().context("cannot read the shop's ledger")
    }
}

/// Serves until it is dropped, and its connections with it.
async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, clerk: Clerk) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, tls.clone(), clerk.clone()));
                }
                Err(error) => tracing::warn!(%error, "the shop cannot accept a connection"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Agents that hang up are what the demo is about, so a connection that breaks is no news.
async fn converse(stream: TcpStream, tls: Option<TlsAcceptor>, clerk: Clerk) {
    let ended = match tls {
        None => clerk.serve(stream).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => clerk.serve(stream).await,
            Err(error) => Err(error.into()),
        },
    };
    if let Err(error) = ended {
        tracing::debug!("a connection to the shop ended: {error:#}");
    }
}

/// Who takes an order.
#[derive(Clone)]
struct Clerk {
    ledger: Arc<Ledger>,
    answering: Answering,
    bookings: watch::Sender<u64>,
    is_caught_up: watch::Receiver<bool>,
}

impl Clerk {
    async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<()> {
        let service = service_fn(|request| self.clone().take_order(request));
        http1::Builder::new().serve_connection(TokioIo::new(io), service).await?;
        Ok(())
    }

    async fn take_order(mut self, request: Request<Incoming>) -> io::Result<Response<Answer>> {
        let item = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let number = self.book(String::from_utf8_lossy(&item).into_owned()).await?;
        let is_among_first = |orders| number < FIRST_ORDER + orders;
        let text = format!("{{\"order\":{number}}}\n");
        match self.answering {
            Answering::Slowly => {
                self.is_caught_up.wait_for(|caught_up| *caught_up).await.map_err(io::Error::other)?;
            }
            Answering::SilentOnFirst if is_among_first(1) => std::future::pending().await,
            Answering::CutBeforeHead { orders } if is_among_first(orders) => {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            Answering::CutWithinBody { orders } if is_among_first(orders) => {
                return created(text.len(), Answer::cut_in_half(&text));
            }
            Answering::Promptly
            | Answering::SilentOnFirst
            | Answering::CutBeforeHead { .. }
            | Answering::CutWithinBody { .. } => {}
        }
        created(text.len(), Answer::whole(text))
    }

    async fn book(&self, item: String) -> io::Result<u64> {
        let (ledger, bookings) = (Arc::clone(&self.ledger), self.bookings.clone());
        // Goes on where the agent hangs up: what was ordered is ordered.
        let booked = tokio::task::spawn_blocking(move || {
            let number = ledger.book(&item)?;
            bookings.send_modify(|orders| *orders += 1);
            Ok(number)
        });
        booked.await.map_err(io::Error::other)?
    }
}

fn created(length: usize, answer: Answer) -> io::Result<Response<Answer>> {
    Response::builder()
        .status(StatusCode::CREATED)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, length)
        .body(answer)
        .map_err(io::Error::other)
}

/// The body of an answer.
struct Answer(VecDeque<Piece>);

enum Piece {
    Text(Bytes),
    /// Lets what was written so far reach the wire.
    Pause,
    Cut,
}

impl Answer {
    fn whole(text: String) -> Self {
        Self(VecDeque::from([Piece::Text(text.into())]))
    }

    fn cut_in_half(text: &str) -> Self {
        let (half, _) = text.split_at(text.len() / 2);
        Self(VecDeque::from([Piece::Text(half.to_owned().into()), Piece::Pause, Piece::Cut]))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.0.pop_front() {
            Some(Piece::Text(text)) => Poll::Ready(Some(Ok(Frame::data(text)))),
            Some(Piece::Pause) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Piece::Cut) => Poll::Ready(Some(Err(ErrorKind::ConnectionAborted.into()))),
            None => Poll::Ready(None),
        }
    }
}
