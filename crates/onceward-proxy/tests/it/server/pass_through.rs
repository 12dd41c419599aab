//! The whole way: client, server side, upstream side, origin.

use super::*;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{CONNECTION, UPGRADE};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward_proxy::pass_through::PassThrough;
use onceward_proxy::upstream::{PrivateTargets, Roots, Upstream, UpstreamConfig};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

fn pass_through() -> PassThrough {
    let config = UpstreamConfig {
        roots: Roots::Insecure,
        private_targets: PrivateTargets::Allow,
        ..UpstreamConfig::default()
    };
    PassThrough::new(Upstream::new(config).unwrap())
}

/// A site that does what its paths say, over http, or over https with a certificate of nobody.
struct Site {
    address: SocketAddr,
    /// What the next `/stream` sends, and when.
    stream: mpsc::Sender<Bytes>,
}

impl Site {
    async fn http() -> Self {
        Self::start(None).await
    }

    async fn https() -> Self {
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let chain = vec![key.cert.der().clone()];
        let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, private.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self::start(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, pieces) = mpsc::channel(1);
        let pieces = Arc::new(tokio::sync::Mutex::new(Some(pieces)));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, pieces) = (tls.clone(), Arc::clone(&pieces));
                tokio::spawn(async move {
                    let service = service_fn(move |request| visit(request, Arc::clone(&pieces)));
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that leaves in the middle is part of some tests.
                    drop(match tls {
                        None => builder.serve_connection_with_upgrades(TokioIo::new(socket), service).await,
                        Some(tls) => match tls.accept(socket).await {
                            Ok(socket) => {
                                builder.serve_connection_with_upgrades(TokioIo::new(socket), service).await
                            }
                            Err(_) => return,
                        },
                    });
                });
            }
        });
        Self { address, stream }
    }
}

type Pieces = Arc<tokio::sync::Mutex<Option<mpsc::Receiver<Bytes>>>>;

