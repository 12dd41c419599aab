//! Serves the reference origin on a socket, as an upstream of gateways.

use std::{convert::Infallible, io, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{net::TcpListener, task::JoinSet};

use super::{OriginBody, Reference};

/// The largest body that the origin reads.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Serves the origin on HTTP/1.1 and HTTP/2 until it is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, origin: Arc<Reference>) -> io::Result<Infallible> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let origin = Arc::clone(&origin);
        stream.set_nodelay(true)?;
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&origin), request));
            let builder = Builder::new(TokioExecutor::new());
            // A connection that ends badly is the client's affair, and often what a case is about.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
        // Lets go of those that ended, a panic of the handler among them.
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    origin: Arc<Reference>,
    request: Request<Incoming>,
) -> Result<Response<OriginBody>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
        let mut response = Response::new(OriginBody::empty());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let body: Bytes = body.to_bytes();
    Ok(origin.answer(Request::from_parts(head, body)).await)
}
