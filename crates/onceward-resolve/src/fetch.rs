//! How a look is sent: by whoever has connections.

use std::{fmt, future::Future, pin::Pin};

use http::{Request, response::Parts};

/// The whole answer to a look, or why there is none.
pub type FetchFuture<'a> = Pin<Box<dyn Future<Output = Result<Fetched, NotFetched>> + Send + 'a>>;

/// Sends the requests of looks, each once.
pub trait Fetch: fmt::Debug + Send + Sync + 'static {
    /// Sends a request with an absolute address and brings the whole answer, of up to [`crate::ANSWER_BYTES_MAX`] bytes. Redirects are not
    /// followed. `place` says whom it is for.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; what was sent stays sent.
    fn fetch(&self, request: Request<Vec<u8>>, place: Place) -> FetchFuture<'_>;
}

/// Whom a look asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The origin of the effect: at a gateway, the service behind it.
    Origin,
    /// Another one, which the recipe names.
    Elsewhere,
}

/// A whole answer.
#[derive(Debug)]
pub struct Fetched {
    /// Status and headers.
    pub parts: Parts,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFetched(pub String);
