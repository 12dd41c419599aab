//! Unguarded requests over shared connections.

use super::*;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use http::{HeaderMap, Version};
use http_body::{Body, Frame};
use http_body_util::{Empty, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward_proxy::upstream::UpstreamLimits;
use tokio::sync::{Notify, mpsc, oneshot};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

fn uri(site: &Site) -> String {
    format!("http://{}/", site.address)
}

#[tokio::test]
async fn http1_connections_are_used_again() {
    let site = Site::open(|mut socket| async move {
        while !read_message(&mut socket).await?.is_empty() {
            socket.write_all(OK).await?;
        }
        Ok(())
    })
    .await;
    let upstream = upstream();
    for _ in 0..20 {
        assert_eq!(text(upstream.forward(get(&uri(&site))).await.unwrap()).await, "ok");
    }
    assert_eq!(site.connections(), 1);
}

// covers: B3
#[tokio::test]
async fn a_write_takes_up_only_what_was_in_use_a_moment_ago() {
    let site = Site::open(|mut socket| async move {
        while !read_message(&mut socket).await?.is_empty() {
            socket.write_all(OK).await?;
        }
        Ok(())
    })
    .await;
    let upstream = upstream();
    tokio::time::pause();
    let mut connections = Vec::new();
    for (unused, request) in [
        (Duration::ZERO, post(&uri(&site))),
        (Duration::from_millis(999), post(&uri(&site))),
        (Duration::from_secs(1), post(&uri(&site))),
        (Duration::from_millis(1), post(&uri(&site))),
    ] {
        tokio::time::advance(unused).await;
        assert_eq!(text(upstream.forward(request).await.unwrap()).await, "ok");
        connections.push(site.connections());
    }
    assert_eq!(connections, [1, 1, 2, 2]);
    tokio::time::advance(Duration::from_millis(1500)).await;
    assert_eq!(text(upstream.forward(get(&uri(&site))).await.unwrap()).await, "ok");
    assert_eq!(site.connections(), 2, "a read takes up what a write does not");
}

// covers: S1
#[tokio::test]
async fn no_more_unused_connections_are_kept_than_the_limit_says() {
    let site = Site::open(|mut socket| async move {
        read_message(&mut socket).await?;
        socket.write_all(OK).await?;
        closed(&mut socket).await;
        Ok(())
    })
    .await;
    let limits = UpstreamLimits { idle_per_origin_max: 0, ..UpstreamLimits::default() };
    let upstream = Upstream::new(UpstreamConfig { limits, ..config() }).unwrap();
    for sent in 1..=3 {
        assert_eq!(text(upstream.forward(get(&uri(&site))).await.unwrap()).await, "ok");
        assert_eq!(site.connections(), sent);
    }
}

// covers: S1
#[tokio::test]
async fn an_unused_connection_is_closed_before_its_origin_would() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let site = Site::open(move |mut socket| {
        let events = events.clone();
        async move {
            read_message(&mut socket).await?;
            socket.write_all(OK).await?;
            closed(&mut socket).await;
            events.send("closed").unwrap();
            Ok(())
        }
    })
    .await;
    let upstream = upstream();
    assert_eq!(text(upstream.forward(get(&uri(&site))).await.unwrap()).await, "ok");
    tokio::time::pause();
    let unused_since = Instant::now();
    assert_eq!(seen.recv().await, Some("closed"));
    // Node.js and Apache close after 5 s.
    let unused = unused_since.elapsed();
    assert!((Duration::from_secs(4)..=Duration::from_secs(5)).contains(&unused), "closed after {unused:?}");
}

// covers: B3
#[tokio::test]
async fn a_kept_connection_that_closed_costs_no_request_and_repeats_none() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let (closing, mut closings) = mpsc::unbounded_channel();
    let site = Site::open(move |mut socket| {
        let (counted, closing) = (Arc::clone(&counted), closing.clone());
        async move {
            read_message(&mut socket).await?;
            counted.fetch_add(1, Ordering::SeqCst);
            socket.write_all(OK).await?;
            drop(socket);
            closing.send(()).unwrap();
            Ok(())
        }
    })
    .await;
    let upstream = upstream();
    for sent in 1..=20 {
        let response = if sent % 2 == 0 {
            upstream.forward(post(&uri(&site))).await
        } else {
            upstream.forward(get(&uri(&site))).await
        };
        assert_eq!(text(response.unwrap()).await, "ok");
        closings.recv().await.unwrap();
        assert_eq!(requests.load(Ordering::SeqCst), sent);
    }
}

