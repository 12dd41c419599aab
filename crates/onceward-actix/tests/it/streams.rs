//! Answers that flow: too large to be held, events, and slow readers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    body::BodyStream,
    web::{self, Bytes, ServiceConfig},
};
use futures_util::stream;
use onceward_core::outcome::Policy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::kit::{COMMITTED, Count, Lines, World, ask, post, problem, response, shown};

const EVENTS: Lines = &[("content-type", "text/event-stream; charset=utf-8")];

type Piece = Result<Bytes, std::io::Error>;

fn data(content: impl Into<Bytes>) -> Piece {
    Ok(content.into())
}

fn cut() -> Piece {
    Err(std::io::Error::other("cut"))
}

/// A handler that answers once, with a body that the test feeds.
fn fed(lines: Lines) -> (mpsc::Sender<Piece>, impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static) {
    let (feed, pieces) = mpsc::channel(1);
    let pieces = Arc::new(Mutex::new(Some(pieces)));
    let routes = move |config: &mut ServiceConfig| {
        config.default_service(web::to(move |_: Bytes| {
            let mut pieces = pieces.lock().unwrap().take().expect("the handler was asked twice");
            let body = stream::poll_fn(move |context| pieces.poll_recv(context));
            async move { response(200, lines).body(BodyStream::new(body)) }
        }));
    };
    (feed, routes)
}

/// Begins to ask on a connection that stays.
async fn begin(addr: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(post("k", "a").as_bytes()).await.unwrap();
    client
}

async fn read_up_to(client: &mut TcpStream, end: &str) -> Vec<u8> {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        seen.push(client.read_u8().await.unwrap());
    }
    seen
}

fn replayed(lines: &str, content: &str) -> String {
    format!(
        "200\nage: 0\n{lines}idempotency-key-consumed: true\nidempotent-replayed: true\n\
         intent-status: replayed\n\n{content}"
    )
}

// covers: O8
#[actix_web::test]
async fn an_event_reaches_the_client_before_the_next_exists_and_all_are_kept() {
    let world = World::start().await;
    let (feed, routes) = fed(EVENTS);
    let addr = world.serve(Policy::middleware(), routes).addr;
    let mut client = begin(addr).await;
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        feed.send(data(event)).await.unwrap();
        read_up_to(&mut client, &format!("{event}\r\n")).await;
    }
    drop(feed);
    read_up_to(&mut client, "0\r\n\r\n").await;
    let lines = "content-length: 18\ncontent-type: text/event-stream; charset=utf-8\n";
    let repeated = replayed(lines, "data: 1\\n\\ndata: 2\\n\\n");
    assert_eq!(ask(addr, &post("k", "a")).await, repeated);
}

// covers: O7
#[actix_web::test]
async fn what_is_too_large_flows_and_its_retry_learns_the_status() {
    let world = World::start().await;
    let (feed, routes) = fed(&[]);
    let policy = Policy { outcome_bytes_max: 10, ..Policy::middleware() };
    let addr = world.serve(policy, routes).addr;
    let mut client = begin(addr).await;
    feed.send(data("0123456789")).await.unwrap();
    feed.send(data("x")).await.unwrap();
    let first = read_up_to(&mut client, "0123456789\r\n1\r\nx\r\n").await;
    feed.send(data("end")).await.unwrap();
    drop(feed);
    let rest = read_up_to(&mut client, "0\r\n\r\n").await;
    let expected = format!("200\n{COMMITTED}transfer-encoding: chunked\n\n0123456789xend");
    assert_eq!(shown(&[first, rest].concat()), expected);
    let refused = ask(addr, &post("k", "a")).await;
    assert!(refused.starts_with("409\n") && refused.contains("/problems/outcome-not-kept"), "{refused}");
    assert!(refused.contains("The first request was answered 200"), "{refused}");
}

