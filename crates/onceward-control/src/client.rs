//! Asks a running onceward through its control API.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, LINK},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use onceward_core::{
    actor::{ActorTag, KeyTag},
    key::Key,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinSet,
    time::timeout,
};

use crate::{
    door::check_socket_path,
    limits::{ANSWER_BYTES_MAX, ANSWER_TIME_MAX},
    token::Token,
    wire,
};

/// A caller of the control API. Each call has a connection of its own.
#[derive(Clone, Debug)]
pub struct ControlClient {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    Tcp { address: SocketAddr, token: Token },
}

/// Which effects to list; by default all, a page at a time.
#[derive(Clone, Debug, Default)]
pub struct EffectsQuery {
    /// Only those in doubt.
    pub in_doubt_only: bool,
    /// Only those of this key.
    pub key: Option<KeySelector>,
    /// Only those of this actor.
    pub actor: Option<ActorTag>,
    /// Where to go on: [`wire::EffectPage::next`].
    pub after: Option<String>,
    /// Entries of a page, 1 to 1,000; the server decides where none are named.
    pub limit: Option<usize>,
}

/// Which lines of the audit log to read.
#[derive(Clone, Debug)]
pub enum AuditQuery {
    /// All, from the oldest on.
    All,
    /// Those about a key.
    Of(KeySelector),
    /// Those behind an earlier page: its [`AuditPage::next`].
    At(String),
}

/// One page of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// JSON Lines, as they were written; empty at the end.
    pub lines: String,
    /// Where the log goes on.
    pub next: Option<String>,
}

/// Names a key.
#[derive(Clone, Debug)]
pub enum KeySelector {
    /// By what listings show of it.
    Tag(KeyTag),
    /// By itself; it travels in a header, never in a path.
    Key(Key),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no onceward is running at {place}")]
    NotRunning {
        /// The socket or address.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// It answered no.
    #[error("{}", .problem.detail)]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it says.
        problem: wire::Problem,
    },
    /// The exchange broke, or something else than onceward answered. A change may have been made.
    #[error("the exchange with {place} broke: {what}")]
    Broken {
        /// The socket or address.
        place: String,
        /// A fixed text.
        what: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ControlClient {
    /// A client of the Unix socket at `path`.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self { place: Place::Unix(path.to_owned()) }
    }

    /// A client of a TCP listener.
    #[must_use]
    pub fn tcp(address: SocketAddr, token: Token) -> Self {
        Self { place: Place::Tcp { address, token } }
    }

    /// Lists effects, newest change first.
    ///
    /// # Errors
    /// See [`ClientError`]; so for every call.
    pub async fn effects(&self, query: &EffectsQuery) -> Result<wire::EffectPage, ClientError> {
        let mut headers = HeaderMap::new();
        let mut parameters = Vec::new();
        if query.in_doubt_only {
            parameters.push(String::from("state=in-doubt"));
        }
        match &query.key {
            None => {}
            Some(KeySelector::Tag(tag)) => parameters.push(format!("key={tag}")),
            Some(KeySelector::Key(key)) => {
                headers.insert("idempotency-key", self.key_field(key)?);
            }
        }
        parameters.extend(query.actor.map(|actor| format!("actor={actor}")));
        parameters.extend(query.after.as_ref().map(|after| format!("after={after}")));
        parameters.extend(query.limit.map(|limit| format!("limit={limit}")));
        self.ask(Method::GET, &format!("/v1/effects?{}", parameters.join("&")), headers, Bytes::new()).await
    }

    /// Shows one effect by its lookup id.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where there is none.
    pub async fn effect(&self, id: &str) -> Result<wire::EffectDetail, ClientError> {
        self.ask(Method::GET, &format!("/v1/effects/{id}"), HeaderMap::new(), Bytes::new()).await
    }

    /// Ends a doubt (D3). After [`ClientError::Broken`] the same verdict may be told again (L11).
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 409 where there is no doubt about the attempt that was judged.
    pub async fn resolve(&self, id: &str, verdict: &wire::Resolve) -> Result<wire::Change, ClientError> {
        self.tell(&format!("/v1/effects/{id}/resolve"), verdict).await
    }

    /// Cancels an effect (D5).
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 409 while it runs.
    pub async fn cancel(&self, id: &str, cancel: &wire::Cancel) -> Result<wire::Change, ClientError> {
        self.tell(&format!("/v1/effects/{id}/cancel"), cancel).await
    }

    /// Erases the content of an actor's effects, a bounded number a call (T4). It may be told again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 503 where the store does not answer.
    pub async fn erase(&self, actor: ActorTag, erase: &wire::Erase) -> Result<wire::Erased, ClientError> {
        self.tell(&format!("/v1/actors/{actor}/erase"), erase).await
    }

    /// One page of the audit log, oldest lines first: the first one, or that to which `next` of another leads.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 503 where the store does not answer.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, ClientError> {
        let mut headers = HeaderMap::new();
        let target = match query {
            AuditQuery::All => String::from("/v1/audit?limit=1000"),
            AuditQuery::Of(KeySelector::Tag(tag)) => format!("/v1/audit?limit=1000&key={tag}"),
            AuditQuery::Of(KeySelector::Key(key)) => {
                headers.insert("idempotency-key", self.key_field(key)?);
                String::from("/v1/audit?limit=1000")
            }
            AuditQuery::At(next) => next.clone(),
        };
        let response = self.answer(Method::GET, &target, headers, Bytes::new()).await?;
        let link = response.headers().get(LINK).and_then(|link| link.to_str().ok());
        // Of the one shape that the server writes; another path is not followed.
        let next = link.and_then(|link| link.strip_prefix('<')?.split_once('>')).map(|(next, _)| next);
        let next = next.filter(|next| next.starts_with("/v1/audit?")).map(str::to_owned);
        let lines = String::from_utf8(response.into_body().into())
            .map_err(|error| self.broken("not an answer of onceward", error))?;
        Ok(AuditPage { lines, next })
    }

