//! Bodies that are too large, too slow, or end with fields.

use std::time::Duration;

use onceward_core::outcome::Policy;
use onceward_proxy::limits::Limits;

use super::{
    kit::{Proxy, Records, committed, is_problem, post, replayed},
    origin::{Origin, Reply, say},
};

async fn counting() -> Origin {
    Origin::http(|number, _| async move { say(201, "", &format!("order {number}")) }).await
}

fn head(origin: &Origin, lines: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nX-Idem-Key: k\r\nConnection: close\r\n{lines}\r\n",
        origin.url("/order"),
        origin.address
    )
}

// covers: S1 S6
#[tokio::test]
async fn a_body_past_the_limit_is_refused_before_a_claim() {
    let origin = counting().await;
    let policy = Policy { request_bytes_max: 1_000, ..Policy::forward_proxy() };
    let proxy = Proxy::start_with(Records::memory(), policy, Limits::default()).await;
    let announced = format!("{}{}", head(&origin, "Content-Length: 1001\r\n"), "x".repeat(1_001));
    let chunked = format!(
        "{}3e9\r\n{}\r\n0\r\n\r\n",
        head(&origin, "Transfer-Encoding: chunked\r\n"),
        "x".repeat(1_001)
    );
    for request in [announced, chunked] {
        let answer = proxy.talk(&request).await;
        assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
        assert!(answer.contains("/problems/body-too-large\""), "{answer}");
    }
    assert_eq!((origin.requests(), proxy.records().await), (0, 0));
    let fits = "x".repeat(1_000);
    let answer = proxy.plain().await.ask(post(&origin.url("/order"), "k", &fits)).await;
    assert_eq!(answer, committed(201, &[], "order 1"));
}

// covers: S1 S6
#[tokio::test]
async fn a_body_that_stands_still_or_is_malformed_claims_nothing() {
    let origin = counting().await;
    let limits = Limits { body_idle_time: Duration::from_millis(50), ..Limits::default() };
    let proxy = Proxy::start_with(Records::memory(), Policy::forward_proxy(), limits).await;
    for request in [
        format!("{}half", head(&origin, "Content-Length: 10\r\n")),
        format!("{}4\r\nhalf\r\n", head(&origin, "Transfer-Encoding: chunked\r\n")),
        format!("{}4\r\nhalf\r\nnot a length\r\n", head(&origin, "Transfer-Encoding: chunked\r\n")),
    ] {
        let answer = proxy.talk(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("/problems/body-incomplete\""), "{answer}");
    }
    assert_eq!((origin.requests(), proxy.records().await), (0, 0));
}

// covers: B6 K2
#[tokio::test]
async fn trailers_reach_the_origin_unless_they_carry_a_key() {
    let origin = counting().await;
    let proxy = Proxy::start().await;
    let chunked = |name: &str| {
        let lines = format!("Trailer: {name}\r\nTransfer-Encoding: chunked\r\n");
        format!("{}3\r\none\r\n3\r\ntwo\r\n0\r\n{name}: 9\r\n\r\n", head(&origin, &lines))
    };
    for name in ["X-Idem-Key", "x_idem_key"] {
        let answer = proxy.talk(&chunked(name)).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("/problems/key-invalid\""), "{answer}");
    }
    assert_eq!((origin.requests(), proxy.records().await), (0, 0));
    let answer = proxy.talk(&chunked("X-Sum")).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let expected = "POST /order HTTP/1.1\r\nHost: ORIGIN\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
        6\r\nonetwo\r\n0\r\nX-Sum: 9\r\n\r\n";
    assert_eq!(origin.heard(), [expected]);
}

// covers: O2 B6
#[tokio::test]
async fn trailers_of_an_answer_reach_the_client_at_first_and_again() {
    let origin = Origin::http(|_, _| async {
        let text = "HTTP/1.1 201 Created\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
            7\r\nordered\r\n0\r\nX-Sum: 9\r\n\r\n";
        Reply::Say(text.to_owned())
    })
    .await;
    let proxy = Proxy::start().await;
    let request = head(&origin, "Content-Length: 0\r\nTE: trailers\r\n");
    for status in ["committed", "replayed"] {
        let answer = proxy.talk(&request).await;
        assert!(answer.contains(&format!("intent-status: {status}\r\n")), "{answer}");
        assert!(answer.ends_with("\r\n\r\n7\r\nordered\r\n0\r\nx-sum: 9\r\n\r\n"), "{answer}");
    }
    assert_eq!(origin.requests(), 1);
}

// covers: O7 O8
#[tokio::test]
async fn a_large_answer_passes_and_is_not_asked_for_again() {
    let content = "x".repeat(3_000_000);
    let sent = content.clone();
    let origin = Origin::https(move |_, _| {
        let content = sent.clone();
        async move { say(200, "", &content) }
    })
    .await;
    let proxy = Proxy::start().await;
    let mut client = proxy.secure2(origin.address, "").await;
    let ask = || post(&origin.url("/order"), "k", "a");
    assert!(client.ask(ask()).await == committed(200, &[], &content), "the answer came changed");
    let answer = client.ask(ask()).await;
    assert!(is_problem(&answer, 409, "outcome-not-kept"), "{answer}");
    assert_eq!(origin.requests(), 1);
}

// covers: O2
#[tokio::test]
async fn answers_without_content_pass_and_replay() {
    for status in [204, 304] {
        let origin = Origin::http(move |_, _| async move {
            Reply::Say(format!("HTTP/1.1 {status} X\r\nETag: \"1\"\r\n\r\n"))
        })
        .await;
        let proxy = Proxy::start().await;
        let mut client = proxy.plain().await;
        let first = committed(status, &["etag: \"1\""], "").replace("content-length: 0\n", "");
        let again = replayed(status, &["etag: \"1\""], "").replace("content-length: 0\n", "");
        assert_eq!(client.ask(post(&origin.url("/"), "k", "a")).await, first);
        assert_eq!(client.ask(post(&origin.url("/"), "k", "a")).await, again);
    }
}
