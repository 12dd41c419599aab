//! The deployment's secret in its file.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use onceward_core::secret::Secret;
use onceward_engine::{Entropy, SystemEntropy};
use zeroize::Zeroizing;

/// Hexadecimal digits of the secret's 32 bytes.
const DIGITS: usize = 64;

/// Why a secret's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// Whoever may write to its folder may put another secret in its place.
    #[error("others may write to the folder {0} of the secret; run: chmod go-w {0}", folder.display())]
    FolderShared {
        /// The folder.
        folder: PathBuf,
    },
    /// Others may read it.
    #[error("the secret {0} can be read by others (mode {mode:o}); run: chmod 600 {0}", path.display())]
    Shared {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("{} holds no secret: expected {DIGITS} hexadecimal digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Somebody removed it as soon as it was made.
    #[error("the secret {} vanished", path.display())]
    Vanished {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read the secret {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be made.
    #[error("cannot make the secret {}", path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the secret in the file at `path`, or makes one where there is none yet.
///
/// The file appears whole or not at all: of two programs that start at once, both end up with the same secret.
///
/// # Errors
/// Where the file is no secret, or others than its owner could read or replace it; a file in a sticky folder (`/tmp`) is its owner's.
pub fn load_or_create(path: &Path) -> Result<Secret, SecretFileError> {
    let digits = digits_or_create(path)?;
    let bytes = parse(&digits).ok_or_else(|| SecretFileError::Malformed { path: path.to_owned() })?;
    Ok(Secret::new(bytes))
}

/// The same as text: 64 hexadecimal digits, for a secret that is a password to somebody else.
///
/// # Errors
/// As [`load_or_create`].
pub fn digits_or_create(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    check_folder(path)?;
    if let Some(digits) = read(path)? {
        return Ok(digits);
    }
    create(path).map_err(|source| SecretFileError::NotMade { path: path.to_owned(), source })?;
    read(path)?.ok_or_else(|| SecretFileError::Vanished { path: path.to_owned() })
}

/// What stands in the file of a secret that somebody else made, without the blanks around it.
///
/// # Errors
/// As [`load_or_create`], whatever the text is; and where there is no such file.
pub fn text(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    check_folder(path)?;
    text_if_there(path)?.ok_or_else(|| SecretFileError::Unreadable {
        path: path.to_owned(),
        source: ErrorKind::NotFound.into(),
    })
}

/// Whoever may write to its folder may put another secret in its place. Nobody but its owner removes from a sticky folder (/tmp).
fn check_folder(path: &Path) -> Result<(), SecretFileError> {
    let folder = folder_of(path);
    if let Ok(metadata) = fs::metadata(folder) {
        let mode = metadata.permissions().mode();
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            return Err(SecretFileError::FolderShared { folder: folder.to_owned() });
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, SecretFileError> {
    let digits = text_if_there(path)?;
    match &digits {
        Some(digits) if parse(digits).is_none() => Err(SecretFileError::Malformed { path: path.to_owned() }),
        Some(_) | None => Ok(digits),
    }
}

fn text_if_there(path: &Path) -> Result<Option<Zeroizing<String>>, SecretFileError> {
    let unreadable = |source| SecretFileError::Unreadable { path: path.to_owned(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if is_exposed(mode, metadata.uid()) {
        return Err(SecretFileError::Shared { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(unreadable)?;
    Ok(Some(Zeroizing::new(text.trim().to_owned())))
}

/// Whether others than those who it is meant for may use it. Root may let one group read it, as Kubernetes hands secrets to a pod.
fn is_exposed(mode: u32, owner: u32) -> bool {
    let allowed = if owner == 0 { 0o740 } else { 0o700 };
    mode & !allowed != 0
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != DIGITS || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn create(path: &Path) -> io::Result<()> {
    let folder = folder_of(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut bytes = Zeroizing::new([0_u8; 32]);
    SystemEntropy.fill(&mut *bytes).map_err(io::Error::other)?;
    // Two programs on one volume may have one process id, so the draft's name is random, too.
    let mut random = [0_u8; 8];
    SystemEntropy.fill(&mut random).map_err(io::Error::other)?;
    let draft = path.with_extension(format!("{:016x}.draft", u64::from_be_bytes(random)));
    let written = write_draft(&draft, &bytes)
        // A link never replaces: whoever comes second takes the first one's secret.
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        })
        .and_then(|()| sync_folders(folder));
    fs::remove_file(&draft)?;
    written
}

/// Makes the secret's name durable, and those of the folders that lead to it: they may have been made a moment ago, and what is in a
/// folder is gone with the folder's name. A folder further up that cannot be synced was there before.
fn sync_folders(folder: &Path) -> io::Result<()> {
    let folder = folder.canonicalize()?;
    File::open(&folder)?.sync_all()?;
    let device = folder.metadata()?.dev();
    for above in folder.ancestors().skip(1) {
        let file = File::open(above).and_then(|file| Ok((file.metadata()?.dev(), file)));
        let is_synced = match file {
            Ok((found, file)) if found == device => file.sync_all().is_ok(),
            Ok(_) | Err(_) => false,
        };
        if !is_synced {
            break;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_draft(draft: &Path, bytes: &[u8; 32]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    for byte in bytes {
        write!(file, "{byte:02x}")?;
    }
    writeln!(file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    fn said(result: Result<Zeroizing<String>, SecretFileError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_secret_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("secret");
        let made = digits_or_create(&path).unwrap();
        assert_eq!((made.len(), made.bytes().all(|digit| digit.is_ascii_hexdigit())), (64, true));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join("deep")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(*digits_or_create(&path).unwrap(), *made);
        let names: Vec<_> = fs::read_dir(folder.path().join("deep")).unwrap().collect();
        assert_eq!(names.len(), 1, "no draft is left: {names:?}");
        let other = digits_or_create(&folder.path().join("other")).unwrap();
        assert_ne!(*other, *made);
    }

    #[test]
    fn programs_that_start_at_once_share_one_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let barrier = Barrier::new(8);
        let made: Vec<String> = thread::scope(|scope| {
            let start = || {
                barrier.wait();
                digits_or_create(&path).unwrap().to_string()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(made, vec![kept.trim().to_owned(); 8]);
    }

    #[test]
    fn what_others_may_read_or_replace_is_refused_with_its_mend() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        digits_or_create(&path).unwrap();
        let (shown, folder_shown) = (path.display(), folder.path().display());

        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let expected = format!("the secret {shown} can be read by others (mode 644); run: chmod 600 {shown}");
        assert_eq!(said(digits_or_create(&path)), expected);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();

        fs::set_permissions(folder.path(), Permissions::from_mode(0o770)).unwrap();
        let expected = format!(
            "others may write to the folder {folder_shown} of the secret; run: chmod go-w {folder_shown}"
        );
        assert_eq!(said(digits_or_create(&path)), expected);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(digits_or_create(&path).is_ok(), "nobody removes another's file from a sticky folder");
    }

    #[test]
    fn root_may_let_a_group_read_it() {
        let rows = [
            (0o600, 1_000, false),
            (0o640, 1_000, true),
            (0o440, 0, false),
            (0o640, 0, false),
            (0o660, 0, true),
            (0o444, 0, true),
        ];
        for (mode, owner, expected) in rows {
            assert_eq!(is_exposed(mode, owner), expected, "{mode:o} {owner}");
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for text in ["", "correct horse", &"0".repeat(63), &"g".repeat(64)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let expected = format!("{} holds no secret: expected 64 hexadecimal digits", path.display());
            assert_eq!(said(digits_or_create(&path)), expected);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
