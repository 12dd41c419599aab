//! `CONNECT`: opens a tunnel, finds out what is spoken in it, and serves it or lets it pass.
//!
//! TLS with a host that is to be decrypted, and plain HTTP, are served like any other connection. The rest, and all of a
//! host on the tunnel list, is carried unseen.

#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod hello;
mod look;

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::hello::Hello;
use self::look::Opening;
use crate::pages::page;
use crate::server::activity::InFlight;
use crate::server::line::Line;
use crate::server::rewind::Rewind;
use crate::server::sniff::Speech;
use crate::server::tasks::Kind;
use crate::server::{BoxError, Config, Exchange, ProxyBody, Via, copy, serve};
use crate::session::Session;
use crate::target::Target;

/// The client's end of a tunnel.
type Client = TokioIo<Upgraded>;

/// Answers a `CONNECT` and serves the tunnel in a task of its own.
///
/// A tunnel that will most likely pass unseen is dialled first, so that a failure is the answer; one that will be looked
/// into is opened at once, for its requests may have answers that need no origin.
pub(crate) async fn open<E: Exchange>(
    line: &Line<E>,
    config: &Arc<Config>,
    mut request: Request<Incoming>,
    target: Target,
    session: Session,
) -> Response<ProxyBody> {
    let listener = line.listener();
    let Some(place) = listener.tunnel_place() else {
        let detail = "the proxy has as many tunnels as it may have";
        return page(StatusCode::SERVICE_UNAVAILABLE, detail, request.headers());
    };
    let dialled = if config.interception.decrypts(&target.host) {
        None
    } else {
        match listener.exchange.tunnel(&session, &target).await {
            Ok(dialled) => Some(dialled),
            Err(answer) => return answer,
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (line, in_flight) = (line.clone(), line.begin());
    let tunnel = Tunnel { line, config: Arc::clone(config), target, session, in_flight };
    listener.tasks.spawn(Kind::Tunnel, async move {
        let served = async {
            let client = TokioIo::new(upgrade.await?);
            tunnel.serve(client, dialled).await
        };
        if let Err(error) = served.await {
            tracing::debug!(%error, "a tunnel broke off");
        }
        drop(place);
    });
    Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync())
}

struct Tunnel<E> {
    line: Line<E>,
    config: Arc<Config>,
    target: Target,
    session: Session,
    /// Keeps an HTTP/2 connection whose stream this tunnel is.
    in_flight: InFlight,
}

impl<E: Exchange> Tunnel<E> {
    async fn serve(self, mut client: Client, dialled: Option<E::Tunnel>) -> Result<(), BoxError> {
        let mut opening = Opening::new(dialled);
        if self.config.interception.skips(&self.target.host) {
            return self.carry(client, opening).await;
        }
        let stop = self.line.listener().tasks.stop();
        let listen = opening.listen(&mut client, self.line.limits(), self.dial());
        let Some(speech) = stop.run_until_cancelled(listen).await.transpose()? else { return Ok(()) };
        match speech {
            Speech::Tls => self.serve_tls(client, opening).await,
            Speech::Http1 => {
                serve::http1(self.inside_plain(), Rewind::new(opening.undial(), client)).await;
                Ok(())
            }
            Speech::Http2 => {
                serve::http2(self.inside_plain(), Rewind::new(opening.undial(), client)).await;
                Ok(())
            }
            Speech::Other | Speech::Unclear => self.carry(client, opening).await,
        }
    }

    async fn serve_tls(self, mut client: Client, mut opening: Opening<E::Tunnel>) -> Result<(), BoxError> {
        let time = self.line.limits().tls_handshake_time;
        let hello = timeout(time, Hello::read(&mut client, &mut opening.ahead)).await??;
        let interception = &self.config.interception;
        let host = hello.server_name.as_ref().unwrap_or(&self.target.host);
        if !hello.speaks_http || !interception.decrypts(host) {
            return self.carry(client, opening).await;
        }
        let tls = self.config.leaves.config(host).await?;
        let client = Rewind::new(opening.undial(), client);
        let client = timeout(time, TlsAcceptor::from(tls).accept(client)).await??;
        let via = Via::Intercepted { target: self.target, server_name: hello.server_name };
        let line = self.line.inside(via, self.session);
        if client.get_ref().1.alpn_protocol() == Some(b"h2") {
            serve::http2(line, client).await;
        } else {
            serve::http1(line, client).await;
        }
        drop(self.in_flight);
        Ok(())
    }

    fn inside_plain(&self) -> Line<E> {
        self.line.inside(Via::Tunnel { target: self.target.clone() }, self.session.clone())
    }

    async fn dial(&self) -> Option<E::Tunnel> {
        self.line.listener().exchange.tunnel(&self.session, &self.target).await.ok()
    }

    /// Lets the tunnel pass unseen. The `CONNECT` is answered, so that a server out of reach can only show as a close.
    async fn carry(self, client: Client, opening: Opening<E::Tunnel>) -> Result<(), BoxError> {
        let dialled = match opening.dialled {
            Some(dialled) => dialled,
            None => self.dial().await.ok_or("the server of the tunnel cannot be reached")?,
        };
        let client = Rewind::new(opening.ahead.freeze(), client);
        let server = Rewind::new(opening.reply.freeze(), dialled);
        let passage = copy::both_ways(client, server, self.line.limits().tunnel_idle_time);
        self.line.listener().tasks.passing(passage).await.transpose()?;
        Ok(())
    }
}
