//! Signatures of posts, as Standard Webhooks has them: HMAC-SHA-256 over id, time and body
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Signature scheme").

use std::{fmt, str::FromStr};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use onceward_core::time::Timestamp;
use sha2::Sha256;
use zeroize::Zeroizing;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Seconds that a post's time may be away from ours, either way: what the libraries of Standard Webhooks allow.
const TOLERANCE_S: u64 = 5 * 60;

/// Characters of a post's id, which goes into the audit log; the ids in use have about 30.
const ID_CHARS_MAX: usize = 255;

/// Signatures of one post. While secrets are exchanged there are two; each costs a comparison a secret.
const SIGNATURES_MAX: usize = 16;

/// Bytes of a secret (Standard Webhooks: 192 to 512 bits).
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;

/// Signers differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that posts are signed with: `whsec_` and 24 to 64 random bytes in base64.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

/// Why a text is no secret of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookSecretInvalid;

impl fmt::Display for WebhookSecretInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected `whsec_` and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in base64")
    }
}

impl std::error::Error for WebhookSecretInvalid {}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

impl FromStr for WebhookSecret {
    type Err = WebhookSecretInvalid;

    fn from_str(text: &str) -> Result<Self, WebhookSecretInvalid> {
        let encoded = text.strip_prefix("whsec_").ok_or(WebhookSecretInvalid)?;
        let bytes = BASE64.decode(encoded).map(Zeroizing::new).or(Err(WebhookSecretInvalid))?;
        match bytes.len() {
            SECRET_BYTES_MIN..=SECRET_BYTES_MAX => Ok(Self(bytes)),
            _ => Err(WebhookSecretInvalid),
        }
    }
}

/// What a post's head says of its signature; nothing of it is proven yet but its time.
#[derive(Debug)]
pub(super) struct Signed<'a> {
    /// The sender's name for the post, the same in each delivery.
    pub(super) id: &'a str,
    timestamp: &'a str,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Signed<'a> {
    /// Reads the three fields of a post that arrived at `now`.
    ///
    /// # Errors
    /// What is wrong with them, for whoever signs.
    pub(super) fn read(headers: &'a HeaderMap, now: Timestamp) -> Result<Self, &'static str> {
        let id = one(headers, &ID).ok_or("there has to be one `webhook-id`")?;
        // With a full stop in it, the end of the id would be a matter of opinion, and so what was signed.
        if id.is_empty() || id.len() > ID_CHARS_MAX || !id.bytes().all(|c| c.is_ascii_graphic() && c != b'.')
        {
            return Err("`webhook-id` has 1 to 255 visible characters, and no full stop among them");
        }
        let timestamp = one(headers, &TIMESTAMP).ok_or("there has to be one `webhook-timestamp`")?;
        let is_number = !timestamp.is_empty() && timestamp.bytes().all(|digit| digit.is_ascii_digit());
        let seconds = timestamp.parse::<u64>().ok().filter(|_| is_number);
        let seconds = seconds.ok_or("`webhook-timestamp` is no number of seconds since 1970")?;
        if now.as_ms().abs_diff(seconds.saturating_mul(1_000)) > TOLERANCE_S * 1_000 {
            return Err("`webhook-timestamp` is more than five minutes away: sign each delivery anew");
        }
        let list = one(headers, &SIGNATURE).ok_or("there has to be one `webhook-signature`")?;
        if list.split(' ').count() > SIGNATURES_MAX {
            return Err("`webhook-signature` has more than 16 signatures");
        }
        // Those of other versions, such as `v1a`, are for others.
        let encoded = list.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        let signatures = encoded.filter_map(|encoded| BASE64.decode(encoded).ok()).collect();
        Ok(Self { id, timestamp, signatures })
    }

    /// Whether one of the signatures was made with this secret.
    pub(super) fn is_by(&self, secret: &WebhookSecret, body: &[u8]) -> bool {
        // A key of any length will do (RFC 2104), so there is none to be refused.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&secret.0) else { return false };
        for part in [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        // Compares in a time that does not tell how much of it agrees.
        self.signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    }
}

/// The one value of a field; `None` where it is missing, given twice or not visible ASCII.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Vectors {
        #[serde(rename = "description")]
        _description: String,
        secrets: Vec<SecretCase>,
        posts: Vec<PostCase>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SecretCase {
        description: String,
        secret: String,
        valid: bool,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PostCase {
        description: String,
        source: String,
        secret: String,
        now: u64,
        headers: Vec<(String, String)>,
        body: String,
        signed: bool,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../../../vectors/webhook.json")).unwrap()
    }

    // covers: D2, K6
    #[test]
    fn secrets_have_their_form_and_length() {
        for case in vectors().secrets {
            // What is shown of one is nothing of it (K6).
            let expected = if case.valid { "Ok(WebhookSecret(..))" } else { "Err(WebhookSecretInvalid)" };
            assert_eq!(
                format!("{:?}", case.secret.parse::<WebhookSecret>()),
                expected,
                "{}",
                case.description
            );
        }
    }

    // covers: D2
    #[test]
    fn a_post_is_by_whoever_signed_it() {
        for case in vectors().posts {
            let mut headers = HeaderMap::new();
            for (name, value) in &case.headers {
                headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
            }
            let secret = case.secret.parse().unwrap();
            let read = Signed::read(&headers, Timestamp::from_ms(case.now * 1_000));
            let is_signed = read.is_ok_and(|signed| signed.is_by(&secret, case.body.as_bytes()));
            assert_eq!(is_signed, case.signed, "{} ({})", case.description, case.source);
        }
    }
}
