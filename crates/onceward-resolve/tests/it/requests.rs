//! What is remembered of a request.

use http::{HeaderMap, Method};
use onceward_resolve::{EffectRequest, EffectRequestInvalid};
use proptest::prelude::*;

use crate::kit::{CLAIMED_AT_MS, effect, order};

#[test]
fn a_request_is_written_exactly_so() {
    let effect = effect("PUT", "http://a.b/c?d", &[("x", "1")], "e");
    let parts: [&[u8]; 13] = [
        &[1],
        &[0, 0, 0, 0, 0, 0, 0, 3],
        b"PUT",
        &[0, 0, 0, 0, 0, 0, 0, 14],
        b"http://a.b/c?d",
        &CLAIMED_AT_MS.to_be_bytes(),
        &[0, 0, 0, 0, 0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 0, 1],
        b"x",
        &[0, 0, 0, 0, 0, 0, 0, 1],
        b"1",
        &[0, 0, 0, 0, 0, 0, 0, 1],
        b"e",
    ];
    assert_eq!(effect.encode(), parts.concat());
}

#[test]
fn every_shortening_and_every_extra_byte_is_refused() {
    let bytes = order().encode();
    assert_eq!(EffectRequest::decode(&bytes).unwrap(), order());
    for len in 0..bytes.len() {
        assert!(EffectRequest::decode(&bytes[..len]).is_err(), "{len} bytes were read");
    }
    assert!(EffectRequest::decode(&[bytes.clone(), vec![0]].concat()).is_err());
    assert!(EffectRequest::decode(&[&[2], &bytes[1..]].concat()).is_err());
}

#[test]
fn another_spelling_is_refused() {
    let bytes = effect("PUT", "http://a.b/c?d", &[("x", "1")], "e").encode();
    let with = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    for (from, to) in [
        (&b"x"[..], &b"X"[..]),
        (b"http://a.b/", b"HTTP://a.b/"),
        (b"http://a.b/", b"http://@.b/"),
        (b"http://", b"htt:///"),
    ] {
        assert!(EffectRequest::decode(&with(from, to)).is_err(), "{to:?}");
    }
}

#[test]
fn only_whole_addresses_of_the_web_are_remembered() {
    for uri in ["/orders", "ftp://shop.example/orders", "https://ann@shop.example/", "shop.example:443", "*"]
    {
        let uri = uri.parse().unwrap();
        let made = EffectRequest::new(Method::POST, uri, HeaderMap::new(), Vec::new(), 0);
        assert_eq!(made, Err(EffectRequestInvalid));
    }
}

#[test]
fn nothing_of_it_is_shown() {
    assert_eq!(format!("{:?}", order()), "EffectRequest { method: POST, .. }");
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        path in "/[a-z/%0-9]{0,12}",
        fields in prop::collection::vec(("[a-c-]{1,3}", prop::collection::vec(32_u8..127, 0..9)), 0..6),
        body in prop::collection::vec(any::<u8>(), 0..40),
        claimed_at_ms: u64,
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                http::HeaderValue::from_bytes(&value).unwrap(),
            );
        }
        let uri = format!("https://shop.example:8443{path}").parse().unwrap();
        let effect = EffectRequest::new(Method::PATCH, uri, map, body, claimed_at_ms).unwrap();
        prop_assert_eq!(EffectRequest::decode(&effect.encode()).unwrap(), effect);
    }

    #[test]
    fn a_changed_byte_is_never_the_same_request(at in 0_usize..200, flip in 1_u8..) {
        let mut bytes = order().encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        // Two spellings of a host are one request, and are still told apart here.
        prop_assert!(EffectRequest::decode(&bytes).map_or(true, |read| read.encode() == bytes));
    }
}
