//! A way in to the signatures of posts, for the targets of `fuzz/`.

use http::HeaderMap;
use onceward_core::time::Timestamp;

use super::{WebhookSecret, signature::Signed};

/// Whether a post with these fields that arrives at `now` is signed with this secret.
#[must_use]
pub fn is_signed(secret: &WebhookSecret, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
    Signed::read(headers, now).is_ok_and(|signed| signed.is_by(secret, body))
}
