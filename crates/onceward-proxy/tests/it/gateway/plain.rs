//! Plain requests, on connections that carry nothing else, and on those that do.

use std::{sync::Arc, time::Duration};

use onceward_core::profile::Profile;
use onceward_proxy::{
    gateway::{GatewayConfig, guarding_of},
    limits::Limits,
};
use onceward_tower::origin::{OriginSettings, Route};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, watch},
    time::timeout,
};

use super::{
    kit::{Answer, DEADLINE, Running, Scripted, answers, before, read_head, read_message, rules, say},
    recorder::Recorder,
};

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n";

const LAST: &str = "GET /last HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

/// A service that gives every connection these bytes for each request.
async fn saying(answer: &'static str) -> Scripted {
    Scripted::open(move |_, mut socket| async move {
        while read_message(&mut socket).await.is_some() {
            socket.write_all(answer.as_bytes()).await.unwrap();
            if !answer.contains("Length") && !answer.contains("chunked") {
                return;
            }
        }
    })
    .await
}

/// What a client gets to read for these bytes.
async fn heard(gateway: &Running, bytes: &str) -> String {
    let mut client = gateway.dial().await;
    client.write_all(bytes.as_bytes()).await.unwrap();
    rest(&mut client).await
}

async fn rest(client: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(DEADLINE, client.read_to_string(&mut text)).await.expect("it does not close").unwrap();
    text
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

// covers: S6
#[tokio::test]
async fn requests_in_one_piece_are_answered_in_their_order() {
    let service = Recorder::open().await;
    let gateway = Running::start(&[&service.url()]).await;
    let keyed = "POST /b HTTP/1.1\r\nHost: shop.example\r\nIdempotency-Key: a\r\nContent-Length: 2\r\n\r\nhi";
    let answers = gateway.talk(format!("{GET}{GET}{keyed}{GET}{LAST}").as_bytes()).await;
    assert_eq!(statuses(&answers), [200; 5]);
    let plain = "GET /a shop.example ";
    let last = "GET /last shop.example ";
    assert_eq!(service.told(), [plain, plain, "POST /b shop.example hi", plain, last]);
    assert_eq!(gateway.records().await, 1);
}

#[tokio::test]
async fn a_head_in_pieces_is_read_to_its_end() {
    let service = Recorder::open().await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
    let (begin, end) = LAST.split_at(30);
    client.write_all(begin.as_bytes()).await.unwrap();
    // waits: for the gateway to read the first piece, of which nobody hears.
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.write_all(end.as_bytes()).await.unwrap();
    assert_eq!(statuses(&answers(rest(&mut client).await.as_bytes())), [200]);
    assert_eq!(service.told(), ["GET /a shop.example ", "GET /last shop.example "]);
}

// covers: B6
#[tokio::test]
async fn of_an_answer_all_passes_but_what_concerns_its_connection() {
    let service = saying(
        "HTTP/1.1 203 Of Course\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nSet-Cookie: a=1\r\nConnection: X-Hop\r\n\
         x-hop: 1\r\nKeep-Alive: timeout=5\r\nX-MiXeD: Kept\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let expected = "HTTP/1.1 203 Of Course\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nSet-Cookie: a=1\r\n\
                    X-MiXeD: Kept\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\nconnection: close\r\n\r\nhi";
    assert_eq!(heard(&gateway, LAST).await, expected);
    let head = LAST.replacen("GET", "HEAD", 1);
    assert_eq!(heard(&gateway, &head).await, expected.strip_suffix("hi").unwrap());
}

// covers: B6
#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let cases = [
        ("HTTP/1.1 200 OK\r\n", "hello", "5\r\nhello\r\n0\r\n\r\n"),
        ("HTTP/1.0 200 OK\r\n", "", "0\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", "hello", "5\r\nhello\r\n0\r\n\r\n"),
    ];
    for (head, sent, body) in cases {
        let service = Scripted::open(move |_, mut socket| async move {
            read_head(&mut socket).await;
            socket.write_all(format!("{head}{DATE}\r\n{sent}").as_bytes()).await.unwrap();
        })
        .await;
        let gateway = Running::start(&[&service.url()]).await;
        let expected =
            format!("HTTP/1.1 200 OK\r\n{DATE}transfer-encoding: chunked\r\nconnection: close\r\n\r\n{body}");
        assert_eq!(heard(&gateway, LAST).await, expected, "{head}");
    }
}

