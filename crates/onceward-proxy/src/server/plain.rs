//! The plain requests of an HTTP/1.1 connection, read without a general server.
//!
//! Most of what a balancer passes on is a `GET` whose head comes in one piece and asks nothing of the hop itself. Such heads
//! are judged as the [`gate`](super::gate) judges them; the first other one takes its connection the general way, with
//! every byte that was read of it, and for good.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::address::{self, Destination};
use super::alarm::Alarm;
use super::head::{self, BodyLength, Framing, Then};
use super::line::Line;
use super::linger::Linger;
use super::rare::Rare;
use super::rewind::Rewind;
use super::{ConnectionInfo, Exchange};
use crate::limits::Limits;

/// One read, of which a head of usual size takes a small part.
const READ_BYTES: usize = 8 * 1024;

/// Room for the fields of a usual head and those that the gateway adds.
const FIELDS_USUAL: usize = 24;

/// What a plain head comes to: no body, and another head behind it.
pub(super) const PLAIN: Framing = Framing { body: BodyLength::Bytes(0), then: Then::Head };

/// A client's connection, as long as it carries nothing but plain requests.
pub struct PlainClient<I> {
    io: I,
    /// Bytes that were read and not taken for a request.
    buffer: BytesMut,
    /// Whether a part of an answer to the last request was sent.
    is_answering: bool,
    /// When the client was found to have closed its sending side.
    ended: Option<Instant>,
    stop: CancellationToken,
    stopped: Rare<WaitForCancellationFutureOwned>,
    alarm: Alarm,
    limits: Limits,
    info: Arc<ConnectionInfo>,
    local: SocketAddr,
}

/// A `GET` or `HEAD` of HTTP/1.1 without a body, that says nothing of its hop but whether it is the last.
pub struct PlainRequest {
    /// As an [`Exchange`] gets it, without the session.
    pub head: Parts,
    /// Whether the client wants the connection closed behind the answer.
    pub is_last: bool,
    /// As it came.
    pub bytes: Bytes,
}

/// What comes next on a client's connection.
pub enum Next {
    /// A plain request.
    Plain(Box<PlainRequest>),
    /// Something else, which is still there to be read.
    Other,
    /// Nothing: the client has closed, was silent for too long, or the listener stops.
    End,
}

/// What an exchange has left of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Requests that are not plain.
    More,
    /// Nothing.
    Nothing,
}

impl<I: AsyncRead + AsyncWrite + Unpin> PlainClient<I> {
    pub(super) fn new<E: Exchange>(io: I, line: &Line<E>) -> Self {
        let stop = line.listener().tasks.stop().clone();
        Self {
            io,
            buffer: BytesMut::new(),
            is_answering: false,
            ended: None,
            stopped: Rare::new(stop.clone().cancelled_owned()),
            stop,
            alarm: Alarm::default(),
            limits: *line.limits(),
            info: Arc::clone(line.info()),
            local: line.listener().local,
        }
    }

    /// Everything that was read and not taken, and what comes behind it.
    pub(super) fn into_rest(self) -> Rewind<I> {
        Rewind::new(self.buffer.freeze(), self.io)
    }

    /// The connection that requests come on.
    pub fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    /// Whether the answers of this connection are to announce its close.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Whether a part of an answer to the last request was sent.
    pub fn is_answering(&self) -> bool {
        self.is_answering
    }

    /// Waits for a request.
    pub async fn next(&mut self) -> Next {
        self.is_answering = false;
        if self.buffer.is_empty() {
            let mut until = None;
            let filled = poll_fn(|cx| {
                // The stop comes first: a request that has not begun does not begin any more.
                if Pin::new(&mut self.stopped).poll(cx).is_ready() {
                    return Poll::Ready(Ok(false));
                }
                if let Poll::Ready(filled) = self.poll_fill(cx) {
                    return Poll::Ready(filled.map(|()| self.ended.is_none()));
                }
                let until = *until.get_or_insert_with(|| Instant::now() + self.limits.idle_time);
                self.alarm.poll(until, cx).map(|()| Ok(false))
            });
            if !filled.await.unwrap_or(false) {
                return Next::End;
            }
        }
        self.take().map_or(Next::Other, |request| Next::Plain(Box::new(request)))
    }

    /// Makes a request unread.
    pub fn put_back(&mut self, request: &[u8]) {
        let behind = mem::replace(&mut self.buffer, BytesMut::from(request));
        self.buffer.extend_from_slice(&behind);
    }

