//! What the guard tells a handler about its request, and what the handler tells the guard about its effect.

use onceward_core::{
    intent::IntentDigest,
    key::Key,
    record::{Attempt, Epoch},
};

/// The key that a guarded request runs under; an extension of the request, and so also of one that goes through without a claim (S2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Key);

/// The claim that a guarded request runs under; an extension of the request.
///
/// A database or a service that remembers the greatest epoch of each key can refuse a former holder by it. There is none where the store
/// was down and the route lets requests through unguarded: a handler of such a route asks for `Option<Fence>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub Attempt);

impl Fence {
    /// The fencing token: greater at every new holder of the key.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.0.epoch
    }
}

/// The digest of what the client says that it means (F5), which is that of the body; an extension of the request where it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent(pub IntentDigest);

/// The handler's word on its effect; an extension of the response. It outranks the status.
///
/// With axum it is part of an answer like a field: `(effect::none(), StatusCode::CONFLICT)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    is_done: bool,
}

/// What a handler says about its effect.
pub mod effect {
    use super::Signal;

    /// Nothing happened and the key is free again: whoever repeats the request runs it (L5).
    #[must_use]
    pub const fn none() -> Signal {
        Signal { is_done: false }
    }

    /// It is over: the answer is its outcome, whatever its status (O4).
    #[must_use]
    pub const fn done() -> Signal {
        Signal { is_done: true }
    }
}

impl Signal {
    pub(crate) const fn is_done(self) -> bool {
        self.is_done
    }
}

#[cfg(feature = "axum")]
mod axum_face {
    use std::convert::Infallible;

    use axum::{
        extract::{FromRequestParts, OptionalFromRequestParts},
        http::{StatusCode, request::Parts},
        response::{IntoResponseParts, ResponseParts},
    };

    use super::{Fence, IdempotencyKey, Intent, Signal};

    /// A handler asks for what only a guarded request has, and its route is not guarded or takes requests without it.
    const NOT_GUARDED: (StatusCode, &str) =
        (StatusCode::INTERNAL_SERVER_ERROR, "the handler of this route works under an idempotency key only");

    macro_rules! extractors {
        ($($name:ident),+) => {$(
            impl<S: Sync> FromRequestParts<S> for $name {
                type Rejection = (StatusCode, &'static str);

                async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
                    parts.extensions.get::<Self>().cloned().ok_or(NOT_GUARDED)
                }
            }

            impl<S: Sync> OptionalFromRequestParts<S> for $name {
                type Rejection = Infallible;

                async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
                    Ok(parts.extensions.get::<Self>().cloned())
                }
            }
        )+};
    }

    extractors!(IdempotencyKey, Fence, Intent);

    impl IntoResponseParts for Signal {
        type Error = Infallible;

        fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
            parts.extensions_mut().insert(self);
            Ok(parts)
        }
    }
}
