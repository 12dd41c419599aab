//! What is true of an unguarded request whichever way it takes: straight through where it is plain, or through the server.

use std::time::Duration;

use onceward_core::profile::Profile;
use onceward_proxy::gateway::guarding_of;
use onceward_tower::origin::{ActorHook, ActorSource, OriginSettings, Route};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::kit::{Answer, DEADLINE, Running, Scripted, answers, before, read_head, read_message, rules, say};

/// Nothing, and a field for which a head is not plain.
pub(super) const WAYS: [&str; 2] = ["", "Content-Length: 0\r\n"];

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

fn last(method: &str, way: &str) -> String {
    format!("{method} /a HTTP/1.1\r\nHost: shop.example\r\n{way}Connection: close\r\n\r\n")
}

/// A service that answers each request with these bytes, and goes on.
async fn saying(answer: &'static [u8]) -> Scripted {
    Scripted::open(move |_, mut socket| async move {
        while read_message(&mut socket).await.is_some() {
            socket.write_all(answer).await.unwrap();
        }
    })
    .await
}

async fn rest(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(DEADLINE, client.read_to_end(&mut bytes)).await.expect("it does not close").expect("it is reset");
    bytes
}

/// What a client gets to read for one request, each way.
async fn heard(answer: &'static [u8], method: &str) -> Vec<String> {
    let service = saying(answer).await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut heard = Vec::new();
    for way in WAYS {
        let mut client = gateway.dial().await;
        client.write_all(last(method, way).as_bytes()).await.unwrap();
        heard.push(String::from_utf8(rest(&mut client).await).unwrap());
    }
    heard
}

/// The one answer that a client gets to read, each way.
async fn answered(answer: &'static [u8], method: &str) -> Vec<Answer> {
    let heard = heard(answer, method).await;
    heard.iter().map(|text| answers(text.as_bytes()).remove(0)).collect()
}

const BIG_BYTES: usize = 3_000_000;

async fn big_or_small() -> Scripted {
    Scripted::open(|_, mut socket| async move {
        loop {
            let head = read_head(&mut socket).await;
            let body = if head.starts_with("GET /big") { "x".repeat(BIG_BYTES) } else { String::new() };
            say(&mut socket, 200, "", &body).await;
        }
    })
    .await
}

// covers: B6
#[tokio::test]
async fn a_client_that_goes_on_asking_has_the_last_answer_whole() {
    let service = big_or_small().await;
    for way in WAYS {
        for is_stopped in [false, true] {
            let gateway = Running::start(&[&service.url()]).await;
            let mut client = gateway.dial().await;
            let connection = if is_stopped { "" } else { "Connection: close\r\n" };
            let first = format!("GET /big HTTP/1.1\r\nHost: shop.example\r\n{way}{connection}\r\n");
            let more = "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n".repeat(1_500);
            client.write_all(first.as_bytes()).await.unwrap();
            client.write_all(more.as_bytes()).await.unwrap();
            assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
            if is_stopped {
                gateway.shutdown.cancel();
            }
            // waits: for the gateway to have closed, as far as it gets to it before its client reads.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let body = rest(&mut client).await;
            let body_bytes = body.iter().take_while(|byte| **byte == b'x').count();
            assert_eq!(body_bytes, BIG_BYTES, "{way} {is_stopped}");
        }
    }
}

// covers: B6, S6
#[tokio::test]
async fn a_malformed_body_ends_where_it_is_malformed() {
    let expected = "5\r\nhello\r\n";
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ";
    for heard in heard(head, "GET").await {
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, expected);
    }
}

