//! Fed: an `application/x-www-form-urlencoded` body.
//!
//! What must hold: its canonical form has the fields that a second decoder finds, sorted by name with the values of one name in their order,
//! and no others (F2); written down anew and read again, they have the same form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onceward_core::canonical::{Volatile, form};
use percent_encoding::percent_decode;

type Pair = (Vec<u8>, Vec<u8>);

fuzz_target!(|body: &[u8]| {
    let mut expected: Vec<Pair> =
        body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(pair).collect();
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    let text = canonical(body, &Volatile::none());
    assert_eq!(pairs(&text), expected);

    let encoded = |bytes| form_urlencoded::byte_serialize(bytes).collect::<String>();
    let anew: Vec<String> =
        expected.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    assert_eq!(canonical(anew.join("&").as_bytes(), &Volatile::none()), text);

    let volatile = Volatile::none().volatile("$.a").expect("a path");
    expected.retain(|(name, _)| name != b"a");
    assert_eq!(pairs(&canonical(body, &volatile)), expected);
});

fn pair(pair: &[u8]) -> Pair {
    let mut halves = pair.splitn(2, |byte| *byte == b'=');
    let mut decoded = || {
        let half: Vec<u8> = halves
            .next()
            .unwrap_or_default()
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        percent_decode(&half).collect()
    };
    (decoded(), decoded())
}

fn canonical(body: &[u8], volatile: &Volatile) -> Vec<u8> {
    let mut text = Vec::new();
    form(body, volatile, &mut |bytes| text.extend_from_slice(bytes));
    text
}

/// The fields of a form's text.
fn pairs(mut text: &[u8]) -> Vec<Pair> {
    let mut field = || {
        let (len, rest) = text.split_first_chunk::<8>()?;
        let (field, rest) = rest.split_at(usize::try_from(u64::from_be_bytes(*len)).expect("a length"));
        text = rest;
        Some(field.to_vec())
    };
    let mut pairs = Vec::new();
    while let Some(name) = field() {
        pairs.push((name, field().expect("a name has a value")));
    }
    pairs
}
