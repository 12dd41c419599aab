//! Accepts connections through a door and speaks HTTP/1 on them, within the limits.

use std::{io, pin::pin};

use axum::Router;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::{
    control::Control,
    door::{Door, TcpDoor, UnixDoor},
    gate::Entrance,
    limits::{
        ACCEPT_PAUSE, CONNECTION_TIME_MAX, CONNECTIONS_MAX, DRAIN_TIME_MAX, HEAD_BYTES_MAX, HEAD_FIELDS_MAX,
        HEAD_TIME_MAX, TURN_AWAY_TIME_MAX,
    },
    routes::router,
};

/// What a connection past the limit gets, whatever it asks.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\n\
Content-Length: 0\r\n\r\n";

/// Serves the control API on a Unix socket until `shutdown` is cancelled.
///
/// Then the socket goes, and requests under way may finish within five seconds. No task outlives the call.
///
/// # Cancel safety
/// Dropping the future closes the door and cuts all connections.
pub async fn serve_unix(door: UnixDoor, control: Control, shutdown: CancellationToken) {
    serve(door, control, shutdown).await;
}

/// Serves the control API on a TCP listener until `shutdown` is cancelled, as [`serve_unix`] does.
pub async fn serve_tcp(door: TcpDoor, control: Control, shutdown: CancellationToken) {
    serve(door, control, shutdown).await;
}

async fn serve<D: Door>(door: D, control: Control, shutdown: CancellationToken) {
    let router = router(control);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok((stream, entrance)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(converse(stream, entrance, router.clone(), shutdown.clone()));
            }
            Ok((stream, _)) => turn_away(stream).await,
            Err(error) => {
                tracing::warn!(%error, "control API cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(door);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// Serves one connection to its end, which comes at the latest when its own or the shutdown's time is over.
async fn converse<S>(stream: S, entrance: Entrance, router: Router, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(entrance.clone());
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        // Without a timer hyper keeps no time for heads.
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let end = timeout(CONNECTION_TIME_MAX, shutdown.cancelled());
    let served = tokio::select! {
        served = connection.as_mut() => served,
        // Either way it is time to end.
        _ = end => {
            connection.as_mut().graceful_shutdown();
            match timeout(DRAIN_TIME_MAX, connection).await {
                Ok(served) => served,
                Err(_elapsed) => return tracing::warn!("a control connection was cut"),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a control connection broke off");
    }
}

/// Says why before it closes. The answer may be lost where the client has sent its request already; the close is not.
async fn turn_away<S: AsyncWrite + Unpin>(mut stream: S) {
    tracing::warn!(connections = CONNECTIONS_MAX, "a connection to the control API turned away: too many");
    let said: Result<io::Result<()>, _> = timeout(TURN_AWAY_TIME_MAX, stream.write_all(TURNED_AWAY)).await;
    if let Err(error) = said.unwrap_or(Ok(())) {
        tracing::debug!(%error, "a surplus control connection has gone already");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a control connection's task failed");
    }
}
