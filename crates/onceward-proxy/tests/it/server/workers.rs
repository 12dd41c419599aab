//! Connections on threads of their own.

use std::collections::BTreeSet;

use super::*;
use onceward_proxy::pass_through::PassThrough;
use onceward_proxy::upstream::{PrivateTargets, Roots, Upstream, UpstreamConfig};
use tokio::task::JoinSet;

/// Answers with the name of its thread, after a turn of the runtime.
#[derive(Clone)]
struct Whereabouts;

impl Exchange for Whereabouts {
    type Tunnel = TcpStream;

    async fn call(&self, _request: Request<RequestBody>) -> Response<ProxyBody> {
        // waits: a turn of the runtime's timer, after which another thread could have the task
        tokio::time::sleep(Duration::from_millis(1)).await;
        Response::new(whole(std::thread::current().name().unwrap_or_default().to_owned()))
    }

    async fn tunnel(&self, session: &Session, target: &Target) -> Result<TcpStream, Response<ProxyBody>> {
        Mirror.tunnel(session, target).await
    }
}

fn on_two_workers() -> Setup {
    Setup { workers: Some(Arc::new(Workers::start(2).unwrap())), ..Setup::default() }
}

#[tokio::test]
async fn connections_take_turns_and_stay_where_they_are() {
    let proxy = on_two_workers().start(Whereabouts).await;
    let mut threads = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.dial().await;
        let request = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let (_, first) = ask(&mut client, request).await;
        let (_, second) = ask(&mut client, request).await;
        assert_eq!(first, second);
        threads.push(first);
    }
    assert_eq!(threads, ["worker-0", "worker-1", "worker-0", "worker-1"]);
    assert_eq!(proxy.stop().await, Report::default());
}

/// Of each client.
const REQUESTS: usize = 20;

#[tokio::test]
async fn a_worker_uses_the_connections_that_it_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut sockets = JoinSet::new();
        for number in 1.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            sockets.spawn(async move {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
                loop {
                    read_head(&mut socket).await;
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let upstream = Upstream::new(UpstreamConfig {
        roots: Roots::Insecure,
        private_targets: PrivateTargets::Allow,
        ..UpstreamConfig::default()
    });
    let proxy = on_two_workers().start(PassThrough::new(upstream.unwrap())).await;
    let request = format!("GET http://{site}/ HTTP/1.1\r\nHost: {site}\r\n\r\n");
    let mut clients = [proxy.dial().await, proxy.dial().await];
    let mut used = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..REQUESTS {
        for (client, used) in clients.iter_mut().zip(&mut used) {
            used.insert(ask(client, &request).await.1);
        }
    }
    let [first, second] = used;
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    // A request may come before the answer of the one before has left its connection free.
    assert!(first.len() + second.len() < REQUESTS, "{first:?} {second:?}");
}
