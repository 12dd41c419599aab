//! What a page, a rebound name or a stranger on the same machine tries (S5).

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    raw::request,
    stage::{BEARER, Stage, TOKEN},
};

/// Header fields by name and value.
type Fields<'a> = &'a [(&'a str, &'a str)];

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A verdict that would be taken from whoever may give one.
async fn verdict(stage: &Stage, id: &str) -> String {
    let epoch = stage.epoch(id).await;
    format!(r#"{{"verdict":"absent","epoch":{epoch},"reason":"because a page says so"}}"#)
}

/// The doubt that every attack in this file aims at is untouched.
async fn is_still_in_doubt(stage: &Stage, id: &str) -> bool {
    stage.get(&format!("/v1/effects/{id}")).await.json()["effect"]["state"] == "in-doubt"
}

// covers: S5
#[tokio::test]
async fn only_its_own_names_are_answered_over_tcp() {
    let stage = Stage::open().await;
    let port = stage.tcp.port();
    let other = port ^ 1;
    let cases = [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("LocalHost:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (String::from("ops.example"), 200),
        (String::from("OPS.example:443"), 200),
        (format!("127.0.0.1:{other}"), 403),
        (String::from("127.0.0.1"), 403),
        (String::from("localhost"), 403),
        (format!("10.0.0.1:{port}"), 403),
        (format!("evil.example:{port}"), 403),
        (format!("localhost.evil.example:{port}"), 403),
        (format!("127.0.0.1.evil.example:{port}"), 403),
        (format!("evil.ops.example:{port}"), 403),
        (format!("evil@127.0.0.1:{port}"), 403),
        (String::new(), 403),
    ];
    for (host, status) in &cases {
        for target in ["/livez", "/readyz", "/metrics", "/problems/in-progress", "/v1/store"] {
            let fields = [("Host", host.as_str()), ("Authorization", BEARER)];
            let answer = stage.ask_tcp(&request("GET", target, &fields, "")).await;
            assert_eq!(answer.status, *status, "{host:?} {target}: {}", answer.body);
        }
    }
}

// covers: S5
#[tokio::test]
async fn a_request_for_two_hosts_or_none_is_refused() {
    let stage = Stage::open().await;
    let host = stage.host();
    let own = ("Host", host.as_str());
    let evil = ("Host", "evil.example");
    let absolute = format!("http://{host}/livez");
    let cases: [(&str, Fields<'_>, u16); 6] = [
        ("/livez", &[], 403),
        ("/livez", &[own, evil], 403),
        ("/livez", &[own, own], 403),
        ("http://evil.example/livez", &[own], 403),
        (&absolute, &[evil], 403),
        (&absolute, &[own], 200),
    ];
    for (target, fields, status) in cases {
        let answer = stage.ask_tcp(&request("GET", target, fields, "")).await;
        assert_eq!(answer.status, status, "{target} {fields:?}: {}", answer.body);
    }
}

// covers: S5
#[tokio::test]
async fn pages_of_other_origins_are_refused_even_with_the_token() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let verdict = verdict(&stage, &id).await;
    let host = stage.host();
    let own = format!("http://{host}");
    let own_tls = format!("https://{host}");
    let another_port = format!("http://127.0.0.1:{}", stage.tcp.port() ^ 1);
    let another_name = format!("http://localhost:{}", stage.tcp.port());
    let cases = [
        ("Origin", own.as_str(), 200),
        ("Origin", &own_tls, 200),
        ("Origin", "http://evil.example", 403),
        ("Origin", &another_port, 403),
        ("Origin", &another_name, 403),
        ("Origin", "null", 403),
        ("Origin", "", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "none", 200),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
    ];
    for (name, value, status) in cases {
        let fields = [("Host", host.as_str()), ("Authorization", BEARER), (name, value)];
        let answer = stage.ask_tcp(&request("GET", "/v1/store", &fields, "")).await;
        assert_eq!(answer.status, status, "{name}: {value}: {}", answer.body);
        assert_eq!(answer.field("access-control-allow-origin"), None);
        if status != 200 {
            let target = format!("/v1/effects/{id}/resolve");
            let fields = [fields[0], fields[1], fields[2], JSON];
            assert_eq!(stage.ask_tcp(&request("POST", &target, &fields, &verdict)).await.status, 403);
            assert_eq!(stage.ask(&request("POST", &target, &fields, &verdict)).await.status, 403, "{value}");
        }
    }
    assert!(is_still_in_doubt(&stage, &id).await);
}

// covers: S5
#[tokio::test]
async fn no_page_has_an_origin_on_the_unix_socket() {
    let stage = Stage::open().await;
    let fields = [("Host", "localhost"), ("Origin", "http://localhost")];
    assert_eq!(stage.ask(&request("GET", "/v1/store", &fields, "")).await.status, 403);
}

// covers: S5
#[tokio::test]
async fn callers_over_tcp_show_the_token() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let verdict = verdict(&stage, &id).await;
    let host = stage.host();
    let bare = "Bearer realm=\"onceward control\"";
    let wrong = "Bearer realm=\"onceward control\", error=\"invalid_token\"";
    let lower = format!("bearer {TOKEN}");
    let longer = format!("Bearer {TOKEN}0");
    let shorter = &BEARER[..BEARER.len() - 1];
    let another = BEARER.replace("abcdef", "abcdeg");
    let cases: [(&[&str], u16, Option<&str>); 9] = [
        (&[BEARER], 200, None),
        (&[&lower], 200, None),
        (&[], 401, Some(bare)),
        (&[TOKEN], 401, Some(bare)),
        (&["Basic b25jZXdhcmQ6b25jZXdhcmQ="], 401, Some(bare)),
        (&[&another], 401, Some(wrong)),
        (&[&longer], 401, Some(wrong)),
        (&[shorter], 401, Some(wrong)),
        (&[BEARER, &another], 401, Some(wrong)),
    ];
    for (authorizations, status, challenge) in cases {
        let fields = authorizations.iter().map(|value| ("Authorization", *value));
        let fields: Vec<_> = fields.chain([("Host", host.as_str()), JSON]).collect();
        let resolve = format!("/v1/effects/{id}/resolve");
        for target in ["/v1/effects", "/v1/store", "/v1/audit"] {
            let answer = stage.ask_tcp(&request("GET", target, &fields, "")).await;
            assert_eq!((answer.status, answer.field("www-authenticate")), (status, challenge), "{fields:?}");
        }
        if status != 200 {
            // A stranger cannot even learn which paths and effects there are.
            for (method, target) in [("POST", resolve.as_str()), ("GET", "/v1/nothing"), ("GET", &resolve)] {
                let answer = stage.ask_tcp(&request(method, target, &fields, &verdict)).await;
                assert_eq!(answer.status, 401, "{method} {target} {fields:?}");
            }
        }
    }
    assert!(is_still_in_doubt(&stage, &id).await);
}

// covers: S5
#[tokio::test]
async fn probes_and_problem_pages_need_no_token() {
    let stage = Stage::open().await;
    let host = stage.host();
    for target in ["/livez", "/readyz", "/healthz", "/metrics", "/problems/key-invalid"] {
        let answer = stage.ask_tcp(&request("GET", target, &[("Host", &host)], "")).await;
        assert_eq!(answer.status, 200, "{target}");
    }
}

// covers: S5
#[tokio::test]
async fn no_get_changes_anything() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    for change in ["resolve", "cancel"] {
        let target = format!("/v1/effects/{id}/{change}?verdict=absent&reason=x");
        for method in ["GET", "HEAD"] {
            let answer = stage.ask(&request(method, &target, &[("Host", "localhost"), JSON], "")).await;
            assert_eq!((answer.status, answer.field("allow")), (405, Some("POST")), "{method} {target}");
        }
    }
    for target in ["/v1/effects", "/v1/store", "/v1/audit", "/metrics"] {
        let answer = stage.ask(&request("POST", target, &[("Host", "localhost"), JSON], "{}")).await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("GET,HEAD")), "{target}");
    }
    assert!(is_still_in_doubt(&stage, &id).await);
}

