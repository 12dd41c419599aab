//! Plain requests that no rule holds back, from the client's socket to an instance's and back.
//!
//! What is true of them is what is true of every unguarded request: the same heads pass, with the same fields, to the same
//! instance, within the same times. They only take less work, for no body has to be looked after on the way there, and
//! of the answer nothing but its head is read. Field names leave as `Content-Type`, however the client wrote them: case
//! means nothing there (RFC 9110 section 5.1), and to keep it costs.

use std::fmt::Write as _;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::BodyExt as _;
use httpdate::HttpDate;
use onceward_tower::{Judgement, Rules};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::balance::Instance;
use super::forwarded::{self, Client};
use super::health::Sighting;
use super::origins::{Origins, is_for_another, note};
use super::unserved::Unserved;
use super::{GatewayExchange, accepted};
use crate::server::chunks::ChunkFault;
use crate::server::line::failed;
use crate::server::{ConnectionInfo, Left, Next, PlainClient, PlainRequest, ProxyBody};
use crate::upstream::{Answer, PlainBody, PlainLink, Unanswered, Unknown, Unreadable};

/// Up to here the beginning of a body is sent with its head, in one piece.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// Where heads are put together; kept from one request to the next.
#[derive(Default)]
struct Scratch {
    request: BytesMut,
    answer: BytesMut,
}

impl Scratch {
    /// A client that asks for nothing holds no more than a usual head's worth.
    fn rest(&mut self) {
        if self.answer.capacity() > JOINED_BYTES_MAX {
            self.answer = BytesMut::new();
        }
    }
}

/// One request on its way.
struct Passage<'a> {
    head: &'a Parts,
    /// What its answer says beside, in the place of what the instance may say.
    told: &'a HeaderMap,
    is_last: bool,
    began: Instant,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Close,
    /// The request is still there to be read, for it does not simply pass.
    General,
}

/// How far an answer was passed on.
#[derive(Debug)]
enum Relayed {
    Whole,
    /// Up to where it broke off.
    Cut(io::Error),
    /// Not at all, for its body is malformed from the beginning.
    Nothing(ChunkFault),
}

/// Of the client's connection nothing more can be made; of an instance's it is an [`Unserved`].
type Outcome<T> = io::Result<Result<T, Unserved>>;

impl<R: Rules> GatewayExchange<R> {
    /// Answers what a connection begins with, as far as it is plain and passes.
    pub(super) async fn pass_plain<I>(&self, client: &mut PlainClient<I>) -> Left
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        if !self.origins.takes_plain() {
            return Left::More;
        }
        let mut scratch = Scratch::default();
        loop {
            let mut request = match client.next().await {
                Next::Plain(request) => request,
                Next::Other => return Left::More,
                Next::End => break,
            };
            let answering = AssertUnwindSafe(self.answer(client, &mut request, &mut scratch));
            let answered = match answering.catch_unwind().await {
                Ok(answered) => answered,
                // Nobody takes a page for a part of an answer.
                Err(_) if client.is_answering() => return Left::Nothing,
                Err(_) => {
                    let page = failed(&accepted(&request.head.headers));
                    send_page(client, page, &request.head, then(client, request.is_last)).await
                }
            };
            match answered {
                Ok(Then::Next) => scratch.rest(),
                Ok(Then::Close) => break,
                Ok(Then::General) => return Left::More,
                Err(error) => {
                    tracing::debug!(%error, "a plain exchange broke off");
                    return Left::Nothing;
                }
            }
        }
        client.close().await;
        Left::Nothing
    }

    async fn answer<I>(
        &self,
        client: &mut PlainClient<I>,
        request: &mut PlainRequest,
        scratch: &mut Scratch,
    ) -> io::Result<Then>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let Some(told) = self.told(&mut request.head) else {
            client.put_back(&request.bytes);
            return Ok(Then::General);
        };
        let is_last = request.is_last;
        let passage = Passage { head: &request.head, told: &told, is_last, began: Instant::now() };
        self.origins.pass(client, &passage, scratch).await
    }

    /// Makes the head the one for the service, and says what the answer tells beside; `None` where it does not simply pass.
    fn told(&self, head: &mut Parts) -> Option<HeaderMap> {
        let info = head.extensions.get::<Arc<ConnectionInfo>>()?;
        let client = Client { peer: info.peer, scheme: info.via.scheme() };
        forwarded::tell(head, client, &self.trusted_proxies).ok()?;
        let mut told = HeaderMap::new();
        match self.rules.judge(head) {
            Judgement::Pass => Some(told),
            Judgement::PassUnkeyed => {
                self.engine.telemetry().count_unprotected();
                self.rules.advertise(&mut told);
                Some(told)
            }
            Judgement::Tell(_)
            | Judgement::Hear { .. }
            | Judgement::Refuse { .. }
            | Judgement::SeekKey(_)
            | Judgement::Guard(_) => None,
        }
    }
}

