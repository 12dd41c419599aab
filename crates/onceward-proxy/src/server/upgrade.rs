//! Connects the two sides of a switch of protocols: `ws:`, `wss:` and whatever else an origin answers 101 to.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::body::ProxyBody;
use super::listener::Listener;
use super::tasks::Kind;
use super::{Exchange, copy};
use crate::pages::page;

/// Passes an answer of 101 on, and then the bytes.
///
/// `client` is the client's side, if it asked to switch; `request` are the fields of its request.
pub(super) fn connect<E: Exchange>(
    listener: &Arc<Listener<E>>,
    client: Option<OnUpgrade>,
    mut response: Response<ProxyBody>,
    request: &HeaderMap,
) -> Response<ProxyBody> {
    let Some(client) = client else {
        return page(StatusCode::BAD_GATEWAY, "the site switched protocols without being asked", request);
    };
    let Some(place) = listener.tunnel_place() else {
        return page(
            StatusCode::SERVICE_UNAVAILABLE,
            "the proxy has as many tunnels as it may have",
            request,
        );
    };
    let origin = hyper::upgrade::on(&mut response);
    let idle_time = listener.limits().tunnel_idle_time;
    let tasks = Arc::clone(&listener.tasks);
    listener.tasks.spawn(Kind::Tunnel, async move {
        let carried = async {
            let (client, origin) = tokio::try_join!(client, origin)?;
            let passage = copy::both_ways(TokioIo::new(client), TokioIo::new(origin), idle_time);
            tasks.passing(passage).await.transpose()?;
            Ok::<(), super::BoxError>(())
        };
        if let Err(error) = carried.await {
            tracing::debug!(%error, "a switched connection broke off");
        }
        drop(place);
    });
    response
}
