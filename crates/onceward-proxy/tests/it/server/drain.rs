//! The end of a listener: what may finish, what is cut, and what is said of it.

use super::*;
use tokio::sync::Notify;

/// Answers when it is told to.
#[derive(Clone, Default)]
struct Held {
    arrived: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Exchange for Held {
    type Tunnel = TcpStream;

    async fn call(&self, _request: Request<RequestBody>) -> Response<ProxyBody> {
        self.arrived.notify_one();
        self.go_on.notified().await;
        Response::new(whole("done"))
    }

    async fn tunnel(&self, session: &Session, target: &Target) -> Result<TcpStream, Response<ProxyBody>> {
        Mirror.tunnel(session, target).await
    }
}

const REQUEST: &[u8] = b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";

// covers: L6
#[tokio::test]
async fn requests_that_have_begun_may_finish() {
    let held = Held::default();
    let proxy = Setup::default().start(held.clone()).await;
    let idle = proxy.dial().await;
    let mut client = proxy.dial().await;
    client.write_all(REQUEST).await.unwrap();
    held.arrived.notified().await;

    proxy.shutdown.cancel();
    held.go_on.notify_one();
    let answer = read_to_close(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("done"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    let address = proxy.address;
    assert_eq!(proxy.stop().await, Report::default());
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}

// covers: L6
#[tokio::test]
async fn what_is_left_is_cut_and_counted() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = origin.local_addr().unwrap();
    let held = Held::default();
    let interception = Interception { intercept: Intercept::All, tunnel: vec!["127.0.0.1".parse().unwrap()] };
    let limits = Limits { drain_time: Duration::from_millis(50), ..Limits::default() };
    let proxy = Setup { limits, interception, ..Setup::default() }.start(held.clone()).await;
    let mut tunnel = proxy.tunnel(&target.to_string(), "").await;
    let mut client = proxy.dial().await;
    client.write_all(REQUEST).await.unwrap();
    held.arrived.notified().await;

    assert_eq!(proxy.stop().await, Report { connections_cut: 1, tunnels_cut: 1 });
    assert_eq!(read_to_close(&mut client).await, "");
    assert_eq!(read_to_close(&mut tunnel).await, "");
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let proxy = Setup::default().start(Mirror).await;
    let mut kept = proxy.dial().await;
    let (status, _) = ask(&mut kept, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let mut tunnel = proxy.tunnel("a.example:80", "").await;
    let (status, _) = ask(&mut tunnel, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let silent_tunnel = proxy.tunnel("b.example:80", "").await;
    let silent = proxy.dial().await;

    assert_eq!(proxy.stop().await, Report::default());
    assert_eq!(read_to_close(&mut kept).await, "");
    drop((silent_tunnel, silent));
}
