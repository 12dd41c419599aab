//! What the routes act on.

use std::sync::Arc;

use onceward_core::{
    actor::{Label, LookupId},
    record::Record,
    refusal::Refusal,
};
use onceward_engine::{Engine, SelfTestError};
use onceward_store::Stored;

use crate::refused::Refused;

/// The running instance that a control API speaks for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    engine: Engine,
    self_test: Arc<Result<(), SelfTestError>>,
}

impl Control {
    /// Speaks for `engine`; `self_test` is what [`Engine::prove_replay`] said at start (A3).
    #[must_use]
    pub fn new(engine: Engine, self_test: Result<(), SelfTestError>) -> Self {
        Self { engine, self_test: Arc::new(self_test) }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn self_test(&self) -> Result<(), &SelfTestError> {
        self.self_test.as_ref().as_ref().copied()
    }

    /// Reads one record with its outcome.
    pub(crate) async fn read(&self, id: LookupId) -> Result<(Record, Label), Refused> {
        match self.engine.get(id).await? {
            Some(Stored::Record(record, label)) => Ok((*record, label)),
            Some(Stored::Corrupt) => Err(Refused::Protocol(Refusal::RecordCorrupt)),
            None => Err(Refused::EffectUnknown),
        }
    }
}
