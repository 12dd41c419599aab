//! What the client says that it means, held against what it sends (F5).

use http::{HeaderMap, HeaderName};
use onceward_core::{
    header::name,
    intent::{IntentDigest, IntentInvalid},
    refusal::Refusal,
    time::Timestamp,
};

use crate::{origin::Demand, precondition::time_of};

const INTENT_SHA256: HeaderName = HeaderName::from_static(name::INTENT_SHA256);
const INTENT_EXPIRES_AT: HeaderName = HeaderName::from_static(name::INTENT_EXPIRES_AT);

/// What a request says of its intent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stated {
    pub(crate) digest: Option<IntentDigest>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Stated {
    /// Reads the fields and holds the digest against the body, its content encoding undone.
    pub(crate) fn check(headers: &HeaderMap, body: &[u8], demand: Demand) -> Result<Self, Refusal> {
        let expires_at = match only(headers, &INTENT_EXPIRES_AT) {
            None => None,
            Some(text) => match text.and_then(time_of) {
                Some(expires_at) => Some(expires_at),
                None => return Err(Refusal::HeadAmbiguous("Intent-Expires-At is not one time of RFC 3339")),
            },
        };
        let digest = match (only(headers, &INTENT_SHA256), demand) {
            (None, Demand::Optional) => None,
            (None, Demand::Required) => return Err(Refusal::IntentMissing),
            (Some(text), _) => {
                let sent =
                    text.and_then(|text| IntentDigest::parse(text).ok()).ok_or(Refusal::IntentMismatch)?;
                let own = IntentDigest::of(body).map_err(|invalid| match invalid {
                    IntentInvalid::Body(invalid) => Refusal::BodyInvalid(invalid.to_string()),
                    IntentInvalid::Unrepresentable { .. } => Refusal::IntentUnrepresentable,
                })?;
                if sent != own {
                    return Err(Refusal::IntentMismatch);
                }
                Some(own)
            }
        };
        Ok(Self { digest, expires_at })
    }
}

/// The text of a field: `None` where there is none, `Some(None)` where it stands twice or is no text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}
