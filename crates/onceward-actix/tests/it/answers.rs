//! Answers and their replays: which bytes and fields come back, and what marks them.

use std::time::Duration;

use actix_web::{
    App, HttpResponse, HttpServer,
    body::{BodyStream, SizedStream},
    error::{ErrorConflict, ErrorImATeapot},
    middleware::{Compress, from_fn},
    web,
};
use onceward_core::{header::Cookies, outcome::Policy};

use crate::kit::{COMMITTED, Count, Lines, World, ask, committed, listen, post, problem, replayed, response};

const FIRST: Lines = &[
    ("content-type", "application/octet-stream"),
    ("content-encoding", "gzip"),
    ("set-cookie", "a=1; Path=/"),
    ("set-cookie", "b=2; HttpOnly"),
    ("www-authenticate", "Basic realm=\"shop\""),
    ("server-timing", "db;dur=53"),
    ("keep-alive", "timeout=5"),
    ("x-twice", "one"),
    ("x-twice", "two"),
    ("etag", "\"1\""),
];

// covers: O1 O2 O3 O9 C2
#[actix_web::test]
async fn a_replay_repeats_what_does_not_belong_to_one_exchange() {
    for (cookies, kept) in
        [(Cookies::Keep, "set-cookie: a=1; Path=/\nset-cookie: b=2; HttpOnly\n"), (Cookies::Drop, "")]
    {
        let every_byte: Vec<u8> = (0..=u8::MAX).collect();
        let content = every_byte.escape_ascii().to_string();
        let (world, count) = (World::start().await, Count::default());
        let site = count.site(move |_| response(201, FIRST).body(every_byte.clone()));
        let addr = world.serve(Policy { cookies, ..Policy::middleware() }, site).addr;
        let first = format!(
            "201\ncontent-encoding: gzip\ncontent-length: 256\ncontent-type: application/octet-stream\n\
             etag: \"1\"\nidempotency-key-consumed: true\nintent-status: committed\nkeep-alive: timeout=5\n\
             server-timing: db;dur=53\nset-cookie: a=1; Path=/\nset-cookie: b=2; HttpOnly\n\
             www-authenticate: Basic realm=\"shop\"\nx-twice: one\nx-twice: two\n\n{content}"
        );
        assert_eq!(ask(addr, &post("k", "a")).await, first);
        world.clock.advance(Duration::from_secs(90));
        let repeated = format!(
            "201\nage: 90\ncontent-encoding: gzip\ncontent-length: 256\ncontent-type: application/octet-stream\n\
             etag: \"1\"\nidempotency-key-consumed: true\nidempotent-replayed: true\nintent-status: replayed\n\
             {kept}x-twice: one\nx-twice: two\n\n{content}"
        );
        assert_eq!(ask(addr, &post("k", "a")).await, repeated);
        assert_eq!(count.get(), 1);
    }
}

/// What a handler answers, and its field lines on the wire, before and at its replay.
type Bodiless = (&'static str, fn() -> HttpResponse, &'static str);

// covers: O2
#[actix_web::test]
async fn answers_without_content_keep_their_rules_of_length() {
    let cases: [Bodiless; 8] = [
        ("HEAD", || response(200, &[]).body("twelve bytes"), "200\ncontent-length: 12\n"),
        (
            "HEAD",
            || response(200, &[]).no_chunking(1234).body(BodyStream::new(never())),
            "200\ncontent-length: 1234\n",
        ),
        ("HEAD", || response(200, &[]).body(BodyStream::new(never())), "200\n"),
        ("HEAD", || response(200, &[]).finish(), "200\ncontent-length: 0\n"),
        ("POST", || response(204, &[("content-length", "5")]).finish(), "204\n"),
        ("POST", || response(304, &[("content-length", "9")]).finish(), "304\ncontent-length: 9\n"),
        ("POST", || response(304, &[]).finish(), "304\n"),
        ("POST", || response(303, &[]).finish(), "303\ncontent-length: 0\n"),
    ];
    for (method, answer, expected) in cases {
        let (world, count) = (World::start().await, Count::default());
        let addr = world.serve(Policy::middleware(), count.site(move |_| answer())).addr;
        let request = post("k", "a").replacen("POST", method, 1);
        assert_eq!(ask(addr, &request).await, format!("{expected}{COMMITTED}\n"), "{method}");
        let marks = "idempotency-key-consumed: true\nidempotent-replayed: true\nintent-status: replayed\n";
        let repeated = format!("{}age: 0\n{}{marks}\n", &expected[..4], &expected[4..]);
        assert_eq!(ask(addr, &request).await, repeated, "{method} again");
        assert_eq!(count.get(), 1, "{method}");
    }
}

/// A body that is not to be read.
fn never() -> impl futures_util::Stream<Item = Result<web::Bytes, std::io::Error>> {
    futures_util::stream::poll_fn(|_| panic!("content of an answer that has none was read"))
}