    /// What the store says of itself.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 503 where it does not answer.
    pub async fn store(&self) -> Result<wire::StoreStats, ClientError> {
        self.ask(Method::GET, "/v1/store", HeaderMap::new(), Bytes::new()).await
    }

    /// Raises the history barrier (T5). It never falls, so that this may be told again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 503 where the store does not answer.
    pub async fn raise_barrier(&self, raise: &wire::RaiseBarrier) -> Result<wire::Barrier, ClientError> {
        self.tell("/v1/store/barrier", raise).await
    }

    async fn tell<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body =
            serde_json::to_vec(body).map_err(|error| self.broken("the body cannot be written", error))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.ask(Method::POST, path, headers, Bytes::from(body)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let response = self.answer(method, target, headers, body).await?;
        serde_json::from_slice(response.body())
            .map_err(|error| self.broken("not an answer of onceward", error))
    }

    /// The answer where it is none of a refusal.
    async fn answer(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, ClientError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            target.parse().map_err(|error| self.broken("the target cannot be written", error))?;
        *request.headers_mut() = headers;
        self.address(request.headers_mut())?;
        let exchange = timeout(ANSWER_TIME_MAX, self.exchange(request));
        let response = exchange.await.map_err(|elapsed| self.broken("no answer in time", elapsed))??;
        if response.status().is_success() {
            return Ok(response);
        }
        let problem = serde_json::from_slice(response.body())
            .map_err(|error| self.broken("refused, and not in the words of onceward", error))?;
        Err(ClientError::Refused { status: response.status(), problem })
    }

    /// The fields that a door asks for.
    fn address(&self, headers: &mut HeaderMap) -> Result<(), ClientError> {
        let host = match &self.place {
            Place::Unix(_) => HeaderValue::from_static("localhost"),
            Place::Tcp { address, token } => {
                let bearer =
                    token.bearer().map_err(|error| self.broken("the token cannot be sent", error))?;
                headers.insert(AUTHORIZATION, bearer);
                HeaderValue::try_from(address.to_string())
                    .map_err(|error| self.broken("the address cannot be sent", error))?
            }
        };
        headers.insert(HOST, host);
        Ok(())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        match &self.place {
            Place::Unix(path) => {
                check_socket_path(path).map_err(|error| self.broken("no such socket can exist", error))?;
                let stream = UnixStream::connect(path).await;
                self.exchange_over(stream.map_err(|error| self.unreached(error))?, request).await
            }
            Place::Tcp { address, .. } => {
                let stream = TcpStream::connect(address).await;
                self.exchange_over(stream.map_err(|error| self.unreached(error))?, request).await
            }
        }
    }

    async fn exchange_over<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken("no connection came about", error))?;
        // Dropped, and so ended, with this exchange.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| self.broken("no answer", error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|source| ClientError::Broken {
            place: self.to_string(),
            what: "the answer broke off",
            source,
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// A key as a structured-field String: the bare form cannot carry every key.
    fn key_field(&self, key: &Key) -> Result<HeaderValue, ClientError> {
        let escaped = key.expose().replace('\\', "\\\\").replace('"', "\\\"");
        let mut field = HeaderValue::try_from(format!("\"{escaped}\""))
            .map_err(|error| self.broken("the key cannot be sent", error))?;
        field.set_sensitive(true);
        Ok(field)
    }

    fn unreached(&self, source: io::Error) -> ClientError {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { place: self.to_string(), source }
            }
            _ => self.broken("it cannot be reached", source),
        }
    }

    fn broken(
        &self,
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Broken { place: self.to_string(), what, source: source.into() }
    }
}

impl std::fmt::Display for ControlClient {
    /// Where it asks.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "{}", path.display()),
            Place::Tcp { address, .. } => write!(f, "{address}"),
        }
    }
}
