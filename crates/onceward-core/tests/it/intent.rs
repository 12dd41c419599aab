//! Intents: the text, against hand-made cases and against `JSON.stringify` itself, and the digest.

use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};

use onceward_core::actor::{Actor, Tenant};
use onceward_core::canonical::{BodyInvalid, Reason};
use onceward_core::intent::{IntentDigest, IntentDigestMalformed, IntentInvalid, text};
use onceward_core::secret::Secret;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde::Deserialize;

use crate::properties::{Value, value, written};
use crate::vectors::{Invalid, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "description")]
    _description: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    description: String,
    #[serde(rename = "source")]
    _source: String,
    body: String,
    text: Option<String>,
    digest: Option<String>,
    naive_text: Option<String>,
    unrepresentable: Option<usize>,
    invalid: Option<Invalid>,
}

fn cases() -> Vec<Case> {
    read::<Vectors>(include_str!("../../../../vectors/intent.json")).cases
}

fn intent_text(body: &str) -> Result<String, IntentInvalid> {
    let mut found = Vec::new();
    text(body.as_bytes(), &mut |bytes| found.extend_from_slice(bytes))?;
    Ok(String::from_utf8(found).unwrap())
}

// covers: F5
#[test]
fn intent_vectors() {
    for case in cases() {
        let found = intent_text(&case.body);
        let digest = IntentDigest::of(case.body.as_bytes());
        match (case.text, case.digest, case.unrepresentable, case.invalid) {
            (Some(text), Some(expected), None, None) => {
                assert_eq!(found, Ok(text), "{}", case.description);
                assert_eq!(digest.unwrap().to_text(), expected, "{}", case.description);
                assert_eq!(digest, Ok(IntentDigest::parse(&expected).unwrap()), "{}", case.description);
            }
            (None, None, Some(offset), None) => {
                let expected = IntentInvalid::Unrepresentable { offset };
                assert_eq!((found, digest), (Err(expected), Err(expected)), "{}", case.description);
            }
            (None, None, None, Some(expected)) => match (found, digest) {
                (Err(IntentInvalid::Body(found)), Err(IntentInvalid::Body(digest))) => {
                    assert_eq!(found, digest);
                    assert_eq!(Invalid::from(found), expected, "{}", case.description);
                }
                other => panic!("{}: {other:?}", case.description),
            },
            _ => panic!("{}: one expectation", case.description),
        }
    }
}

/// Prints, for each body on its own line, what a client that sorts the members digests.
///
/// `sorted` fills plain objects in sorted order, as the usual sample code does; `exact` writes the members itself, which makes
/// a difference for the names that JavaScript objects treat as special.
const NODE: &str = r#"
const left = ['csrf', 'nonce', 'timestamp'];
const names = (value) => Object.keys(value).filter((name) => !left.includes(name)).sort();
const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const out = {};
  for (const name of names(value)) out[name] = sorted(value[name]);
  return out;
};
const exact = (value) => {
  if (Array.isArray(value)) return '[' + value.map(exact).join(',') + ']';
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return '{' + names(value).map((name) => JSON.stringify(name) + ':' + exact(value[name])).join(',') + '}';
};
const bodies = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const texts = bodies.map(JSON.parse).map((value) => [JSON.stringify(sorted(value)), exact(value)]);
process.stdout.write(JSON.stringify(texts));
"#;

