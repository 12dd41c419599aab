//! The guard behind hyper's HTTP/1.1 server, where bodies left unread would be taken for the next request.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use onceward_core::outcome::Policy;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower::ServiceExt;

use crate::kit::{
    AnyBody, Broken, Count, Guarded, Keyed, World, data, fields, frames, guarded, response, site, text,
};

/// Bytes in flight between the two ends of a connection.
const PIPE_BYTES: usize = 64 * 1024;

/// A connection to `guarded` behind hyper.
fn connect(guarded: Guarded) -> DuplexStream {
    let (client, server) = tokio::io::duplex(PIPE_BYTES);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let request = request.map(|body| body.map_err(|_| Broken("hyper")).boxed_unsync());
        guarded.clone().oneshot(request)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .pipeline_flush(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(server), service);
    tokio::spawn(async move { drop(serving.await) });
    client
}

/// Sends the bytes and reads until the server closes.
async fn talk(guarded: Guarded, bytes: &str) -> String {
    let mut client = connect(guarded);
    client.write_all(bytes.as_bytes()).await.unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    answers
}

fn ordered() -> (Count, crate::kit::Site) {
    let count = Count::default();
    let site = count.site(|runs| response(201, &[], text(format!("order {runs}"))));
    (count, site)
}

const COMMITTED: &str = "HTTP/1.1 201 Created\r\nidempotency-key-consumed: true\r\nintent-status: committed\r\n\
    content-length: 7\r\n\r\n";
const REPLAYED: &str = "HTTP/1.1 201 Created\r\nidempotent-replayed: true\r\nage: 0\r\n\
    idempotency-key-consumed: true\r\nintent-status: replayed\r\ncontent-length: 7\r\n\r\n";

// covers: O10
#[tokio::test(start_paused = true)]
async fn a_replay_takes_its_own_body_off_the_connection() {
    let (count, site) = ordered();
    // A body that reads as a request: left unread, it would be the next one.
    let hidden = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: hidden\r\nContent-Length: 0\r\n\r\n";
    let head = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n";
    let sized = format!("{head}Content-Length: {}\r\n\r\n{hidden}", hidden.len());
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let last = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: last\r\nConnection: close\r\n\r\n";
    let answers = talk(guarded(site).await, &format!("{sized}{sized}{chunked}{sized}{last}")).await;
    let committed_last = COMMITTED.replace("content-length", "connection: close\r\ncontent-length");
    let expected = format!(
        "{COMMITTED}order 1{REPLAYED}order 1{REPLAYED}order 1{REPLAYED}order 1{committed_last}order 2"
    );
    assert_eq!(sorted_fields(&answers), sorted_fields(&expected));
    assert_eq!(count.get(), 2);
}

/// With each head's fields in one order: hyper puts its own before or behind.
fn sorted_fields(answers: &str) -> String {
    let mut heads = Vec::new();
    for part in answers.split("\r\n\r\n") {
        let mut lines: Vec<&str> = part.split("\r\n").collect();
        lines[1..].sort_unstable();
        heads.push(lines.join("\n"));
    }
    heads.join("\n\n")
}

// covers: O10 S1
#[tokio::test(start_paused = true)]
async fn a_refusal_that_leaves_its_body_unread_ends_the_connection() {
    let (count, site) = ordered();
    let policy = Policy { request_bytes_max: 10, ..Policy::middleware() };
    let guarded = World::start().await.guard(Keyed::by(policy), site);
    let hidden = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: hidden\r\nContent-Length: 0\r\n\r\n";
    for key in ["k", "no, key"] {
        let refused = format!(
            "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {key}\r\nContent-Length: 1000000\r\n\r\n{hidden}"
        );
        let answers = talk(guarded.clone(), &refused).await;
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
        assert!(answers.starts_with("HTTP/1.1 4"), "{answers}");
    }
    assert_eq!(count.get(), 0);
}

// covers: O2
#[tokio::test(start_paused = true)]
async fn trailers_reach_the_client_at_first_and_again() {
    let trailing = site(|request| async move {
        drop(request.into_body().collect().await);
        let trailers: HeaderMap = fields(&[("x-sum", "9")]);
        let body: AnyBody = frames(vec![data("order 1"), Ok(Frame::trailers(trailers))]);
        Ok::<Response<AnyBody>, _>(response(200, &[("trailer", "x-sum")], body))
    });
    let guarded = guarded(trailing).await;
    let post =
        "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nTE: trailers\r\nConnection: close\r\n\r\n";
    for status in ["committed", "replayed"] {
        let answer = talk(guarded.clone(), post).await;
        assert!(answer.contains(&format!("intent-status: {status}\r\n")), "{answer}");
        assert!(answer.contains("\r\ntrailer: x-sum\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n7\r\norder 1\r\n0\r\nx-sum: 9\r\n\r\n"), "{answer}");
    }
}

// covers: O8
#[tokio::test(start_paused = true)]
async fn an_event_reaches_the_client_before_the_next_exists() {
    let (feed, body) = crate::kit::fed(1);
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let events = site(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Ok(response(200, &[("content-type", "text/event-stream")], body)) }
    });
    let mut client = connect(guarded(events).await);
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n";
    client.write_all(post).await.unwrap();
    let mut seen = Vec::new();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        feed.send(Ok(Frame::data(Bytes::from_static(event.as_bytes())))).await.unwrap();
        while !seen.ends_with(format!("{event}\r\n").as_bytes()) {
            seen.push(client.read_u8().await.unwrap());
        }
    }
}
