//! What a caller says about an effect that means the same as its request (P5).

use http::{HeaderMap, HeaderName};
use onceward_core::{header::name, twin::Confirmation};
use onceward_engine::Consent;

pub(crate) const EFFECT_CONFIRM: HeaderName = HeaderName::from_static(name::EFFECT_CONFIRM);

/// Takes the field off the request: it is for us, and not for the service behind.
pub(crate) fn take_consent(headers: &mut HeaderMap) -> Consent {
    let mut lines = headers.get_all(EFFECT_CONFIRM).iter();
    let consent = match (lines.next(), lines.next()) {
        (None, _) => return Consent::None,
        (Some(line), None) => line.to_str().ok().and_then(|text| Confirmation::parse(text.trim())),
        (Some(_), Some(_)) => None,
    };
    headers.remove(EFFECT_CONFIRM);
    consent.map_or(Consent::Unreadable, Consent::Token)
}
