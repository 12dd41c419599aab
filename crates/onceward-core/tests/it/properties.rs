//! What holds for every body.

use std::collections::BTreeMap;

use onceward_core::canonical::{BodyInvalid, Reason, Volatile, form, multipart};
use onceward_core::fingerprint::{Equality, Fingerprint, Request};
use onceward_core::intent::{self, IntentInvalid};
use onceward_core::secret::Secret;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::canonical::canonical_json;

/// A JSON value, its members in the order in which they are to be written.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Digits, and the power of ten that they are to be multiplied by.
    Number(i64, i32),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// What a value is, whatever way it is written.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Null,
    Bool(bool),
    Number(i64, i32),
    String(String),
    Array(Vec<Meaning>),
    Object(BTreeMap<String, Meaning>),
}

impl Value {
    fn meaning(&self) -> Meaning {
        match self {
            Self::Null => Meaning::Null,
            Self::Bool(value) => Meaning::Bool(*value),
            Self::Number(0, _) => Meaning::Number(0, 0),
            Self::Number(digits, power) if digits % 10 == 0 => Self::Number(digits / 10, power + 1).meaning(),
            Self::Number(digits, power) => Meaning::Number(*digits, *power),
            Self::String(value) => Meaning::String(value.clone()),
            Self::Array(values) => Meaning::Array(values.iter().map(Self::meaning).collect()),
            Self::Object(members) => {
                Meaning::Object(members.iter().map(|(name, value)| (name.clone(), value.meaning())).collect())
            }
        }
    }
}

/// Values with any numbers.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    value_with(prop_oneof![
        any::<i64>().prop_map(|digits| Value::Number(digits, 0)),
        (-1_000_i64..1_000, -30_i32..30).prop_map(|(digits, power)| Value::Number(digits, power)),
        double(),
    ])
}

/// Numbers as the shortest text that reads back as the same double.
/// Doubles by their shortest text. Rust's own differs from ECMAScript's where two are equally close; those few are left out here.
fn double() -> impl Strategy<Value = Value> {
    let digits = |text: &str| {
        let mantissa = text.split('e').next().unwrap().replace(['.', '-'], "");
        mantissa.trim_matches('0').to_owned()
    };
    let doubles = proptest::num::f64::NORMAL.prop_filter("two shortest texts", move |double| {
        digits(&format!("{double:e}")) == digits(&serde_json_canonicalizer::to_string(double).unwrap())
    });
    doubles.prop_map(|double| {
        let text = format!("{double:e}");
        let (digits, power) = text.split_once('e').unwrap();
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let power = power.parse::<i32>().unwrap() - fraction.len() as i32;
        Value::Number(format!("{integer}{fraction}").parse().unwrap(), power)
    })
}

fn value_with(number: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number,
        string().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map(string(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Strings in which the special characters are frequent, and a few likely names.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab\"\\\\/\u{0}\u{8}\n\u{1f}\u{7f}\u{e9}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{1f602}]{0,6}",
        "[a-c]{0,12}",
        "\\PC{0,12}",
        "(9|10|csrf|nonce|timestamp|__proto__)",
    ]
}

/// Writes a value in one of the many ways that mean the same; the seed says which.
pub(crate) fn written(value: &Value, seed: u64) -> String {
    let mut writer = Respeller { seed: seed | 1, text: String::new() };
    writer.value(value);
    writer.text
}

struct Respeller {
    seed: u64,
    text: String,
}

impl Respeller {
    /// A number under `bound` (xorshift, Marsaglia 2003).
    fn pick(&mut self, bound: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 33) as usize % bound
    }

    fn blanks(&mut self) {
        for _ in 0..self.pick(3) {
            let blank = [' ', '\t', '\n', '\r'][self.pick(4)];
            self.text.push(blank);
        }
    }

    fn value(&mut self, value: &Value) {
        self.blanks();
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Number(digits, power) => self.number(*digits, *power),
            Value::String(value) => self.string(value),
            Value::Array(values) => {
                self.text.push('[');
                for (at, value) in values.iter().enumerate() {
                    self.text.push_str(if at > 0 { "," } else { "" });
                    self.value(value);
                }
                self.blanks();
                self.text.push(']');
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for at in 1..members.len() {
                    let other = self.pick(at + 1);
                    members.swap(at, other);
                }
                self.text.push('{');
                for (at, (name, value)) in members.into_iter().enumerate() {
                    self.text.push_str(if at > 0 { "," } else { "" });
                    self.blanks();
                    self.string(name);
                    self.blanks();
                    self.text.push(':');
                    self.value(value);
                }
                self.blanks();
                self.text.push('}');
            }
        }
        self.blanks();
    }

    fn number(&mut self, digits: i64, power: i32) {
        let sign = if digits < 0 || (digits == 0 && self.pick(2) == 0) { "-" } else { "" };
        let mut digits = digits.unsigned_abs().to_string();
        let mut power = power;
        for _ in 0..self.pick(3) {
            digits.push('0');
            power -= 1;
        }
        let fraction_len = self.pick(digits.len() + 3);
        power += fraction_len as i32;
        while digits.len() <= fraction_len {
            digits.insert(0, '0');
        }
        let (integer, fraction) = digits.split_at(digits.len() - fraction_len);
        let integer = integer.trim_start_matches('0');
        let integer = if integer.is_empty() { "0" } else { integer };
        let point = if fraction.is_empty() { "" } else { "." };
        let exponent = match self.pick(4) {
            0 if power == 0 => String::new(),
            1 => format!("E{power:+04}"),
            2 => format!("e{power:+}"),
            _ => format!("e{power}"),
        };
        self.text.push_str(&format!("{sign}{integer}{point}{fraction}{exponent}"));
    }

    fn string(&mut self, value: &str) {
        self.text.push('"');
        for scalar in value.chars() {
            let must = scalar < ' ' || scalar == '"' || scalar == '\\';
            match (scalar, self.pick(4)) {
                ('"' | '\\' | '/', 1) => self.text.extend(['\\', scalar]),
                ('\n', 1) => self.text.push_str("\\n"),
                ('\u{8}', 1) => self.text.push_str("\\b"),
                (_, 0) => self.units(scalar),
                _ if must => self.units(scalar),
                _ => self.text.push(scalar),
            }
        }
        self.text.push('"');
    }

    fn units(&mut self, scalar: char) {
        for unit in scalar.encode_utf16(&mut [0; 2]) {
            let escape = if self.pick(2) == 0 { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
            self.text.push_str(&escape);
        }
    }
}

