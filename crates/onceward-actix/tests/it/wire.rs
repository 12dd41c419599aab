//! Connections that carry more than one request, and HTTP/2.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward_core::outcome::Policy;
use tokio::net::TcpStream;

use crate::kit::{Count, World, post, response, talk};

/// The answers on one connection: status, what the guard says of it, content.
async fn told(addr: std::net::SocketAddr, requests: &str) -> Vec<String> {
    let text = String::from_utf8(talk(addr, requests.as_bytes()).await).unwrap();
    let answers = text.split("HTTP/1.1 ").skip(1).map(|answer| {
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.lines().find_map(|line| line.strip_prefix("intent-status: "));
        format!("{} {} {content}", &head[..3], status.unwrap_or("-"))
    });
    answers.collect()
}

const LAST: &str = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: last\r\nConnection: close\r\n\r\n";

// covers: O10
#[actix_web::test]
async fn a_replay_takes_its_own_body_off_the_connection() {
    let (world, count) = (World::start().await, Count::default());
    let site = count.site(|runs| response(201, &[]).body(format!("order {runs}")));
    let addr = world.serve(Policy::middleware(), site).addr;
    // A body that reads as a request: left unread, it would be the next one.
    let hidden = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: hidden\r\nContent-Length: 0\r\n\r\n";
    let sized = post("k", hidden);
    let head = "POST /order?id=1 HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n";
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let answers = told(addr, &format!("{sized}{sized}{chunked}{sized}{LAST}")).await;
    assert_eq!(
        answers,
        [
            "201 committed order 1",
            "201 replayed order 1",
            "201 replayed order 1",
            "201 replayed order 1",
            "201 committed order 2",
        ]
    );
    assert_eq!(count.get(), 2);
}

// covers: O10 S1
#[actix_web::test]
async fn a_refusal_that_leaves_its_body_unread_does_not_take_it_for_a_request() {
    let (world, count) = (World::start().await, Count::default());
    let policy = Policy { request_bytes_max: 10, ..Policy::middleware() };
    let addr = world.serve(policy, count.site(|_| response(201, &[]).finish())).addr;
    for key in ["k", "no, key"] {
        let refused = post(key, &LAST.replace("last", "hidden"));
        let answers = told(addr, &refused).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers[0].starts_with("4"), "{answers:?}");
    }
    assert_eq!(count.get(), 0);
}

// covers: O1 O3
#[actix_web::test]
async fn requests_of_http_2_are_guarded_too() {
    let (world, count) = (World::start().await, Count::default());
    let site = count.site(|runs| {
        response(201, &[("set-cookie", "a=1"), ("set-cookie", "b=2")]).body(format!("order {runs}"))
    });
    let addr = world.serve(Policy::forward_proxy(), site).addr;
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    actix_web::rt::spawn(connection);
    for status in ["committed", "replayed"] {
        let request = Request::post("http://a/order?id=1").header("idempotency-key", "k");
        let answer = sender.send_request(request.body(Full::<Bytes>::from("a")).unwrap()).await.unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        let head = (answer.status().as_u16(), answer.headers()["intent-status"].to_str().unwrap());
        assert_eq!(head, (201, status));
        let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        let content: Bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(content, "order 1");
    }
    // The same request over HTTP/1.1 is the same request.
    assert_eq!(told(addr, &format!("{}{LAST}", post("k", "a"))).await[0], "201 replayed order 1");
    assert_eq!(count.get(), 2);
}
