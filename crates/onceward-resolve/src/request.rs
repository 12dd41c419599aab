//! What is remembered of a request, so that its effect can be looked for.

mod codec;
mod fields;

use std::fmt;

use http::{
    HeaderMap, HeaderName, Method, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

pub(crate) use fields::{decoded_utf8, is_readable};

/// The request whose effect is in doubt.
///
/// It carries what was sent, credentials included, so it is kept sealed and its `Debug` says nothing of them. Only what a
/// recipe names are worth keeping: see [`Recipe::kept`](crate::Recipe::kept).
#[derive(Clone, PartialEq, Eq)]
pub struct EffectRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
    claimed_at_ms: u64,
}

/// Why something is no request that an effect can be looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's address is no absolute http or https address without user information")]
pub struct EffectRequestInvalid;

impl EffectRequest {
    /// A request as it was sent: `uri` is absolute, `body` as it stood on the wire. `claimed_at_ms` is the store's time of the claim, in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`EffectRequestInvalid`] where `uri` is relative, of another scheme than http or https, or carries user information.
    pub fn new(
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Vec<u8>,
        claimed_at_ms: u64,
    ) -> Result<Self, EffectRequestInvalid> {
        let authority = uri.authority().ok_or(EffectRequestInvalid)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || authority.as_str().contains('@') || !uri.path().starts_with('/') {
            return Err(EffectRequestInvalid);
        }
        Ok(Self { method, uri, headers, body, claimed_at_ms })
    }

    /// Without other headers than these, and without its body unless that is kept.
    pub(crate) fn only(self, names: &[HeaderName], keeps_body: bool) -> Self {
        let kept = self.headers.iter().filter(|(name, _)| names.contains(name));
        let headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { headers, body: if keeps_body { self.body } else { Vec::new() }, ..self }
    }

    /// The method that was sent.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The absolute address that it was sent to.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The headers that are remembered.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body that is remembered, as it stood on the wire.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same request, known to have been claimed then.
    #[must_use]
    pub fn claimed_at_ms_is(self, claimed_at_ms: u64) -> Self {
        Self { claimed_at_ms, ..self }
    }

    /// When the claim was written, in milliseconds since the Unix epoch by the store's clock.
    #[must_use]
    pub const fn claimed_at_ms(&self) -> u64 {
        self.claimed_at_ms
    }

    /// Scheme, host and port, as `https://shop.example`.
    pub(crate) fn origin(&self) -> String {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.uri.scheme_str().unwrap_or_default())
    }

    /// The headers without which a body cannot be read.
    pub(crate) const BODY_HEADERS: [HeaderName; 2] = [CONTENT_TYPE, CONTENT_ENCODING];
}

impl fmt::Debug for EffectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EffectRequest").field("method", &self.method).finish_non_exhaustive()
    }
}
