//! Tunnels that are looked into, and tunnels that pass unseen.

use super::*;

/// A server that speaks first, then echoes.
async fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"220 ready\r\n").await.unwrap();
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    });
    address
}

fn tunnelled(hosts: &[&str]) -> Setup {
    let tunnel = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Setup { interception: Interception { intercept: Intercept::All, tunnel }, ..Setup::default() }
}

#[tokio::test]
async fn malformed_targets_are_refused_with_a_page() {
    let proxy = Setup::default().start(Mirror).await;
    let cases = [
        ("a.example", "a.example", "the request names no valid host: the port is missing"),
        (
            "a.example:0",
            "a.example:0",
            "the request names no valid host: the port is not a number from 1 to 65535",
        ),
        ("a.example:443", "b.example:443", "the host field differs from the target"),
        (
            "u@a.example:443",
            "a.example:443",
            "the request names no valid host: the authority carries user information",
        ),
    ];
    for (target, host, detail) in cases {
        let answer =
            proxy.talk(format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{target}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{target}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\nonceward: {detail}\n")), "{target}: {answer}");
    }
}

// covers: B6
#[tokio::test]
async fn plain_http_inside_of_a_tunnel_is_served() {
    let proxy = Setup::default().start(Mirror).await;
    let mut client = proxy.tunnel("a.example:8080", "Proxy-Authorization: Basic YWdlbnQ6\r\n").await;
    let post = "POST /order HTTP/1.1\r\nHost: a.example:8080\r\nContent-Length: 3\r\n\r\nabc";
    let expected =
        "POST http://a.example:8080/order via tunnel for agent\nhost: a.example:8080\ncontent-length: 3\nabc";
    assert_eq!(ask(&mut client, post).await, ("HTTP/1.1 200 OK".to_owned(), expected.to_owned()));

    let astray = "GET / HTTP/1.1\r\nHost: b.example:8080\r\n\r\n";
    assert_eq!(ask(&mut client, astray).await.0, "HTTP/1.1 400 Bad Request");
}

// covers: B6
#[tokio::test]
async fn plain_http_is_served_also_where_nothing_is_decrypted() {
    let interception = Interception { intercept: Intercept::None, tunnel: Vec::new() };
    let proxy = Setup { interception, ..Setup::default() }.start(Mirror).await;
    let target = greeter_without_greeting().await.to_string();
    let mut client = proxy.tunnel(&target, "").await;
    let (status, text) = ask(&mut client, &format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(text, format!("GET http://{target}/ via tunnel for own\nhost: {target}\n"));
}

/// A server that accepts and waits.
async fn greeter_without_greeting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

// covers: B6
#[tokio::test]
async fn hosts_on_the_tunnel_list_pass_unseen() {
    let target = greeter().await.to_string();
    let proxy = tunnelled(&["127.0.0.1"]).start(Mirror).await;
    let mut client = proxy.tunnel(&target, "").await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_to_close(&mut client).await, "220 ready\r\nGET / HTTP/1.1\r\n\r\n");
}

// covers: B6
#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let target = greeter().await.to_string();
    let limits = Limits { tunnel_silence_time: Duration::from_millis(10), ..Limits::default() };
    let proxy = Setup::limits(limits).start(Mirror).await;
    let mut client = proxy.tunnel(&target, "").await;
    let mut greeting = [0; 11];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    client.write_all(b"QUIT\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_to_close(&mut client).await, "QUIT\r\n");
}

// covers: B3
#[tokio::test]
async fn a_tunnel_that_leads_nowhere_is_answered() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = tunnelled(&["127.0.0.1"]).start(Mirror).await;
    let answer = proxy.talk(format!("CONNECT {unused} HTTP/1.1\r\nHost: {unused}\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
}

// covers: B6
#[tokio::test]
async fn tunnels_run_over_http2_as_well() {
    let proxy = Setup::default().start(Mirror).await;
    let io = hyper_util::rt::TokioIo::new(proxy.dial().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::connect("a.example:80").body(Full::<Bytes>::default()).unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut tunnel = hyper_util::rt::TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let (status, text) = ask(&mut tunnel, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(text, "GET http://a.example/x via tunnel for own\nhost: a.example\n");
}
