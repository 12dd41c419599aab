//! Whose keys they are, how they travel, and that they end here.

use http::{HeaderMap, Method, Request, request::Parts};
use onceward_core::{actor::Scope, key::Key, outcome::Policy};
use onceward_proxy::{rules::ForwardRules, session::Session};
use onceward_tower::{Judgement, Origin as Site, Rules};
use tokio::io::AsyncWriteExt;

use super::{
    kit::{Proxy, asked, committed, is_problem, post, post_with, replayed},
    origin::{Origin, read_message, say},
};

async fn numbered() -> Origin {
    Origin::http(|number, _| async move { say(201, "", &format!("order {number}")) }).await
}

// covers: B1 B6
#[tokio::test]
async fn the_origin_sees_the_request_as_it_was_less_the_key() {
    let origin = numbered().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.dial().await;
    let request = format!(
        "POST {url} HTTP/1.1\r\nHost: {address}\r\nProxy-Authorization: Basic YWdlbnQ6\r\nUser-Agent: browser\r\n\
         X-Idem-Key: k-1\r\nContent-Type: text/plain\r\nIdempotency-Key: the page's own\r\nContent-Length: 5\r\n\
         Cookie: a=1\r\n\r\nhello",
        url = origin.url("/order?id=1"),
        address = origin.address
    );
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(read_message(&mut client).await.unwrap().unwrap().starts_with("HTTP/1.1 201 "));
    let expected = "POST /order?id=1 HTTP/1.1\r\nHost: ORIGIN\r\nUser-Agent: browser\r\nContent-Type: text/plain\r\n\
        Idempotency-Key: the page's own\r\nContent-Length: 5\r\nCookie: a=1\r\n\r\nhello";
    assert_eq!(origin.heard(), [expected]);
}

// covers: B1 K4
#[tokio::test]
async fn one_key_of_two_sessions_is_two_effects() {
    let origin = numbered().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let url = origin.url("/order");
    // "agent:", "other:" and "agent:password" in Base64; the listener's own session without any.
    let first = |content| committed(201, &[], content);
    let again = |content| replayed(201, &[], content);
    for (credentials, expected) in [
        (Some("Basic YWdlbnQ6"), first("order 1")),
        (Some("Basic b3RoZXI6"), first("order 2")),
        (None, first("order 3")),
        (Some("Basic YWdlbnQ6cGFzc3dvcmQ="), again("order 1")),
        (None, again("order 3")),
    ] {
        let mut lines = vec![("x-idem-key", "k")];
        lines.extend(credentials.map(|credentials| ("proxy-authorization", credentials)));
        assert_eq!(client.ask(post_with(&url, &lines, "a")).await, expected);
    }
    assert!(origin.heard().iter().all(|request| !request.to_lowercase().contains("authorization")));
}

// covers: B1 K4
#[tokio::test]
async fn credentials_of_a_tunnel_name_the_session_of_what_is_inside() {
    let origin = Origin::https(|number, _| async move { say(201, "", &format!("order {number}")) }).await;
    let proxy = Proxy::start().await;
    let agent = "Proxy-Authorization: Basic YWdlbnQ6\r\n";
    for (fields, expected) in [
        ("", committed(201, &[], "order 1")),
        (agent, committed(201, &[], "order 2")),
        (agent, replayed(201, &[], "order 2")),
    ] {
        let mut client = proxy.secure2(origin.address, fields).await;
        assert_eq!(client.ask(post(&origin.url("/order"), "k", "a")).await, expected);
    }
}

// covers: K1 K2
#[tokio::test]
async fn a_key_has_one_reading_or_is_refused_before_anything_is_sent() {
    let origin = numbered().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let url = origin.url("/order");
    let longest = "k".repeat(255);
    let quoted = format!("\"{longest}\"");
    assert_eq!(client.ask(post(&url, &longest, "a")).await, committed(201, &[], "order 1"));
    assert_eq!(client.ask(post(&url, &quoted, "a")).await, replayed(201, &[], "order 1"));
    let too_long = "k".repeat(256);
    let refused: [&[(&str, &str)]; 9] = [
        &[("x-idem-key", &too_long)],
        &[("x-idem-key", "")],
        &[("x-idem-key", "a b")],
        &[("x-idem-key", "a, b")],
        &[("x-idem-key", "\"a\";p=1")],
        &[("x-idem-key", "\"a")],
        &[("x-idem-key", "a"), ("x-idem-key", "a")],
        &[("x-idem-key", "a"), ("x_idem_key", "a")],
        &[("x-idem_key", "a")],
    ];
    for lines in refused {
        let answer = client.ask(post_with(&url, lines, "a")).await;
        assert!(is_problem(&answer, 400, "key-invalid"), "{lines:?}: {answer}");
    }
    assert_eq!((origin.requests(), proxy.records().await), (1, 1));
}

