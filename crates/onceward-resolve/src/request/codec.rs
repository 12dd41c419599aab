//! A request as bytes, before it is sealed.
//!
//! One version byte, then every part in order, each length-prefixed (big-endian). Decoding is strict: a short read, a byte too many or a
//! spelling that encoding does not produce is an error, never a different request.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use onceward_engine::{DecodeError, Pieces, put_piece};

use super::EffectRequest;

/// The version this program writes.
const VERSION: u8 = 1;

impl EffectRequest {
    /// Writes it, credentials included: what comes out is to be sealed before it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put_piece(&mut bytes, self.method.as_str().as_bytes());
        put_piece(&mut bytes, self.uri.to_string().as_bytes());
        bytes.extend(self.claimed_at_ms.to_be_bytes());
        bytes.extend((self.headers.len() as u64).to_be_bytes());
        for (name, value) in &self.headers {
            put_piece(&mut bytes, name.as_str().as_bytes());
            put_piece(&mut bytes, value.as_bytes());
        }
        put_piece(&mut bytes, &self.body);
        bytes
    }

    /// Reads it.
    ///
    /// # Errors
    /// Anything but exactly what [`EffectRequest::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = Pieces::of(bytes);
        if rest.array::<1>()? != [VERSION] {
            return Err(DecodeError("unknown version"));
        }
        let method = Method::from_bytes(rest.piece()?).or(Err(DecodeError("method")))?;
        let uri = Uri::try_from(rest.piece()?).or(Err(DecodeError("address")))?;
        let claimed_at_ms = u64::from_be_bytes(rest.array()?);
        let headers = headers(&mut rest)?;
        let body = rest.piece()?.to_vec();
        rest.end()?;
        let request = Self::new(method, uri, headers, body, claimed_at_ms);
        let request = request.or(Err(DecodeError("address")))?;
        if request.encode() == bytes { Ok(request) } else { Err(DecodeError("another spelling")) }
    }
}

fn headers(pieces: &mut Pieces<'_>) -> Result<HeaderMap, DecodeError> {
    let count = pieces.count()?;
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(pieces.piece()?).or(Err(DecodeError("header name")))?;
        let value = HeaderValue::from_bytes(pieces.piece()?).or(Err(DecodeError("header value")))?;
        headers.try_append(name, value).or(Err(DecodeError("header count")))?;
    }
    Ok(headers)
}
