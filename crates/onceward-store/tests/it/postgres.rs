//! Records in Postgres: the suite, and what processes see of one another.

mod faults;
mod suite;

use std::sync::Arc;

use onceward_store::{ManualClock, PostgresOptions, Shared};

use crate::kit;

pub(crate) fn options(url: &str, schema: &str, clock: &Arc<ManualClock>) -> PostgresOptions {
    PostgresOptions {
        schema: schema.to_owned(),
        clock: Some(clock.clone()),
        ..PostgresOptions::new(url, kit::SECRET_CHECK)
    }
}

pub(crate) async fn open(url: &str, schema: &str, clock: &Arc<ManualClock>) -> Shared {
    options(url, schema, clock).open().await.expect("a store")
}
