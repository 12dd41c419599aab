//! Several instances of a service, in several protocols, some of them unwell.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use onceward_engine::UpstreamSeen;
use onceward_proxy::gateway::{GatewayConfig, HealthCheck};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{
    kit::{DEADLINE, Running, Scripted, before, closed_address, read_head, rules, say},
    recorder::Recorder,
    tls::server_config,
};

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

/// A PUT without a key, whose body streams.
const PUT: &str =
    "PUT /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";

#[tokio::test]
async fn instances_take_turns() {
    let services = [Recorder::open().await, Recorder::open().await, Recorder::open().await];
    let urls: Vec<String> = services.iter().map(Recorder::url).collect();
    let gateway = Running::start(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for _ in 0..6 {
        assert_eq!(gateway.ask(GET).await.status, 200);
    }
    assert_eq!(services.each_ref().map(|service| service.told().len()), [2, 2, 2]);
}

#[tokio::test]
async fn a_request_that_reached_nobody_goes_to_another_instance_with_its_body() {
    let service = Recorder::open().await;
    let closed = format!("http://{}", closed_address().await);
    let gateway = Running::start(&[&closed, &service.url()]).await;
    for request in [GET, PUT, GET, PUT] {
        assert_eq!(gateway.ask(request).await.status, 200);
    }
    assert_eq!(service.told().iter().filter(|told| *told == "PUT /a shop.example abc").count(), 2);

    let gateway = Running::start(&[&closed]).await;
    assert_eq!(gateway.ask(PUT).await.status, 502);
}

#[tokio::test]
async fn a_request_that_may_have_been_read_goes_to_no_other_instance() {
    let (count, asked) = watch::channel(0);
    let service = Scripted::open(move |_, mut socket| {
        let count = count.clone();
        async move {
            read_head(&mut socket).await;
            count.send_modify(|asked| *asked += 1);
        }
    })
    .await;
    let gateway = Running::start(&[&service.url(), &service.url()]).await;
    assert_eq!(gateway.ask(PUT).await.status, 502);
    assert_eq!(*asked.borrow(), 1);
}

#[tokio::test]
async fn an_unwell_instance_is_left_alone_until_it_is_well() {
    let (well, wellness) = watch::channel(false);
    let (count, checks) = watch::channel(0_u32);
    let unwell = Scripted::open(move |_, mut socket| {
        let (wellness, count) = (wellness.clone(), count.clone());
        async move {
            loop {
                let asked = read_head(&mut socket).await;
                if asked.starts_with("GET /health ") {
                    let status = if *wellness.borrow() { 204 } else { 500 };
                    say(&mut socket, status, "", "").await;
                    count.send_modify(|checks| *checks += 1);
                } else {
                    say(&mut socket, 200, "", "unwell").await;
                }
            }
        }
    })
    .await;
    let good = Scripted::open(|_, mut socket| async move {
        loop {
            read_head(&mut socket).await;
            say(&mut socket, 200, "", "good").await;
        }
    })
    .await;
    let health = HealthCheck { path: "/health".parse().unwrap(), interval: Duration::from_millis(20) };
    let config = GatewayConfig { health: Some(health), ..before(&[&unwell.url(), &good.url()]) };
    let gateway = Running::start_with(config, rules()).await;
    let checked = async |more: u32| {
        let until = *checks.borrow() + more;
        let mut checks = checks.clone();
        tokio::time::timeout(DEADLINE, checks.wait_for(|checks| *checks >= until)).await.unwrap().unwrap();
    };
    // The fourth check begins after the third was noted.
    checked(4).await;
    for _ in 0..4 {
        assert_eq!(gateway.ask(GET).await.body, "good");
    }
    assert_eq!(up(&gateway), [false, true]);
    well.send_replace(true);
    checked(4).await;
    assert_eq!(up(&gateway), [true, true]);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(gateway.ask(GET).await.body);
    }
    answers.sort();
    assert_eq!(answers, ["good", "good", "unwell", "unwell"]);
}

/// Which instances get requests, as the engine is told.
fn up(gateway: &Running) -> Vec<bool> {
    gateway.engine.telemetry().upstreams().iter().map(|upstream| upstream.is_up).collect()
}

#[tokio::test]
async fn the_engine_is_told_what_became_of_each_instance() {
    let service = Recorder::open().await;
    let closed = format!("http://{}", closed_address().await);
    let gateway = Running::start(&[&closed, &service.url()]).await;
    let keyed = PUT.replace("Content-Length", "Idempotency-Key: k\r\nContent-Length");
    for request in [GET, PUT, GET, PUT, GET, &keyed] {
        assert_eq!(gateway.ask(request).await.status, 200);
    }
    let expected = [
        UpstreamSeen { is_up: false, requests: 3, connect_failures: 3 },
        UpstreamSeen { is_up: true, requests: 6, connect_failures: 0 },
    ];
    assert_eq!(gateway.engine.telemetry().upstreams(), expected);
}

/// A service that answers in which version it was asked, over TLS or in the clear.
async fn versions(tls: Option<TlsAcceptor>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    let answer = service_fn(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let host = head.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
        let authority = head.uri.authority().map(ToString::to_string);
        let version = if head.version == Version::HTTP_2 { "h2" } else { "h1" };
        let text = format!("{version} {} {}", authority.or(host).unwrap(), String::from_utf8_lossy(&body));
        Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
    });
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            connections.spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                match tls {
                    None => drop(builder.serve_connection(TokioIo::new(socket), answer).await),
                    Some(tls) => {
                        let Ok(socket) = tls.accept(socket).await else { return };
                        drop(builder.serve_connection(TokioIo::new(socket), answer).await);
                    }
                }
            });
        }
    });
    (address.to_string(), tasks)
}

// covers: B6
#[tokio::test]
async fn instances_are_spoken_to_in_the_version_that_they_speak() {
    let keyed = PUT.replace("Content-Length", "Idempotency-Key: k\r\nContent-Length");
    let acceptor = |protocols: &[&str]| Some(TlsAcceptor::from(Arc::new(server_config(protocols))));
    let cases = [
        ("http", None, "h1"),
        ("h2c", None, "h2"),
        ("https", acceptor(&["http/1.1"]), "h1"),
        ("https", acceptor(&["h2", "http/1.1"]), "h2"),
    ];
    for (scheme, tls, version) in cases {
        let (address, _service) = versions(tls).await;
        let gateway = Running::start(&[&format!("{scheme}://{address}")]).await;
        let answer = gateway.ask(GET).await;
        assert_eq!((answer.status, answer.body), (200, format!("{version} shop.example ")), "{scheme}");
        let answer = gateway.ask(&keyed).await;
        assert_eq!((answer.status, answer.body), (200, format!("{version} shop.example abc")), "{scheme}");
    }
}
