//! Fed: two bodies with a byte `FF` between them, which no JSON has; or one.
//!
//! What must hold: a body has a canonical form exactly where a second reader of RFC 8259 reads one value out of it. Two forms are the same
//! text exactly where the two values are equal, numbers by their exact decimal value (F1): one direction is that no difference of spelling
//! counts, the other that there are no collisions. A form is its own form. Where doubles carry every number, the form is what
//! `serde_json_canonicalizer` writes (RFC 8785).

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use num_bigint::BigInt;
use onceward_core::{
    canonical::{DEPTH_MAX, NUMBER_DIGITS_MAX, Volatile, json},
    intent,
};

fuzz_target!(|data: &[u8]| {
    let (one, other) = match data.iter().position(|byte| *byte == 0xff) {
        Some(at) => (&data[..at], Some(&data[at + 1..])),
        None => (data, None),
    };
    let first = judged(one);
    if let (Some((form, value)), Some((other_form, other_value))) = (first, other.and_then(judged)) {
        assert_eq!(form == other_form, value == other_value);
    }
});

/// The form and the value of a body that has both.
fn judged(body: &[u8]) -> Option<(Vec<u8>, Value)> {
    let form = canonical(body, &Volatile::none());
    let value = Reader::read(body);
    assert_eq!(form.is_some(), value.is_some(), "one reader refuses what the other one takes");
    let (form, value) = (form?, value?);
    assert_eq!(canonical(&form, &Volatile::none()).as_ref(), Some(&form));
    assert_eq!(Reader::read(&form).as_ref(), Some(&value));
    let common =
        canonical(body, &Volatile::common()).expect("what counts decides nothing about what is JSON");
    if !common.is_empty() {
        assert_eq!(canonical(&common, &Volatile::common()).as_ref(), Some(&common));
    }
    rfc_8785(body, &value);
    Some((form, value))
}

fn canonical(body: &[u8], volatile: &Volatile) -> Option<Vec<u8>> {
    let mut form = Vec::new();
    json(body, volatile, &mut |bytes| form.extend_from_slice(bytes)).ok()?;
    Some(form)
}

fn rfc_8785(body: &[u8], value: &Value) {
    let mut form = Vec::new();
    // It is the canonical form without three names, and refused where a double does not carry a number.
    if value.has_member(&["csrf", "nonce", "timestamp"])
        || intent::text(body, &mut |bytes| form.extend_from_slice(bytes)).is_err()
    {
        return;
    }
    let value: serde_json::Value = serde_json::from_slice(body).expect("a third reader takes it, too");
    let expected = serde_json_canonicalizer::to_vec(&value).expect("it has a form there, too");
    assert_eq!(String::from_utf8_lossy(&form), String::from_utf8_lossy(&expected));
}

#[derive(Debug, PartialEq)]
enum Value {
    Word(&'static str),
    /// `0.digits × 10^scale`, no zero at either end of the digits.
    Number {
        is_negative: bool,
        digits: Vec<u8>,
        scale: BigInt,
    },
    Text(Vec<u16>),
    List(Vec<Value>),
    Members(BTreeMap<Vec<u16>, Value>),
}

impl Value {
    fn has_member(&self, names: &[&str]) -> bool {
        match self {
            Self::Word(_) | Self::Number { .. } | Self::Text(_) => false,
            Self::List(items) => items.iter().any(|item| item.has_member(names)),
            Self::Members(members) => members.iter().any(|(name, member)| {
                names.iter().any(|own| own.encode_utf16().eq(name.iter().copied()))
                    || member.has_member(names)
            }),
        }
    }
}

/// A reader that follows the grammar of RFC 8259 a character at a time, and keeps text in UTF-16.
struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn read(body: &'a [u8]) -> Option<Value> {
        let mut reader = Self { rest: str::from_utf8(body).ok()?, depth: 0 };
        let value = reader.value()?;
        reader.blanks();
        reader.rest.is_empty().then_some(value)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn takes(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.blanks();
        for word in ["true", "false", "null"] {
            if self.takes(word) {
                return Some(Value::Word(word));
            }
        }
        match self.rest.chars().next()? {
            '"' => self.text().map(Value::Text),
            '[' => self
                .within(']', |reader, items: &mut Vec<Value>| {
                    items.push(reader.value()?);
                    Some(())
                })
                .map(Value::List),
            '{' => self
                .within('}', |reader, members: &mut BTreeMap<Vec<u16>, Value>| {
                    reader.blanks();
                    let name = reader.text()?;
                    reader.blanks();
                    if !reader.takes(":") {
                        return None;
                    }
                    let value = reader.value()?;
                    // A name twice is two readings.
                    members.insert(name, value).is_none().then_some(())
                })
                .map(Value::Members),
            _ => self.number(),
        }
    }

    fn within<T: Default>(
        &mut self,
        end: char,
        mut one: impl FnMut(&mut Self, &mut T) -> Option<()>,
    ) -> Option<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        self.rest = &self.rest[1..];
        let mut all = T::default();
        self.blanks();
        if !self.takes(end.encode_utf8(&mut [0; 4])) {
            loop {
                one(self, &mut all)?;
                self.blanks();
                if self.takes(end.encode_utf8(&mut [0; 4])) {
                    break;
                }
                if !self.takes(",") {
                    return None;
                }
            }
        }
        self.depth -= 1;
        Some(all)
    }

    fn text(&mut self) -> Option<Vec<u16>> {
        let mut characters = self.rest.strip_prefix('"')?.chars();
        let mut units = Vec::new();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => units.push(match characters.next()? {
                    same @ ('"' | '\\' | '/') => same as u16,
                    'b' => 8,
                    'f' => 12,
                    'n' => 10,
                    'r' => 13,
                    't' => 9,
                    'u' => {
                        let digits: String = characters.by_ref().take(4).collect();
                        let is_hex =
                            digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                        u16::from_str_radix(&digits, 16).ok().filter(|_| is_hex)?
                    }
                    _ => return None,
                }),
                '\0'..' ' => return None,
                plain => units.extend_from_slice(plain.encode_utf16(&mut [0; 2])),
            }
        }
        self.rest = characters.as_str();
        // Half a pair of surrogates is no character.
        String::from_utf16(&units).is_ok().then_some(units)
    }

    fn digits(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!digits.is_empty()).then_some(digits.as_bytes())
    }

    fn number(&mut self) -> Option<Value> {
        let is_negative = self.takes("-");
        let whole = self.digits()?;
        if whole.len() > 1 && whole[0] == b'0' {
            return None;
        }
        let fraction = if self.takes(".") { self.digits()? } else { &[] };
        let mut exponent = BigInt::ZERO;
        let mut exponent_digits = 0;
        if self.takes("e") || self.takes("E") {
            let is_minus = self.takes("-");
            if !is_minus {
                self.takes("+");
            }
            let digits = self.digits()?;
            exponent_digits = digits.len();
            exponent = BigInt::parse_bytes(digits, 10)?;
            if is_minus {
                exponent = -exponent;
            }
        }
        if whole.len() + fraction.len() + exponent_digits > NUMBER_DIGITS_MAX {
            return None;
        }
        let mut digits = [whole, fraction].concat();
        let mut scale = exponent + whole.len();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        scale -= zeros;
        if digits.is_empty() {
            return Some(Value::Number { is_negative: false, digits, scale: BigInt::ZERO });
        }
        Some(Value::Number { is_negative, digits, scale })
    }
}