// covers: S5
#[tokio::test]
async fn a_change_is_json_and_says_so() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let verdict = verdict(&stage, &id).await;
    let target = format!("/v1/effects/{id}/resolve");
    let types = [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonp"),
        Some("text/plain, application/json"),
        Some("text/plain; application/json"),
    ];
    for media_type in types {
        let mut fields = vec![("Host", "localhost")];
        fields.extend(media_type.map(|media_type| ("Content-Type", media_type)));
        let answer = stage.ask(&request("POST", &target, &fields, &verdict)).await;
        assert_eq!(answer.status, 415, "{media_type:?}");
    }
    let bodies = [
        "",
        "{",
        "[]",
        r#"{"verdict":"absent","epoch":1}"#,
        r#"{"verdict":"absent","reason":"x"}"#,
        r#"{"epoch":1,"reason":"x"}"#,
        r#"{"verdict":"unknown","epoch":1,"reason":"x"}"#,
        r#"{"verdict":"absent","epoch":-1,"reason":"x"}"#,
        r#"{"verdict":"absent","epoch":1,"reason":"x","force":true}"#,
        r#"{"verdict":"absent","epoch":1,"reason":"x"} trailing"#,
        r#"{"verdict":"happened","verdict":"absent","epoch":1,"reason":"x"}"#,
    ];
    for body in bodies {
        let answer = stage.ask(&request("POST", &target, &[("Host", "localhost"), JSON], body)).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
    }
    assert!(is_still_in_doubt(&stage, &id).await);
    let fields = [("Host", "localhost"), ("Content-Type", "Application/JSON; charset=utf-8")];
    let answer = stage.ask(&request("POST", &target, &fields, &verdict)).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"id": id, "result": "resolved"})));
}

