//! The agent: a real HTTP client that orders one book, directly or through the proxy.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, Uri, header, uri::Authority};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::scenario::Scheme;

/// After this an attempt of a patient agent is given up too, so that a fault ends a scenario and not the demo.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// What is ordered, the same at each attempt.
const ORDER: &str = "item=book&quantity=1";

/// Somebody who wants one book.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) scheme: Scheme,
    pub(super) shop: SocketAddr,
    /// Where it connects to, if not to the shop.
    pub(super) proxy: Option<SocketAddr>,
    /// Trusts whoever shows a certificate on this way.
    pub(super) tls: TlsConnector,
    /// What it stamps on its order.
    pub(super) key: Option<String>,
}

/// What an attempt came to, as the agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// No whole answer.
    Nothing,
    /// The number of its order.
    Order { number: u64, replayed: bool },
    /// That nobody knows, and that it must not repeat it.
    Doubt { text: String },
    /// Any other answer.
    Refusal { text: String },
}

impl Agent {
    /// Orders, on a new connection.
    pub(super) async fn order(&self) -> Heard {
        self.heard(async { self.connect().await?.order().await }).await
    }

    /// Orders on a connection that stands already.
    pub(super) async fn order_on(&self, connection: anyhow::Result<Connection>) -> Heard {
        self.heard(async { connection?.order().await }).await
    }

    /// Orders, and loses its connection when the answer begins to arrive.
    pub(super) async fn order_and_lose_the_answer(&self) -> Heard {
        let lost = async {
            let mut connection = self.connect().await?;
            let unread = connection.send().await?;
            tracing::debug!(status = %unread.status(), "the agent loses an answer");
            Ok(Heard::Nothing)
        };
        self.heard(lost).await
    }

    async fn heard(&self, attempt: impl Future<Output = anyhow::Result<Heard>>) -> Heard {
        match timeout(ANSWER_TIME_MAX, attempt).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(error)) => {
                tracing::debug!("an attempt failed: {error:#}");
                Heard::Nothing
            }
            Err(elapsed) => {
                tracing::warn!("an attempt got no answer: {elapsed}");
                Heard::Nothing
            }
        }
    }

    /// Opens a connection on which orders reach the shop.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.proxy.unwrap_or(self.shop)).await?;
        stream.set_nodelay(true)?;
        match (self.scheme, self.proxy) {
            (Scheme::Http, _) => self.speak(stream).await,
            (Scheme::Https, None) => self.speak_in_tls(stream).await,
            (Scheme::Https, Some(_)) => {
                let tunnel = self.tunnel(stream).await?;
                self.speak_in_tls(tunnel).await
            }
        }
    }

    /// Asks the proxy for a way to the shop (RFC 9110, 9.3.6).
    async fn tunnel(&self, stream: TcpStream) -> anyhow::Result<TokioIo<hyper::upgrade::Upgraded>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _driven = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
        let authority = self.shop.to_string();
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(Uri::builder().authority(Authority::try_from(authority.as_str())?).build()?)
            .header(header::HOST, authority)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        ensure!(response.status().is_success(), "the proxy answered CONNECT with {}", response.status());
        Ok(TokioIo::new(hyper::upgrade::on(response).await?))
    }

    async fn speak_in_tls<IO>(&self, io: IO) -> anyhow::Result<Connection>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = self.tls.connect(self.shop.ip().into(), io).await?;
        self.speak(stream).await
    }

    async fn speak<IO>(&self, io: IO) -> anyhow::Result<Connection>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
        let driven = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(Connection { sender, request: self.request()?, _driven: driven })
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        // A proxy that reads the request itself is told the whole address (RFC 9112, 3.2.2).
        let target = match (self.scheme, self.proxy) {
            (Scheme::Http, Some(_)) => format!("http://{}/order", self.shop),
            (Scheme::Http, None) | (Scheme::Https, _) => "/order".to_owned(),
        };
        let mut request = Request::post(target)
            .header(header::HOST, self.shop.to_string())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(key) = &self.key {
            request = request.header("x-idem-key", key);
        }
        Ok(request.body(Full::from(ORDER))?)
    }
}

/// A connection that carries one order; dropping it closes it.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    _driven: AbortOnDropHandle<hyper::Result<()>>,
}

impl Connection {
    async fn order(mut self) -> anyhow::Result<Heard> {
        let (head, body) = self.send().await?.into_parts();
        let body = body.collect().await.context("the answer broke off")?.to_bytes();
        if head.status.is_success() {
            let Receipt { order } = serde_json::from_slice(&body)?;
            let replayed = head.headers.get("idempotent-replayed").is_some_and(|value| value == "true");
            return Ok(Heard::Order { number: order, replayed });
        }
        let problem: Problem = serde_json::from_slice(&body)
            .with_context(|| format!("an answer {} that is no problem", head.status))?;
        Ok(problem.heard())
    }

    async fn send(&mut self) -> anyhow::Result<Response<Incoming>> {
        Ok(self.sender.send_request(self.request.clone()).await?)
    }
}

/// What the shop answers.
#[derive(Deserialize)]
struct Receipt {
    order: u64,
}

/// What the proxy answers in its own name (RFC 9457), as far as the agent reads it.
#[derive(Deserialize)]
struct Problem {
    r#type: String,
    effect: String,
    retryable: bool,
    next_action: String,
}

impl Problem {
    fn heard(&self) -> Heard {
        let text = self.to_line();
        if self.effect == "unknown" && !self.retryable {
            Heard::Doubt { text }
        } else {
            Heard::Refusal { text }
        }
    }

    /// Which problem, and the first sentence of what to do about it.
    fn to_line(&self) -> String {
        let name = self.r#type.rsplit('/').next().unwrap_or_default().replace('-', " ");
        let order = self.next_action.split('.').next().unwrap_or_default().to_lowercase();
        format!("{name}: {order}")
    }
}

impl Heard {
    /// The answer in a few words, where there was one.
    pub(super) fn to_line(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Order { number, replayed: false } => Some(format!("order {number}")),
            Self::Order { number, replayed: true } => Some(format!("order {number}, replayed")),
            Self::Doubt { text } | Self::Refusal { text } => Some(text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_doubt_only_where_the_effect_is_unknown_and_must_not_be_repeated() {
        let problem = |effect: &str, retryable| Problem {
            r#type: "http://127.0.0.1:1/problems/outcome-unknown".to_owned(),
            effect: effect.to_owned(),
            retryable,
            next_action: "Do not submit again. Check first.".to_owned(),
        };
        let text = "outcome unknown: do not submit again".to_owned();
        assert_eq!(problem("unknown", false).heard(), Heard::Doubt { text: text.clone() });
        assert_eq!(problem("unknown", true).heard(), Heard::Refusal { text: text.clone() });
        assert_eq!(problem("none", false).heard(), Heard::Refusal { text });
    }
}
