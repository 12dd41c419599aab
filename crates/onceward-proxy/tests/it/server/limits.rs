//! What is bounded, and how a client learns of it.

use super::*;

const SHORT: Duration = Duration::from_millis(50);

/// Leaves a client of a busy machine the time to send its request.
const UNUSED: Duration = Duration::from_millis(500);

// covers: S1
#[tokio::test]
async fn a_slow_head_is_answered_and_closed() {
    let proxy = Setup::limits(Limits { head_time: SHORT, ..Limits::default() }).start(Mirror).await;
    for begun in ["P", "GET http://a.example/ HT", "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"] {
        let answer = proxy.talk(begun.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{begun}: {answer}");
        assert!(answer.ends_with("onceward: the request head did not arrive in time\n"), "{begun}: {answer}");
    }
}

// covers: S1
#[tokio::test]
async fn a_long_head_is_answered_and_closed() {
    let limits = Limits { head_bytes_max: 1_000, head_fields_max: 8, ..Limits::default() };
    let proxy = Setup::limits(limits).start(Mirror).await;
    let head = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n";
    let cases = [
        (format!("{head}X: {}\r\n\r\n", "x".repeat(1_000)), "the request head is too long"),
        (format!("{head}X: {}", "x".repeat(1_000)), "the request head is too long"),
        (format!("{head}{}\r\n", "X: x\r\n".repeat(8)), "the request head has too many fields"),
    ];
    for (request, detail) in cases {
        let answer = proxy.talk(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("onceward: {detail}\n")), "{answer}");
    }
    let mut client = proxy.dial().await;
    let allowed = format!("{head}{}\r\n", "X: x\r\n".repeat(7));
    assert_eq!(ask(&mut client, &allowed).await.0, "HTTP/1.1 200 OK");
}

// covers: S1
#[tokio::test]
async fn a_body_that_stands_still_ends_in_an_error() {
    let proxy = Setup::limits(Limits { body_idle_time: SHORT, ..Limits::default() }).start(Mirror).await;
    let answer = proxy
        .talk(b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("the request body stood still"), "{answer}");
}

// covers: S1
#[tokio::test]
async fn an_unused_connection_is_closed() {
    let proxy = Setup::limits(Limits { idle_time: UNUSED, ..Limits::default() }).start(Mirror).await;
    assert_eq!(proxy.talk(b"").await, "");
    let answer = proxy.talk(b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

// covers: S1
#[tokio::test]
async fn an_unused_http2_connection_is_closed() {
    let proxy = Setup::limits(Limits { idle_time: UNUSED, ..Limits::default() }).start(Mirror).await;
    let io = hyper_util::rt::TokioIo::new(proxy.dial().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://a.example/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    tokio::time::timeout(DEADLINE, connection).await.unwrap().unwrap().unwrap();
    drop(sender);
}

// covers: S1
#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let proxy = Setup::limits(limits).start(Mirror).await;
    let request = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut first = proxy.dial().await;
    assert_eq!(ask(&mut first, request).await.0, "HTTP/1.1 200 OK");

    let mut second = proxy.dial().await;
    assert_eq!(ask_ignoring_case(&mut second, request).await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(ask(&mut first, request).await.0, "HTTP/1.1 200 OK");
}

async fn ask_ignoring_case(client: &mut TcpStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(client).await;
    head.lines().next().unwrap().to_owned()
}

// covers: S1
#[tokio::test]
async fn a_tunnel_too_many_is_told_so() {
    let proxy = Setup::limits(Limits { tunnels_max: 1, ..Limits::default() }).start(Mirror).await;
    let first = proxy.tunnel("a.example:80", "").await;
    let answer = proxy.talk(b"CONNECT b.example:80 HTTP/1.1\r\nHost: b.example:80\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    drop(first);
}

// covers: S1
#[tokio::test]
async fn a_tunnel_that_carries_nothing_is_closed() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = origin.local_addr().unwrap();
    let interception = Interception { intercept: Intercept::All, tunnel: vec!["127.0.0.1".parse().unwrap()] };
    let limits = Limits { tunnel_idle_time: SHORT, ..Limits::default() };
    let proxy = Setup { limits, interception, ..Setup::default() }.start(Mirror).await;
    let mut client = proxy.tunnel(&target.to_string(), "").await;
    assert_eq!(read_to_close(&mut client).await, "");
}

// covers: S1
#[tokio::test]
async fn a_tls_handshake_has_an_end() {
    let limits = Limits { tls_handshake_time: SHORT, ..Limits::default() };
    let proxy = Setup::limits(limits).start(Mirror).await;
    let mut client = proxy.tunnel("a.example:443", "").await;
    client.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]).await.unwrap();
    assert_eq!(read_to_close(&mut client).await, "");
}

#[derive(Clone)]
struct Never;

impl Exchange for Never {
    type Tunnel = TcpStream;
    async fn call(&self, _request: Request<RequestBody>) -> Response<ProxyBody> {
        std::future::pending().await
    }
    async fn tunnel(&self, _: &Session, _: &Target) -> Result<TcpStream, Response<ProxyBody>> {
        std::future::pending().await
    }
}

// covers: S1
#[tokio::test]
async fn a_request_ends_some_time_after_its_client_has_gone() {
    let limits = Limits { half_close_time: SHORT, ..Limits::default() };
    let proxy = Setup::limits(limits).start(Never).await;
    let mut client = proxy.dial().await;
    client.write_all(b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_to_close(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_has_only_finished_sending_gets_its_answer() {
    let proxy = Setup::default().start(Mirror).await;
    let mut client = proxy.dial().await;
    client.write_all(b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let answer = read_to_close(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