fn canonical(body: &str) -> String {
    let text = canonical_json(body.as_bytes(), &Volatile::none());
    String::from_utf8(text.unwrap_or_else(|invalid| panic!("{invalid}: {body}"))).unwrap()
}

proptest! {
    // covers: F1
    #[test]
    fn every_spelling_of_a_value_has_one_text(value in value(), one: u64, other: u64) {
        prop_assert_eq!(canonical(&written(&value, one)), canonical(&written(&value, other)));
    }

    // covers: F1
    #[test]
    fn texts_are_equal_exactly_if_the_values_are(
        one in value_with((0_i64..30, -2_i32..2).prop_map(|(digits, power)| Value::Number(digits, power))),
        other in value_with((0_i64..30, -2_i32..2).prop_map(|(digits, power)| Value::Number(digits, power))),
        seed: u64,
    ) {
        let same = one.meaning() == other.meaning();
        prop_assert_eq!(canonical(&written(&one, seed)) == canonical(&written(&other, !seed)), same);
    }

    // covers: F1
    #[test]
    fn a_text_is_its_own_text(value in value(), seed: u64) {
        let text = canonical(&written(&value, seed));
        prop_assert_eq!(canonical(&text), text);
    }

    // covers: F1
    #[test]
    fn the_text_is_rfc_8785s_where_doubles_carry_the_numbers(value in value_with(double()), seed: u64) {
        let body = written(&value, seed);
        let oracle: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = serde_json_canonicalizer::to_string(&oracle).unwrap();
        prop_assert_eq!(canonical(&body), expected);
    }

    // covers: F1
    #[test]
    fn what_is_refused_is_no_json_or_ambiguous(body in "[\\[\\]{}\":, 0-2eE+.ab\\\\u\\-]{0,24}") {
        let accepted_by_oracle = serde_json::from_str::<serde_json::Value>(&body).is_ok();
        match canonical_json(body.as_bytes(), &Volatile::none()) {
            Ok(_) => prop_assert!(accepted_by_oracle),
            Err(invalid) if accepted_by_oracle => prop_assert_eq!(invalid.reason, Reason::DuplicateMember),
            Err(invalid) => prop_assert!(invalid.offset <= body.len()),
        }
    }

    // covers: F1 F2 F5 S1
    #[test]
    fn no_bytes_end_the_program(body in vec(any::<u8>(), 0..256), path in "\\$[.\\[\\]'\"a0*?:,\\\\ -]{0,12}") {
        let rules = match Volatile::common().volatile(&path) {
            Ok(rules) => rules,
            Err(invalid) => {
                prop_assert!(invalid.offset <= path.len());
                Volatile::common()
            }
        };
        form(&body, &rules, &mut |_| ());
        let delimited = [b"--b\r\nContent-Disposition: form-data; name=", body.as_slice()].concat();
        if let Err(invalid) = multipart(&delimited, b"b", &rules, &mut |_| ()) {
            prop_assert!(invalid.offset <= delimited.len());
        }
        match intent::text(&body, &mut |_| ()) {
            Err(IntentInvalid::Body(BodyInvalid { offset, .. }) | IntentInvalid::Unrepresentable { offset }) => {
                prop_assert!(offset <= body.len());
            }
            Ok(()) => {}
        }
        let media_type = String::from_utf8_lossy(&body);
        let request = Request {
            scheme: None,
            authority: None,
            method: "POST",
            path_and_query: "/",
            media_type: Some(&media_type),
            body: &body,
        };
        prop_assert!(Fingerprint::of(&Secret::new([0; 32]), &request, &Equality::Canonical(rules)).is_ok());
    }
}
