//! What an origin may do to a guarded request, and what the browser is told.

use super::{
    kit::{CHROMIUM, Proxy, committed, is_problem, post, post_with, replayed},
    origin::{Frames, Origin, Reply, say},
};

/// What a browser asks, and what a program asks.
fn navigation(origin: &Origin) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    post_with(&origin.url("/order"), &[("x-idem-key", "k"), ("accept", CHROMIUM)], "a")
}

/// The page that a browser gets in place of an answer that says nothing.
fn assert_doubt_page(answer: &str, what: &str) {
    assert!(answer.starts_with("409\n"), "{what}: {answer}");
    assert!(answer.contains("\ncontent-type: text/html; charset=utf-8\n"), "{what}: {answer}");
    assert!(answer.contains("\nintent-status: unknown\n"), "{what}: {answer}");
    assert!(answer.contains("<main data-problem=\"outcome-unknown\">"), "{what}: {answer}");
    assert!(answer.contains("Do not submit again."), "{what}: {answer}");
    assert!(!answer.contains("raw"), "{what}: {answer}");
}

// covers: B3 O4 D1
#[tokio::test]
async fn a_status_after_which_browsers_repeat_becomes_a_page() {
    for status in [408, 421, 502, 503, 504] {
        let origin = Origin::http(move |_, _| async move { say(status, "X-Raw: raw\r\n", "raw") }).await;
        let proxy = Proxy::start().await;
        let mut client = proxy.plain().await;
        for turn in ["first", "repeat"] {
            assert_doubt_page(&client.ask(navigation(&origin)).await, &format!("{status}, {turn}"));
        }
        let answer = client.ask(post(&origin.url("/order"), "k", "a")).await;
        assert!(is_problem(&answer, 409, "outcome-unknown"), "{answer}");
        assert_eq!(origin.requests(), 1, "{status}");
    }
}

// covers: B3 O4
#[tokio::test]
async fn an_answer_that_never_comes_or_breaks_off_becomes_a_page() {
    let cases = [
        "",
        "HTT",
        "HTTP/1.1 201 Created\r\nContent-Le",
        "HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\nraw",
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nraw\r\n",
        "not http at all\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    ];
    for text in cases {
        let origin = Origin::http(move |_, _| async move { Reply::Leave(text.to_owned()) }).await;
        let proxy = Proxy::start().await;
        let mut client = proxy.plain().await;
        for turn in ["first", "repeat"] {
            assert_doubt_page(&client.ask(navigation(&origin)).await, &format!("{text:?}, {turn}"));
        }
        assert_eq!(origin.requests(), 1, "{text:?}");
    }
}

// covers: B3 B6
#[tokio::test]
async fn intercepted_connections_get_the_page_and_live_on() {
    let origin = Origin::https(|number, _| async move {
        if number == 1 { Reply::Leave(String::new()) } else { say(201, "", "ordered") }
    })
    .await;
    let proxy = Proxy::start().await;
    let mut first = proxy.secure1(origin.address).await;
    let mut second = proxy.secure2(origin.address, "").await;
    for client in [&mut first, &mut second] {
        assert_doubt_page(&client.ask(navigation(&origin)).await, "closed");
    }
    assert_eq!(second.ask(post(&origin.url("/order"), "other", "a")).await, committed(201, &[], "ordered"));
    assert_eq!(first.ask(post(&origin.url("/order"), "other", "a")).await, replayed(201, &[], "ordered"));
    assert_eq!(origin.requests(), 2);
}

// covers: B3 L5
#[tokio::test]
async fn only_what_was_provably_not_processed_is_sent_again_and_only_once() {
    let refused = || Frames::reset(7);
    let below = || Frames::go_away(0);
    let done = Frames::no_content;
    let cases: [(&str, Vec<Frames>, &str, [usize; 2]); 8] = [
        ("refused, then answered", vec![refused(), done()], "204", [2, 2]),
        ("gone away below, then answered", vec![below(), done()], "204", [2, 2]),
        ("refused twice", vec![refused()], "502", [2, 4]),
        ("refused twice, then answered", vec![refused(), refused(), done()], "502", [2, 3]),
        ("refused, then closed", vec![refused(), Frames::close()], "409", [2, 2]),
        ("reset with INTERNAL_ERROR", vec![Frames::reset(2), done()], "409", [1, 1]),
        ("gone away but covered", vec![Frames::go_away(1), done()], "409", [1, 1]),
        ("closed", vec![Frames::close(), done()], "409", [1, 1]),
    ];
    for (what, script, status, requests) in cases {
        let origin = Origin::http2(script).await;
        let proxy = Proxy::start().await;
        let mut client = proxy.secure2(origin.address, "").await;
        let answer = client.ask(post(&origin.url("/order"), "k", "a")).await;
        assert!(answer.starts_with(status), "{what}: {answer}");
        assert_eq!(origin.requests(), requests[0], "{what}");
        client.ask(post(&origin.url("/order"), "k", "a")).await;
        assert_eq!(origin.requests(), requests[1], "{what}, repeated");
    }
}

// covers: L5 C3
#[tokio::test]
async fn an_origin_that_is_not_there_frees_the_key() {
    let origin = Origin::http(|_, _| async { say(201, "", "ordered") }).await;
    let (address, url) = (origin.address, origin.url("/order"));
    drop(origin);
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    for _ in 0..2 {
        let answer = client.ask(post(&url, "k", "a")).await;
        assert!(is_problem(&answer, 502, "upstream-unreachable"), "{answer}");
    }
    let browsers = post_with(&url, &[("x-idem-key", "k"), ("accept", CHROMIUM)], "a");
    let answer = client.ask(browsers).await;
    assert!(answer.starts_with("502\n") && answer.contains("<main data-problem="), "{address}: {answer}");
    assert_eq!(proxy.decisions().await, ["released", "released", "released"]);
}

// covers: B3
#[tokio::test]
async fn guarded_requests_have_connections_of_their_own() {
    let origin = Origin::http(|_, _| async { say(200, "", "ok") }).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let unguarded = || post_with(&origin.url("/"), &[], "a");
    for _ in 0..3 {
        client.ask(unguarded()).await;
    }
    let shared = origin.connections();
    for sent in 1..=3 {
        assert_eq!(
            client.ask(post(&origin.url("/"), &format!("k{sent}"), "a")).await,
            committed(200, &[], "ok")
        );
        assert_eq!(origin.connections(), shared + sent);
    }
}

// covers: S5
#[tokio::test]
async fn the_proxy_cannot_be_reached_through_itself() {
    let proxy = Proxy::start().await;
    let port = proxy.address.port();
    let mut client = proxy.plain().await;
    let own = post(&format!("http://{}/order", proxy.address), "k", "a");
    assert!(client.ask(own).await.ends_with("onceward: own page\n"));
    let mut elsewhere = vec![(proxy.plain().await, format!("http://127.0.0.2:{port}/order"))];
    elsewhere.push((proxy.tunnelled(proxy.address).await, format!("http://{}/order", proxy.address)));
    for (mut client, url) in elsewhere {
        let answer = client.ask(post(&url, "k", "a")).await;
        assert!(is_problem(&answer, 502, "upstream-unreachable"), "{url}: {answer}");
        assert!(answer.contains("may not be dialled"), "{url}: {answer}");
    }
    assert_eq!(proxy.decisions().await, ["released", "released"]);
}
