//! TLS towards origins.

use super::*;

use onceward_proxy::upstream::{UpstreamLimits, UpstreamProxy, read_roots};
use rustls_pki_types::pem::PemObject;
use tokio::sync::mpsc;

/// How a connection ends in TLS.
#[derive(Clone, Copy)]
enum Closing {
    CloseNotify,
    Truncated,
}

async fn site(identity: &Identity, protocols: &[&str], closing: Closing) -> Site {
    let acceptor = identity.acceptor(protocols);
    Site::open(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            let mut io = acceptor.accept(socket).await?;
            read_message(&mut io).await?;
            io.write_all(b"HTTP/1.1 200 OK\r\n\r\nall").await?;
            io.flush().await?;
            match closing {
                Closing::CloseNotify => io.shutdown().await,
                Closing::Truncated => io.get_mut().0.shutdown().await,
            }
        }
    })
    .await
}

fn trusting(identity: &Identity) -> Upstream {
    let roots = Roots::PlatformAnd(vec![identity.root.clone()]);
    Upstream::new(UpstreamConfig { roots, ..config() }).unwrap()
}

// covers: B6
#[tokio::test]
async fn an_origin_under_a_given_root_is_trusted_by_name_and_by_address() {
    let identity = Identity::new();
    let site = site(&identity, &["http/1.1"], Closing::CloseNotify).await;
    let upstream = trusting(&identity);
    for host in ["127.0.0.1", "localhost"] {
        let target = format!("https://{host}:{}/", site.address.port());
        assert_eq!(text(send_once(&upstream, &target).await.unwrap()).await, "all", "{host}");
    }
}

// covers: L5
#[tokio::test]
async fn a_handshake_that_fails_is_proof() {
    let (known, unknown) = (Identity::new(), Identity::new());
    let upstream = trusting(&known);
    let tls_failed = Evidence::Untouched(Untouched::TlsFailed);

    let untrusted = site(&unknown, &["http/1.1"], Closing::CloseNotify).await;
    assert_eq!(evidence(&upstream, &format!("https://{}/", untrusted.address)).await, tls_failed);

    let other = Identity::named(&["shop.example", "127.0.0.2"]);
    let other_name = site(&other, &["http/1.1"], Closing::CloseNotify).await;
    for host in ["127.0.0.1", "localhost"] {
        let target = format!("https://{host}:{}/", other_name.address.port());
        assert_eq!(evidence(&trusting(&other), &target).await, tls_failed, "{host}");
    }

    let no_common_protocol = site(&known, &["spdy/3"], Closing::CloseNotify).await;
    assert_eq!(evidence(&upstream, &format!("https://{}/", no_common_protocol.address)).await, tls_failed);

    let plain = Site::open(|mut socket| async move {
        socket.peek(&mut [0]).await?;
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    })
    .await;
    assert_eq!(evidence(&upstream, &format!("https://{}/", plain.address)).await, tls_failed);

    let closing = Site::open(|socket| async move { socket.peek(&mut [0]).await.map(drop) }).await;
    assert_eq!(evidence(&upstream, &format!("https://{}/", closing.address)).await, tls_failed);
}

// covers: L5, S1
#[tokio::test]
async fn a_handshake_that_stalls_ends_at_its_limit() {
    let (accepted, mut accepts) = mpsc::unbounded_channel();
    let silent = Site::open(move |mut socket| {
        accepted.send(()).unwrap();
        async move {
            closed(&mut socket).await;
            Ok(())
        }
    })
    .await;
    let limits = UpstreamLimits {
        tls_handshake: Duration::from_secs(3),
        proxy_handshake: Duration::from_secs(5),
        ..UpstreamLimits::default()
    };
    let direct = UpstreamConfig { limits, ..config() };
    let chained = |scheme| {
        let upstream_proxy = Some(UpstreamProxy::parse(&format!("{scheme}://{}", silent.address)).unwrap());
        UpstreamConfig { upstream_proxy, ..direct.clone() }
    };
    let target = format!("https://{}/", silent.address);
    let proxy_failed = Untouched::ProxyHandshakeFailed { status: None };
    for (config, deadline_s, ended_s, expected) in [
        (direct.clone(), 9, 3, Untouched::TlsFailed),
        (direct.clone(), 2, 2, Untouched::TlsFailed),
        (chained("http"), 9, 5, proxy_failed),
        (chained("http"), 2, 2, proxy_failed),
        (chained("https"), 9, 5, proxy_failed),
    ] {
        let upstream = Upstream::new(config).unwrap();
        let (request, begun) = (post(&target), Instant::now());
        let sending = tokio::spawn(async move {
            upstream.send_once(request, begun + Duration::from_secs(deadline_s)).await.map(drop)
        });
        accepts.recv().await.unwrap();
        tokio::time::pause();
        assert_eq!(sending.await.unwrap().unwrap_err().evidence, Evidence::Untouched(expected));
        assert_eq!(begun.elapsed().as_secs(), ended_s);
        tokio::time::resume();
    }
}

// covers: O4
#[tokio::test]
async fn an_unframed_body_in_tls_ends_only_with_close_notify() {
    let identity = Identity::new();
    let upstream = trusting(&identity);
    let whole = site(&identity, &["http/1.1"], Closing::CloseNotify).await;
    let response = send_once(&upstream, &format!("https://{}/", whole.address)).await.unwrap();
    assert!(!response.body().is_delimited());
    assert_eq!(text(response).await, "all");

    let cut = site(&identity, &["http/1.1"], Closing::Truncated).await;
    let response = send_once(&upstream, &format!("https://{}/", cut.address)).await.unwrap();
    response.into_body().collect().await.expect_err("the body has no end");
}

#[test]
fn roots_are_read_from_pem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    // Two certificates of three zero bytes each: what is in them is judged later.
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, certificate.repeat(2)).unwrap();
    let expected = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    assert_eq!(read_roots(&file).unwrap(), [expected.clone(), expected]);
    std::fs::write(&file, "no certificate here").unwrap();
    assert_eq!(read_roots(&file).unwrap_err().to_string(), "the file holds no certificate");
    assert_eq!(
        read_roots(&folder.path().join("absent")).unwrap_err().to_string(),
        "root certificates cannot be read"
    );
}
