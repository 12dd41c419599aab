//! Puts the parts together: settings in, running parts out.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use onceward_core::{secret::Secret, time::Timestamp};
use onceward_engine::{Engine, Limits, Parts, SystemEntropy};
use onceward_store::{AuditLog, Clock, Memory, MemoryLimits, Sqlite, SqliteOptions, Store, SystemClock};

use crate::{
    failure::Failure,
    secret,
    settings::{StoreSettings, StoreUrl},
};

/// A store under both of its ports.
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit_log: Arc<dyn AuditLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secret: Secret,
}

/// Opens the store for writing; nobody else may have it open so.
pub(crate) fn open(settings: &StoreSettings) -> Result<OpenStore, Failure> {
    let secret = secret::load_or_create(&settings.secret_file).map_err(Failure::usage)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
    match &settings.url {
        StoreUrl::Memory => {
            let store = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock)));
            Ok(OpenStore { store: Arc::clone(&store) as Arc<dyn Store>, audit_log: store, clock, secret })
        }
        StoreUrl::Sqlite(path) => {
            let options = SqliteOptions { durability: settings.durability, ..sqlite_options(&secret) };
            let store = Sqlite::open(path, options).map_err(Failure::store)?;
            let store = Arc::new(store);
            Ok(OpenStore { store: Arc::clone(&store) as Arc<dyn Store>, audit_log: store, clock, secret })
        }
    }
}

/// Opens the store for looking at it, beside whoever writes.
pub(crate) fn open_read_only(settings: &StoreSettings) -> Result<(Arc<Sqlite>, OpenStore), Failure> {
    let path = sqlite_path(settings)?;
    let secret = secret::load_or_create(&settings.secret_file).map_err(Failure::usage)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
    let store = Sqlite::open_read_only(&path, secret_check(&secret)).map_err(Failure::store)?;
    let store = Arc::new(store);
    let open = OpenStore {
        store: Arc::clone(&store) as Arc<dyn Store>,
        audit_log: Arc::clone(&store) as Arc<dyn AuditLog>,
        clock,
        secret,
    };
    Ok((store, open))
}

/// The file of the store, where it has one.
pub(crate) fn sqlite_path(settings: &StoreSettings) -> Result<PathBuf, Failure> {
    match &settings.url {
        StoreUrl::Sqlite(path) => Ok(path.clone()),
        StoreUrl::Memory => Err(Failure::usage(anyhow::anyhow!(
            "a memory store lives and dies with its server; there is no file to look at"
        ))),
    }
}

/// Where a running server of this store can be spoken to: a socket in a folder of its own, which only its user may enter.
pub(crate) fn control_socket(settings: &StoreSettings) -> Option<PathBuf> {
    match &settings.url {
        StoreUrl::Sqlite(path) => {
            let mut name = path.file_name()?.to_owned();
            name.push(".control");
            Some(path.with_file_name(name).join("socket"))
        }
        StoreUrl::Memory => None,
    }
}

fn sqlite_options(secret: &Secret) -> SqliteOptions {
    SqliteOptions::new(secret_check(secret))
}

/// Tells a store of this secret from another's without giving either away.
fn secret_check(secret: &Secret) -> [u8; 32] {
    secret.digest("secret-check").finish()
}

/// Starts an engine over an open store.
pub(crate) async fn engine(open: OpenStore, limits: Limits) -> Result<Engine, Failure> {
    let parts = Parts {
        store: open.store,
        audit_log: open.audit_log,
        secret: open.secret,
        clock: open.clock,
        entropy: Arc::new(SystemEntropy),
        limits,
    };
    Engine::start(parts).await.context("the store does not answer").map_err(Failure::store)
}
