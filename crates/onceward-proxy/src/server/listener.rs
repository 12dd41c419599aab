//! Accepts connections, as many as may be.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::rewind::Rewind;
use super::serve;
use super::sniff::{self, Speech};
use super::stall::Stall;
use super::tasks::{Kind, Tasks};
use super::{Exchange, Front};
use crate::limits::Limits;
use crate::pages::page;
use crate::session::Session;
use crate::workers::Workers;

/// After a failed accept: descriptors are freed by connections that end, not by trying again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of one listener share.
pub(crate) struct Listener<E> {
    pub(crate) front: Front,
    pub(crate) local: SocketAddr,
    pub(crate) session: Session,
    pub(crate) exchange: E,
    pub(crate) tasks: Arc<Tasks>,
    connections: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    tunnels: Arc<Semaphore>,
}

impl<E: Exchange> Listener<E> {
    pub(super) fn new(
        front: Front,
        local: SocketAddr,
        session: Session,
        exchange: E,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let Limits { connections_max, overflow_answers_max, tunnels_max, .. } = *front.limits();
        Arc::new(Self {
            front,
            local,
            session,
            exchange,
            tasks: Arc::new(Tasks::new(shutdown)),
            connections: Arc::new(Semaphore::new(connections_max)),
            overflow: Arc::new(Semaphore::new(overflow_answers_max)),
            tunnels: Arc::new(Semaphore::new(tunnels_max)),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.front.limits()
    }

    /// A place for one more tunnel, if there is one.
    pub(crate) fn tunnel_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.tunnels).try_acquire_owned().ok()
    }
}

/// Accepts until the shutdown begins.
pub(super) async fn accept<E: Exchange>(
    shared: &Arc<Listener<E>>,
    listener: TcpListener,
    workers: Option<&Workers>,
) {
    shared.tasks.stop().run_until_cancelled(accept_all(shared, listener, workers)).await;
}

async fn accept_all<E: Exchange>(
    shared: &Arc<Listener<E>>,
    listener: TcpListener,
    workers: Option<&Workers>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match settled(stream, workers) {
                Ok((stream, runtime)) => admit(shared, stream, peer, &runtime).await,
                Err(error) => tracing::debug!(%error, "the client has gone already"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// An accepted connection, ready on the runtime that is to serve it.
fn settled(stream: TcpStream, workers: Option<&Workers>) -> io::Result<(TcpStream, Handle)> {
    stream.set_nodelay(true)?;
    match workers {
        Some(workers) => workers.take_over(stream),
        None => Ok((stream, Handle::current())),
    }
}

async fn admit<E: Exchange>(
    shared: &Arc<Listener<E>>,
    stream: TcpStream,
    peer: SocketAddr,
    runtime: &Handle,
) {
    let stall = Stall::new(stream, shared.limits().write_stall_time);
    if let Ok(place) = Arc::clone(&shared.connections).try_acquire_owned() {
        let line = Line::first(Arc::clone(shared), peer);
        shared.tasks.spawn_on(runtime, Kind::Connection, async move {
            match line.listener().front.tls() {
                Some(tls) => serve_tls(line, tls, stall).await,
                None => serve_first(line, stall).await,
            }
            drop(place);
        });
    } else if let Ok(place) = Arc::clone(&shared.overflow).acquire_owned().await {
        let limits = *shared.limits();
        shared.tasks.spawn_on(runtime, Kind::Connection, async move {
            if let Err(error) = turn_away(stall, limits).await {
                tracing::debug!(%error, "a surplus connection broke off");
            }
            drop(place);
        });
    }
}

/// HTTP/1 or HTTP/2, as the handshake settles.
async fn serve_tls<E: Exchange>(line: Line<E>, tls: Arc<ServerConfig>, client: Stall<TcpStream>) {
    let stop = line.listener().tasks.stop().clone();
    let accept =
        tokio::time::timeout(line.limits().tls_handshake_time, TlsAcceptor::from(tls).accept(client));
    let client = match stop.run_until_cancelled(accept).await {
        Some(Ok(Ok(client))) => client,
        Some(Ok(Err(error))) => {
            tracing::debug!(%error, "a client's tls handshake failed");
            return;
        }
        Some(Err(_)) | None => return,
    };
    if client.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve::http2(line, client).await
    } else {
        serve::http1(line, client).await
    }
}

/// HTTP/1, or HTTP/2 by prior knowledge. Anything else is HTTP/1 too, whose gate answers it.
async fn serve_first<E: Exchange>(line: Line<E>, mut client: Stall<TcpStream>) {
    let mut ahead = BytesMut::new();
    let stop = line.listener().tasks.stop().clone();
    match stop.run_until_cancelled(look(&mut client, &mut ahead, line.limits())).await {
        Some(Ok(())) if !ahead.is_empty() => {}
        // Closed, silent or stopped before the first byte: there is nothing to answer.
        _ => return,
    }
    let is_http2 = sniff::speech(&ahead) == Speech::Http2;
    let client = Rewind::new(ahead.freeze(), client);
    if is_http2 { serve::http2(line, client).await } else { serve::http1(line, client).await }
}

/// Reads until the client either has sent the preface of HTTP/2 or cannot be sending it.
async fn look(client: &mut Stall<TcpStream>, ahead: &mut BytesMut, limits: &Limits) -> io::Result<()> {
    while sniff::may_become_http2(ahead) {
        let time = if ahead.is_empty() { limits.idle_time } else { limits.head_time };
        match tokio::time::timeout(time, client.read_buf(ahead)).await {
            Ok(Ok(count)) if count > 0 => {}
            Ok(Err(error)) => return Err(error),
            _ => break,
        }
    }
    Ok(())
}

/// Says why, without reading a request, and stays until the client has taken it.
async fn turn_away(mut client: Stall<TcpStream>, limits: Limits) -> io::Result<()> {
    let detail = "the proxy has as many connections as it may have; try again later";
    let page = page(StatusCode::SERVICE_UNAVAILABLE, detail, &HeaderMap::new());
    let text = page.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(&text).await?;
    client.shutdown().await?;
    let mut sink = [0; 1024];
    let rest = async {
        while client.read(&mut sink).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(limits.linger_time, rest).await.unwrap_or(Ok(()))
}
