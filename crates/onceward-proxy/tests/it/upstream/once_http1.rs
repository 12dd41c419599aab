//! Guarded requests to HTTP/1.1 origins.

use super::*;

use http::StatusCode;
use onceward_proxy::upstream::{Protocol, UpstreamLimits, UpstreamPeer};
use tokio::sync::mpsc;

const BROKE: Evidence = Evidence::Unknown(Unknown::BrokeAfterSend);

/// Answers each request with `answer` and closes.
async fn answering(answer: impl AsRef<[u8]> + Send + Sync + Clone + 'static) -> Site {
    Site::open(move |mut socket| {
        let answer = answer.clone();
        async move {
            read_message(&mut socket).await?;
            socket.write_all(answer.as_ref()).await
        }
    })
    .await
}

fn uri(site: &Site) -> String {
    format!("http://{}/order?id=1", site.address)
}

// covers: L5, B3
#[tokio::test]
async fn a_connection_that_closes_after_any_byte_of_the_request_is_doubt() {
    let request_bytes =
        format!("POST /order?id=1 HTTP/1.1\r\nHost: {}\r\nContent-Length: 10\r\n\r\n", "127.0.0.1:00000")
            .len()
            + 10;
    for read_bytes in [0, 1, 20, request_bytes - 10, request_bytes - 5, request_bytes] {
        let site = Site::open(move |mut socket| async move {
            // Bytes have left the client although none may be taken here.
            socket.peek(&mut [0]).await?;
            socket.read_exact(&mut vec![0; read_bytes]).await.map(drop)
        })
        .await;
        assert_eq!(evidence(&upstream(), &uri(&site)).await, BROKE, "closed after {read_bytes} bytes");
        assert_eq!(site.connections(), 1, "closed after {read_bytes} bytes");
    }
}

// covers: L5, B3
#[tokio::test]
async fn an_answer_that_is_cut_in_its_head_is_doubt() {
    for head in [
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        let site = answering(head).await;
        assert_eq!(evidence(&upstream(), &uri(&site)).await, BROKE, "{head}");
        assert_eq!(site.connections(), 1, "{head}");
    }
}

// covers: L5
#[tokio::test]
async fn an_answer_that_is_not_http_is_doubt() {
    for head in
        ["SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"]
    {
        let site = answering(head).await;
        let found = evidence(&upstream(), &uri(&site)).await;
        assert_eq!(found, Evidence::Unknown(Unknown::AnswerUnreadable), "{head}");
    }
}

