//! A socket that only its own user can open.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{
        DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use super::{Door, DoorError, check_socket_path};
use crate::gate::Entrance;

/// Root reads the store's files anyway; an operator's `sudo` is not turned away.
const ROOT_UID: u32 = 0;

/// A Unix socket, mode 0600 in a directory of mode 0700, whose callers are this process's own user (or root).
///
/// The socket's file goes when the door is dropped. Beside it stands `<path>.lock`, which says whether a process serves the socket: its
/// kernel lock ends with the process, however that ended, so a file left behind by a dead one is replaced without guessing.
#[derive(Debug)]
pub struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
    /// Held for as long as the door is open.
    _lock: File,
}

impl UnixDoor {
    /// Opens the socket; makes its directory where there is none.
    ///
    /// # Errors
    /// When the path is too long, its directory is not private, another process serves the socket, or something else stands there.
    pub async fn open(path: &Path) -> Result<Self, DoorError> {
        check_socket_path(path)?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let directory_owner = private_directory(directory)?;
        let lock = lock(path)?;
        clear_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(DoorError::io("listen at", path))?;
        // From here on the file is ours to remove. The directory keeps others out until its mode is set.
        let mut door = Self { listener, path: path.to_owned(), owner: ROOT_UID, _lock: lock };
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(DoorError::io("set the mode of", path))?;
        // Who made the file is who we are, without asking the system by other means.
        door.owner = fs::symlink_metadata(path).map_err(DoorError::io("inspect", path))?.uid();
        if directory_owner != door.owner && directory_owner != ROOT_UID {
            return Err(DoorError::DirectoryForeign { directory: directory.to_owned() });
        }
        Ok(door)
    }

    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        // Under the lock: no other process can have put its own socket here meanwhile.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the control socket was not removed");
        }
    }
}

impl Door for UnixDoor {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Entrance)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match stream.peer_cred().map(|peer| peer.uid()) {
                Ok(uid) if uid == self.owner || uid == ROOT_UID => {
                    return Ok((stream, Entrance::Unix { uid }));
                }
                Ok(uid) => tracing::warn!(uid, "another user's process at the control socket turned away"),
                Err(error) => tracing::warn!(%error, "an unknown peer at the control socket turned away"),
            }
        }
    }
}

/// Makes the directory private, or checks that it is; says whose it is.
fn private_directory(directory: &Path) -> Result<u32, DoorError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(DoorError::io("make the directory", directory))?;
    let metadata = fs::metadata(directory).map_err(DoorError::io("inspect", directory))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DoorError::DirectoryOpen { directory: directory.to_owned(), mode });
    }
    Ok(metadata.uid())
}

fn lock(path: &Path) -> Result<File, DoorError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let place = PathBuf::from(name);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&place)
        .map_err(DoorError::io("open", &place))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DoorError::AlreadyServed { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(DoorError::io("lock", &place)(source)),
    }
}

/// Removes the socket of a dead process. The lock is ours, so only a program that knows no lock could still be listening.
async fn clear_stale(path: &Path) -> Result<(), DoorError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DoorError::io("inspect", path)(error)),
    };
    if !kind.is_socket() {
        return Err(DoorError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(DoorError::io("replace", path))
        }
        // A full queue (`WouldBlock`) has somebody behind it, too.
        Ok(_) | Err(_) => Err(DoorError::AlreadyServed { path: path.to_owned() }),
    }
}
