//! The two ways in (S5).

mod tcp;
mod unix;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::{
    tcp::{Reach, TcpDoor},
    unix::UnixDoor,
};
use crate::gate::Entrance;

/// Where connections come from, each marked with how it came.
pub(crate) trait Door: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection that may come in at all.
    ///
    /// # Cancel safety
    /// A dropped call loses no connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Entrance)>> + Send;
}

/// Bytes of a Unix socket's path: `sun_path` less its closing NUL (108 on Linux, 104 on macOS and the BSDs).
const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why the control API cannot be opened here.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The operating system keeps socket paths in a short field.
    #[error(
        "the socket path {} has {} bytes; the system takes {SOCKET_PATH_BYTES_MAX}: choose a shorter directory",
        path.display(), path.as_os_str().len()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// Others could reach or replace the socket.
    #[error("the directory {} of the socket is open to other users (mode {mode:03o}, wanted 700)", directory.display())]
    DirectoryOpen {
        /// The directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its owner could replace the socket.
    #[error("the directory {} of the socket belongs to another user", directory.display())]
    DirectoryForeign {
        /// The directory.
        directory: PathBuf,
    },
    /// Another process serves this socket.
    #[error("another onceward is listening at {}", path.display())]
    AlreadyServed {
        /// The socket.
        path: PathBuf,
    },
    /// What stands there is not a socket, and it is not ours to delete.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// What stands there.
        path: PathBuf,
    },
    /// The control API is not for a network unless somebody says so.
    #[error("{address} is not a loopback address, and the control API is not allowed elsewhere")]
    NotLoopback {
        /// Where the listener is bound.
        address: SocketAddr,
    },
    /// The operating system refuses.
    #[error("cannot {action} {}", place.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        place: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DoorError {
    fn io(action: &'static str, place: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, place: place.to_owned(), source }
    }
}

/// Refuses what does not fit before the system does so in words of its own.
///
/// # Errors
/// [`DoorError::PathTooLong`].
pub(crate) fn check_socket_path(path: &Path) -> Result<(), DoorError> {
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(DoorError::PathTooLong { path: path.to_owned() });
    }
    Ok(())
}
