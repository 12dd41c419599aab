//! The layer that puts a [`Once`] around a service.

use std::sync::Arc;

use onceward_engine::Engine;
use tower_layer::Layer;

use crate::{
    budget::{Budget, REQUEST_BYTES_HELD_MAX},
    respond::Surface,
    rules::Rules,
    service::Once,
};

/// Wraps services so that each keyed request runs once.
#[derive(Clone, Debug)]
pub struct OnceLayer<R> {
    engine: Engine,
    rules: R,
    surface: Arc<Surface>,
    budget: Budget,
}

impl<R: Rules> OnceLayer<R> {
    /// A layer over one engine, one set of rules, and one look of its own answers.
    #[must_use]
    pub fn new(engine: Engine, rules: R, surface: Surface) -> Self {
        Self { engine, rules, surface: Arc::new(surface), budget: Budget::new(REQUEST_BYTES_HELD_MAX) }
    }

    /// Bounds the memory that the bodies of guarded requests take in all, in bytes of content, decoded content included; 256 MiB by
    /// default (S1).
    ///
    /// The services of one layer share it. A body for which nothing is left is refused with 503 `overloaded` before anything is
    /// claimed. One that alone exceeds it, within its policy's `request_bytes_max`, is read while no other is held.
    #[must_use]
    pub fn request_bytes_held_max(self, bytes: usize) -> Self {
        Self { budget: Budget::new(bytes), ..self }
    }
}

impl<S, R: Rules> Layer<S> for OnceLayer<R> {
    type Service = Once<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let (surface, budget) = (Arc::clone(&self.surface), self.budget.clone());
        Once::new(inner, self.engine.clone(), self.rules.clone(), surface, budget)
    }
}
