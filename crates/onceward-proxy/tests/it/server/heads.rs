//! Requests over raw sockets: what passes, and what is refused before anyone reads it.

use super::*;

/// Status line, whether the answer announces the close, and the text of the page.
fn refusal(answer: &str) -> (&str, bool, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap(), head.contains("\r\nconnection: close"), body)
}

// covers: S6
#[tokio::test]
async fn heads_with_two_readings_are_refused_and_the_connection_ends() {
    let proxy = Setup::default().start(Mirror).await;
    let cases = [
        ("GET http://a.example/ HTTP/1.1\nHost: a.example\n\n", "a line does not end in cr lf"),
        ("GET http://a.example/ HTTP/1.1\r\n\r\n", "the host field is missing"),
        (
            "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
            "the host field is repeated",
        ),
        (
            "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
            "the host field differs from the target",
        ),
        (
            "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "content length and transfer encoding are both given",
        ),
        (
            "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\
             Content-Length: 3\r\n\r\nabc",
            "the content length is repeated",
        ),
        (
            "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 03\r\n\r\nabc",
            "the content length is malformed",
        ),
        (
            "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "the transfer encoding is not chunked alone",
        ),
        (
            "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
            "the method takes no body",
        ),
        (
            "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: Idempotency-Key\r\n\r\n",
            "the connection field names an end-to-end field",
        ),
        (
            "GET http://u:p@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "the request names no valid host: the authority carries user information",
        ),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "the request line is malformed"),
    ];
    for (head, detail) in cases {
        let answer = proxy.talk(head.as_bytes()).await;
        let expected = ("HTTP/1.1 400 Bad Request", true, format!("onceward: {detail}\n"));
        let (status, closes, text) = refusal(&answer);
        assert_eq!((status, closes, text.to_owned()), expected, "{head}");
    }
}

