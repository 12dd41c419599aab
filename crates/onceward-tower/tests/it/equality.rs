//! What counts as the same request.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use onceward_core::{fingerprint::Equality, outcome::Policy, record::OnMismatch};
use onceward_tower::Unreadable;

use crate::kit::{Count, Guarded, Keyed, Lines, World, ask, post_with, problem, replayed, response, text};

const JSON: Lines = &[("content-type", "application/json")];
const FORM: Lines = &[("content-type", "application/x-www-form-urlencoded")];
const GZIP: Lines = &[("content-type", "application/json"), ("content-encoding", "GZip")];
const IDENTITY: Lines = &[("content-type", "application/json"), ("content-encoding", "identity")];
const TWICE: Lines = &[("content-type", "application/json"), ("content-encoding", "gzip, x-gzip")];
const FIVE_TIMES: Lines =
    &[("content-type", "application/json"), ("content-encoding", "gzip, gzip, gzip, gzip, gzip")];
const BROTLI: Lines = &[("content-type", "application/json"), ("content-encoding", "br")];
const DEFLATE: Lines = &[("content-type", "application/json"), ("content-encoding", "deflate")];
const UNKNOWN: Lines = &[("content-type", "application/json"), ("content-encoding", "zstd")];

type Asked = (Lines, Bytes);

/// What the second of two requests under one key gets: `same`, or the refusal.
async fn second(rules: &Keyed, first: &Asked, then: &Asked) -> String {
    let count = Count::default();
    let site = count.site(|_| response(201, &[], text("ordered")));
    let guarded: Guarded = World::start().await.guard(rules.clone(), site);
    let asked = |(lines, body): &Asked| post_with("k", lines, text(body.clone()));
    let answer = ask(&guarded, asked(first)).await;
    assert!(answer.starts_with("201\n"), "{answer}");
    let answer = ask(&guarded, asked(then)).await;
    assert_eq!(count.get(), 1);
    if answer == format!("201\n{}\nordered", replayed(0)) {
        return "same".to_owned();
    }
    problem(&guarded, asked(then)).await
}

fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap().into()
}

fn brotli(content: &[u8]) -> Bytes {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4_096, 5, 22);
    encoder.write_all(content).unwrap();
    encoder.into_inner().into()
}

fn zlib(content: &[u8]) -> Bytes {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap().into()
}