// covers: B1 K2
#[tokio::test]
async fn safe_requests_pass_untouched_without_their_stamps() {
    let origin = Origin::http(|_, _| async { say(200, "", "") }).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let stamps = [
        ("x-first", "1"),
        ("x-idem-key", "a"),
        ("x_idem_key", "b"),
        ("x-second", "2"),
        ("x-idem-key", "not valid"),
        ("x-third", "3"),
    ];
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        let answer = client.ask(asked(method, &origin.url("/"), &stamps, "")).await;
        assert_eq!(answer, "200\ncontent-length: 0\n\n", "{method}");
        let heard = origin.heard().pop().unwrap();
        let expected =
            format!("{method} / HTTP/1.1\r\nhost: ORIGIN\r\nx-first: 1\r\nx-second: 2\r\nx-third: 3\r\n\r\n");
        assert_eq!(heard, expected);
    }
    assert_eq!(proxy.records().await, 0);
}

// covers: K3
#[tokio::test]
async fn an_unstamped_write_passes_untouched_and_is_counted() {
    let origin = Origin::http(|_, _| async { say(503, "Idempotent-Replayed: own\r\n", "busy") }).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    for _ in 0..2 {
        let answer = client.ask(post_with(&origin.url("/order"), &[], "a")).await;
        assert_eq!(answer, "503\ncontent-length: 4\nidempotent-replayed: own\n\nbusy");
    }
    assert_eq!((origin.requests(), proxy.records().await), (2, 0));
    let metrics = proxy.engine.telemetry().render();
    assert!(metrics.contains("onceward_unprotected_writes_total 2"), "{metrics}");
}

// covers: S6
#[tokio::test]
async fn a_method_with_two_readings_is_refused_before_anything_is_sent() {
    let origin = numbered().await;
    let proxy = Proxy::start().await;
    let mut client = proxy.plain().await;
    let url = origin.url("/order");
    for name in ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override", "x_http_method_override"] {
        let lines = [("x-idem-key", "k"), (name, "DELETE")];
        let answer = client.ask(post_with(&url, &lines, "a")).await;
        assert!(is_problem(&answer, 400, "head-ambiguous"), "{name}: {answer}");
    }
    for method in ["post", "Post", "PURGE", "MOVE"] {
        let answer = client.ask(asked(method, &url, &[("x-idem-key", "k")], "a")).await;
        assert!(is_problem(&answer, 400, "head-ambiguous"), "{method}: {answer}");
    }
    assert_eq!((origin.requests(), proxy.records().await), (0, 0));
    for method in ["PUT", "PATCH", "DELETE"] {
        let answer = client.ask(asked(method, &url, &[("x-idem-key", "k")], "a")).await;
        assert!(answer.starts_with("201\n"), "{method}: {answer}");
    }
    assert_eq!(origin.requests(), 3);
}

/// A head as the server hands it on.
fn head(url: &str) -> Parts {
    let request = Request::post(url).extension(Session::new("own")).header("x-idem-key", "k");
    request.body(()).unwrap().into_parts().0
}

// covers: B2 F3
#[test]
fn a_site_is_one_whatever_its_address_is_written_like() {
    let rules = ForwardRules::new(Policy::forward_proxy());
    let cases = [
        ("https://shop.example/order", "https", "shop.example"),
        ("https://Shop.Example:443/order", "https", "shop.example"),
        ("http://shop.example:80/order", "http", "shop.example"),
        ("https://shop.example:80/order", "https", "shop.example:80"),
        ("https://shop.example:8443/order", "https", "shop.example:8443"),
        ("http://shop.example:443/order", "http", "shop.example:443"),
        ("https://[::1]:443/order", "https", "[::1]"),
    ];
    for (url, scheme, authority) in cases {
        let mut head = head(url);
        let Judgement::Guard(plan) = rules.judge(&mut head) else { panic!("{url} is not guarded") };
        let origin = Site { scheme: scheme.to_owned(), authority: authority.to_owned() };
        assert_eq!(plan.origin, Some(origin), "{url}");
        assert_eq!(plan.key, Key::new("k").unwrap());
        assert_eq!((&head.method, &head.headers), (&Method::POST, &HeaderMap::new()));
        let scope = Scope::Operation {
            method: "POST".into(),
            origin: format!("{scheme}://{authority}").into(),
            path: "/order".into(),
            name: "".into(),
        };
        assert_eq!(rules.scope(&head, b""), scope, "{url}");
    }
}

// covers: K4
#[test]
fn a_request_of_no_session_is_refused() {
    let rules = ForwardRules::new(Policy::forward_proxy());
    let mut head = head("https://shop.example/order");
    head.extensions.clear();
    let Judgement::Refuse { refusal, key, .. } = rules.judge(&mut head) else { panic!("not refused") };
    assert_eq!(refusal.problem_type().slug, "actor-unknown");
    assert_eq!(key, Some(Key::new("k").unwrap()));
}
