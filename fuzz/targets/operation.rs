//! Fed: JSON bodies of endpoints that serve many operations, a byte `FF` between them; the last byte picks the answer's form.
//!
//! What must hold: a retry that is only spelled otherwise is the same body by F1, so that it has to name the same operation (B2) and the same
//! key (K1): else it would run under another name. A replay to the calls that it was made for stays as it is (O1); readdressed to
//! others, what was JSON is JSON.

#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use onceward_core::{
    canonical::{Volatile, json},
    key::KeyPath,
    outcome::{Content, Outcome},
    time::Timestamp,
};
use onceward_proxy::operation;
use onceward_tower::fuzz::{key_in_body, readdressed};

static JSON: LazyLock<HeaderMap> = LazyLock::new(|| {
    [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_iter().collect()
});

static PATHS: LazyLock<[KeyPath; 4]> = LazyLock::new(|| {
    ["$.key", "$.params.arguments.key", "$[0].key", "$['a']['b']"]
        .map(|path| KeyPath::parse(path).expect("a path"))
});

fuzz_target!(|data: &[u8]| {
    let Some((pick, data)) = data.split_last() else { return };
    let mut bodies = data.splitn(3, |byte| *byte == 0xff);
    let mut next = || bodies.next().unwrap_or_default();
    let (body, retry, answer) = (next(), next(), next());
    if let Some(anew) = canonical(body) {
        assert_eq!(operation::name(&JSON, &anew), operation::name(&JSON, body));
        for path in PATHS.iter() {
            assert_eq!(key_in_body(path, &anew), key_in_body(path, body));
        }
    }
    let outcome = outcome(answer, *pick);
    if let Some(same) = readdressed(body, body, outcome.clone()) {
        // Where a server wrote an id otherwise than its client, and means the same, it stays, too.
        let ids = |outcome: &Outcome| content(outcome).map(|content| canonical(content).unwrap_or_default());
        if *pick % 2 == 0 && is_single(body, answer) {
            assert_eq!(ids(&same), ids(&outcome));
        }
    }
    if let Some(other) = readdressed(body, retry, outcome) {
        let is_json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
        assert!(*pick % 2 == 1 || !is_json(answer) || content(&other).is_some_and(is_json));
    }
});

/// Whether the answer's one id is the call's.
fn is_single(call: &[u8], answer: &[u8]) -> bool {
    let id = |bytes: &[u8]| Some(serde_json::from_slice::<serde_json::Value>(bytes).ok()?.get("id")?.clone());
    id(call).is_some() && id(call) == id(answer)
}

fn canonical(body: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    json(body, &Volatile::none(), &mut |bytes| text.extend_from_slice(bytes)).ok()?;
    Some(text)
}

fn outcome(answer: &[u8], pick: u8) -> Outcome {
    let media_type: &[u8] = if pick % 2 == 0 { b"application/json" } else { b"text/event-stream" };
    Outcome {
        status: 200,
        fields: vec![("content-type".into(), media_type.to_vec())],
        content: Content::Kept(answer.to_vec()),
        trailers: Vec::new(),
        sent_at: Timestamp::from_ms(0),
    }
}

fn content(outcome: &Outcome) -> Option<&[u8]> {
    match &outcome.content {
        Content::Kept(content) => Some(content),
        Content::NotKept { .. } | Content::None { .. } => None,
    }
}
