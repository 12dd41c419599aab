//! Answers and their replays: which bytes and fields come back, and what marks them.

use std::time::Duration;

use http::{HeaderMap, Method, Request};
use http_body::Frame;
use onceward_core::{header::Cookies, outcome::Policy};

use crate::kit::{
    COMMITTED, Count, Keyed, Lines, World, ask, data, fields, frames, guarded, post, problem, replayed,
    response, site, text,
};

const FIRST: Lines = &[
    ("date", "Sat, 21 Nov 2026 12:00:00 GMT"),
    ("content-type", "application/octet-stream"),
    ("content-encoding", "gzip"),
    ("set-cookie", "a=1; Path=/"),
    ("set-cookie", "b=2; HttpOnly"),
    ("www-authenticate", "Basic realm=\"shop\""),
    ("authentication-info", "nextnonce=\"1\""),
    ("server-timing", "db;dur=53"),
    ("connection", "keep-alive, X-Hop"),
    ("x-hop", "1"),
    ("keep-alive", "timeout=5"),
    ("age", "7"),
    ("idempotent-replayed", "true"),
    ("x-twice", "one"),
    ("x-twice", "two"),
    ("etag", "\"1\""),
];

// covers: O1 O2 O3 O9 C2
#[tokio::test(start_paused = true)]
async fn a_replay_repeats_what_does_not_belong_to_one_exchange() {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let content = every_byte.escape_ascii().to_string();
    for (cookies, kept) in
        [(Cookies::Keep, "set-cookie: a=1; Path=/\nset-cookie: b=2; HttpOnly\n"), (Cookies::Drop, "")]
    {
        let count = Count::default();
        let site = count.site(|_| response(201, FIRST, text((0..=u8::MAX).collect::<Vec<u8>>())));
        let policy = Policy { cookies, ..Policy::middleware() };
        let guarded = World::start().await.guard(Keyed::by(policy), site);

        let mut sent: String = FIRST.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        sent = sent.replace("\"", "\\\"");
        assert_eq!(ask(&guarded, post("k", "a")).await, format!("201\n{sent}{COMMITTED}\n{content}"));

        tokio::time::sleep(Duration::from_secs(90)).await;
        let repeated = format!(
            "201\ncontent-type: application/octet-stream\ncontent-encoding: gzip\n{kept}\
             x-twice: one\nx-twice: two\netag: \\\"1\\\"\n{}\n{content}",
            replayed(90)
        );
        assert_eq!(ask(&guarded, post("k", "a")).await, repeated);
        assert_eq!(count.get(), 1);
    }
}

// covers: O2
#[tokio::test(start_paused = true)]
async fn answers_without_content_replay_without_content() {
    let cases: [(Method, u16, Lines); 5] = [
        (Method::HEAD, 200, &[("content-type", "text/plain"), ("content-length", "1234")]),
        (Method::HEAD, 200, &[]),
        (Method::POST, 204, &[("etag", "W/1")]),
        (Method::POST, 304, &[("etag", "W/1"), ("content-length", "9")]),
        (Method::POST, 303, &[("location", "/thanks")]),
    ];
    for (method, status, lines) in cases {
        let guarded = guarded(site(move |_| async move { Ok(response(status, lines, text(""))) })).await;
        let asked = || {
            let (mut head, body) = post("k", "a").into_parts();
            head.method = method.clone();
            Request::from_parts(head, body)
        };
        let sent: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        assert_eq!(ask(&guarded, asked()).await, format!("{status}\n{sent}{COMMITTED}\n"), "{method}");
        let repeated = format!("{status}\n{sent}{}\n", replayed(0));
        assert_eq!(ask(&guarded, asked()).await, repeated, "{method} {status}");
    }
}

