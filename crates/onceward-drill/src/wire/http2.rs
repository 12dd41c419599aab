//! HTTP/2, for what has to hold on both versions.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{task::JoinSet, time::timeout};

use super::{ANSWER_TIME_MAX, Answer, Ask, WireFault};
use crate::target::{Protocol, Target};

/// A connection that speaks HTTP/2.
pub(crate) struct Session {
    sender: http2::SendRequest<Full<Bytes>>,
    base: String,
    _connection: JoinSet<()>,
}

impl Session {
    pub(crate) async fn open(target: &Target) -> Result<Self, WireFault> {
        let io = TokioIo::new(target.connect(Protocol::Http2).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // What fails here fails each request of the connection, and is told there.
            drop(connection.await);
        });
        Ok(Self { sender, base: target.address(), _connection: tasks })
    }

    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answer, WireFault> {
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(ask.content())));
        let malformed = || WireFault::Malformed("the request cannot be sent over HTTP/2");
        *request.method_mut() = ask.method.parse().or(Err(malformed()))?;
        *request.uri_mut() = format!("{}{}", self.base, ask.target).parse().or(Err(malformed()))?;
        for field in &ask.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).or(Err(malformed()))?;
            let value = HeaderValue::from_bytes(&field.value).or(Err(malformed()))?;
            request.headers_mut().append(name, value);
        }
        let mut sender = self.sender.clone();
        let answered = async move { read(sender.send_request(request).await?).await };
        timeout(ANSWER_TIME_MAX, answered).await?
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, WireFault> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let fields = |fields: &http::HeaderMap| {
        fields.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
    };
    Ok(Answer {
        version: "HTTP/2",
        status: head.status.as_u16(),
        fields: fields(&head.headers),
        body: body.to_bytes().to_vec(),
        trailers: fields(&trailers),
        is_whole: true,
    })
}