async fn visit(request: Request<Incoming>, pieces: Pieces) -> Result<Response<ProxyBody>, Infallible> {
    let response = Response::builder();
    let empty = || Empty::new().map_err(|never| match never {}).boxed_unsync();
    let answer = match request.uri().path() {
        "/echo" => response.body(request.into_body().map_err(Into::into).boxed_unsync()),
        "/none" => response.status(204).body(empty()),
        "/same" => response.status(304).header("etag", "\"a\"").body(empty()),
        "/old" => response.version(http::Version::HTTP_10).body(whole("old")),
        "/cookies" => response.header("set-cookie", "a=1").header("set-cookie", "b=2").body(whole("crumbs")),
        "/trailers" => {
            let trailers = [("x-sum".parse().unwrap(), "1".parse().unwrap())].into_iter().collect();
            let frames = [Ok(Frame::data(Bytes::from("data"))), Ok(Frame::trailers(trailers))];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            response.header("trailer", "x-sum").body(body.boxed_unsync())
        }
        "/stream" => {
            let pieces = Received(pieces.lock().await.take().unwrap());
            response.header("content-type", "text/event-stream").body(pieces.boxed_unsync())
        }
        "/socket" => {
            tokio::spawn(async move {
                let socket = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
                let (mut read, mut write) = tokio::io::split(socket);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let fields = response.status(101).header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
            fields.header("sec-websocket-protocol", "chat").body(empty())
        }
        other => response.status(404).body(whole(other.to_owned())),
    };
    Ok(answer.unwrap())
}

/// A body of what a test sends.
struct Received(mpsc::Receiver<Bytes>);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = onceward_proxy::server::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

fn get(site: &Site, path: &str, fields: &str) -> String {
    let host = site.address;
    format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

/// Lower-case field names, as hyper writes them, without the date.
fn plain(head: &str) -> Vec<String> {
    head.lines().filter(|line| !line.is_empty() && !line.starts_with("date: ")).map(str::to_owned).collect()
}

async fn head_of(client: &mut TcpStream, request: &str) -> Vec<String> {
    client.write_all(request.as_bytes()).await.unwrap();
    plain(&read_head(client).await)
}

// covers: B6
#[tokio::test]
async fn answers_keep_their_shape() {
    let site = Site::http().await;
    let proxy = Setup::default().start(pass_through()).await;
    let mut client = proxy.dial().await;
    assert_eq!(head_of(&mut client, &get(&site, "/none", "")).await, ["HTTP/1.1 204 No Content"]);
    assert_eq!(
        head_of(&mut client, &get(&site, "/same", "")).await,
        ["HTTP/1.1 304 Not Modified", "etag: \"a\""]
    );

    let head = get(&site, "/cookies", "").replacen("GET", "HEAD", 1);
    let cookies = ["HTTP/1.1 200 OK", "set-cookie: a=1", "set-cookie: b=2", "content-length: 6"];
    assert_eq!(head_of(&mut client, &head).await, cookies);
    assert_eq!(head_of(&mut client, &get(&site, "/cookies", "")).await, cookies);
    let mut body = [0; 6];
    client.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"crumbs");

    let (status, text) = ask(&mut client, &get(&site, "/old", "")).await;
    assert_eq!((status.as_str(), text.as_str()), ("HTTP/1.1 200 OK", "old"));
}

// covers: B6
#[tokio::test]
async fn trailers_pass() {
    let site = Site::http().await;
    let proxy = Setup::default().start(pass_through()).await;
    let fields = "TE: trailers\r\nConnection: TE, close\r\n";
    let answer = proxy.talk(get(&site, "/trailers", fields).as_bytes()).await;
    assert!(answer.ends_with("\r\n\r\n4\r\ndata\r\n0\r\nx-sum: 1\r\n\r\n"), "{answer}");
}

// covers: B6
#[tokio::test]
async fn a_client_that_waits_is_told_to_continue() {
    let site = Site::http().await;
    let proxy = Setup::default().start(pass_through()).await;
    let mut client = proxy.dial().await;
    let host = site.address;
    let head = format!(
        "POST http://{host}/echo HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    );
    assert_eq!(head_of(&mut client, &head).await, ["HTTP/1.1 100 Continue"]);
    let (status, text) = ask(&mut client, "abc").await;
    assert_eq!((status.as_str(), text.as_str()), ("HTTP/1.1 200 OK", "abc"));
}

// covers: B6
#[tokio::test]
async fn events_arrive_as_they_happen() {
    let site = Site::http().await;
    let proxy = Setup::default().start(pass_through()).await;
    let mut client = proxy.dial().await;
    let head = head_of(&mut client, &get(&site, "/stream", "")).await;
    assert_eq!(head, ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked"]);
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        // The next event is sent only once this one has arrived.
        site.stream.send(Bytes::from(event)).await.unwrap();
        let mut chunk = [0; 14];
        client.read_exact(&mut chunk).await.unwrap();
        assert_eq!(std::str::from_utf8(&chunk).unwrap(), format!("9\r\n{event}\r\n"));
    }
}

// covers: B6
#[tokio::test]
async fn a_reader_that_stops_stops_the_site() {
    let site = Site::http().await;
    let proxy = Setup::default().start(pass_through()).await;
    let mut client = proxy.dial().await;
    head_of(&mut client, &get(&site, "/stream", "")).await;
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let mut sent_mib = 0;
    // Nothing is read: what fits is what the sockets and windows of the two connections hold.
    while let Ok(sent) =
        tokio::time::timeout(Duration::from_millis(500), site.stream.send(piece.clone())).await
    {
        sent.unwrap();
        sent_mib += 1;
        assert!(sent_mib < 64, "the proxy takes in what nobody reads");
    }
}

// covers: B6
#[tokio::test]
async fn large_bodies_pass_over_tls_and_http2() {
    let site = Site::https().await;
    let proxy = Setup::default().start(pass_through()).await;
    let host = site.address;
    let tunnel = proxy.tunnel(&host.to_string(), "").await;
    let client = proxy.tls(tunnel, "127.0.0.1", &[b"h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let large: Bytes = (0..8 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let request = Request::post(format!("https://{host}/echo")).body(Full::new(large.clone())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.unwrap().to_bytes() == large);
}

const SOCKET: &str =
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n";

/// Switches protocols and has three words echoed, the first sent together with nothing else, the last before a close.
async fn converse<C: AsyncRead + AsyncWrite + Unpin>(client: &mut C, request: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
    let head = plain(&read_head(client).await);
    assert_eq!(head[0], "HTTP/1.1 101 Switching Protocols");
    for field in ["upgrade: websocket", "sec-websocket-protocol: chat"] {
        assert!(head.iter().any(|line| line == field), "{head:?}");
    }
    for word in ["GET /not-http\n", "\x00\x01\x02"] {
        client.write_all(word.as_bytes()).await.unwrap();
        let mut echo = vec![0; word.len()];
        client.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, word.as_bytes());
    }
    client.shutdown().await.unwrap();
    assert_eq!(read_to_close(client).await, "");
}

// covers: B6
#[tokio::test]
async fn websockets_pass_in_every_way_that_browsers_send_them() {
    let (http, https) = (Site::http().await, Site::https().await);
    let proxy = Setup::default().start(pass_through()).await;

    let mut direct = proxy.dial().await;
    converse(&mut direct, &get(&http, "/socket", SOCKET)).await;

    let host = http.address.to_string();
    let origin_form = format!("GET /socket HTTP/1.1\r\nHost: {host}\r\n{SOCKET}\r\n");
    let mut tunnel = proxy.tunnel(&host, "").await;
    converse(&mut tunnel, &origin_form).await;

    let host = https.address.to_string();
    let origin_form = format!("GET /socket HTTP/1.1\r\nHost: {host}\r\n{SOCKET}\r\n");
    let tunnel = proxy.tunnel(&host, "").await;
    let mut tls = proxy.tls(tunnel, "127.0.0.1", &[b"http/1.1"]).await.unwrap();
    converse(&mut tls, &origin_form).await;
}

#[tokio::test]
async fn a_declined_switch_leaves_the_connection_as_it_was() {
    let site = Site::http().await;
    let proxy = Setup::default().start(pass_through()).await;
    let mut client = proxy.dial().await;
    let declined = ask(&mut client, &get(&site, "/plain", SOCKET)).await;
    assert_eq!(declined, ("HTTP/1.1 404 Not Found".to_owned(), "/plain".to_owned()));
    let next = ask(&mut client, &get(&site, "/next", "")).await;
    assert_eq!(next, ("HTTP/1.1 404 Not Found".to_owned(), "/next".to_owned()));
    let odd = get(&site, "/odd", "Content-Length: 03\r\n");
    assert_eq!(ask(&mut client, &odd).await.0, "HTTP/1.1 400 Bad Request");
}

// covers: B3
#[tokio::test]
async fn a_site_that_does_not_answer_leaves_a_page() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Setup::default().start(pass_through()).await;
    let mut client = proxy.dial().await;
    let request =
        format!("GET http://{unused}/ HTTP/1.1\r\nHost: {unused}\r\nAccept: text/html,*/*;q=0.8\r\n\r\n");
    let (status, page) = ask(&mut client, &request).await;
    assert_eq!(status, "HTTP/1.1 502 Bad Gateway");
    assert!(page.contains("<h1>502 Bad Gateway</h1>\n<p>no connection to the origin"), "{page}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = silent.accept().await.unwrap();
        let mut head = [0; 64];
        assert!(socket.read(&mut head).await.unwrap() > 0);
    });
    let request = format!("GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let (status, text) = ask(&mut client, &request).await;
    assert_eq!(status, "HTTP/1.1 502 Bad Gateway");
    assert!(text.starts_with("onceward: the connection broke after the request had left"), "{text}");
}

// covers: B3
#[tokio::test]
async fn an_answer_that_breaks_off_has_begun() {
    let site = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = site.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = site.accept().await {
            read_head(&mut socket).await;
            // Head, body and end arrive at once.
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf").await.unwrap();
        }
    });
    let proxy = Setup::default().start(pass_through()).await;
    let request = format!("GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\n\r\n");
    for _ in 0..10 {
        let answer = proxy.talk(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhalf"), "{answer}");
    }
}
