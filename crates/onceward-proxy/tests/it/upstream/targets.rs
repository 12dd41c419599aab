//! Which targets are dialled, seen from the targets.

use super::*;

use onceward_proxy::target::Target;

const REFUSED: Evidence = Evidence::Untouched(Untouched::TargetRefused);

async fn site() -> Site {
    Site::open(|mut socket| async move {
        read_message(&mut socket).await?;
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
    })
    .await
}

// covers: S5
#[tokio::test]
async fn private_targets_are_not_dialled_unless_allowed() {
    let site = site().await;
    let port = site.address.port();
    let refusing =
        Upstream::new(UpstreamConfig { private_targets: PrivateTargets::Refuse, ..config() }).unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let uri = format!("http://{host}:{port}/");
        assert_eq!(evidence(&refusing, &uri).await, REFUSED, "{host}");
        assert_eq!(refusing.forward(post(&uri)).await.unwrap_err().evidence, REFUSED, "{host}");
        let target = Target::parse(&format!("{host}:{port}"), None).unwrap();
        assert_eq!(refusing.tunnel(&target).await.unwrap_err().untouched, Untouched::TargetRefused, "{host}");
    }
    assert_eq!(site.connections(), 0);
    send_once(&upstream(), &format!("http://127.0.0.1:{port}/")).await.unwrap();
    assert_eq!(site.connections(), 1);
}

// covers: S5
#[tokio::test]
async fn own_listeners_are_never_dialled() {
    let site = site().await;
    let port = site.address.port();
    let own_addresses = OwnAddresses::default();
    let upstream =
        Upstream::new(UpstreamConfig { own_addresses: own_addresses.clone(), ..config() }).unwrap();
    own_addresses.add(site.address);
    for host in ["127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]"] {
        assert_eq!(evidence(&upstream, &format!("http://{host}:{port}/")).await, REFUSED, "{host}");
    }
    assert_eq!(site.connections(), 0);
    own_addresses.remove(site.address);
    send_once(&upstream, &format!("http://127.0.0.1:{port}/")).await.unwrap();
}

// covers: S5
#[tokio::test]
async fn a_target_that_reads_two_ways_is_refused() {
    let upstream = upstream();
    for uri in [
        "/relative",
        "ftp://127.0.0.1/",
        "http://user@127.0.0.1/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://2130706433/",
    ] {
        assert_eq!(evidence(&upstream, uri).await, REFUSED, "{uri}");
    }
}