// covers: S6
#[tokio::test]
async fn a_refusal_waits_for_the_requests_before_it() {
    let proxy = Setup::default().start(Mirror).await;
    let answer = proxy
        .talk(
            b"POST http://a.example/one HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nGET /\n\
              GET http://a.example/two HTTP/1.1\r\nHost: a.example\r\nContent-Length: +1\r\n\r\nx",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\n\r\nPOST http://a.example/one via proxy for own\n"), "{answer}");
    let refused = answer.split_once("GET /\n").unwrap().1;
    assert_eq!(
        refusal(refused),
        ("HTTP/1.1 400 Bad Request", true, "onceward: the content length is malformed\n")
    );
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let proxy = Setup::default().start(Mirror).await;
    let mut client = proxy.dial().await;
    let chunked = "POST http://a.example/1 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n";
    let ok = "HTTP/1.1 200 OK".to_owned();
    let expected = "POST http://a.example/1 via proxy for own\nhost: a.example\nabc0123456789abcdef";
    assert_eq!(ask(&mut client, chunked).await, (ok.clone(), expected.to_owned()));

    let sized = "POST http://a.example/2 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc\r\n";
    let expected = "POST http://a.example/2 via proxy for own\nhost: a.example\ncontent-length: 3\nabc";
    assert_eq!(ask(&mut client, sized).await, (ok.clone(), expected.to_owned()));

    let large = "x".repeat(300_000);
    let head = format!(
        "PUT http://a.example/3 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 300000\r\n\r\n{large}"
    );
    let expected =
        format!("PUT http://a.example/3 via proxy for own\nhost: a.example\ncontent-length: 300000\n{large}");
    assert_eq!(ask(&mut client, &head).await, (ok.clone(), expected));

    let bare = "GET http://a.example/4?q HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let expected = "GET http://a.example/4?q via proxy for own\nhost: a.example\n";
    assert_eq!(ask(&mut client, bare).await, (ok, expected.to_owned()));
}

// covers: S6
#[tokio::test]
async fn a_chunked_body_with_two_readings_never_ends_well() {
    let proxy = Setup::default().start(Mirror).await;
    let answer = proxy
        .talk(
            b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nabc\r\n0\n\r\nGET http://a.example/smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
        )
        .await;
    let (status, _, text) = refusal(&answer);
    assert_eq!((status, text), ("HTTP/1.1 400 Bad Request", "the request body broke off"));
}

// covers: B1
#[tokio::test]
async fn credentials_name_the_session_and_go_no_further() {
    let proxy = Setup::default().start(Mirror).await;
    let mut client = proxy.dial().await;
    let named = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nProxy-Connection: keep-alive\r\n\
                 Proxy-Authorization: Basic YWdlbnQ6cGFzcw==\r\nCookie: a=b\r\n\r\n";
    let expected = "GET http://a.example/ via proxy for agent\nhost: a.example\ncookie: a=b\n".to_owned();
    assert_eq!(ask(&mut client, named).await, ("HTTP/1.1 200 OK".to_owned(), expected));

    let unreadable =
        "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: Bearer x\r\n\r\n";
    let (status, _) = ask(&mut client, unreadable).await;
    assert_eq!(status, "HTTP/1.1 407 Proxy Authentication Required");
}

#[tokio::test]
async fn a_checked_listener_asks_for_credentials() {
    let access = Access::Checked(Arc::new(|credentials| credentials.password() == "pass"));
    let proxy = Setup { access, ..Setup::default() }.start(Mirror).await;
    let head = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n";
    let mut client = proxy.dial().await;
    client.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let challenge = read_head(&mut client).await;
    assert!(challenge.starts_with("HTTP/1.1 407 "), "{challenge}");
    assert!(challenge.contains("\r\nproxy-authenticate: Basic realm=\"onceward\""), "{challenge}");

    let mut client = proxy.dial().await;
    let wrong = format!("{head}Proxy-Authorization: Basic YWdlbnQ6\r\n\r\n");
    assert_eq!(ask(&mut client, &wrong).await.0, "HTTP/1.1 407 Proxy Authentication Required");
    let right = format!("{head}Proxy-Authorization: Basic YWdlbnQ6cGFzcw==\r\n\r\n");
    assert_eq!(ask(&mut client, &right).await.0, "HTTP/1.1 200 OK");
}

// covers: S5
#[tokio::test]
async fn what_is_asked_of_the_proxy_itself_is_never_forwarded() {
    let proxy = Setup::default().start(Mirror).await;
    let address = proxy.address;
    let mut client = proxy.dial().await;
    for (target, shown) in [
        ("/status".to_owned(), "/status".to_owned()),
        (format!("http://{address}/"), format!("http://{address}/")),
        (format!("http://localhost:{}/", address.port()), format!("http://localhost:{}/", address.port())),
    ] {
        let host = target.split('/').nth(2).unwrap_or("any.example");
        let host = if host.is_empty() || !target.starts_with("http") { "any.example" } else { host };
        let answer = ask(&mut client, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer, ("HTTP/1.1 404 Not Found".to_owned(), format!("onceward: own page {shown}\n")));
    }
}

#[tokio::test]
async fn http_1_0_is_served() {
    let proxy = Setup::default().start(Mirror).await;
    let answer = proxy.talk(b"GET http://a.example/ HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nGET http://a.example/ via proxy for own\n"), "{answer}");
}

#[tokio::test]
async fn an_exchange_that_panics_still_answers() {
    #[derive(Clone)]
    struct Panics;
    impl Exchange for Panics {
        type Tunnel = TcpStream;
        async fn call(&self, _request: Request<RequestBody>) -> Response<ProxyBody> {
            panic!("as the test wants")
        }
        async fn tunnel(&self, _: &Session, _: &Target) -> Result<TcpStream, Response<ProxyBody>> {
            panic!("as the test wants")
        }
    }
    let proxy = Setup::default().start(Panics).await;
    let mut client = proxy.dial().await;
    let (status, _) = ask(&mut client, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(status, "HTTP/1.1 500 Internal Server Error");
}

#[tokio::test]
async fn http2_is_served_by_prior_knowledge() {
    let proxy = Setup::default().start(Mirror).await;
    let io = hyper_util::rt::TokioIo::new(proxy.dial().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://a.example/x").body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "GET http://a.example/x via proxy for own\n");

    let differs = Request::get("http://a.example/x")
        .header("host", "b.example")
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(sender.send_request(differs).await.unwrap().status(), StatusCode::BAD_REQUEST);
    drop(sender);
    connection.await.unwrap().unwrap();
}