// covers: B3
#[tokio::test]
async fn every_status_is_an_answer_and_is_not_repeated() {
    for status in [200, 303, 408, 421, 425, 429, 500, 502, 503] {
        let site =
            answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"))
                .await;
        let response = send_once(&upstream(), &uri(&site)).await.unwrap();
        assert_eq!(response.status(), StatusCode::from_u16(status).unwrap());
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(text(response).await, "body");
        assert_eq!(site.connections(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_response_names_its_peer() {
    let site = answering("HTTP/1.0 204 No Content\r\n\r\n").await;
    let response = send_once(&upstream(), &uri(&site)).await.unwrap();
    let peer = UpstreamPeer { protocol: Protocol::Http1, remote: site.address, via_proxy: false };
    assert_eq!(response.extensions().get(), Some(&peer));
    assert_eq!(response.version(), http::Version::HTTP_11);
}

// covers: B6
#[tokio::test]
async fn the_origin_sees_the_request_and_nothing_added() {
    let (requests, mut received) = mpsc::unbounded_channel();
    let site = Site::open(move |mut socket| {
        let requests = requests.clone();
        async move {
            requests.send(read_message(&mut socket).await?).unwrap();
            socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
        }
    })
    .await;
    let request = Request::post(uri(&site))
        .header("host", site.address.to_string())
        .header("content-type", "text/plain")
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "websocket")
        .header("proxy-authorization", "Basic c2VjcmV0")
        .header("content-length", "5")
        .body(Full::from("hello"))
        .unwrap();
    upstream().send_once(request, Instant::now() + DEADLINE).await.unwrap();
    let expected = format!(
        "POST /order?id=1 HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
        site.address
    );
    assert_eq!(received.recv().await.unwrap(), expected);
}

// covers: B3
#[tokio::test]
async fn each_request_has_a_connection_of_its_own() {
    let site = Site::open(|mut socket| async move {
        while !read_message(&mut socket).await?.is_empty() {
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
        }
        Ok(())
    })
    .await;
    let upstream = upstream();
    for sent in 1..=3 {
        assert_eq!(text(send_once(&upstream, &uri(&site)).await.unwrap()).await, "ok");
        assert_eq!(site.connections(), sent);
    }
}

// covers: O4
#[tokio::test]
async fn a_body_that_is_cut_is_an_error() {
    let cut = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
    ];
    for answer in cut {
        let site = answering(answer).await;
        let response = send_once(&upstream(), &uri(&site)).await.unwrap();
        assert!(response.body().is_delimited(), "{answer}");
        response.into_body().collect().await.expect_err(answer);
    }
}

// covers: O4
#[tokio::test]
async fn a_body_without_framing_says_so() {
    for (head, is_delimited) in [
        ("HTTP/1.1 200 OK\r\n\r\nall", false),
        ("HTTP/1.0 200 OK\r\n\r\nall", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nall", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall", true),
    ] {
        let site = answering(head).await;
        let response = send_once(&upstream(), &uri(&site)).await.unwrap();
        assert_eq!(response.body().is_delimited(), is_delimited, "{head}");
        assert_eq!(text(response).await, "all", "{head}");
    }
    let site = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(send_once(&upstream(), &uri(&site)).await.unwrap().body().is_delimited());
}

// covers: L12
#[tokio::test]
async fn the_deadline_closes_the_socket_and_leaves_doubt() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let site = silent(events).await;
    let target = uri(&site);
    let sending = tokio::spawn(async move { evidence(&upstream(), &target).await });
    assert_eq!(seen.recv().await, Some("received"));
    tokio::time::pause();
    tokio::time::advance(DEADLINE).await;
    assert_eq!(sending.await.unwrap(), Evidence::Unknown(Unknown::TimedOut));
    assert_eq!(seen.recv().await, Some("closed"));
}

// covers: L12
#[tokio::test]
async fn dropping_the_request_closes_the_socket() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let site = silent(events).await;
    let target = uri(&site);
    let upstream = upstream();
    let mut sending = JoinSet::new();
    let sender = upstream.clone();
    sending.spawn(async move { send_once(&sender, &target).await });
    assert_eq!(seen.recv().await, Some("received"));
    sending.shutdown().await;
    assert_eq!(seen.recv().await, Some("closed"));
}

// covers: L12
#[tokio::test]
async fn dropping_the_response_closes_the_socket() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let site = Site::open(move |mut socket| {
        let events = events.clone();
        async move {
            read_message(&mut socket).await?;
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await?;
            closed(&mut socket).await;
            events.send("closed").unwrap();
            Ok(())
        }
    })
    .await;
    let upstream = upstream();
    drop(send_once(&upstream, &uri(&site)).await.unwrap());
    assert_eq!(seen.recv().await, Some("closed"));
}

/// Takes a request, answers nothing, and tells when the client is gone.
async fn silent(events: mpsc::UnboundedSender<&'static str>) -> Site {
    Site::open(move |mut socket| {
        let events = events.clone();
        async move {
            read_message(&mut socket).await?;
            events.send("received").unwrap();
            closed(&mut socket).await;
            events.send("closed").unwrap();
            Ok(())
        }
    })
    .await
}

// covers: S1
#[tokio::test]
async fn fresh_connections_are_capped_until_their_bodies_end() {
    let site = answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody").await;
    let limits =
        UpstreamLimits { fresh_connections_max: 1, fresh_wait: Duration::ZERO, ..UpstreamLimits::default() };
    let upstream = Upstream::new(UpstreamConfig { limits, ..config() }).unwrap();
    let first = send_once(&upstream, &uri(&site)).await.unwrap();
    assert_eq!(evidence(&upstream, &uri(&site)).await, Evidence::Untouched(Untouched::LimitReached));
    assert_eq!(site.connections(), 1);
    assert_eq!(text(first).await, "body");
    let mut third = send_once(&upstream, &uri(&site)).await.unwrap();
    // Read to its end the body holds no place, even while it is kept.
    while third.body_mut().frame().await.is_some() {}
    assert_eq!(text(send_once(&upstream, &uri(&site)).await.unwrap()).await, "body");
}

// covers: L5
#[tokio::test]
async fn a_refused_port_is_proof() {
    let target = format!("http://{}/", closed_address().await);
    assert_eq!(evidence(&upstream(), &target).await, Evidence::Untouched(Untouched::ConnectFailed));
}