impl Origins {
    /// The next instance is tried only where it is proven that the one before did nothing with the request.
    async fn pass<I>(
        &self,
        client: &mut PlainClient<I>,
        passage: &Passage<'_>,
        scratch: &mut Scratch,
    ) -> io::Result<Then>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        write_request(passage.head, self.host(), &mut scratch.request);
        let mut unserved = Unserved::Late;
        for instance in self.balance().candidates(passage.began) {
            let place = instance.place();
            let (mut link, answer) = match self.ask(client, &instance, passage, scratch).await? {
                Ok(answered) => answered,
                Err(Unserved::Unanswered(unanswered)) => {
                    note(&instance, &unanswered);
                    let is_for_another = is_for_another(unanswered.evidence);
                    unserved = unanswered.into();
                    if is_for_another {
                        continue;
                    }
                    break;
                }
                Err(other) => {
                    unserved = other;
                    break;
                }
            };
            instance.note(Sighting::Reached, Instant::now());
            let then = then(client, passage.is_last);
            finish_head(&answer, passage.told, then, &mut scratch.answer);
            match self.relay(client, &mut link, answer.body, passage, &mut scratch.answer).await? {
                Relayed::Whole => {
                    if answer.is_persistent && link.received().is_empty() {
                        self.upstream().keep_plain(&instance.origin, link);
                    }
                    return Ok(then);
                }
                Relayed::Cut(error) => {
                    place.note_cut(&error);
                    return Ok(Then::Close);
                }
                Relayed::Nothing(fault) => {
                    let unanswered = Unanswered::unknown(Unknown::AnswerUnreadable, fault);
                    note(&instance, &unanswered);
                    unserved = unanswered.into();
                    break;
                }
            }
        }
        let page = unserved.page(&accepted(&passage.head.headers));
        send_page(client, page, passage.head, then(client, passage.is_last)).await
    }

    /// Sends a request and reads the head of its answer, of which what passes is in `scratch` then.
    async fn ask<I>(
        &self,
        client: &mut PlainClient<I>,
        instance: &Instance,
        passage: &Passage<'_>,
        scratch: &mut Scratch,
    ) -> Outcome<(PlainLink, Answer)>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let mut link = match self.upstream().plain(&instance.origin, passage.began).await {
            Ok(link) => link,
            Err(error) => return Ok(Err(Unanswered::from(error).into())),
        };
        let late = (Instant::now() + self.times().response_head).min(passage.began + self.times().whole);
        let mut sent_bytes = 0;
        loop {
            let sending = client.wait(late, |cx| link.poll_send(&scratch.request, &mut sent_bytes, cx));
            match sending.await? {
                Some(Ok(())) => break,
                // The connection closed while it was unused, and nothing was written: a new one takes the request.
                Some(Err(_)) if link.is_reused && sent_bytes == 0 => {
                    link = match self.upstream().dial_plain(&instance.origin).await {
                        Ok(link) => link,
                        Err(error) => return Ok(Err(Unanswered::from(error).into())),
                    };
                }
                Some(Err(error)) if sent_bytes == 0 => return Ok(Err(Unanswered::unwritten(error).into())),
                Some(Err(error)) => return Ok(Err(broken(error))),
                None => return Ok(Err(Unserved::Late)),
            }
        }
        let is_bodiless = passage.head.method == Method::HEAD;
        loop {
            scratch.answer.clear();
            match Answer::read(link.received(), is_bodiless, passage.told, &mut scratch.answer) {
                Ok(Some(answer)) => {
                    link.take(answer.head_bytes);
                    if !answer.is_interim {
                        return Ok(Ok((link, answer)));
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => return Ok(Err(unreadable(error))),
            }
            match client.wait(late, |cx| link.poll_read(cx)).await? {
                Some(Ok(0)) => return Ok(Err(broken(io::ErrorKind::UnexpectedEof.into()))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Ok(Err(broken(error))),
                None => return Ok(Err(Unserved::Late)),
            }
        }
    }

    /// Passes a body on as it comes, behind the head that is in `out`.
    async fn relay<I>(
        &self,
        client: &mut PlainClient<I>,
        link: &mut PlainLink,
        mut body: PlainBody,
        passage: &Passage<'_>,
        out: &mut BytesMut,
    ) -> io::Result<Relayed>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let head_bytes = out.len();
        loop {
            let followed = pass_received(client, link, &mut body, out).await?;
            match followed {
                Err(fault) if !client.is_answering() && out.len() == head_bytes => {
                    return Ok(Relayed::Nothing(fault));
                }
                Ok(()) if body.is_done() && !matches!(body, PlainBody::Sized(_)) => {
                    out.extend_from_slice(LAST_CHUNK);
                }
                Ok(()) | Err(_) => {}
            }
            if !out.is_empty() {
                client.send(out).await?;
                out.clear();
            }
            if let Err(fault) = followed {
                return Ok(Relayed::Cut(io::Error::other(fault)));
            }
            if body.is_done() {
                return Ok(Relayed::Whole);
            }
            let until = (Instant::now() + self.times().body_idle).min(passage.began + self.times().whole);
            match client.wait(until, |cx| link.poll_read(cx)).await? {
                Some(Ok(0)) if matches!(body, PlainBody::ToClose) => {
                    client.send(LAST_CHUNK).await?;
                    return Ok(Relayed::Whole);
                }
                Some(Ok(0)) => return Ok(Relayed::Cut(io::ErrorKind::UnexpectedEof.into())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Ok(Relayed::Cut(error)),
                None => return Ok(Relayed::Cut(io::ErrorKind::TimedOut.into())),
            }
        }
    }
}

/// Puts what has come of a body behind `out`, in chunks of our own where it has no length: what an instance writes around
/// its data was for the connection to us. A piece too large to be joined to a head is sent from where it is.
async fn pass_received<I>(
    client: &mut PlainClient<I>,
    link: &mut PlainLink,
    body: &mut PlainBody,
    out: &mut BytesMut,
) -> io::Result<Result<(), ChunkFault>>
where
    I: AsyncRead + AsyncWrite + Send + Unpin,
{
    let is_sized = matches!(body, PlainBody::Sized(_));
    loop {
        let piece = match body.piece(link.received()) {
            Ok(piece) => piece,
            Err(fault) => return Ok(Err(fault)),
        };
        link.take(piece.framing_bytes);
        let data = link.received().get(..piece.data_bytes).unwrap_or_default();
        if data.is_empty() {
            return Ok(Ok(()));
        }
        if !is_sized {
            write_chunk(data, out);
        } else if out.len() + data.len() <= JOINED_BYTES_MAX {
            out.extend_from_slice(data);
        } else {
            if !out.is_empty() {
                client.send(out).await?;
                out.clear();
            }
            client.send(data).await?;
        }
        link.take(piece.data_bytes);
    }
}

const CLOSE: &[u8] = b"connection: close\r\n";

/// RFC 9112 section 7.1.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Something of the request was written, and no answer came.
fn broken(error: io::Error) -> Unserved {
    Unanswered::unknown(Unknown::BrokeAfterSend, error).into()
}

fn unreadable(error: Unreadable) -> Unserved {
    Unanswered::unknown(Unknown::AnswerUnreadable, error).into()
}

fn write_request(head: &Parts, host: Option<&HeaderValue>, out: &mut BytesMut) {
    out.clear();
    let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    for part in [head.method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &head.headers {
        let value = host.filter(|_| name == HOST).unwrap_or(value);
        write_titled(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Names in the case in which most are defined, for servers that know no other.
fn write_titled(name: &HeaderName, value: &HeaderValue, out: &mut BytesMut) {
    let begin = out.len();
    write_field(name, value, out);
    let written = out.iter_mut().skip(begin).take(name.as_str().len());
    written.fold(b'-', |before, byte| {
        if before == b'-' {
            byte.make_ascii_uppercase();
        }
        *byte
    });
}

fn write_field(name: &HeaderName, value: &HeaderValue, out: &mut BytesMut) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    out.reserve(name.len() + value.len() + 4);
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// What comes behind the answer, as it begins.
fn then<I: AsyncRead + AsyncWrite + Unpin>(client: &PlainClient<I>, is_last: bool) -> Then {
    if is_last || client.is_stopping() { Then::Close } else { Then::Next }
}

/// Adds what the gateway says of an answer, and the end of its head.
fn finish_head(answer: &Answer, told: &HeaderMap, then: Then, out: &mut BytesMut) {
    for (name, value) in told {
        write_field(name, value, out);
    }
    if !answer.is_dated {
        write_date(out);
    }
    if then == Then::Close {
        out.extend_from_slice(CLOSE);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whoever passes on an answer without a date adds one (RFC 9110 section 6.6.1).
fn write_date(out: &mut BytesMut) {
    // Writing to memory does not fail.
    write!(out, "date: {}\r\n", HttpDate::from(SystemTime::now())).unwrap_or_default();
}

/// A piece of a body that has no length, for a client whose connection goes on behind it.
fn write_chunk(piece: &[u8], out: &mut BytesMut) {
    // Writing to memory does not fail.
    write!(out, "{:x}\r\n", piece.len()).unwrap_or_default();
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
}

/// Answers a request with a page of our own.
async fn send_page<I>(
    client: &mut PlainClient<I>,
    page: Response<ProxyBody>,
    request: &Parts,
    then: Then,
) -> io::Result<Then>
where
    I: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (head, body) = page.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut out = BytesMut::new();
    // Writing to memory does not fail.
    write!(out, "HTTP/1.1 {}\r\ncontent-length: {}\r\n", head.status, body.len()).unwrap_or_default();
    for (name, value) in &head.headers {
        write_field(name, value, &mut out);
    }
    write_date(&mut out);
    if then == Then::Close {
        out.extend_from_slice(CLOSE);
    }
    out.extend_from_slice(b"\r\n");
    if request.method != Method::HEAD {
        out.extend_from_slice(&body);
    }
    client.send(&out).await?;
    Ok(then)
}
