//! Interception of TLS: who the proxy shows itself as, and what is spoken inside.

use super::*;
use onceward_proxy::target::Host;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const HTTP1: &[&[u8]] = &[b"http/1.1"];

// covers: B6
#[tokio::test]
async fn http1_inside_of_tls_is_served() {
    let proxy = Setup::default().start(Mirror).await;
    let tunnel = proxy.tunnel("shop.example:443", "Proxy-Authorization: Basic YWdlbnQ6\r\n").await;
    let mut client = proxy.tls(tunnel, "shop.example", HTTP1).await.unwrap();
    let post = "POST /order HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\n\r\nabc";
    let expected = "POST https://shop.example/order via intercepted for agent\nhost: shop.example\ncontent-length: 3\nabc";
    assert_eq!(ask(&mut client, post).await, ("HTTP/1.1 200 OK".to_owned(), expected.to_owned()));

    let odd = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 03\r\n\r\nabc";
    assert_eq!(ask(&mut client, odd).await.0, "HTTP/1.1 400 Bad Request");
}

// covers: B6
#[tokio::test]
async fn http2_inside_of_tls_is_served() {
    let proxy = Setup::default().start(Mirror).await;
    let tunnel = proxy.tunnel("shop.example:8443", "").await;
    let client = proxy.tls(tunnel, "shop.example", &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let io = hyper_util::rt::TokioIo::new(client);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);

    let request = Request::post("https://shop.example:8443/order").body(Full::from("abc")).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let expected = "POST https://shop.example:8443/order via intercepted for own\ncontent-length: 3\nabc";
    assert_eq!(text, expected);

    let astray = Request::get("https://other.example:8443/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(astray).await.unwrap().status(), StatusCode::BAD_REQUEST);
    let with_body = Request::get("https://shop.example:8443/").body(Full::from("abc")).unwrap();
    assert_eq!(sender.send_request(with_body).await.unwrap().status(), StatusCode::BAD_REQUEST);
}

// covers: B6
#[tokio::test]
async fn addresses_and_long_names_get_valid_certificates() {
    let proxy = Setup::default().start(Mirror).await;
    let long = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
    for host in ["127.0.0.1", "[::1]", &long] {
        let tunnel = proxy.tunnel(&format!("{host}:443"), "").await;
        let name = host.trim_matches(['[', ']']);
        let mut client = proxy.tls(tunnel, name, HTTP1).await.unwrap();
        let (_, text) = ask(&mut client, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(text, format!("GET https://{host}/ via intercepted for own\nhost: {host}\n"));
    }
}

#[tokio::test]
async fn the_name_in_the_handshake_counts_before_the_address_of_the_tunnel() {
    let proxy = Setup::default().start(Mirror).await;
    let tunnel = proxy.tunnel("203.0.113.7:443", "").await;
    let mut client = proxy.tls(tunnel, "shop.example", HTTP1).await.unwrap();
    let (_, text) = ask(&mut client, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert_eq!(text, "GET https://shop.example/ via intercepted for own\nhost: shop.example\n");
}

// covers: B7
#[tokio::test]
async fn each_leaf_is_for_its_host_alone() {
    let proxy = Setup::default().start(Mirror).await;
    let mut serials = Vec::new();
    let mut keys = Vec::new();
    for host in ["one.example", "two.example"] {
        let tunnel = proxy.tunnel(&format!("{host}:443"), "").await;
        let client = proxy.tls(tunnel, host, HTTP1).await.unwrap();
        let chain = client.get_ref().1.peer_certificates().unwrap();
        assert_eq!(chain.len(), 2);
        assert_eq!(&chain[1], proxy.authority.cert_der());

        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names.as_slice(), [GeneralName::DNSName(host)]);
        assert_eq!(leaf.subject().to_string(), format!("O=onceward, CN={host}"));
        assert!(!leaf.is_ca());
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.any && !usage.client_auth);
        let validity = leaf.validity();
        let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
        assert!(days <= 397, "{days}");
        assert_eq!(leaf.raw_serial().len(), 16);
        assert_eq!(leaf.raw_serial()[0] & 0x80, 0);
        serials.push(leaf.raw_serial().to_vec());
        keys.push(leaf.public_key().raw.to_vec());
    }
    assert_ne!(serials[0], serials[1]);
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn simultaneous_handshakes_share_one_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::load_or_create(&folder.path().join("ca")).unwrap());
    let leaves = Arc::new(Leaves::new(authority, 8));
    let host = Host::parse("shop.example").unwrap();
    let asks: Vec<_> = (0..16)
        .map(|_| {
            let (leaves, host) = (Arc::clone(&leaves), host.clone());
            tokio::spawn(async move { leaves.config(&host).await.unwrap() })
        })
        .collect();
    let first = leaves.config(&host).await.unwrap();
    for ask in asks {
        assert!(Arc::ptr_eq(&ask.await.unwrap(), &first));
    }
}

// covers: B6
#[tokio::test]
async fn only_listed_hosts_are_decrypted() {
    let origin = origin_of_raw_tls().await;
    let intercept = Intercept::Hosts(vec!["*.shop.example".parse().unwrap()]);
    let interception = Interception { intercept, tunnel: vec!["pinned.shop.example".parse().unwrap()] };
    let proxy = Setup { interception, ..Setup::default() }.start(Mirror).await;
    for (name, is_decrypted) in
        [("www.shop.example", true), ("pinned.shop.example", false), ("other.example", false)]
    {
        let tunnel = proxy.tunnel(&origin.to_string(), "").await;
        let answer = proxy.tls(tunnel, name, HTTP1).await;
        assert_eq!(answer.is_ok(), is_decrypted, "{name}");
    }
}

// covers: B6
#[tokio::test]
async fn tls_that_is_not_http_passes_unseen() {
    let origin = origin_of_raw_tls().await;
    let proxy = Setup::default().start(Mirror).await;
    let tunnel = proxy.tunnel(&origin.to_string(), "").await;
    let refused = proxy.tls(tunnel, "127.0.0.1", &[b"xmpp-client"]).await.unwrap_err();
    // The origin's own alert, not the proxy's certificate, came back.
    let alert = refused.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap();
    assert_eq!(*alert, rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied));
}

/// A server that answers any ClientHello with the fatal alert `access_denied` (RFC 8446, section 6).
async fn origin_of_raw_tls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut hello = [0; 5];
                // A tunnel that turns out to be decrypted is dialled and dropped.
                if stream.read_exact(&mut hello).await.is_ok() {
                    assert_eq!(hello[0], 0x16);
                    stream.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 49]).await.unwrap();
                    stream.shutdown().await.unwrap();
                    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_malformed_handshake_gets_an_alert_and_harms_nobody() {
    let proxy = Setup::default().start(Mirror).await;
    let mut client = proxy.tunnel("shop.example:443", "").await;
    client.write_all(&[0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0x00, 0x00, 0x00]).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[0], 0x15, "a TLS alert");

    let tunnel = proxy.tunnel("shop.example:443", "").await;
    assert!(proxy.tls(tunnel, "shop.example", HTTP1).await.is_ok());
}
