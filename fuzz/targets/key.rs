//! Fed: one field value, which is also taken for lines of fields and for a path into a body.
//!
//! What must hold: a key is read exactly where a second reader of RFC 9651 Strings and bare texts reads one, and as the same (K1, K2). Both
//! ways to write a key read as that key. The order of a request's fields decides nothing. A path, written down, reads as itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onceward_core::{
    canonical::Volatile,
    key::{Carriers, Key, KeyPath, KeyRule},
    time::Timestamp,
};

fuzz_target!(|data: &[u8]| {
    field(data);
    carriers(data);
    if let Ok(text) = str::from_utf8(data) {
        path(text);
    }
});

fn field(value: &[u8]) {
    let key = Key::from_field(value).ok();
    assert_eq!(key.as_ref().map(Key::expose), read(value).as_deref());
    let Some(key) = key else { return };
    let text = key.expose();
    let quoted = format!(" \"{}\" ", text.replace('\\', "\\\\").replace('"', "\\\""));
    assert_eq!(Key::from_field(quoted.as_bytes()).as_ref(), Ok(&key));
    if !text.contains([',', ';', '"']) {
        assert_eq!(Key::from_field(text.as_bytes()).as_ref(), Ok(&key));
    }
    assert_eq!(KeyRule::ANY.check(&key), Ok(()));
    // A key from the past is never one from the future.
    if let Some(issued) = key.issued_at() {
        assert_eq!(key.check_issue(issued), Ok(()));
    }
    assert_eq!(key.check_issue(Timestamp::from_ms(u64::MAX)), Ok(()));
}

/// RFC 9651, 4.2.5, and the bare form, by the letter.
fn read(value: &[u8]) -> Option<String> {
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let key = match text.strip_prefix('"') {
        None if text.contains([',', ';', '"']) => return None,
        None => text.to_owned(),
        Some(quoted) => {
            let mut key = String::new();
            let mut characters = quoted.chars();
            loop {
                match characters.next()? {
                    '"' if characters.as_str().is_empty() => break key,
                    '"' => return None,
                    '\\' => key.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
                    character => key.push(character),
                }
            }
        }
    };
    ((1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x21..=0x7e).contains(&byte))).then_some(key)
}

fn carriers(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').take(8);
    let fields: Vec<(String, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
            Some((name, &line[colon + 1..]))
        })
        .collect();
    for carriers in [Carriers::ietf(), Carriers::new(&["idempotency-key", "x-request-id"])] {
        let forth = carriers.read(fields.iter().map(|(name, value)| (name.as_str(), *value)));
        let back = carriers.read(fields.iter().rev().map(|(name, value)| (name.as_str(), *value)));
        assert_eq!(forth.clone().ok(), back.ok());
        let named = fields.iter().filter(|(name, _)| carriers.contains(name)).count();
        match forth {
            Ok(found) => assert_eq!(found.is_some(), named > 0),
            // A field that is no carrier may still say that another one is to be read elsewise.
            Err(_) => assert!(!fields.is_empty()),
        }
    }
}

fn path(text: &str) {
    let Ok(path) = KeyPath::parse(text) else { return };
    let written = path.to_string();
    let again = KeyPath::parse(&written).expect("what was written is a path");
    assert_eq!(again, path);
    assert_eq!(again.to_string(), written);
    // A path to one value is a path, whoever reads it; a fingerprint's rules have room for fewer steps.
    if path.steps().len() <= 32 && !path.steps().is_empty() {
        assert!(Volatile::none().volatile(text).is_ok());
    }
}
