//! What a handler can ask for.

use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::{ErrorBadRequest, ErrorInternalServerError},
};
use onceward_core::{
    intent::IntentDigest,
    key::Key,
    precondition::Preconditions,
    record::{Attempt, Epoch},
};

use crate::head;

/// The key that a guarded request runs under.
///
/// `Option<IdempotencyKey>` in a handler that takes requests without one too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Key);

/// The claim that a guarded request runs under.
///
/// A database or a service that remembers the greatest epoch of each key can refuse a former holder by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub Attempt);

impl Fence {
    /// The fencing token: greater at every new holder of the key.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.0.epoch
    }
}

/// The digest of what the client says that it means (F5), which is that of the body; `Option<Intent>` where it need not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent(pub IntentDigest);

/// What a request expects to find as it was read (P2).
///
/// Whether it is so the handler alone can say, in the step that writes: [`Preconditions::check`] against what is current there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected(pub Preconditions);

impl FromRequest for Expected {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let preconditions = head::fields(request.headers()).map_err(ErrorBadRequest).and_then(|fields| {
            let read = onceward_tower::precondition::read(&fields);
            read.map_err(|refusal| ErrorBadRequest(refusal.to_string()))
        });
        ready(preconditions.map(Self))
    }
}

/// A handler asks for what only a guarded request has, and its route is not guarded or takes requests without it.
const NOT_GUARDED: &str = "the handler of this route works under an idempotency key only";

macro_rules! extractors {
    ($($name:ident),+) => {$(
        impl FromRequest for $name {
            type Error = Error;
            type Future = Ready<Result<Self, Error>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let left = request.extensions().get::<onceward_tower::$name>().cloned();
                ready(left.map(|value| Self(value.0)).ok_or_else(|| ErrorInternalServerError(NOT_GUARDED)))
            }
        }
    )+};
}

extractors!(IdempotencyKey, Fence, Intent);