// covers: O7
#[actix_web::test]
async fn a_large_answer_of_known_length_keeps_its_length_while_it_flows() {
    let (world, count) = (World::start().await, Count::default());
    let site = count.site(|_| {
        let pieces = stream::iter([data("01234"), data("56789"), data("x")]);
        response(200, &[]).no_chunking(11).body(BodyStream::new(pieces))
    });
    let policy = Policy { outcome_bytes_max: 9, ..Policy::middleware() };
    let addr = world.serve(policy, site).addr;
    let expected = format!("200\ncontent-length: 11\n{COMMITTED}\n0123456789x");
    assert_eq!(ask(addr, &post("k", "a")).await, expected);
}

// covers: O1 O8 L6
#[actix_web::test]
async fn an_answer_is_recorded_whose_reader_goes_away() {
    let world = World::start().await;
    let (feed, routes) = fed(EVENTS);
    let addr = world.serve(Policy::middleware(), routes).addr;
    let mut client = begin(addr).await;
    feed.send(data("seen ")).await.unwrap();
    read_up_to(&mut client, "seen \r\n").await;
    client.set_zero_linger().unwrap();
    drop(client);
    for _ in 0..100 {
        feed.send(data("unseen ")).await.unwrap();
    }
    drop(feed);
    let lines = "content-length: 705\ncontent-type: text/event-stream; charset=utf-8\n";
    let repeated = replayed(lines, &format!("seen {}", "unseen ".repeat(100)));
    assert_eq!(ask(addr, &post("k", "a")).await, repeated);
}

// covers: O8 S1
#[actix_web::test]
async fn a_reader_that_is_slow_slows_the_handler() {
    let world = World::start().await;
    let (feed, routes) = fed(EVENTS);
    let addr = world.serve(Policy::middleware(), routes).addr;
    let mut client = begin(addr).await;
    let event = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut sent = 0;
    // waits: until the sockets between are full; nothing else tells that a writer is stopped.
    let stalled = Duration::from_millis(500);
    while tokio::time::timeout(stalled, feed.send(data(event.clone()))).await.is_ok() {
        sent += event.len();
        assert!(sent < 64 * 1024 * 1024, "64 MiB pile up behind a reader that reads none");
    }
    let draining = actix_web::rt::spawn(async move { client.read_to_end(&mut Vec::new()).await });
    tokio::time::timeout(Duration::from_secs(10), feed.send(data(event))).await.unwrap().unwrap();
    draining.abort();
}

// covers: O4 L5
#[actix_web::test]
async fn an_answer_that_breaks_off_is_doubt_whether_it_was_held_or_flowed() {
    let (world, count) = (World::start().await, Count::default());
    let held = count.site(|_| response(200, &[]).streaming(stream::iter([data("half"), cut()])));
    let addr = world.serve(Policy::middleware(), held).addr;
    for _ in 0..2 {
        assert_eq!(problem(addr, &post("held", "a")).await, "409 outcome-unknown");
    }
    assert_eq!(count.get(), 1);

    let (feed, routes) = fed(EVENTS);
    let addr = world.serve(Policy::middleware(), routes).addr;
    let mut client = begin(addr).await;
    feed.send(data("half")).await.unwrap();
    read_up_to(&mut client, "4\r\nhalf\r\n").await;
    feed.send(cut()).await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "half an answer looks whole");
    assert_eq!(problem(addr, &post("k", "a")).await, "409 outcome-unknown");
}

// covers: L6 O4
#[actix_web::test]
async fn an_answer_whose_worker_stops_is_doubt_and_not_taken_for_whole() {
    let world = World::start().await;
    let (feed, routes) = fed(EVENTS);
    let stopping = world.serve(Policy::middleware(), routes);
    let mut client = begin(stopping.addr).await;
    feed.send(data("half")).await.unwrap();
    read_up_to(&mut client, "4\r\nhalf\r\n").await;
    stopping.handle.stop(false).await;
    feed.closed().await;

    let count = Count::default();
    let addr = world.serve(Policy::middleware(), count.site(|_| response(200, &[]).finish())).addr;
    assert_eq!(problem(addr, &post("k", "a")).await, "409 outcome-unknown");
    assert_eq!(count.get(), 0);
}