// covers: B6
#[tokio::test]
async fn what_comes_before_the_answer_is_not_the_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let service = Scripted::open(move |_, mut socket| async move {
        read_head(&mut socket).await;
        socket.write_all(early.as_bytes()).await.unwrap();
        say(&mut socket, 200, "", "done").await;
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let answers = answers(heard(&gateway, LAST).await.as_bytes());
    assert_eq!(
        answers.iter().map(|answer| (answer.status, &*answer.body)).collect::<Vec<_>>(),
        [(200, "done")]
    );
}

// covers: S6
#[tokio::test]
async fn an_answer_with_two_readings_is_none() {
    let cases = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "no answer\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ",
    ];
    for answer in cases {
        let service = Scripted::open(move |_, mut socket| async move {
            read_head(&mut socket).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let gateway = Running::start(&[&service.url()]).await;
        assert_eq!(gateway.ask(LAST).await.status, 502, "{answer}");
    }
}

// covers: S6
#[tokio::test]
async fn what_an_instance_says_unasked_is_the_answer_to_nothing() {
    let service = Scripted::open(|number, mut socket| async move {
        while read_message(&mut socket).await.is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            let unasked = if number == 1 { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!" } else { "" };
            socket.write_all(format!("{answer}{unasked}").as_bytes()).await.unwrap();
        }
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    for expected in ["1", "2", "2"] {
        client.write_all(GET.as_bytes()).await.unwrap();
        read_head(&mut client).await;
        let mut body = [0; 1];
        timeout(DEADLINE, client.read_exact(&mut body)).await.unwrap().unwrap();
        assert_eq!(&body, expected.as_bytes());
    }
}

// covers: S1
#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_service_up() {
    const BODY_BYTES: usize = 64 * 1024 * 1024;
    let (all_sent, sent) = watch::channel(false);
    let service = Scripted::open(move |_, mut socket| {
        let all_sent = all_sent.clone();
        async move {
            read_head(&mut socket).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&vec![7; BODY_BYTES]).await.unwrap();
            all_sent.send_replace(true);
        }
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    client.write_all(LAST.as_bytes()).await.unwrap();
    read_head(&mut client).await;
    let mut held = sent.clone();
    // waits: nobody says that a writer is held up; unheld, 64 MiB take a fraction of this on loopback.
    let waited = timeout(Duration::from_secs(1), held.wait_for(|sent| *sent)).await;
    assert!(waited.is_err(), "the gateway has taken it all in");
    let mut body = Vec::new();
    timeout(DEADLINE, client.read_to_end(&mut body)).await.unwrap().unwrap();
    assert_eq!((body.len(), *sent.borrow()), (BODY_BYTES, true));
}

// covers: C1
#[tokio::test]
async fn a_guarded_route_says_so_without_a_key_too() {
    let answer = "HTTP/1.1 200 OK\r\nAccepts-Idempotency-Key: no\r\nContent-Length: 0\r\n\r\n";
    let service = saying(answer).await;
    let guarded = Route::guarded(&["GET"], "/a", guarding_of(&Profile::onceward())).unwrap();
    let settings = OriginSettings { routes: vec![guarded], ..rules() };
    let gateway = Running::start_with(before(&[&service.url()]), settings).await;
    let said = |answer: &Answer| {
        let is_contract = |(name, _): &&(String, String)| name.starts_with("accepts-");
        let said = answer.fields.iter().filter(is_contract).map(|(_, value)| value.clone());
        said.collect::<Vec<_>>()
    };
    let both = gateway.talk(format!("{GET}{LAST}").as_bytes()).await;
    assert_eq!(both.iter().map(said).collect::<Vec<_>>(), [vec!["true", "sha256"], vec!["no"]]);
}

// covers: S1
#[tokio::test]
async fn a_connection_without_a_request_is_closed_in_time() {
    let service = Recorder::open().await;
    let limits = Limits { idle_time: Duration::from_millis(200), ..Limits::default() };
    let gateway = Running::start_with(GatewayConfig { limits, ..before(&[&service.url()]) }, rules()).await;
    let mut client = gateway.dial().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(statuses(&answers(rest(&mut client).await.as_bytes())), [200]);
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_hold_up_a_shutdown() {
    let service = Recorder::open().await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    read_head(&mut client).await;
    let report = gateway.stop().await;
    assert_eq!((report.connections_cut, report.tunnels_cut), (0, 0));
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_resets_its_connection_ends_its_request() {
    let (asked, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let notes = (Arc::clone(&asked), Arc::clone(&ended));
    let service = Scripted::open(move |_, mut socket| {
        let (asked, ended) = (Arc::clone(&notes.0), Arc::clone(&notes.1));
        async move {
            read_head(&mut socket).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
            asked.notify_one();
            assert_eq!(socket.read(&mut [0; 1]).await.unwrap_or_default(), 0);
            ended.notify_one();
        }
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut client = gateway.dial().await;
    client.write_all(GET.as_bytes()).await.unwrap();
    asked.notified().await;
    timeout(DEADLINE, client.read_exact(&mut [0; 1])).await.unwrap().unwrap();
    // With something unread, a close is a reset.
    drop(client);
    timeout(DEADLINE, ended.notified()).await.expect("the request goes on");
}

// covers: S1
#[tokio::test]
async fn a_client_that_has_said_all_waits_for_a_while() {
    let service = Scripted::open(|_, mut socket| async move {
        if read_head(&mut socket).await.starts_with("GET /last") {
            say(&mut socket, 200, "", "done").await;
        }
        std::future::pending().await
    })
    .await;
    let limits = Limits { half_close_time: Duration::from_millis(200), ..Limits::default() };
    let gateway = Running::start_with(GatewayConfig { limits, ..before(&[&service.url()]) }, rules()).await;
    for (request, statuses_expected) in [(LAST, vec![200]), (GET, vec![])] {
        let mut client = gateway.dial().await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(statuses(&answers(rest(&mut client).await.as_bytes())), statuses_expected);
    }
}
