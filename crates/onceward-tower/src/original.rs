//! The target as the client sent it.

use http::{Uri, request::Parts};

/// The request's target before a router took a prefix off it: two nested routers must not take two paths for one (F3).
///
/// Axum keeps it in [`axum::extract::OriginalUri`]; this crate reads that with its feature `axum`.
#[cfg(feature = "axum")]
pub(crate) fn original_uri(head: &Parts) -> &Uri {
    head.extensions
        .get::<axum::extract::OriginalUri>()
        .map_or(&head.uri, |axum::extract::OriginalUri(uri)| uri)
}

/// The request's target.
#[cfg(not(feature = "axum"))]
pub(crate) fn original_uri(head: &Parts) -> &Uri {
    &head.uri
}