// covers: S1
#[tokio::test]
async fn a_body_over_its_limit_is_refused() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let target = format!("/v1/effects/{id}/resolve");
    let fields = [("Host", "localhost"), JSON];
    // JSON may be padded with white space, so both bodies are valid in all but length.
    let verdict = verdict(&stage, &id).await;
    let padded = |bytes: usize| format!("{verdict}{}", " ".repeat(bytes - verdict.len()));
    assert_eq!(stage.ask(&request("POST", &target, &fields, &padded(16 * 1024 + 1))).await.status, 413);
    assert!(is_still_in_doubt(&stage, &id).await);
    assert_eq!(stage.ask(&request("POST", &target, &fields, &padded(16 * 1024))).await.status, 200);
}

// covers: S1
#[tokio::test]
async fn a_head_over_its_limits_is_refused() {
    let stage = Stage::open().await;
    let long = "x".repeat(17 * 1024);
    let answer = stage.ask(&request("GET", "/livez", &[("Host", "localhost"), ("X-Long", &long)], "")).await;
    assert_eq!(answer.status, 431);
    let many = vec![("X-Many", "x"); 65];
    assert_eq!(stage.ask(&request("GET", "/livez", &many, "")).await.status, 431);
}

// covers: S1
#[tokio::test]
async fn a_head_that_does_not_end_in_time_ends_its_connection() {
    let stage = Stage::open().await;
    let mut stream = TcpStream::connect(stage.tcp).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: ").await.unwrap();
    // With nothing else to do the runtime moves its clock on to whatever it waits for.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "");
    let took = began.elapsed().as_secs();
    assert!((9..=11).contains(&took), "closed after {took} s");
}

// covers: S1
#[tokio::test]
async fn a_body_that_does_not_end_in_time_is_answered() {
    let stage = Stage::open().await;
    let id = stage.doubtful_order("order-1").await;
    let mut stream = tokio::net::UnixStream::connect(stage.socket()).await.unwrap();
    let head = format!(
        "POST /v1/effects/{id}/resolve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 50\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::pause();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(is_still_in_doubt(&stage, &id).await);
}

// covers: S1
#[tokio::test]
async fn a_connection_past_the_limit_is_told_so_and_those_before_it_are_served() {
    let stage = Stage::open().await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(TcpStream::connect(stage.tcp).await.unwrap());
    }
    let mut surplus = TcpStream::connect(stage.tcp).await.unwrap();
    let mut answer = String::new();
    surplus.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let host = stage.host();
    let early = held.remove(0);
    let answer = crate::raw::over(early, &request("GET", "/livez", &[("Host", &host)], "")).await;
    assert_eq!(answer.status, 200);
    // The Unix socket has places of its own.
    assert_eq!(stage.get("/livez").await.status, 200);
}
