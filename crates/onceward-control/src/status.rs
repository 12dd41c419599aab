//! What the actor of an effect may read of it: the `status_url` of a problem leads here (D1).

use onceward_engine::Engine;
use onceward_store::{Entry, Stored};

use crate::{present, routes::parse_id};

/// The state of one effect as JSON; `None` where no such record is readable.
///
/// The id is the only credential: 64 hexadecimal digits of a keyed digest, told to nobody but the effect's own actor and operators. It
/// shows what a listing shows, and no part of the answer.
pub async fn effect_status(engine: &Engine, id: &str) -> Option<String> {
    let id = parse_id(id)?;
    match engine.get(id).await {
        Ok(Some(Stored::Record(record, label))) => {
            let effect = present::effect(&Entry { id, label, record: *record });
            serde_json::to_string(&effect).ok()
        }
        Ok(Some(Stored::Corrupt) | None) => None,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "effect not read");
            None
        }
    }
}
