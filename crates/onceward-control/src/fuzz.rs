//! A way in to the check of the token, for the targets of `fuzz/`; in no user's build.

use http::HeaderMap;

use crate::{gate::check_token, token::Token};

/// Whether a request with these fields shows the token.
#[must_use]
pub fn shows_token(token: &Token, headers: &HeaderMap) -> bool {
    check_token(token, headers).is_ok()
}