// covers: B3
#[tokio::test]
async fn a_request_that_was_written_is_not_repeated() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let site = Site::open(move |mut socket| {
        let counted = Arc::clone(&counted);
        async move {
            // The first request of a connection is answered, the second is taken and dropped.
            read_message(&mut socket).await?;
            counted.fetch_add(1, Ordering::SeqCst);
            socket.write_all(OK).await?;
            if !read_message(&mut socket).await?.is_empty() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    })
    .await;
    let upstream = upstream();
    for sent in 1..=12 {
        let answered = match sent {
            1..=6 => upstream.forward(get(&uri(&site))).await,
            _ => upstream.forward(post(&uri(&site))).await,
        };
        match (sent % 2, answered) {
            (1, answered) => assert_eq!(text(answered.unwrap()).await, "ok"),
            (_, answered) => {
                assert_eq!(answered.unwrap_err().evidence, Evidence::Unknown(Unknown::BrokeAfterSend));
            }
        }
        assert_eq!(requests.load(Ordering::SeqCst), sent);
    }
}

/// An HTTP/2 origin that answers with the request's URI and whether it had a `Host`, and never ends the body of
/// `/endless`.
async fn http2_site() -> Site {
    let acceptor = Identity::new().acceptor(&["h2", "http/1.1"]);
    Site::open(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            let io = TokioIo::new(acceptor.accept(socket).await?);
            let answer = service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.version(), Version::HTTP_2);
                let has_host = request.headers().contains_key("host");
                let body = Full::new(Bytes::from(format!("{} {has_host}", request.uri())));
                Ok::<_, Infallible>(Response::new(match request.uri().path() {
                    "/endless" => StreamBody::new(futures_util::stream::pending()).boxed_unsync(),
                    _ => body.boxed_unsync(),
                }))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(io, answer).await.map_err(io::Error::other)
        }
    })
    .await
}

// covers: B6
#[tokio::test]
async fn simultaneous_requests_share_one_http2_connection() {
    let site = http2_site().await;
    let upstream = upstream();
    let target = format!("https://{}/a?b=c", site.address);
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let (upstream, target) = (upstream.clone(), target.clone());
        let request =
            Request::post(&target).header("host", site.address.to_string()).body(Empty::<Bytes>::new());
        requests.spawn(async move { text(upstream.forward(request.unwrap()).await.unwrap()).await });
    }
    assert_eq!(requests.join_all().await, vec![format!("{target} false"); 8]);
    assert_eq!(site.connections(), 1);
}

// covers: B6
#[tokio::test]
async fn an_http2_connection_is_shared_for_as_long_as_a_body_comes_over_it() {
    let site = http2_site().await;
    let upstream = upstream();
    let [endless, short] = ["endless", "short"].map(|path| format!("https://{}/{path}", site.address));
    let body = upstream.forward(get(&endless)).await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(text(upstream.forward(get(&short)).await.unwrap()).await, format!("{short} false"));
    assert_eq!(site.connections(), 1);
    drop(body);
}

// covers: B6
#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let site = Site::open(|mut socket| async move {
        let request = read_message(&mut socket).await?;
        assert!(request.contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), "{request}");
        let head =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
        socket.write_all(head).await?;
        let mut echoed = [0; 4];
        socket.read_exact(&mut echoed).await?;
        socket.write_all(&echoed).await
    })
    .await;
    let request =
        Request::get(uri(&site)).header("connection", "keep-alive, Upgrade").header("upgrade", "websocket");
    let upstream = upstream();
    let mut response = upstream.forward(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(
        (&response.headers()["connection"], &response.headers()["upgrade"]),
        (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
    let mut upgraded = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    upgraded.write_all(b"ping").await.unwrap();
    let mut received = String::new();
    upgraded.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "helloping");
}

// covers: B6
#[tokio::test]
async fn informational_responses_and_trailers_pass() {
    let site = Site::open(|mut socket| async move {
        read_message(&mut socket).await?;
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
        socket.write_all(answer.as_bytes()).await
    })
    .await;
    let hints = Arc::new(Mutex::new(Vec::new()));
    let mut request = get(&uri(&site));
    let seen = Arc::clone(&hints);
    hyper::ext::on_informational(&mut request, move |hint| {
        seen.lock().unwrap().push((hint.status().as_u16(), hint.headers()["link"].clone()));
    });
    let response = upstream().forward(request).await.unwrap();
    assert_eq!(*hints.lock().unwrap(), [(103, "</a.css>".parse().unwrap())]);
    assert_eq!(
        response.headers(),
        &HeaderMap::from_iter([("trailer".parse().unwrap(), "X-Sum".parse().unwrap())])
    );
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    assert_eq!(body.to_bytes(), "ok");
}

/// A body that ends never, and counts what is taken of it.
struct Endless(Arc<AtomicUsize>);

const PIECE: &[u8] = &[b'x'; 16 * 1024];

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(PIECE.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }
}

/// The most that may be taken of a body that nobody reads: socket buffers on both sides (tcp_wmem and tcp_rmem end
/// at 4 and 6 MiB by default, more on some machines) and ours.
const STALLED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Lets everything run until nothing can: a paused clock moves only when all tasks wait.
async fn quiescence() {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_millis(100)).await;
    tokio::time::resume();
}