/// The naive and the exact text of each body, from Node.js.
fn node_texts(bodies: &[String]) -> Vec<(String, String)> {
    let mut node = Command::new("node")
        .args(["--eval", NODE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests need `node` in the path");
    node.stdin.take().unwrap().write_all(serde_json::to_string(bodies).unwrap().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    read(std::str::from_utf8(&output.stdout).unwrap())
}

// covers: F5
#[test]
fn the_vectors_hold_in_node() {
    let cases: Vec<_> = cases().into_iter().filter(|case| case.text.is_some()).collect();
    let bodies: Vec<_> = cases.iter().map(|case| case.body.clone()).collect();
    for (case, (naive, exact)) in cases.iter().zip(node_texts(&bodies)) {
        let expected = case.text.clone().unwrap();
        assert_eq!(naive, case.naive_text.clone().unwrap_or(expected.clone()), "{}", case.description);
        assert_eq!(exact, expected, "{}", case.description);
    }
}

// covers: F5
#[test]
fn generated_values_have_the_text_that_node_writes() {
    let mut runner = TestRunner::deterministic();
    let strategy = (value(), proptest::num::u64::ANY);
    let bodies: Vec<_> = (0..400)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .map(|(value, seed)| written(&Value::Object(vec![("intent".into(), value)]), seed))
        .collect();
    let mut compared = 0;
    for (body, (_, exact)) in bodies.iter().zip(node_texts(&bodies)) {
        match intent_text(body) {
            Ok(text) => {
                compared += 1;
                assert_eq!(text, exact, "{body}");
            }
            Err(IntentInvalid::Unrepresentable { .. }) => {}
            Err(IntentInvalid::Body(invalid)) => panic!("{invalid}: {body}"),
        }
    }
    assert!(compared > 200, "only {compared} of {} had a text", bodies.len());
}

// covers: F5
#[test]
fn sent_digests_are_read_strictly() {
    // SHA-256 of "{}", and its one spelling.
    let digest = IntentDigest::of(b"{}").unwrap();
    let text = "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o";
    assert_eq!(digest.to_text(), text);
    assert_eq!(IntentDigest::parse(text), Ok(digest));
    assert_eq!(IntentDigest::parse(&format!("{text}=")), Ok(digest));
    let malformed = [
        String::new(),
        format!("{text}=="),
        format!("={text}"),
        format!(" {text}"),
        format!("{text}A"),
        text[1..].to_owned(),
        text.replace('-', "+").replace('_', "/"),
        // The last character carries two bits that must be zero.
        text.replace("_4o", "_4p"),
    ];
    for sent in malformed {
        assert_eq!(IntentDigest::parse(&sent), Err(IntentDigestMalformed), "{sent}");
    }
    assert_eq!(IntentDigestMalformed.to_string(), "intent digest is not 32 bytes of base64url");
}

// covers: F5
#[test]
fn digests_differ_for_different_bodies() {
    assert_ne!(IntentDigest::of(b"{}"), IntentDigest::of(b"[]"));
}

// covers: F5
#[test]
fn what_is_stored_is_keyed_and_bound_to_the_actor() {
    let (zeros, ones) = (Secret::new([0; 32]), Secret::new([1; 32]));
    let stored = |secret: &Secret, tenant: &str, source: &'static str, actor: &[u8], body: &[u8]| {
        let actor = Actor::new(source, actor);
        IntentDigest::of(body).unwrap().stored(secret, &Tenant::named(tenant), &actor).to_string()
    };
    let one = stored(&zeros, "default", "cookie", b"actor", b"{}");
    // HMAC-SHA-256 of the length-prefixed fields "intent", "default", "cookie", "actor", SHA-256("{}"), computed apart.
    assert_eq!(one, "8c95cd3d9f2739df3440304a035917bea9c1bb72a4a7f4be6d861b026045d0fb");
    assert_eq!(stored(&zeros, "default", "cookie", b"actor", b" { } "), one, "the same intent");
    let others = [
        stored(&ones, "default", "cookie", b"actor", b"{}"),
        stored(&zeros, "another", "cookie", b"actor", b"{}"),
        stored(&zeros, "default", "session", b"actor", b"{}"),
        stored(&zeros, "default", "cookie", b"another", b"{}"),
        stored(&zeros, "default", "cookie", b"actor", b"[]"),
    ];
    assert!(!others.contains(&one), "{others:?}");
}

// covers: K6
#[test]
fn texts_quote_nothing() {
    let body = BodyInvalid { reason: Reason::End, offset: 3 };
    let invalid = IntentInvalid::Body(body);
    assert_eq!(invalid.to_string(), "body has no canonical form");
    assert_eq!(invalid.source().map(ToString::to_string), Some("body ends too early at byte 3".to_owned()));
    let invalid = IntentInvalid::Unrepresentable { offset: 3 };
    assert_eq!(invalid.to_string(), "number not carried exactly by a double at byte 3");
    assert!(invalid.source().is_none());
    assert_eq!(format!("{:?}", IntentDigest::of(b"{}").unwrap()), "IntentDigest(..)");
}
