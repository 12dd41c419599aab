//! Through an upstream proxy.

use super::*;

use http_body_util::Empty;
use onceward_proxy::target::Target;
use onceward_proxy::upstream::{NoProxy, UpstreamPeer, UpstreamProxy};
use tokio::io::copy_bidirectional;
use tokio::sync::mpsc;

/// The credentials of the tests, `user` and `pass word`, as a URL and as a header carry them.
const URL_CREDENTIALS: &str = "user:pass%20word";
const BASIC: &str = "Basic dXNlcjpwYXNzIHdvcmQ=";

struct Proxy {
    site: Site,
    heads: mpsc::UnboundedReceiver<String>,
}

impl Proxy {
    /// Answers each request with `answer`, then joins the connection to `target` if there is one.
    async fn open(answer: &'static str, target: Option<SocketAddr>) -> Self {
        let (sender, heads) = mpsc::unbounded_channel();
        let site = Site::open(move |mut socket| {
            let sender = sender.clone();
            async move {
                sender.send(read_message(&mut socket).await?).unwrap();
                socket.write_all(answer.as_bytes()).await?;
                if let Some(target) = target {
                    let mut origin = TcpStream::connect(target).await?;
                    copy_bidirectional(&mut socket, &mut origin).await?;
                }
                Ok(())
            }
        })
        .await;
        Self { site, heads }
    }

    fn upstream(&self) -> Upstream {
        self.upstream_except("")
    }

    fn upstream_except(&self, no_proxy: &str) -> Upstream {
        let url = format!("http://{URL_CREDENTIALS}@{}", self.site.address);
        Upstream::new(UpstreamConfig {
            upstream_proxy: Some(UpstreamProxy::parse(&url).unwrap()),
            no_proxy: NoProxy::parse(no_proxy).unwrap(),
            ..config()
        })
        .unwrap()
    }
}

async fn tls_origin() -> Site {
    let acceptor = Identity::new().acceptor(&["http/1.1"]);
    Site::open(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            let mut io = acceptor.accept(socket).await?;
            read_message(&mut io).await?;
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            io.shutdown().await
        }
    })
    .await
}

fn connect_head(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: {BASIC}\r\n\r\n")
}

// covers: B6
#[tokio::test]
async fn https_goes_through_connect() {
    let origin = tls_origin().await;
    let mut proxy = Proxy::open("HTTP/1.1 200 Connection established\r\n\r\n", Some(origin.address)).await;
    let response = send_once(&proxy.upstream(), "https://shop.example/order").await.unwrap();
    let peer = response.extensions().get::<UpstreamPeer>().copied().unwrap();
    assert_eq!((peer.remote, peer.via_proxy), (proxy.site.address, true));
    assert_eq!(text(response).await, "ok");
    assert_eq!(proxy.heads.recv().await.unwrap(), connect_head("shop.example:443"));
}

// covers: B6
#[tokio::test]
async fn plain_http_goes_in_absolute_form() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    // It may stand for an answer of the origin: nothing is proven by it.
    let bad_gateway = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno";
    for (status, answer) in [(200, ok), (502, bad_gateway)] {
        let mut proxy = Proxy::open(answer, None).await;
        let response = send_once(&proxy.upstream(), "http://shop.example/order").await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        let expected = format!(
            "POST http://shop.example/order HTTP/1.1\r\nHost: shop.example\r\nProxy-Authorization: {BASIC}\r\nContent-Length: 10\r\n\r\namount=100"
        );
        assert_eq!(proxy.heads.recv().await.unwrap(), expected);
        assert_eq!(proxy.site.connections(), 1);
    }
}

// covers: L5
#[tokio::test]
async fn a_proxy_that_opens_no_way_is_proof() {
    let cases = [
        (
            "https://shop.example/",
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            Some(407),
        ),
        ("https://shop.example/", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno", Some(502)),
        ("https://shop.example/", "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", Some(301)),
        ("https://shop.example/", "HTTP/1.1 20", None),
        ("https://shop.example/", "SOCKS?\r\n\r\n", None),
        (
            "http://shop.example/",
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            Some(407),
        ),
    ];
    for (uri, answer, status) in cases {
        let proxy = Proxy::open(answer, None).await;
        let expected = Evidence::Untouched(Untouched::ProxyHandshakeFailed { status });
        assert_eq!(evidence(&proxy.upstream(), uri).await, expected, "{answer}");
        assert_eq!(proxy.site.connections(), 1, "{answer}");
    }
    let url = format!("http://{}", closed_address().await);
    let upstream_proxy = Some(UpstreamProxy::parse(&url).unwrap());
    let upstream = Upstream::new(UpstreamConfig { upstream_proxy, ..config() }).unwrap();
    assert_eq!(
        evidence(&upstream, "https://shop.example/").await,
        Evidence::Untouched(Untouched::ConnectFailed)
    );
}

// covers: S1
#[tokio::test]
async fn a_proxys_answer_is_read_up_to_its_limit() {
    // 32 KiB, of which half is allowed.
    let site = Site::open(|mut socket| async move {
        socket
            .write_all(format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(32 * 1024)).as_bytes())
            .await?;
        closed(&mut socket).await;
        Ok(())
    })
    .await;
    let upstream_proxy = Some(UpstreamProxy::parse(&format!("http://{}", site.address)).unwrap());
    let upstream = Upstream::new(UpstreamConfig { upstream_proxy, ..config() }).unwrap();
    let too_long = Evidence::Untouched(Untouched::ProxyHandshakeFailed { status: None });
    assert_eq!(evidence(&upstream, "https://shop.example/").await, too_long);
}