    /// Polls `step` of an answer until `deadline`; `Ok(None)` when that has passed. What the client sends in the meantime is
    /// kept. It may close its sending side, and has its answer if that comes within
    /// [`Limits::half_close_time`](crate::limits::Limits::half_close_time).
    ///
    /// # Errors
    /// When nobody waits for the answer any more.
    pub async fn wait<T>(
        &mut self,
        deadline: Instant,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> io::Result<Option<T>> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = step(cx) {
                return Poll::Ready(Ok(Some(done)));
            }
            while self.ended.is_none() && self.buffer.len() < READ_BYTES {
                match self.poll_fill(cx)? {
                    Poll::Ready(()) => {}
                    Poll::Pending => break,
                }
            }
            let given_up = self.ended.map(|ended| ended + self.limits.half_close_time);
            match given_up.filter(|given_up| *given_up < deadline) {
                Some(until) => self.alarm.poll(until, cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
                None => self.alarm.poll(deadline, cx).map(|()| Ok(None)),
            }
        })
        .await
    }

    /// Sends a part of an answer.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_answering = true;
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// Closes behind the last answer, so that the client gets it whole.
    pub async fn close(&mut self) {
        if let Err(error) = self.io.shutdown().await {
            tracing::debug!(%error, "the client has gone already");
            return;
        }
        if self.ended.is_some() {
            return;
        }
        let mut linger = Linger::default();
        if !self.buffer.is_empty() {
            linger.begin(self.limits.linger_time);
        }
        poll_fn(|cx| linger.poll(&mut self.io, self.limits.linger_time, cx)).await;
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.buffer.reserve(READ_BYTES);
        let count = ready!(pin!(self.io.read_buf(&mut self.buffer)).poll(cx))?;
        if count == 0 {
            self.ended.get_or_insert_with(Instant::now);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes a plain request off the buffer.
    fn take(&mut self) -> Option<PlainRequest> {
        let end = head::end(&self.buffer, 0).ok()?.filter(|end| *end <= self.limits.head_bytes_max)?;
        if head::judge(self.buffer.get(..end)?, self.limits.head_fields_max) != Ok(PLAIN) {
            return None;
        }
        let bytes = self.buffer.split_to(end).freeze();
        match read(&bytes).and_then(|(head, is_last)| Some((self.addressed(head)?, is_last))) {
            Some((head, is_last)) => Some(PlainRequest { head, is_last, bytes }),
            None => {
                self.put_back(&bytes);
                None
            }
        }
    }

    /// What an [`Exchange`] is promised of a request.
    fn addressed(&self, mut head: Parts) -> Option<Parts> {
        let Ok(Destination::Origin(scheme, target)) = address::destination(&head, &self.info.via, self.local)
        else {
            return None;
        };
        head.uri = address::absolute(&head.uri, head.headers.get(HOST), scheme, &target).ok()?;
        head.extensions.insert(Arc::clone(&self.info));
        Some(head)
    }
}

/// Reads a judged head; `None` where it is not plain.
pub(super) fn read(bytes: &Bytes) -> Option<(Parts, bool)> {
    let mut lines = head::split_lines(bytes.strip_suffix(b"\r\n\r\n")?);
    let mut words = lines.next()?.split(|&byte| byte == b' ');
    let method = match words.next()? {
        b"GET" => Method::GET,
        b"HEAD" => Method::HEAD,
        _ => return None,
    };
    let uri = Uri::from_maybe_shared(bytes.slice_ref(words.next()?)).ok()?;
    if words.next()? != b"HTTP/1.1" {
        return None;
    }
    let (mut headers, mut is_last) = (HeaderMap::with_capacity(FIELDS_USUAL), false);
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = line.split_at(colon);
        let (name, value) = (HeaderName::from_bytes(name).ok()?, value.strip_prefix(b":")?.trim_ascii());
        if name == CONNECTION {
            match value {
                value if value.eq_ignore_ascii_case(b"keep-alive") => {}
                value if value.eq_ignore_ascii_case(b"close") => is_last = true,
                _ => return None,
            }
        } else if concerns_hop(&name) || name == COOKIE && headers.contains_key(COOKIE) {
            return None;
        } else {
            headers.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()?);
        }
    }
    let (mut head, ()) = Request::new(()).into_parts();
    (head.method, head.uri, head.headers) = (method, uri, headers);
    Some((head, is_last))
}

/// Whether the general way does more with a field than pass it on. `Transfer-Encoding` is none of a plain request.
fn concerns_hop(name: &HeaderName) -> bool {
    [TE, UPGRADE, EXPECT, CONTENT_LENGTH].contains(name)
        || matches!(name.as_str(), "keep-alive" | "http2-settings")
        || name.as_str().starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Target, fields and whether it is the last, of a plain head.
    fn plain(head: &str) -> Option<(String, Vec<String>, bool)> {
        let (head, is_last) = read(&Bytes::copy_from_slice(head.as_bytes()))?;
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        Some((format!("{} {}", head.method, head.uri), head.headers.iter().map(line).collect(), is_last))
    }

    #[test]
    fn a_plain_head_says_nothing_of_its_hop_but_whether_it_is_the_last() {
        let head = "GET /a?b=c HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\nCookie:  b=c \r\nX: 1\r\nx: 2\r\n\r\n";
        let fields = ["host: a", "cookie: b=c", "x: 1", "x: 2"].map(str::to_owned).to_vec();
        assert_eq!(plain(head), Some(("GET /a?b=c".to_owned(), fields, false)));
        let last = "HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert_eq!(plain(last), Some(("HEAD /".to_owned(), vec!["host: a".to_owned()], true)));
    }

    #[test]
    fn what_the_hop_is_to_look_at_is_not_plain() {
        let others = [
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic YQ==\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
        ];
        for head in others {
            assert_eq!(plain(head), None, "{head}");
        }
    }
}
