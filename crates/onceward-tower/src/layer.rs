//! The layer that puts a [`Once`] around a service.

use std::sync::Arc;

use onceward_engine::Engine;
use tower_layer::Layer;

use crate::{respond::Surface, rules::Rules, service::Once};

/// Wraps services so that each keyed request runs once.
#[derive(Clone, Debug)]
pub struct OnceLayer<R> {
    engine: Engine,
    rules: R,
    surface: Arc<Surface>,
}

impl<R: Rules> OnceLayer<R> {
    /// A layer over one engine, one set of rules, and one look of its own answers.
    #[must_use]
    pub fn new(engine: Engine, rules: R, surface: Surface) -> Self {
        Self { engine, rules, surface: Arc::new(surface) }
    }
}

impl<S, R: Rules> Layer<S> for OnceLayer<R> {
    type Service = Once<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Once::new(inner, self.engine.clone(), self.rules.clone(), Arc::clone(&self.surface))
    }
}
