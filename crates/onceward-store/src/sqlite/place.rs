//! The store's files on disk: the database, its log, and the lock that keeps a second writer out.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::open_error::OpenError;

/// Owner only: the file holds sealed answers, but also which effects were asked for.
const MODE: u32 = 0o600;

/// Where a store lives, by the one path that all of its names lead to.
///
/// The database file itself is never opened here once it is a database: closing any descriptor of it would drop the locks that SQLite
/// holds on it for this process (fcntl(2)).
#[derive(Clone, Debug)]
pub(super) struct Place {
    database: PathBuf,
}

impl Place {
    /// Follows symbolic links and relative parts, so that two names of one file meet at one lock.
    pub(super) fn resolve(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { doing: "find", path: path.to_owned(), source };
        match path.canonicalize() {
            Ok(database) => Ok(Self { database }),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                if path.symlink_metadata().is_ok() {
                    return Err(OpenError::DanglingLink { path: path.to_owned() });
                }
                let name = path.file_name().ok_or_else(|| io(missing))?;
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new(".")).canonicalize().map_err(io)?;
                Ok(Self { database: parent.join(name) })
            }
            Err(source) => Err(io(source)),
        }
    }

    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    pub(super) fn log(&self) -> PathBuf {
        self.beside("-wal")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.database);
        name.push(suffix);
        name.into()
    }

    pub(super) fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> OpenError {
        move |source| OpenError::Io { doing, path: self.database.clone(), source }
    }

    pub(super) fn sqlite(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> OpenError {
        move |source| OpenError::Sqlite { doing, path: self.database.clone(), source }
    }

    /// Whether the file is there, after a look at everything that can be wrong with it from outside.
    pub(super) fn inspect(&self) -> Result<bool, OpenError> {
        let metadata = match fs::metadata(&self.database) {
            Ok(metadata) => metadata,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let log = self.log();
                return if log.exists() { Err(OpenError::OrphanedLog { path: log }) } else { Ok(false) };
            }
            Err(source) => return Err(self.io("inspect")(source)),
        };
        let path = || self.database.clone();
        if !metadata.is_file() {
            return Err(OpenError::Foreign { path: path(), source: None });
        }
        if metadata.len() == 0 {
            return Err(OpenError::Empty { path: path() });
        }
        if metadata.nlink() > 1 {
            return Err(OpenError::HardLinked { path: path(), links: metadata.nlink() });
        }
        Ok(true)
    }

    /// Makes the file whole under another name first: whoever finds the real name finds a complete store.
    pub(super) fn create(&self, fill: impl FnOnce(&Path) -> Result<(), OpenError>) -> Result<(), OpenError> {
        let draft = self.beside(".new");
        match fs::remove_file(&draft) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(self.io("remove an unfinished draft of")(source)),
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&draft);
        drop(file.map_err(self.io("create"))?);
        fill(&draft)?;
        File::open(&draft).and_then(|file| file.sync_all()).map_err(self.io("sync"))?;
        fs::rename(&draft, &self.database).map_err(self.io("create"))?;
        self.sync_directory()
    }

    /// A new name is durable only when its directory is.
    fn sync_directory(&self) -> Result<(), OpenError> {
        let directory = self.database.parent().unwrap_or(Path::new("/"));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(self.io("sync the directory of"))
    }

    /// Bytes on disk, database and log together.
    pub(super) fn bytes(&self) -> u64 {
        [self.database.as_path(), &self.log()].into_iter().map(length).sum()
    }

    /// Bytes of the log's file; 0 where there is none.
    pub(super) fn log_bytes(&self) -> u64 {
        length(&self.log())
    }

    /// Fills the log's file with zeros up to `bytes`, so that commits overwrite allocated blocks: a sync that has no metadata to
    /// write is several times faster at the tail. SQLite takes nothing behind its last frame for content, and syncs what it appends.
    pub(super) fn prime_log(&self, bytes: u64) -> io::Result<()> {
        const CHUNK: &[u8] = &[0; 1 << 16];
        let mut log = OpenOptions::new().append(true).create(true).mode(MODE).open(self.log())?;
        let mut left = bytes.saturating_sub(log.metadata()?.len());
        if left == 0 {
            return Ok(());
        }
        while left > 0 {
            let (chunk, _) = CHUNK.split_at(CHUNK.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            log.write_all(chunk)?;
            left -= chunk.len() as u64;
        }
        log.sync_all()
    }

    /// Takes the lock, or names who holds it.
    ///
    /// The lock is flock(2)'s, on a file of its own: the system drops it when the process dies, however that happens, and it holds
    /// between two stores of one process as well.
    pub(super) fn lock(&self) -> Result<(Lock, Witness), OpenError> {
        let path = self.beside(".lock");
        let cannot = |source| OpenError::CannotLock { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(false).mode(MODE).open(&path);
        let mut file = open.map_err(self.io("create the lock file of"))?;
        let locked = file.try_lock();
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(cannot)?;
        // After a loss of power it may hold anything, and then says nothing.
        let witness = Witness::parse(&String::from_utf8_lossy(&text));
        match locked {
            Ok(()) => Ok((Lock(file), witness)),
            Err(TryLockError::WouldBlock) => {
                Err(OpenError::InUse { path: self.database.clone(), pid: witness.pid })
            }
            Err(TryLockError::Error(source)) => Err(cannot(source)),
        }
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Held for as long as the store may write.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Says who holds the lock, and how often the store was opened so far.
    ///
    /// In one write, and cut to its length only then: what the lock file remembers is never gone in between.
    pub(super) fn sign(&mut self, runs: u64) -> io::Result<()> {
        let text = format!("pid {}\nruns {runs}\n", std::process::id());
        self.0.rewind()?;
        self.0.write_all(text.as_bytes())?;
        self.0.set_len(text.len() as u64)?;
        self.0.sync_all()
    }
}

/// What the lock file says of the store beside it.
///
/// It outlives the database: a file that was deleted, or replaced by an older copy, has fewer runs than its lock file remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) pid: Option<u32>,
    pub(super) runs: u64,
}

impl Witness {
    fn parse(text: &str) -> Self {
        let number =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        Self {
            pid: number("pid ").and_then(|pid| u32::try_from(pid).ok()),
            runs: number("runs ").unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_says_what_was_signed_and_nothing_of_a_torn_line() {
        assert_eq!(Witness::parse("pid 12\nruns 3\n"), Witness { pid: Some(12), runs: 3 });
        assert_eq!(Witness::parse("pid x\nru"), Witness::default());
        assert_eq!(Witness::parse(""), Witness::default());
    }

    #[test]
    fn a_lock_file_that_holds_noise_is_locked_and_signed_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::resolve(&folder.path().join("store.db")).expect("a place");
        fs::write(place.beside(".lock"), [0xff, 0xfe, 0x00, b'r'].repeat(20)).expect("written");
        let (mut lock, witness) = place.lock().expect("locked");
        assert_eq!(witness, Witness::default());
        lock.sign(7).expect("signed");
        drop(lock);
        let signed = Witness { pid: Some(std::process::id()), runs: 7 };
        assert_eq!(place.lock().expect("locked").1, signed);
    }
}
