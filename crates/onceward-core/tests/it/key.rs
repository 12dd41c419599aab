//! Keys against `vectors/key.json`, and against the HTTP working group's tests of structured fields.

use std::fs;
use std::path::Path;

use onceward_core::key::{Carriers, Key, KeyInvalid};
use onceward_core::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::vectors;

#[derive(Deserialize)]
struct Vectors {
    fields: Vec<FieldCase>,
    requests: Vec<RequestCase>,
    times: Vec<TimeCase>,
    ages: Vec<AgeCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldCase {
    description: String,
    source: String,
    value: String,
    key: Option<String>,
    invalid: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestCase {
    description: String,
    source: String,
    carriers: Vec<String>,
    fields: Vec<(String, String)>,
    key: Option<String>,
    invalid: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeCase {
    description: String,
    source: String,
    key: String,
    issued_at_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgeCase {
    description: String,
    source: String,
    key: String,
    now_ms: u64,
    invalid: Option<String>,
}

fn cases() -> Vectors {
    vectors::read(include_str!("../../../../vectors/key.json"))
}

/// Each character is one byte.
fn isomorphic(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

/// What a vector says of a result: the key's text, or the name of what it breaks.
fn expected<T>(key: T, invalid: Option<String>) -> Result<T, String> {
    invalid.map_or(Ok(key), Err)
}

fn name_of(invalid: KeyInvalid) -> String {
    format!("{invalid:?}")
}

// covers: K1, K2
#[test]
fn a_field_value_names_one_key_or_none() {
    for case in cases().fields {
        let found = Key::from_field(&isomorphic(&case.value));
        let found = found.map(|key| key.expose().to_owned()).map_err(name_of);
        let expected = expected(case.key.unwrap_or_default(), case.invalid);
        assert_eq!(found, expected, "{} ({})", case.description, case.source);
    }
}

// covers: K1, K2, K3, B1
#[test]
fn a_request_carries_one_key_or_none() {
    for case in cases().requests {
        let names: Vec<_> = case.carriers.iter().map(String::as_str).collect();
        let fields = case.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let found = Carriers::new(&names).read(fields);
        let found = found.map(|key| key.map(|key| key.expose().to_owned())).map_err(name_of);
        assert_eq!(found, expected(case.key, case.invalid), "{} ({})", case.description, case.source);
    }
}

// covers: K1, B1
#[test]
fn the_named_sets_carry_what_they_say() {
    assert_eq!(Carriers::ietf(), Carriers::new(&["Idempotency-Key"]));
    assert_eq!(Carriers::forward_proxy(), Carriers::new(&["X-Idem-Key"]));
    assert!(Carriers::ietf().contains("idempotency-key"));
    assert!(!Carriers::ietf().contains("x-idem-key"));
}

// covers: K7
#[test]
fn a_key_that_carries_its_time_of_issue_says_it() {
    for case in cases().times {
        let found = Key::new(&case.key).unwrap().issued_at();
        let expected = case.issued_at_ms.map(Timestamp::from_ms);
        assert_eq!(found, expected, "{} ({})", case.description, case.source);
    }
}

// covers: K7
#[test]
fn a_key_from_the_future_is_refused() {
    for case in cases().ages {
        let found = Key::new(&case.key).unwrap().check_issue(Timestamp::from_ms(case.now_ms));
        let expected = expected((), case.invalid);
        assert_eq!(found.map_err(name_of), expected, "{} ({})", case.description, case.source);
    }
}

// covers: K6
#[test]
fn no_text_about_a_key_holds_it() {
    let key = Key::new("8e03978e-40d5-43dd").unwrap();
    assert_eq!(format!("{key:?} {:?}", Some(&key)), "Key(..) Some(Key(..))");
    for case in cases().fields.into_iter().filter(|case| case.value.trim().len() > 2) {
        if let Err(invalid) = Key::from_field(&isomorphic(&case.value)) {
            let text = format!("{invalid} {invalid:?}");
            assert!(!text.contains(case.value.trim()), "{}: {text}", case.description);
        }
    }
}

// covers: K2
#[test]
fn each_fault_has_a_text_of_its_own() {
    let texts = [
        (KeyInvalid::Empty, "the key is empty"),
        (KeyInvalid::TooLong, "the key is longer than 255 characters"),
        (KeyInvalid::NotVisibleAscii, "the key has a character that is not visible ASCII"),
        (KeyInvalid::Malformed, "the key is not a structured-field String"),
        (KeyInvalid::List, "the field holds a list of keys"),
        (KeyInvalid::Parameters, "the key has parameters"),
        (KeyInvalid::Repeated, "the field was sent twice"),
        (KeyInvalid::CarriersDisagree, "two fields carry different keys"),
        (KeyInvalid::NamedInConnection, "the Connection field names the key's field"),
        (KeyInvalid::Underscore, "the field's name has an underscore in place of a hyphen"),
        (KeyInvalid::InTrailer, "the key came in a trailer"),
        (KeyInvalid::FromTheFuture, "the key's time of issue is over five minutes in the future"),
    ];
    for (invalid, text) in texts {
        assert_eq!(invalid.to_string(), text);
    }
}

/// One case of the HTTP working group's structured-field tests.
#[derive(Deserialize)]
struct SuiteCase {
    name: String,
    raw: Vec<String>,
    header_type: String,
    #[serde(default)]
    must_fail: bool,
    /// Of an Item: its value and its parameters.
    #[serde(default)]
    expected: Value,
}

/// The suite's files that hold Items; the others test lists, dictionaries and member names, which no key is.
const SUITE_FILES: [&str; 10] = [
    "binary",
    "boolean",
    "date",
    "display-string",
    "examples",
    "item",
    "number",
    "string",
    "string-generated",
    "token",
];

// covers: K1, K2
#[test]
fn structured_fields_are_read_as_the_working_group_reads_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/structured-fields");
    if !folder.is_dir() {
        println!("{} is absent: the structured-field suite was not run", folder.display());
        return;
    }
    let mut strings = 0;
    for file in SUITE_FILES {
        let text = fs::read_to_string(folder.join(file).with_extension("json")).unwrap();
        let cases: Vec<SuiteCase> = serde_json::from_str(&text).unwrap();
        for case in cases.iter().filter(|case| case.header_type == "item") {
            strings += usize::from(check_suite_case(case));
        }
    }
    assert!(strings > 250, "only {strings} cases concern a String");
}

/// Compares where the case concerns a String; says whether it does. A bare key may look like any other type (K1).
fn check_suite_case(case: &SuiteCase) -> bool {
    let lines = case.raw.iter().map(|line| ("idempotency-key", line.as_bytes()));
    let found = Carriers::ietf().read(lines);
    let found = found.map(|key| key.map(|key| key.expose().to_owned()));
    let string = case.expected[0].as_str().map(str::to_owned);
    let quoted = case
        .raw
        .first()
        .map(|line| line.trim_start())
        .is_some_and(|line| line.starts_with('"') || line.starts_with("%\""));
    let Some(string) = string else {
        if quoted {
            // A String that must fail, or a Display String.
            assert!(found.is_err(), "{}: {:?}", case.name, case.raw);
        }
        return quoted;
    };
    assert!(!case.must_fail, "{}", case.name);
    let has_parameters = case.expected[1] != Value::Array(vec![]);
    let visible = string.bytes().all(|byte| byte.is_ascii_graphic());
    let expected = match (case.raw.len(), string.len()) {
        (2.., _) => None,
        (_, 1..=255) if visible && !has_parameters => Some(string),
        _ => None,
    };
    assert_eq!(found.ok().flatten(), expected, "{}: {:?}", case.name, case.raw);
    true
}
