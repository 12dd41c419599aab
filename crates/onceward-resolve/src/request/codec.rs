//! A request as bytes, before it is sealed.
//!
//! One version byte, then every part in order, each length-prefixed (big-endian). Decoding is strict: a short read, a byte too many or a
//! spelling that encoding does not produce is an error, never a different request.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::EffectRequest;

/// The version this program writes.
const VERSION: u8 = 1;

/// A stored request that this program cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored request does not decode: {what}")]
pub struct DecodeError {
    what: &'static str,
}

impl EffectRequest {
    /// Writes it, credentials included: what comes out is to be sealed before it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put(&mut bytes, self.method.as_str().as_bytes());
        put(&mut bytes, self.uri.to_string().as_bytes());
        bytes.extend(self.claimed_at_ms.to_be_bytes());
        bytes.extend((self.headers.len() as u64).to_be_bytes());
        for (name, value) in &self.headers {
            put(&mut bytes, name.as_str().as_bytes());
            put(&mut bytes, value.as_bytes());
        }
        put(&mut bytes, &self.body);
        bytes
    }

    /// Reads it.
    ///
    /// # Errors
    /// Anything but exactly what [`EffectRequest::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = Rest(bytes);
        if rest.array::<1>()? != [VERSION] {
            return Err(DecodeError { what: "unknown version" });
        }
        let method = Method::from_bytes(rest.piece()?).or(Err(DecodeError { what: "method" }))?;
        let uri = Uri::try_from(rest.piece()?).or(Err(DecodeError { what: "address" }))?;
        let claimed_at_ms = u64::from_be_bytes(rest.array()?);
        let headers = rest.headers()?;
        let body = rest.piece()?.to_vec();
        if !rest.0.is_empty() {
            return Err(DecodeError { what: "bytes left over" });
        }
        let request = Self::new(method, uri, headers, body, claimed_at_ms);
        let request = request.or(Err(DecodeError { what: "address" }))?;
        if request.encode() == bytes { Ok(request) } else { Err(DecodeError { what: "another spelling" }) }
    }
}

fn put(bytes: &mut Vec<u8>, piece: &[u8]) {
    bytes.extend((piece.len() as u64).to_be_bytes());
    bytes.extend(piece);
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError { what: "cut short" })?;
        self.0 = tail;
        Ok(*head)
    }

    fn len(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(u64::from_be_bytes(self.array()?)).or(Err(DecodeError { what: "length" }))
    }

    fn piece(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.len()?;
        let (head, tail) = self.0.split_at_checked(len).ok_or(DecodeError { what: "cut short" })?;
        self.0 = tail;
        Ok(head)
    }

    fn headers(&mut self) -> Result<HeaderMap, DecodeError> {
        let count = self.len()?;
        // No capacity is reserved from an untrusted count.
        let mut headers = HeaderMap::new();
        for _ in 0..count {
            let name = HeaderName::from_bytes(self.piece()?).or(Err(DecodeError { what: "header name" }))?;
            let value =
                HeaderValue::from_bytes(self.piece()?).or(Err(DecodeError { what: "header value" }))?;
            headers.try_append(name, value).or(Err(DecodeError { what: "header count" }))?;
        }
        Ok(headers)
    }
}
