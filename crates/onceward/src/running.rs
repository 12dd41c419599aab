//! What a service holds while it runs.

#[cfg(feature = "tower")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tower")]
use onceward_core::profile::Profile;
use onceward_engine::{DrainReport, Engine};
#[cfg(feature = "tower")]
use onceward_engine::{Pace, Resolver};
#[cfg(feature = "tower")]
use onceward_tower::{OnceLayer, OriginRules, origin::OriginSettings};

/// A running guard: makes layers for services, and ends with them.
///
/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Onceward {
    engine: Engine,
}

impl Onceward {
    pub(crate) const fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// The engine: its counts, its listings, and the verdicts on effects in doubt.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A layer for tower services that guards every route as `profile` has it, the actor taken from `Authorization`.
    #[cfg(feature = "tower")]
    #[must_use]
    pub fn layer(&self, profile: Profile) -> OnceLayer<OriginRules> {
        self.layer_with(OriginSettings::of(profile))
    }

    /// A layer for tower services with routes, actors and the rest as `settings` has them.
    #[cfg(feature = "tower")]
    #[must_use]
    pub fn layer_with(&self, settings: OriginSettings) -> OnceLayer<OriginRules> {
        let rules = OriginRules::new(self.engine.clone(), settings);
        let surface = rules.surface();
        OnceLayer::new(self.engine.clone(), rules, surface)
    }

    /// A middleware for Actix Web that guards every route as `profile` has it, the actor taken from `Authorization`.
    ///
    /// # Panics
    /// Outside of a Tokio runtime, as [`onceward_actix::Once::new`] says.
    #[cfg(feature = "actix")]
    #[must_use]
    pub fn actix(&self, profile: Profile) -> onceward_actix::Once<OriginRules> {
        self.actix_with(OriginSettings::of(profile))
    }

    /// A middleware for Actix Web with routes, actors and the rest as `settings` has them.
    ///
    /// # Panics
    /// Outside of a Tokio runtime, as [`onceward_actix::Once::new`] says.
    #[cfg(feature = "actix")]
    #[must_use]
    pub fn actix_with(&self, settings: OriginSettings) -> onceward_actix::Once<OriginRules> {
        let rules = OriginRules::new(self.engine.clone(), settings);
        let surface = rules.surface();
        onceward_actix::Once::new(self.engine.clone(), rules, surface)
    }

    /// Has `resolvers` find out, in their order, what became of effects in doubt (D2); once for a running guard.
    ///
    /// They are asked only about requests of which [`OriginSettings::keeper`] kept something.
    #[cfg(feature = "tower")]
    pub fn resolve_by(&self, resolvers: Vec<Arc<dyn Resolver>>, pace: Pace) {
        self.engine.resolve_by(resolvers, pace);
    }

    /// Takes no new keyed requests, waits up to `patience` for the effects under way, and writes down what is left.
    ///
    /// Comes after the server has stopped: an effect whose client went away runs on without a connection, and a process that ends
    /// before it leaves it in doubt. So does this, for what `patience` does not suffice for (L6); the report says how many.
    pub async fn close(&self, patience: Duration) -> DrainReport {
        let report = self.engine.drain(patience).await;
        self.engine.close().await;
        report
    }
}
