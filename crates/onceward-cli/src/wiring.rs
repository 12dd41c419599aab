//! Puts the parts together: settings in, running parts out.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use onceward::{Engine, Limits, Parts, Setup, SetupError, StoreUrl};
use onceward_core::outcome::Policy;
use onceward_resolve::Fetch;
use onceward_store::Sqlite;
use onceward_tower::Keeper;

use crate::{
    failure::Failure,
    settings::{ResolveSettings, StoreSettings},
};

/// What an engine over an open store is made of.
pub(crate) type OpenStore = Parts;

/// Opens the store for writing; nobody else may have a file open so.
pub(crate) async fn open(settings: &StoreSettings) -> Result<OpenStore, Failure> {
    setup(settings).open().await.map_err(not_set_up)
}

/// Opens the store for looking at it, beside whoever writes.
pub(crate) fn open_read_only(settings: &StoreSettings) -> Result<Sqlite, Failure> {
    setup(settings).open_read_only().map_err(not_set_up)?.ok_or_else(no_file)
}

/// How the store is set up, for what is done to it before it is opened.
pub(crate) fn setup(settings: &StoreSettings) -> Setup {
    Setup {
        store: settings.url.clone(),
        secret_file: Some(settings.secret_file.clone()),
        durability: settings.durability,
        strict: settings.is_strict,
        promotion_keeps_all: settings.promotion_keeps_all,
        replicas_to_wait: settings.replicas_to_wait,
        limits: Limits::default(),
    }
}

pub(crate) fn not_set_up(error: SetupError) -> Failure {
    match error {
        SetupError::Secret(error) => Failure::usage(error),
        SetupError::Sqlite(error) => Failure::store(error),
        error => Failure::store(error),
    }
}

/// The file of the store, where it has one.
pub(crate) fn sqlite_path(settings: &StoreSettings) -> Result<PathBuf, Failure> {
    match &settings.url {
        StoreUrl::Sqlite(path) => Ok(path.clone()),
        StoreUrl::Memory | StoreUrl::Database(_) => Err(no_file()),
    }
}

fn no_file() -> Failure {
    Failure::usage(anyhow::anyhow!(
        "a memory store lives and dies with its server; there is nothing to look at"
    ))
}

/// Where the running server of this store can be spoken to: a socket in a folder of its own, which only its user may enter. A database
/// has many servers, and whoever wants to ask it opens it.
pub(crate) fn control_socket(settings: &StoreSettings) -> Option<PathBuf> {
    match &settings.url {
        StoreUrl::Sqlite(path) => {
            let mut name = path.file_name()?.to_owned();
            name.push(".control");
            Some(path.with_file_name(name).join("socket"))
        }
        StoreUrl::Memory | StoreUrl::Database(_) => None,
    }
}

/// Starts an engine over an open store.
pub(crate) async fn engine(open: OpenStore, limits: Limits) -> Result<Engine, Failure> {
    let parts = Parts { limits, ..open };
    Engine::start(parts).await.context("the store does not answer").map_err(Failure::store)
}

/// Has the engine find out what becomes of effects in doubt, and says what of a request is kept for that; nothing where nobody looks.
pub(crate) fn resolvers(
    engine: &Engine,
    settings: &ResolveSettings,
    fetch: &Arc<dyn Fetch>,
    policy: &Policy,
) -> Option<Keeper> {
    let resolvers = settings.resolvers(fetch, policy);
    engine.resolve_by(resolvers.for_engine(), settings.pace);
    (!resolvers.is_empty()).then(|| {
        Keeper::new(move |head, origin, content| {
            let origin = origin.map(|origin| (origin.scheme.as_str(), origin.authority.as_str()));
            resolvers.keep(head, origin, content)
        })
    })
}
