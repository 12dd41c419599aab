//! Replays of JSON-RPC answers, which carry the ids of the calls that they answer.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::HeaderMap;
use http_body::Frame;
use onceward_core::outcome::Policy;

use crate::kit::{Keyed, Lines, World, ask, data, fields, frames, post, replayed, response, site, text};

const FIRST: &str = r#"{"jsonrpc":"2.0","id":7,"method":"pay"}"#;
const AGAIN: &str = r#"{"jsonrpc":"2.0","id":"8a","method":"pay"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","result":{"order":1},"id":7}"#;
const ADDRESSED: &str = r#"{"jsonrpc":"2.0","result":{"order":1},"id":"8a"}"#;
const GZIP: Lines = &[("content-encoding", "gzip"), ("vary", "accept-encoding")];
const DIGESTS: Lines = &[
    ("etag", "\"1\""),
    ("content-digest", "sha-256=:1:"),
    ("repr-digest", "sha-256=:1:"),
    ("digest", "sha-256=1"),
    ("content-md5", "1"),
];

/// What `again` gets after `first` was answered so.
async fn replay_of(lines: Lines, answer: impl Into<Bytes>, first: &str, again: &str) -> String {
    let answer = answer.into();
    let guarded = World::start().await.guard(
        Keyed::by(Policy::forward_proxy()),
        site(move |_| {
            let answer = answer.clone();
            async move { Ok(response(200, lines, text(answer))) }
        }),
    );
    ask(&guarded, post("k", first.to_owned())).await;
    ask(&guarded, post("k", again.to_owned())).await
}

fn said(lines: &str, content: impl AsRef<[u8]>) -> String {
    format!("200\n{lines}{}\n{}", replayed(0), content.as_ref().escape_ascii())
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn brotli(content: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4_096, 5, 22);
    encoder.write_all(content).unwrap();
    encoder.into_inner()
}

// covers: B2
#[tokio::test(start_paused = true)]
async fn a_replay_carries_the_repeats_own_id() {
    assert_eq!(replay_of(&[], ANSWER, FIRST, AGAIN).await, said("", ADDRESSED));
}

// covers: B2
#[tokio::test(start_paused = true)]
async fn an_encoded_answer_with_another_id_goes_out_without_its_encoding() {
    let vary = "vary: accept-encoding\n";
    assert_eq!(replay_of(GZIP, gzip(ANSWER.as_bytes()), FIRST, AGAIN).await, said(vary, ADDRESSED));
    let both: Lines = &[("content-encoding", "br"), ("content-encoding", "gzip")];
    let encoded = gzip(&brotli(ANSWER.as_bytes()));
    assert_eq!(replay_of(both, encoded, FIRST, AGAIN).await, said("", ADDRESSED));
}

// covers: O1 B2
#[tokio::test(start_paused = true)]
async fn an_answer_whose_ids_stay_keeps_every_byte() {
    let encoding = "content-encoding: gzip\nvary: accept-encoding\n";
    let encoded = gzip(ANSWER.as_bytes());
    assert_eq!(replay_of(GZIP, encoded.clone(), FIRST, FIRST).await, said(encoding, &encoded));
    let digests: String = DIGESTS.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let expected = said(&digests.replace('"', "\\\""), ANSWER);
    assert_eq!(replay_of(DIGESTS, ANSWER, FIRST, FIRST).await, expected);
    // A retry that is no call has no id to give.
    assert_eq!(replay_of(&[], ANSWER, FIRST, "pay").await, said("", ANSWER));
}