// covers: F1 F2 F3 F6
#[tokio::test(start_paused = true)]
async fn requests_that_ask_for_the_same_replay_and_others_are_refused() {
    const ORDER: &str = r#"{"item":"book","count":1}"#;
    const REORDERED: &str = r#"{ "count": 1.0, "item": "\u0062ook" }"#;
    let order = || (JSON, Bytes::from_static(ORDER.as_bytes()));
    let reordered = || Bytes::from_static(REORDERED.as_bytes());
    let five_times = (0..5).fold(Bytes::from_static(ORDER.as_bytes()), |content, _| gzip(&content));
    let cases: [(&str, Asked, Asked, &str); 17] = [
        ("members in another order", order(), (JSON, reordered()), "same"),
        ("another value", order(), (JSON, r#"{"item":"book","count":2}"#.into()), "422 key-reused"),
        (
            "null is not absent",
            order(),
            (JSON, r#"{"item":"book","count":1,"x":null}"#.into()),
            "422 key-reused",
        ),
        ("another media type", order(), (FORM, ORDER.into()), "422 key-reused"),
        ("fields in another order", (FORM, "a=1&b=2".into()), (FORM, "b=2&a=1".into()), "same"),
        ("values in another order", (FORM, "a=1&a=2".into()), (FORM, "a=2&a=1".into()), "422 key-reused"),
        ("gzip against plain", order(), (GZIP, gzip(REORDERED.as_bytes())), "same"),
        ("plain against gzip", (GZIP, gzip(ORDER.as_bytes())), (JSON, reordered()), "same"),
        ("gzip with another value", order(), (GZIP, gzip(b"{}")), "422 key-reused"),
        ("gzip in gzip", order(), (TWICE, gzip(&gzip(REORDERED.as_bytes()))), "same"),
        ("gzip five times", order(), (FIVE_TIMES, five_times), "422 key-reused"),
        ("brotli", order(), (BROTLI, brotli(REORDERED.as_bytes())), "same"),
        ("deflate", order(), (DEFLATE, zlib(REORDERED.as_bytes())), "same"),
        ("identity", order(), (IDENTITY, reordered()), "same"),
        ("unknown encoding, same bytes", (UNKNOWN, "abc".into()), (UNKNOWN, "abc".into()), "same"),
        ("unknown encoding, other bytes", (UNKNOWN, "abc".into()), (UNKNOWN, "abd".into()), "422 key-reused"),
        ("unknown encoding of plain", order(), (UNKNOWN, ORDER.into()), "422 key-reused"),
    ];
    let rules = Keyed::by(Policy::middleware());
    for (name, first, then, expected) in cases {
        assert_eq!(second(&rules, &first, &then).await, expected, "{name}");
    }
}

// covers: F1
#[tokio::test(start_paused = true)]
async fn a_route_may_compare_bytes() {
    let rules = Keyed { equality: Equality::Bytes.into(), ..Keyed::by(Policy::middleware()) };
    let order = || (JSON, Bytes::from_static(b"{\"a\":1}"));
    assert_eq!(second(&rules, &order(), &order()).await, "same");
    assert_eq!(second(&rules, &order(), &(JSON, "{\"a\": 1}".into())).await, "422 key-reused");
}

// covers: F3 S1
#[tokio::test(start_paused = true)]
async fn a_bomb_is_compared_as_it_is_and_not_unpacked_past_the_limit() {
    let policy = Policy { request_bytes_max: 100_000, ..Policy::middleware() };
    let rules = Keyed::by(policy);
    let fits = gzip(&[b' '; 99_998].into_iter().chain(*b"{}").collect::<Vec<_>>());
    assert_eq!(second(&rules, &(JSON, "{}".into()), &(GZIP, fits)).await, "same");
    // Were it unpacked, it would be the plain empty object.
    let bomb = gzip(&[b' '; 99_999].into_iter().chain(*b"{}").collect::<Vec<_>>());
    assert_eq!(second(&rules, &(JSON, "{}".into()), &(GZIP, bomb.clone())).await, "422 key-reused");
    assert_eq!(second(&rules, &(GZIP, bomb.clone()), &(GZIP, bomb)).await, "same");
}

// covers: F1
#[tokio::test(start_paused = true)]
async fn an_unreadable_body_is_refused_with_its_place_or_compared_by_its_bytes() {
    let twofold = || (JSON, Bytes::from_static(b"{\"a\":1,\"a\":2}"));
    let count = Count::default();
    let world = World::start().await;
    let guarded = world.guard(Keyed::by(Policy::middleware()), count.site(|_| response(201, &[], text(""))));
    let (lines, body) = twofold();
    let refused = ask(&guarded, post_with("k", lines, text(body))).await;
    assert!(refused.starts_with("400\n") && refused.contains("body-invalid"), "{refused}");
    assert!(refused.contains("byte 7"), "{refused}");
    assert_eq!((count.get(), world.records().await), (0, 0));

    let refusing = Keyed { unreadable: Unreadable::CompareBytes, ..Keyed::by(Policy::middleware()) };
    let replaying = Policy { on_mismatch: OnMismatch::Replay, ..Policy::middleware() };
    let replaying = Keyed { policy: replaying.into(), ..refusing.clone() };
    let other = || (JSON, Bytes::from_static(b"{\"a\":1,\"a\":3}"));
    let readable = || (JSON, Bytes::from_static(b"{\"a\":1}"));
    let cases: [(&str, Asked, Asked, &str); 4] = [
        ("the same bytes", twofold(), twofold(), "same"),
        ("other bytes", twofold(), other(), "422 key-reused"),
        ("a readable body, then another", readable(), twofold(), "422 key-reused"),
        ("an unreadable body, then a readable one", twofold(), readable(), "422 key-reused"),
    ];
    for (name, first, then, expected) in cases {
        assert_eq!(second(&refusing, &first, &then).await, expected, "{name}");
        assert_eq!(second(&replaying, &first, &then).await, "same", "{name}, where drift replays");
    }
}
