//! The embedded store: the suite, for both durabilities.

use std::{fs, path::PathBuf, sync::Arc};

use onceward_core::actor::LookupId;
use onceward_store::{
    AuditLog, Durability, ManualClock, Sqlite, SqliteOptions, Store,
    conformance::{Damage, Subject, Survival},
};
use tempfile::TempDir;

use crate::kit;

struct File {
    directory: TempDir,
    store: Arc<Sqlite>,
    clock: Arc<ManualClock>,
    durability: Durability,
}

impl File {
    fn new(durability: Durability) -> Self {
        let (directory, clock) = (TempDir::new().expect("a directory"), kit::clock());
        let options = SqliteOptions { durability, ..kit::options(&clock) };
        let store = Sqlite::open(&directory.path().join("store.db"), options).expect("a new store");
        Self { directory, store: Arc::new(store), clock, durability }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }
}

async fn power() -> File {
    File::new(Durability::Power)
}

async fn process() -> File {
    File::new(Durability::Process)
}

impl Subject for File {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn audit(&self) -> Arc<dyn AuditLog> {
        self.store.clone()
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// Opens a copy of the files as they are under the running store: what its process would leave if it died now.
    async fn crash(&mut self) -> Survival {
        let directory = TempDir::new().expect("a directory");
        kit::copied(self.directory.path(), directory.path());
        let options = SqliteOptions { durability: self.durability, ..kit::options(&self.clock) };
        let store = Sqlite::open(&directory.path().join("store.db"), options).expect("what a crash left");
        self.store = Arc::new(store);
        self.directory = directory;
        Survival::Records
    }

    fn bytes(&self) -> Vec<u8> {
        let files = fs::read_dir(self.directory.path()).expect("listed");
        files.flat_map(|file| fs::read(file.expect("a file").path()).expect("read")).collect()
    }

    async fn damage(&mut self, id: LookupId) -> Damage {
        let connection = rusqlite::Connection::open(self.path()).expect("opened");
        let flip = "UPDATE records SET head = CAST(substr(head, 1, 50) || x'ff' || substr(head, 52) AS BLOB)
                    WHERE id = ?1 AND substr(head, 51, 1) <> x'ff'";
        assert_eq!(connection.execute(flip, [id.as_bytes()]).expect("damaged"), 1);
        Damage::Done
    }
}

mod suite_power {
    onceward_store::conformance_suite!(super::power);
}

mod suite_process {
    onceward_store::conformance_suite!(super::process);
}