// covers: O2
#[tokio::test(start_paused = true)]
async fn trailers_replay_and_are_announced() {
    let guarded = guarded(site(|_| async {
        let trailers: HeaderMap = fields(&[("x-sum", "9"), ("x-sum", "8"), ("x-end", "1")]);
        let body = frames(vec![data("half "), data("whole"), Ok(Frame::trailers(trailers))]);
        Ok(response(200, &[("trailer", "x-sum, x-end")], body))
    }))
    .await;
    let tail = "half whole\nx-sum: 9\nx-sum: 8\nx-end: 1\n";
    let first = format!("200\ntrailer: x-sum, x-end\n{COMMITTED}\n{tail}");
    assert_eq!(ask(&guarded, post("k", "a")).await, first);
    let repeated = format!("200\ntrailer: x-sum, x-end\n{}\n{tail}", replayed(0));
    assert_eq!(ask(&guarded, post("k", "a")).await, repeated);
}

// covers: O4 L5 C2
#[tokio::test(start_paused = true)]
async fn an_answer_that_declines_passes_and_frees_the_key() {
    const FALSE: Lines = &[("idempotency-key-consumed", "false"), ("intent-status", "prepared")];
    const FALSE_AS_SF: Lines = &[("idempotency-key-consumed", "?0")];
    const TRUE: Lines = &[("idempotency-key-consumed", "true")];
    let released = ["idempotency-key-consumed: false\n", ""];
    let kept = [COMMITTED, "replayed"];
    let cases: [(Policy, u16, Lines, [&str; 2]); 9] = [
        (Policy::middleware(), 401, &[], released),
        (Policy::middleware(), 429, &[], released),
        (Policy::middleware(), 408, &[], released),
        (Policy::middleware(), 503, FALSE, released),
        (Policy::forward_proxy(), 503, FALSE_AS_SF, released),
        (Policy::forward_proxy(), 425, &[], released),
        (Policy::middleware(), 500, &[], kept),
        (Policy::middleware(), 429, TRUE, kept),
        (Policy::forward_proxy(), 502, TRUE, kept),
    ];
    for (policy, status, lines, [marks, then]) in cases {
        let count = Count::default();
        let site = count.site(move |_| response(status, lines, text("said")));
        let guarded = World::start().await.guard(Keyed::by(policy), site);
        assert_eq!(ask(&guarded, post("k", "a")).await, format!("{status}\n{marks}\nsaid"), "{status}");
        let repeated = ask(&guarded, post("k", "a")).await;
        let (marks, runs) = if then.is_empty() { (marks.to_owned(), 2) } else { (replayed(0), 1) };
        assert_eq!(repeated, format!("{status}\n{marks}\nsaid"), "{status} again");
        assert_eq!(count.get(), runs, "{status}");
    }
}

// covers: O4 B3
#[tokio::test(start_paused = true)]
async fn a_status_that_does_not_say_is_doubt_and_is_not_passed_on() {
    let forward = Policy::forward_proxy;
    let cases = [
        (forward(), 408),
        (forward(), 421),
        (forward(), 502),
        (forward(), 503),
        (forward(), 504),
        // No answer at all to what was asked: only a final status is one (RFC 9110, 15.2).
        (forward(), 101),
        (Policy::middleware(), 103),
    ];
    for (policy, status) in cases {
        let count = Count::default();
        let site = count.site(move |_| response(status, &[], text("raw")));
        let guarded = World::start().await.guard(Keyed::by(policy), site);
        for _ in 0..2 {
            assert_eq!(problem(&guarded, post("k", "a")).await, "409 outcome-unknown", "{status}");
        }
        assert_eq!(count.get(), 1, "{status}");
    }
}

// covers: B3 L5
#[tokio::test(start_paused = true)]
async fn a_status_that_browsers_repeat_never_passes_whatever_the_origin_says_beside_it() {
    let cases: [(Lines, &str, usize); 2] = [
        (&[("idempotency-key-consumed", "false")], "502 upstream-unreachable", 2),
        (&[("idempotency-key-consumed", "true")], "409 outcome-unknown", 1),
    ];
    for status in [408, 421] {
        for (lines, expected, runs) in cases {
            let count = Count::default();
            let site = count.site(move |_| response(status, lines, text("raw")));
            let guarded = World::start().await.guard(Keyed::by(Policy::forward_proxy()), site);
            for _ in 0..2 {
                assert_eq!(problem(&guarded, post("k", "a")).await, expected, "{status} {lines:?}");
            }
            assert_eq!(count.get(), runs, "{status} {lines:?}");
        }
    }
}