// covers: L5
#[tokio::test]
async fn a_proxy_is_spoken_to_in_tls_where_its_url_says_so() {
    let origin = tls_origin().await;
    let acceptor = Identity::new().acceptor(&["http/1.1"]);
    let target = origin.address;
    let site = Site::open(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            let mut io = acceptor.accept(socket).await?;
            assert_eq!(
                read_message(&mut io).await?,
                "CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n"
            );
            io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut origin = TcpStream::connect(target).await?;
            copy_bidirectional(&mut io, &mut origin).await.map(drop)
        }
    })
    .await;
    let upstream_proxy = Some(UpstreamProxy::parse(&format!("https://{}", site.address)).unwrap());
    let upstream = Upstream::new(UpstreamConfig { upstream_proxy, ..config() }).unwrap();
    assert_eq!(text(send_once(&upstream, "https://shop.example/").await.unwrap()).await, "ok");

    let plain =
        Site::open(|mut socket| async move { socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await }).await;
    let upstream_proxy = Some(UpstreamProxy::parse(&format!("https://{}", plain.address)).unwrap());
    let upstream = Upstream::new(UpstreamConfig { upstream_proxy, ..config() }).unwrap();
    let tls_failed = Evidence::Untouched(Untouched::ProxyHandshakeFailed { status: None });
    assert_eq!(evidence(&upstream, "https://shop.example/").await, tls_failed);
}

// covers: B6
#[tokio::test]
async fn a_tunnel_carries_bytes_that_came_with_the_proxys_answer() {
    let mut proxy = Proxy::open("HTTP/1.1 200 OK\r\n\r\n220 mail.example", None).await;
    let target = Target::parse("mail.example:25", None).unwrap();
    let mut tunnel = proxy.upstream().tunnel(&target).await.unwrap();
    assert_eq!(tunnel.remote(), proxy.site.address);
    let mut greeting = String::new();
    tunnel.read_to_string(&mut greeting).await.unwrap();
    assert_eq!(greeting, "220 mail.example");
    assert_eq!(proxy.heads.recv().await.unwrap(), connect_head("mail.example:25"));
}

// covers: B6
#[tokio::test]
async fn an_upgrade_over_plain_http_goes_through_connect() {
    let origin = Site::open(|mut socket| async move {
        read_message(&mut socket).await?;
        socket
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            .await?;
        closed(&mut socket).await;
        Ok(())
    })
    .await;
    let mut proxy = Proxy::open("HTTP/1.1 200 OK\r\n\r\n", Some(origin.address)).await;
    let request = Request::get("http://chat.example/")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = proxy.upstream().forward(request).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(proxy.heads.recv().await.unwrap(), connect_head("chat.example:80"));
}

// covers: B6
#[tokio::test]
async fn a_bypassed_host_is_dialled_directly() {
    let origin = tls_origin().await;
    let proxy = Proxy::open("HTTP/1.1 502 Bad Gateway\r\n\r\n", None).await;
    let upstream = proxy.upstream_except("other.example, 127.0.0.0/8");
    assert_eq!(
        text(send_once(&upstream, &format!("https://{}/", origin.address)).await.unwrap()).await,
        "ok"
    );
    assert_eq!(proxy.site.connections(), 0);
}

// covers: S5
#[tokio::test]
async fn local_names_and_addresses_are_not_asked_of_the_proxy() {
    let proxy = Proxy::open("HTTP/1.1 200 OK\r\n\r\n", None).await;
    let upstream_proxy = Some(UpstreamProxy::parse(&format!("http://{}", proxy.site.address)).unwrap());
    let private_targets = PrivateTargets::Refuse;
    let upstream = Upstream::new(UpstreamConfig { upstream_proxy, private_targets, ..config() }).unwrap();
    for host in ["localhost", "169.254.169.254", "metadata.google.internal", "[::ffff:10.0.0.1]", "intranet"]
    {
        for scheme in ["http", "https"] {
            let refused = evidence(&upstream, &format!("{scheme}://{host}/")).await;
            assert_eq!(refused, Evidence::Untouched(Untouched::TargetRefused), "{scheme} {host}");
        }
    }
    assert_eq!(proxy.site.connections(), 0);
}
