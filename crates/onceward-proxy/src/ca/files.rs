//! The authority's folder: permissions, the lock, and writes that are whole or absent.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::CaError;

const KEY_FILE: &str = "ca-key.pem";
const CERTIFICATE_FILE: &str = "ca-cert.pem";
const LOCK_FILE: &str = "ca.lock";

const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o700;

/// Bits with which others could read a key.
const KEY_BITS_FORBIDDEN: u32 = 0o077;

/// Bits with which others could put another key or certificate into the folder.
const FOLDER_BITS_FORBIDDEN: u32 = 0o022;

/// The folder, held exclusively until dropped.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, and waits until no other process holds it.
    pub(super) fn lock(path: &Path) -> Result<Self, CaError> {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .map_err(|source| failed("create", path, source))?;
        refuse_bits(path, FOLDER_BITS_FORBIDDEN, FOLDER_MODE)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(KEY_MODE)
            .open(&lock_path)
            .map_err(|source| failed("open", &lock_path, source))?;
        lock.lock().map_err(|source| failed("lock", &lock_path, source))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn key_path(&self) -> PathBuf {
        self.path.join(KEY_FILE)
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.path.join(CERTIFICATE_FILE)
    }

    /// The key in PEM, unless there is none. A key that others may read counts as known to them and is refused.
    pub(super) fn read_key(&self) -> Result<Option<String>, CaError> {
        let path = self.key_path();
        let Some(pem) = read(&path)? else { return Ok(None) };
        refuse_bits(&path, KEY_BITS_FORBIDDEN, KEY_MODE)?;
        Ok(Some(pem))
    }

    pub(super) fn read_certificate(&self) -> Result<Option<String>, CaError> {
        read(&self.certificate_path())
    }

    pub(super) fn write_key(&self, pem: &str) -> Result<(), CaError> {
        self.write(&self.key_path(), pem, KEY_MODE)
    }

    pub(super) fn write_certificate(&self, pem: &str) -> Result<(), CaError> {
        self.write(&self.certificate_path(), pem, CERTIFICATE_MODE)
    }

    /// Writes beside the place, flushes, renames, and flushes the folder: the file is there whole, or not at all.
    fn write(&self, path: &Path, text: &str, mode: u32) -> Result<(), CaError> {
        let draft = path.with_extension("tmp");
        remove_stale(&draft)?;
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&draft)
            .map_err(|source| failed("create", &draft, source))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|source| failed("write", &draft, source))?;
        fs::rename(&draft, path).map_err(|source| failed("rename", path, source))?;
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| failed("flush", &self.path, source))
    }
}

/// Removes what a process left that died while writing; the lock says that it is gone.
fn remove_stale(draft: &Path) -> Result<(), CaError> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", draft, error)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Option<String>, CaError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

fn refuse_bits(path: &Path, forbidden: u32, wanted: u32) -> Result<(), CaError> {
    let mode = fs::metadata(path).map_err(|source| failed("inspect", path, source))?.mode() & 0o7777;
    if mode & forbidden == 0 { Ok(()) } else { Err(CaError::Exposed { path: path.to_owned(), mode, wanted }) }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> CaError {
    CaError::Io { action, path: path.to_owned(), source }
}
