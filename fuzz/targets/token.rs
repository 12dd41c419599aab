//! Fed: what a stranger shows: the text of a token, and the fields of a request with `{token}` where the right one is put.
//!
//! What must hold: a token of ours has one spelling but for its padding, and no bytes that are not ours are one. The control API opens where
//! one `Authorization` says `Bearer` and the token, and nowhere else (S5). A post counts as signed where its id and time are as Standard
//! Webhooks have them and the signature is over them and the body, and under no other body (D2).

#![no_main]

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use onceward_control::{Token, fuzz::shows_token};
use onceward_core::{
    actor::{KeyTag, LookupId},
    intent::IntentDigest,
    record::Epoch,
    secret::Secret,
    time::Timestamp,
    twin::{Confirmation, Confirmed, Holder, TwinId},
};
use onceward_tower::{WebhookSecret, fuzz::is_signed};
use sha2::Sha256;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// In seconds since 1970.
const NOW: u64 = 1_795_000_000;

static BEARER: LazyLock<Token> = LazyLock::new(|| Token::new(TOKEN).expect("a token"));

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let first = text.lines().next().unwrap_or_default();
    spellings(first);
    bearer(text);
    webhook(text);
});

fn spellings(text: &str) {
    let unpadded = text.trim_end_matches('=');
    if let Some(confirmation) = Confirmation::parse(text) {
        assert_eq!(confirmation.to_text(), unpadded);
        let confirmed = Confirmed {
            twin: TwinId::from_bytes([1; 32]),
            own: LookupId::from_bytes([2; 32]),
            holder: Holder { id: LookupId::from_bytes([3; 32]), epoch: Epoch(4) },
        };
        assert!(!confirmation.confirms(&Secret::new([5; 32]), &confirmed, Timestamp::from_ms(0)));
    }
    if let Ok(digest) = IntentDigest::parse(text) {
        assert_eq!(digest.to_text(), unpadded);
    }
    if let Some(tag) = KeyTag::parse(text) {
        assert_eq!(tag.to_string(), text);
    }
    let is_token = (32..=512).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    assert_eq!(Token::new(text).is_ok(), is_token);
    let bytes = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
        assert!(text.parse::<WebhookSecret>().is_ok());
    }
}

fn bearer(text: &str) {
    let text = text.replace("{token}", TOKEN);
    let mut headers = HeaderMap::new();
    let mut shown = Vec::new();
    for line in text.lines().take(8) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) else {
            continue;
        };
        if name == "authorization" {
            shown.push(value.clone());
        }
        headers.append(name, value);
    }
    let is_shown = match shown.as_slice() {
        [value] => value.as_bytes().split_at_checked(7).is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && token == TOKEN.as_bytes()
        }),
        _ => false,
    };
    assert_eq!(shows_token(&BEARER, &headers), is_shown);
}

fn webhook(text: &str) {
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (id, time, others, body) = (part(), part(), part(), part());
    let key = [9; 32];
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());

    let mut headers = HeaderMap::new();
    for (name, value) in [("webhook-id", id), ("webhook-timestamp", time)] {
        let Ok(value) = HeaderValue::from_str(value) else { return };
        headers.insert(name, value);
    }
    let Ok(list) = HeaderValue::from_str(&format!("{others} v1,{signature}")) else { return };
    headers.insert("webhook-signature", list);

    let secret: WebhookSecret = format!("whsec_{}", STANDARD.encode(key)).parse().expect("a secret");
    let is_by = |headers: &HeaderMap, body: &str| {
        is_signed(&secret, headers, body.as_bytes(), Timestamp::from_ms(NOW * 1_000))
    };
    let is_id =
        (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    let is_time = time.bytes().all(|byte| byte.is_ascii_digit())
        && time.parse::<u64>().is_ok_and(|time| time.abs_diff(NOW) <= 300);
    let is_short = others.is_ascii() && others.split(' ').count() <= 15;
    assert_eq!(is_by(&headers, body), is_id && is_time && is_short);
    assert!(!is_by(&headers, &format!("{body}.")));
    headers.insert("webhook-signature", HeaderValue::from_str(others).expect("part of a value"));
    assert!(!is_by(&headers, body), "none of the others is ours");
}