// covers: O4 O5 L5 C2
#[actix_web::test]
async fn an_answer_that_declines_passes_and_frees_the_key() {
    const FALSE: Lines = &[("idempotency-key-consumed", "false")];
    const TRUE: Lines = &[("idempotency-key-consumed", "true")];
    let cases: [(u16, Lines, usize); 5] =
        [(401, &[], 2), (429, &[], 2), (503, FALSE, 2), (500, &[], 1), (429, TRUE, 1)];
    for (status, lines, runs) in cases {
        let (world, count) = (World::start().await, Count::default());
        let site = count.site(move |_| response(status, lines).body("said"));
        let addr = world.serve(Policy::middleware(), site).addr;
        let marks = if runs == 2 { "idempotency-key-consumed: false\n" } else { COMMITTED };
        let expected = format!("{status}\ncontent-length: 4\n{marks}\nsaid");
        assert_eq!(ask(addr, &post("k", "a")).await, expected);
        let repeated = ask(addr, &post("k", "a")).await;
        assert_eq!(repeated.contains("intent-status: replayed\n"), runs == 1, "{repeated}");
        assert_eq!(count.get(), runs, "{status}");
    }
}

// covers: O4
#[actix_web::test]
async fn a_status_that_does_not_say_is_doubt_and_is_not_passed_on() {
    let (world, count) = (World::start().await, Count::default());
    let addr = world.serve(Policy::forward_proxy(), count.site(|_| response(502, &[]).body("raw"))).addr;
    for _ in 0..2 {
        assert_eq!(problem(addr, &post("k", "a")).await, "409 outcome-unknown");
    }
    assert_eq!(count.get(), 1);
}

// covers: O4
#[actix_web::test]
async fn an_error_of_actix_is_the_handlers_own_answer() {
    let (world, count) = (World::start().await, Count::default());
    let once = world.once(Policy::middleware());
    let counted = count.clone();
    let addr = listen!(HttpServer::new(move || {
        let in_handler = counted.clone();
        let in_middleware = counted.clone();
        let failing = from_fn(move |_: actix_web::dev::ServiceRequest, _: actix_web::middleware::Next<_>| {
            in_middleware.add();
            async { Err::<actix_web::dev::ServiceResponse, _>(ErrorImATeapot("hot")) }
        });
        App::new()
            .wrap(once.clone())
            .route(
                "/handler",
                web::post().to(move || {
                    in_handler.add();
                    async { Err::<HttpResponse, _>(ErrorConflict("taken")) }
                }),
            )
            .service(web::scope("/middleware").wrap(failing))
    }))
    .addr;
    for (path, status, text) in [("/handler", 409, "taken"), ("/middleware", 418, "hot")] {
        let request = post(&path[1..], "a").replacen("/order", path, 1);
        let len = text.len();
        let kind = "content-type: text/plain; charset=utf-8\n";
        let first = format!("{status}\ncontent-length: {len}\n{kind}{COMMITTED}\n{text}");
        assert_eq!(ask(addr, &request).await, first);
        let repeated = ask(addr, &request).await;
        assert!(
            repeated.starts_with(&format!("{status}\nage: 0\n")) && repeated.ends_with(text),
            "{repeated}"
        );
    }
    assert_eq!(count.get(), 2);
}

// covers: O1 O2
#[actix_web::test]
async fn compression_outside_fits_each_caller_and_inside_is_part_of_the_outcome() {
    let text = "the same words again and again; ".repeat(100);
    let zipped = |request: &str| request.replacen("Host: a", "Host: a\r\nAccept-Encoding: gzip", 1);
    for is_outside in [true, false] {
        let (world, count) = (World::start().await, Count::default());
        let (once, site) = (
            world.once(Policy::middleware()),
            count.site({
                let text = text.clone();
                move |_| response(201, &[("content-type", "text/plain")]).body(text.clone())
            }),
        );
        let server = HttpServer::new(move || {
            let outside = actix_web::middleware::Condition::new(is_outside, Compress::default());
            let inside = actix_web::middleware::Condition::new(!is_outside, Compress::default());
            App::new().wrap(inside).wrap(once.clone()).wrap(outside).configure(site.clone())
        });
        let addr = listen!(server).addr;
        let first = ask(addr, &zipped(&post("k", "a"))).await;
        assert!(first.contains("\ncontent-encoding: gzip\n"), "{first}");
        let repeated = ask(addr, &zipped(&post("k", "a"))).await;
        assert!(repeated.contains("\nidempotent-replayed: true\n"), "{repeated}");
        let content = |answer: &str| answer.split_once("\n\n").unwrap().1.to_owned();
        assert_eq!(content(&repeated), content(&first));
        // Who does not take gzip gets it all the same where it was recorded so.
        let plain = ask(addr, &post("k", "a")).await;
        assert_eq!(content(&plain) == text, is_outside, "{plain}");
        assert_eq!(plain.contains("content-encoding: gzip"), !is_outside, "{plain}");
        assert_eq!(count.get(), 1);
    }
}

// covers: O1
#[actix_web::test]
async fn an_answer_of_any_kind_of_body_replays_by_its_length() {
    let (world, count) = (World::start().await, Count::default());
    let site = count.site(|_| {
        let parts =
            ["half ", "whole"].map(|part| Ok::<_, std::io::Error>(web::Bytes::from_static(part.as_bytes())));
        response(201, &[]).body(SizedStream::new(10, futures_util::stream::iter(parts)))
    });
    let addr = world.serve(Policy::middleware(), site).addr;
    assert_eq!(ask(addr, &post("k", "a")).await, committed("half whole"));
    assert_eq!(ask(addr, &post("k", "a")).await, replayed(0, "half whole"));
}