// covers: B6
#[tokio::test]
async fn a_chunk_passes_without_what_was_written_around_it() {
    let cases: [&[u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nConnection: close\r\n\
          Content-Length: 99\r\n\r\n",
    ];
    for case in cases {
        for heard in heard(case, "GET").await {
            let (_, body) = heard.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n", "{}", case.escape_ascii());
        }
    }
}

// covers: S6
#[tokio::test]
async fn one_length_leaves_or_the_answer_is_none() {
    let cases: [(&str, &[u8], u16, Option<&str>); 7] = [
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nab", 200, Some("2")),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", 200, Some("2")),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nab", 502, None),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\nab", 502, None),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", 200, Some("2")),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n", 200, None),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            200,
            None,
        ),
    ];
    for (method, said, status, length) in cases {
        for answer in answered(said, method).await {
            assert_eq!(answer.status, status, "{}", said.escape_ascii());
            let lengths = answer.fields.iter().filter(|(name, _)| name == "content-length");
            let lengths: Vec<_> = lengths.map(|(_, length)| length.as_str()).collect();
            if status == 200 {
                assert_eq!(lengths, length.into_iter().collect::<Vec<_>>(), "{}", said.escape_ascii());
            }
        }
    }
}

// covers: S6
#[tokio::test]
async fn a_connection_whose_answer_ends_in_two_ways_carries_no_other() {
    let service = Scripted::open(|number, mut socket| async move {
        loop {
            read_head(&mut socket).await;
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
            let answer = format!("{head}1\r\n{number}\r\n0\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let gateway = Running::start(&[&service.url()]).await;
    let mut connections = Vec::new();
    for way in [WAYS[0], WAYS[0], WAYS[1], WAYS[1]] {
        connections.push(gateway.ask(&last("GET", way)).await.body);
    }
    let expected = ["1", "2", "3", "4"].map(|number| format!("1\r\n{number}\r\n0\r\n\r\n"));
    assert_eq!(connections, expected);
}

// covers: B6
#[tokio::test]
async fn a_connection_field_with_a_byte_that_is_no_text_still_names_fields() {
    let said = b"HTTP/1.1 200 OK\r\nConnection: \xff, X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n";
    for answer in answered(said, "GET").await {
        assert_eq!((answer.status, answer.field("x-hop")), (200, None));
    }
}

// covers: B6
#[tokio::test]
async fn an_answer_is_dated_once() {
    let said: [&[u8]; 2] = [
        b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: Date\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n",
    ];
    for (said, is_passed) in said.into_iter().zip([true, false]) {
        for answer in answered(said, "GET").await {
            let dates: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "date").collect();
            let passed = DATE.trim().strip_prefix("Date: ");
            assert_eq!(dates.len(), 1, "{answer:?}");
            assert_eq!(answer.field("date") == passed, is_passed, "{answer:?}");
        }
    }
}

// covers: S6
#[tokio::test]
async fn what_is_refused_was_not_let_pass_without_a_key() {
    let service = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let guarded = Route::guarded(&["GET"], "/a", guarding_of(&Profile::onceward())).unwrap();
    let settings = OriginSettings { routes: vec![guarded], ..rules() };
    let gateway = Running::start_with(before(&[&service.url()]), settings).await;
    let counted = |count| format!("onceward_unprotected_writes_total {count}\n");
    for way in WAYS {
        let twice = format!("{way}Authorization: a\r\nAuthorization: b\r\n");
        assert_eq!(gateway.ask(&last("GET", &twice)).await.status, 400);
    }
    let metrics = gateway.engine.telemetry().render();
    assert!(metrics.contains(&counted(0)), "{metrics}");
    for way in WAYS {
        assert_eq!(gateway.ask(&last("GET", way)).await.status, 200);
    }
    let metrics = gateway.engine.telemetry().render();
    assert!(metrics.contains(&counted(2)), "{metrics}");
}

// covers: B6
#[tokio::test]
async fn a_request_whose_rules_panic_gets_an_answer() {
    let service = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let guarded = Route::guarded(&["GET"], "/a", guarding_of(&Profile::onceward())).unwrap();
    let actors = vec![ActorSource::Hook(ActorHook::new(|_| panic!("a hook that fails")))];
    let settings = OriginSettings { routes: vec![guarded], actors, ..rules() };
    let gateway = Running::start_with(before(&[&service.url()]), settings).await;
    for way in WAYS {
        let keyed = format!("{way}Idempotency-Key: a\r\n");
        let keep = last("GET", &keyed).replace("Connection: close\r\n", "");
        // The next one is answered too: nothing of the first is left.
        let pair = format!("{keep}{}", last("GET", way).replace("/a", "/b"));
        let answers = gateway.talk(pair.as_bytes()).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [500, 200]);
    }
}
