//! What of a request is read, refused or left alone before anything is claimed, and what its handler sees of it.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use actix_web::{
    App, HttpMessage, HttpRequest, HttpResponse, HttpServer,
    body::BodyStream,
    dev::Service,
    web::{self, Bytes},
};
use http::request::Parts;
use onceward_actix::PeerAddr;
use onceward_core::{actor::Scope, outcome::Policy};
use onceward_tower::{Guarded, Judgement, Rules};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::kit::{Count, Keyed, World, ask, committed, listen, post, problem, response, serve, shown, talk};

// covers: S1 S6
#[actix_web::test]
async fn a_body_past_the_limit_is_refused_before_a_claim() {
    let (world, count) = (World::start().await, Count::default());
    let policy = Policy { request_bytes_max: 10, ..Policy::middleware() };
    let addr = world.serve(policy, count.site(|_| response(201, &[]).body("ordered"))).addr;
    let chunked = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n";
    // The announced length is enough; without one the bytes are counted.
    let announced = "POST /order HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 11\r\n\r\n";
    for request in [announced, chunked] {
        let refused = ask(addr, request).await;
        assert!(refused.starts_with("413\n") && refused.contains("/body-too-large"), "{refused}");
        assert!(refused.contains("The body exceeds 10 bytes."), "{refused}");
        assert!(refused.contains("idempotency-key-consumed: false\n"), "{refused}");
    }
    assert_eq!((count.get(), world.records().await), (0, 0));
    assert_eq!(ask(addr, &post("k", "0123456789")).await, committed("ordered"));
}

// covers: S6 L6
#[actix_web::test]
async fn a_body_that_breaks_off_claims_nothing() {
    let (world, count) = (World::start().await, Count::default());
    let addr = world.serve(Policy::middleware(), count.site(|_| response(201, &[]).body("ordered"))).addr;
    let halves = [
        "POST /order?id=1 HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 4\r\n\r\nha",
        "POST /order?id=1 HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nha\r\n",
    ];
    for half in halves {
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(half.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let answer = shown(&answer);
        assert!(answer.starts_with("400\n") && answer.contains("/body-incomplete"), "{answer}");
    }
    assert_eq!((count.get(), world.records().await), (0, 0));
    assert_eq!(ask(addr, &post("k", "half")).await, committed("ordered"));
}

// covers: K1 K2
#[actix_web::test]
async fn what_the_rules_refuse_goes_no_further() {
    let (world, count) = (World::start().await, Count::default());
    let addr = world.serve(Policy::middleware(), count.site(|_| response(201, &[]).finish())).addr;
    let asked = [
        "Idempotency-Key: a\r\nIdempotency-Key: a",
        "Idempotency-Key: a, b",
        "Idempotency_Key: a",
        "Idempotency-Key: a\r\nConnection: Idempotency-Key",
    ]
    .map(|lines| async move {
        // A body that never comes: nothing may wait for it.
        let request = format!("POST /order HTTP/1.1\r\nHost: a\r\n{lines}\r\nContent-Length: 9\r\n\r\n");
        problem(addr, &request).await
    });
    assert_eq!(futures_util::future::join_all(asked).await, ["400 key-invalid"; 4]);
    assert_eq!((count.get(), world.records().await), (0, 0));
}

/// What a handler saw.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<String>>);

impl Seen {
    fn note(&self, request: &HttpRequest, body: &[u8]) {
        let mut lines: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_bytes().escape_ascii()))
            .filter(|line| !line.starts_with("host: ") && !line.starts_with("connection: "))
            .collect();
        lines.sort_by_key(|line| line.split_once(':').unwrap().0.to_owned());
        *self.0.lock().unwrap() = format!(
            "{} {} {:?} {lines:?} {} guarded: {}",
            request.method(),
            request.uri(),
            request.version(),
            body.escape_ascii(),
            request.extensions().get::<Guarded>().is_some()
        );
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

// covers: S6 B3 F3
#[actix_web::test]
async fn a_handler_gets_the_request_as_it_came_but_for_what_the_rules_take_off() {
    let (world, seen) = (World::start().await, Seen::default());
    let noting = seen.clone();
    let server = serve(world.once(Policy::middleware()), move |config| {
        let order = move |request: HttpRequest, body: Bytes| {
            noting.note(&request, &body);
            async { HttpResponse::Created().finish() }
        };
        // Under a scope the target stays whole.
        config.service(
            web::scope("/shop").service(web::scope("/eu").route("/order/{id}", web::route().to(order))),
        );
    });
    for (key, is_guarded) in [("Idempotency-Key: k\r\n", true), ("", false)] {
        let request = format!(
            "PUT /shop/eu/order/%C3%A9?a=1&a=2%20 HTTP/1.1\r\nHost: a\r\n{key}X-Twice: one\r\nX-Secret: s\r\n\
             X-Twice: two\r\nX-Bytes: \u{e9}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\0b\r\n1\r\nc\r\n0\r\n\r\n"
        );
        assert!(ask(server.addr, &request).await.starts_with("201\n"));
        let key = if is_guarded { "\"idempotency-key: k\", " } else { "" };
        let expected = format!(
            "PUT /shop/eu/order/%C3%A9?a=1&a=2%20 HTTP/1.1 [{key}\"transfer-encoding: chunked\", \
             \"x-bytes: \\\\xc3\\\\xa9\", \"x-twice: one\", \"x-twice: two\"] a\\x00bc guarded: {is_guarded}"
        );
        assert_eq!(seen.take(), expected);
    }
    // Another path with the same end is another request.
    let other = post("k", "a").replacen("/order", "/shop/eu/order/2", 1);
    assert_eq!(problem(server.addr, &other).await, "422 key-reused");
}

// covers: K3 S1
#[actix_web::test]
async fn an_unguarded_request_passes_unread_and_its_answer_as_it_comes() {
    let world = World::start().await;
    let server = world.serve(Policy::forward_proxy(), |config| {
        // An echo that answers each chunk before the next is there.
        config.default_service(web::to(|body: web::Payload| async {
            response(429, &[("x", "1")]).body(BodyStream::new(body))
        }));
    });
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    let head = "POST /order HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    for part in ["3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"] {
        client.write_all(part.as_bytes()).await.unwrap();
        while !seen.ends_with(part.as_bytes()) {
            seen.push(client.read_u8().await.unwrap());
        }
    }
    assert_eq!(shown(&seen), "429\ntransfer-encoding: chunked\nx: 1\n\nonetwo");
    assert_eq!(world.records().await, 0);
}