// covers: B6
#[tokio::test]
async fn an_upload_goes_no_faster_than_the_origin_reads() {
    let accepted = Arc::new(Notify::new());
    let noted = Arc::clone(&accepted);
    let site = Site::open(move |socket| {
        noted.notify_one();
        async move {
            std::future::pending::<()>().await;
            drop(socket);
            Ok(())
        }
    })
    .await;
    let taken = Arc::new(AtomicUsize::new(0));
    let request = Request::post(uri(&site)).body(Endless(Arc::clone(&taken))).unwrap();
    let upstream = upstream();
    let mut sending = JoinSet::new();
    sending.spawn(async move { upstream.forward(request).await.map(drop) });
    accepted.notified().await;
    quiescence().await;
    let stalled_at = taken.load(Ordering::SeqCst);
    assert!((1..STALLED_BYTES_MAX).contains(&stalled_at), "{stalled_at} bytes were taken");
    quiescence().await;
    assert_eq!(taken.load(Ordering::SeqCst), stalled_at);
}

// covers: B6
#[tokio::test]
async fn a_download_goes_no_faster_than_the_reader() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let site = Site::open(move |mut socket| {
        let counted = Arc::clone(&counted);
        async move {
            read_message(&mut socket).await?;
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                counted.fetch_add(socket.write(PIECE).await?, Ordering::SeqCst);
            }
        }
    })
    .await;
    let upstream = upstream();
    let mut response = upstream.forward(get(&uri(&site))).await.unwrap();
    quiescence().await;
    let stalled_at = sent.load(Ordering::SeqCst);
    assert!((1..STALLED_BYTES_MAX).contains(&stalled_at), "{stalled_at} bytes were sent");
    let mut read_bytes = 0;
    while read_bytes <= stalled_at {
        read_bytes += response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
}

// covers: B6
#[tokio::test]
async fn bodies_stream_in_both_directions_at_once() {
    let site = Site::open(|mut socket| async move {
        read_message(&mut socket).await?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        // Returns each chunk of the request as it comes: `3\r\none\r\n`.
        let mut chunk = [0; 8];
        while socket.read_exact(&mut chunk).await.is_ok() {
            socket.write_all(&chunk).await?;
        }
        Ok(())
    })
    .await;
    let (mut pieces, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let body = StreamBody::new(futures_util::stream::unfold(body, |mut body| async move {
        Some((body.recv().await?, body))
    }));
    let upstream = upstream();
    let mut response = upstream.forward(Request::post(uri(&site)).body(body).unwrap()).await.unwrap();
    for piece in ["one", "two", "six"] {
        send(&mut pieces, piece).await;
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
}

/// More than the sockets between two ends hold.
const LARGE_BYTES: usize = 16 * 1024 * 1024;

// covers: B6
#[tokio::test]
async fn an_upload_goes_on_while_nobody_reads_the_answer() {
    let (events, mut uploaded) = mpsc::unbounded_channel();
    let site = Site::open(move |mut socket| {
        let events = events.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await?);
            }
            socket.write_all(OK).await?;
            let mut upload = vec![0; LARGE_BYTES];
            events.send(socket.read_exact(&mut upload).await?).unwrap();
            while !read_message(&mut socket).await?.is_empty() {
                socket.write_all(OK).await?;
            }
            Ok(())
        }
    })
    .await;
    let upstream = upstream();
    let upload = Full::new(Bytes::from(vec![b'x'; LARGE_BYTES]));
    let response = upstream.forward(Request::post(uri(&site)).body(upload).unwrap()).await.unwrap();
    assert_eq!(uploaded.recv().await, Some(LARGE_BYTES));
    assert_eq!(text(response).await, "ok");
    quiescence().await;
    // Its connection came back by itself.
    assert_eq!(text(upstream.forward(get(&uri(&site))).await.unwrap()).await, "ok");
    assert_eq!(site.connections(), 1);
}

async fn send(pieces: &mut mpsc::Sender<Result<Frame<Bytes>, Infallible>>, piece: &'static str) {
    pieces.send(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).await.unwrap();
}

// covers: B6
#[tokio::test]
async fn dropping_a_forwarded_request_closes_its_connection() {
    let (sender, closing) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let received = Arc::new(Notify::new());
    let noted = Arc::clone(&received);
    let site = Site::open(move |mut socket| {
        let (sender, noted) = (sender.lock().unwrap().take().unwrap(), Arc::clone(&noted));
        async move {
            read_message(&mut socket).await?;
            noted.notify_one();
            closed(&mut socket).await;
            sender.send("closed").unwrap();
            Ok(())
        }
    })
    .await;
    let (upstream, target) = (upstream(), uri(&site));
    let client = upstream.clone();
    let mut sending = JoinSet::new();
    sending.spawn(async move { client.forward(get(&target)).await.map(drop) });
    received.notified().await;
    sending.shutdown().await;
    assert_eq!(closing.await, Ok("closed"));
}