// covers: O1 B2 S1
#[tokio::test(start_paused = true)]
async fn what_cannot_be_readdressed_replays_as_it_was() {
    let unknown: Lines = &[("content-encoding", "zstd")];
    assert_eq!(
        replay_of(unknown, ANSWER, FIRST, AGAIN).await,
        said("content-encoding: zstd\n", ANSWER),
        "a coding that is not known"
    );
    let encoding = "content-encoding: gzip\nvary: accept-encoding\n";
    let answer_of = |bytes: usize| gzip(format!("{}{ANSWER}", " ".repeat(bytes - ANSWER.len())).as_bytes());
    let too_long = answer_of(16 * 1_024 * 1_024 + 1);
    assert_eq!(replay_of(GZIP, too_long.clone(), FIRST, AGAIN).await, said(encoding, &too_long));
    let fits = replay_of(GZIP, answer_of(16 * 1_024 * 1_024), FIRST, AGAIN).await;
    assert!(fits.ends_with(r#"\"id\":\"8a\"}"#), "the longest that is decoded");
    assert_eq!(replay_of(&[], &b"{\"jsonrpc\":\"2.0\",\"id\":7,\"a\":\"\xff\"}"[..], FIRST, AGAIN).await, {
        said("", b"{\"jsonrpc\":\"2.0\",\"id\":7,\"a\":\"\xff\"}")
    });
}

// covers: B2
#[tokio::test(start_paused = true)]
async fn a_readdressed_answer_says_nothing_that_held_for_other_bytes() {
    assert_eq!(replay_of(DIGESTS, ANSWER, FIRST, AGAIN).await, said("etag: W/\\\"1\\\"\n", ADDRESSED));
    let weak: Lines = &[("etag", "W/\"1\"")];
    assert_eq!(replay_of(weak, ANSWER, FIRST, AGAIN).await, said("etag: W/\\\"1\\\"\n", ADDRESSED));

    let trailing = site(|_| async {
        let trailers: HeaderMap = fields(&[("repr-digest", "sha-256=:1:"), ("x-end", "1")]);
        let body = frames(vec![data(ANSWER), Ok(Frame::trailers(trailers))]);
        Ok(response(200, &[("trailer", "repr-digest, x-end")], body))
    });
    let guarded = World::start().await.guard(Keyed::by(Policy::forward_proxy()), trailing);
    ask(&guarded, post("k", FIRST)).await;
    let expected = said("trailer: x-end\n", ADDRESSED) + "\nx-end: 1\n";
    assert_eq!(ask(&guarded, post("k", AGAIN)).await, expected);
}

// covers: B2 O8
#[tokio::test(start_paused = true)]
async fn the_answers_in_a_stream_of_events_carry_the_repeats_own_id() {
    const EVENTS: Lines = &[("content-type", "Text/Event-Stream; charset=utf-8")];
    const ZIPPED: Lines = &[("content-type", "text/event-stream"), ("content-encoding", "gzip")];
    let stream = |answer: &str| {
        format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"progress\"}}\n\nevent: message\ndata: {answer}\n\n")
    };
    let content_type = "content-type: Text/Event-Stream; charset=utf-8\n";
    let replay = replay_of(EVENTS, stream(ANSWER), FIRST, AGAIN).await;
    assert_eq!(replay, said(content_type, stream(ADDRESSED)));
    let replay = replay_of(ZIPPED, gzip(stream(ANSWER).as_bytes()), FIRST, AGAIN).await;
    assert_eq!(replay, said("content-type: text/event-stream\n", stream(ADDRESSED)));
    let batch = |ids: [u32; 2]| ids.map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"pay"}}"#));
    let batch = |ids: [u32; 2]| format!("[{}]", batch(ids).join(","));
    let two = |ids: [u32; 2]| {
        ids.map(|id| format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":0}}\n\n")).concat()
    };
    let replay = replay_of(EVENTS, two([2, 1]), &batch([1, 2]), &batch([5, 6])).await;
    assert_eq!(replay, said(content_type, two([6, 5])));
}

// covers: B2
#[tokio::test(start_paused = true)]
async fn each_answer_of_a_batch_carries_the_id_of_its_own_call() {
    let batch = |ids: &[u32]| {
        let calls = ids.iter().map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"pay"}}"#));
        let note = r#"{"jsonrpc":"2.0","method":"note"}"#.to_owned();
        format!("[{}]", calls.chain([note]).collect::<Vec<_>>().join(","))
    };
    let answers = |ids: &[u32]| {
        let answer = |id| format!(r#"{{"jsonrpc":"2.0","result":{{"id":1}},"id":{id}}}"#);
        format!("[{}]", ids.iter().map(answer).collect::<Vec<_>>().join(",\n"))
    };
    // Answers come in any order, and the new ids overlap the old ones.
    let first = batch(&[1, 2, 3]);
    let replay = replay_of(&[], answers(&[3, 1, 2]), &first, &batch(&[2, 3, 4])).await;
    assert_eq!(replay, said("", answers(&[4, 2, 3])));
    assert_eq!(replay_of(&[], answers(&[3, 1, 2]), &first, &first).await, said("", answers(&[3, 1, 2])));
    let other = replay_of(&[], answers(&[3, 1, 2]), &first, &batch(&[4, 5])).await;
    assert_eq!(other, said("", answers(&[3, 1, 2])), "a batch of another length");
}
