//! Why a file is not opened: what is wrong, where, and what to do.

use std::{io, path::PathBuf};

use crate::port::StoreError;

/// Why a store's file was not opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another store has it open for writing.
    #[error("{} is in use{}: stop that one, or open read-only", path.display(), holder(*.pid))]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process that wrote itself into the lock file.
        pid: Option<u32>,
    },
    /// The file system keeps no locks, so a second process could not be kept out (S3).
    #[error("{} cannot be locked: put the store on a local file system", path.display())]
    CannotLock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has another name elsewhere; SQLite finds its log under one of them only.
    #[error("{} has {links} hard links: remove the others, or copy the file while no store has it open", path.display())]
    HardLinked {
        /// The file.
        path: PathBuf,
        /// Its names.
        links: u64,
    },
    /// The path leads to nothing.
    #[error("{} is a symbolic link to nothing: mount or restore its target, or remove the link", path.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
    },
    /// The file holds nothing; onceward never leaves one so.
    #[error(
        "{} is empty, and no store leaves its file so: restore it, or remove it if nothing was ever stored there",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The write-ahead log is there, and the file is not: acknowledged records may be in it alone.
    #[error("{} is there without its store's file: restore the file beside it, or move the log away", path.display())]
    OrphanedLog {
        /// The log.
        path: PathBuf,
    },
    /// Another program's file.
    #[error("{} is not a store of onceward: name another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What SQLite said, where it is no database at all.
        source: Option<rusqlite::Error>,
    },
    /// A later release made it.
    #[error("{} is of schema {found}, and this program knows {known}: use the newer program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest schema that this program knows.
        known: i64,
    },
    /// It was made by migrations that differ from the ones of this program.
    #[error("{} was made by another migration {number} than this program's: use the program that made it", path.display())]
    MigrationDiffers {
        /// The file.
        path: PathBuf,
        /// The migration.
        number: i64,
    },
    /// The deployment's secret is another one, so no record would ever be found.
    #[error("{} was made under another secret: restore that secret, or name another path", path.display())]
    OtherSecret {
        /// The file.
        path: PathBuf,
    },
    /// The file's content is broken.
    #[error("{} is damaged ({finding}): restore a backup, or salvage it with sqlite3's .recover", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found first.
        finding: String,
        /// What SQLite said, where it said so by failing.
        source: Option<rusqlite::Error>,
    },
    /// SQLite did not take a setting that durability depends on.
    #[error("{} did not take `PRAGMA {pragma}`, it is {found}: the file system may not carry it", path.display())]
    Weaker {
        /// The file.
        path: PathBuf,
        /// The setting as it was asked for.
        pragma: &'static str,
        /// What it reads back as.
        found: String,
    },
    /// Claims of processes that are gone could not be doubted (L10).
    #[error("the claims that earlier runs left in {} could not be settled", path.display())]
    Recovery {
        /// The file.
        path: PathBuf,
        /// What the store said.
        source: StoreError,
    },
    /// The system refused.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("could not {doing} {}", path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}