// covers: K3
#[actix_web::test]
async fn an_unguarded_upload_is_not_taken_faster_than_its_handler_reads() {
    let world = World::start().await;
    let (go, gone) = mpsc::channel::<()>(1);
    let gone = Arc::new(tokio::sync::Mutex::new(gone));
    let server = world.serve(Policy::middleware(), move |config| {
        config.default_service(web::to(move |mut body: web::Payload| {
            let gone = Arc::clone(&gone);
            async move {
                gone.lock().await.recv().await;
                let mut len = 0;
                while let Some(chunk) = futures_util::StreamExt::next(&mut body).await {
                    len += chunk.unwrap().len();
                }
                HttpResponse::Ok().body(len.to_string())
            }
        }));
    });
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    let len = 64 * 1024 * 1024;
    let head =
        format!("POST /order HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    // waits: until the sockets between are full; nothing else tells that a writer is stopped.
    let stalled = std::time::Duration::from_millis(500);
    while let Ok(written) = tokio::time::timeout(stalled, client.write(&chunk)).await {
        sent += written.unwrap();
        assert!(sent < len, "64 MiB went into a server whose handler read nothing");
    }
    go.send(()).await.unwrap();
    while sent < len {
        sent += client.write(&chunk[..chunk.len().min(len - sent)]).await.unwrap();
    }
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(shown(&answer), format!("200\ncontent-length: 8\n\n{len}"));
}

// covers: K3
#[actix_web::test]
async fn an_unguarded_request_without_a_fit_answer_is_actix_own_matter() {
    let (world, count) = (World::start().await, Count::default());
    let once = world.once(Policy::middleware());
    let addr = listen!(HttpServer::new(move || App::new()
        .wrap(once.clone())
        .configure(count.site(|_| { response(200, &[]).finish() }))
        .route(
            "/error",
            web::to(|| async { Err::<HttpResponse, _>(actix_web::error::ErrorConflict("taken")) })
        )))
    .addr;
    let request = "GET /error HTTP/1.1\r\nHost: a\r\n\r\n";
    let expected = "409\ncontent-length: 5\ncontent-type: text/plain; charset=utf-8\n\ntaken";
    assert_eq!(ask(addr, request).await, expected);
    let head = "HEAD /error HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(ask(addr, head).await, expected.replace("taken", ""));
}

/// A principal that a middleware outside has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Principal(&'static str);

/// What a connection is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject(String);

/// Rules that note the values that they see.
#[derive(Clone)]
struct Noting(Keyed, Arc<Mutex<Vec<String>>>);

impl Rules for Noting {
    fn judge(&self, head: &mut Parts) -> Judgement {
        let peer = head.extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_string());
        let values = (peer, head.extensions.get::<Principal>(), head.extensions.get::<Subject>());
        self.1.lock().unwrap().push(format!("{values:?}"));
        self.0.judge(head)
    }

    fn scope(&self, head: &Parts, body: &[u8]) -> Scope {
        self.0.scope(head, body)
    }
}

// covers: K4
#[actix_web::test]
async fn rules_see_the_peer_and_the_values_that_they_are_shown() {
    let (world, noted) = (World::start().await, Arc::<Mutex<Vec<String>>>::default());
    let rules = Noting(Keyed::by(Policy::middleware()), Arc::clone(&noted));
    let once = world.once_by(rules).carry::<Principal>().carry::<Subject>();
    let site = Count::default().site(|_| response(201, &[]).finish());
    let server = HttpServer::new(move || {
        App::new().wrap(once.clone()).configure(site.clone()).wrap_fn(|request, service| {
            request.extensions_mut().insert(Principal("alice"));
            service.call(request)
        })
    });
    let addr = listen!(server.on_connect(|_: &dyn Any, data| {
        data.insert(Subject("CN=agent".to_owned()));
    }))
    .addr;
    talk(addr, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    ask(addr, &post("k", "a")).await;
    let expected = r#"(Some("127.0.0.1"), Some(Principal("alice")), Some(Subject("CN=agent")))"#;
    assert_eq!(*noted.lock().unwrap(), [expected, expected]);
}
