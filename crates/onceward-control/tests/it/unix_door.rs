//! The Unix socket and its file.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener as StdUnixListener},
    path::Path,
};

use onceward_control::{
    DoorError, UnixDoor,
    client::{ClientError, ControlClient},
};

use crate::stage::{Stage, private_directory};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

// covers: S5
#[tokio::test]
async fn the_socket_is_private_in_a_private_directory() {
    let root = private_directory();
    let path = root.path().join("new/run/control.sock");
    let door = UnixDoor::open(&path).await.unwrap();
    assert_eq!((mode(door.path()), mode(path.parent().unwrap())), (0o600, 0o700));
}

// covers: S5
#[tokio::test]
async fn a_directory_that_others_may_enter_is_refused() {
    let root = private_directory();
    for open in [0o755, 0o701, 0o770] {
        fs::set_permissions(root.path(), fs::Permissions::from_mode(open)).unwrap();
        let refused = UnixDoor::open(&root.path().join("control.sock")).await;
        assert!(matches!(refused, Err(DoorError::DirectoryOpen { mode, .. }) if mode == open), "{refused:?}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_socket_of_a_dead_process_is_replaced() {
    let root = private_directory();
    let path = root.path().join("control.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let door = UnixDoor::open(&path).await.unwrap();
    assert!(tokio::net::UnixStream::connect(door.path()).await.is_ok());
}

#[tokio::test]
async fn the_socket_of_a_living_process_is_left_alone() {
    let root = private_directory();
    let ours = root.path().join("ours.sock");
    let door = UnixDoor::open(&ours).await.unwrap();
    let refused = UnixDoor::open(&ours).await;
    assert!(matches!(&refused, Err(DoorError::AlreadyServed { path }) if *path == ours), "{refused:?}");
    assert!(tokio::net::UnixStream::connect(door.path()).await.is_ok());

    // Whoever knows nothing of the lock is alive, too.
    let theirs = root.path().join("theirs.sock");
    let _listener = StdUnixListener::bind(&theirs).unwrap();
    let refused = UnixDoor::open(&theirs).await;
    assert!(matches!(&refused, Err(DoorError::AlreadyServed { path }) if *path == theirs), "{refused:?}");
    assert!(theirs.exists());
}

// Two that start at once would otherwise each take the other's socket for a dead one's.
#[tokio::test]
async fn who_holds_the_lock_serves_even_while_there_is_no_socket_to_ask() {
    let root = private_directory();
    let path = root.path().join("control.sock");
    let _door = UnixDoor::open(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    let refused = UnixDoor::open(&path).await;
    assert!(matches!(&refused, Err(DoorError::AlreadyServed { .. })), "{refused:?}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_deleted() {
    let root = private_directory();
    let path = root.path().join("control.sock");
    fs::write(&path, "a letter").unwrap();
    let refused = UnixDoor::open(&path).await;
    assert!(matches!(&refused, Err(DoorError::NotASocket { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
}

// 107 bytes: sun_path less its NUL (unix(7)).
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_path_that_no_socket_can_have_is_refused_in_words() {
    let root = private_directory();
    let fill = 107 - root.path().as_os_str().len() - 1;
    let longest = root.path().join("s".repeat(fill));
    assert!(UnixDoor::open(&longest).await.is_ok());
    let too_long = root.path().join("s".repeat(fill + 1));
    let refused = UnixDoor::open(&too_long).await.unwrap_err();
    assert!(refused.to_string().ends_with("has 108 bytes; the system takes 107: choose a shorter directory"));
    let refused = ControlClient::unix(&too_long).store().await;
    assert!(
        matches!(&refused, Err(ClientError::Broken { what: "no such socket can exist", .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_shutdown_ends_the_servers_and_removes_the_socket() {
    let mut stage = Stage::open().await;
    let client = stage.client();
    assert!(client.store().await.is_ok());
    stage.shutdown.cancel();
    while let Some(ended) = stage.servers.join_next().await {
        ended.unwrap();
    }
    assert!(!stage.socket().exists());
    let refused = client.store().await;
    assert!(matches!(&refused, Err(ClientError::NotRunning { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_dead_socket_is_called_not_running() {
    let root = private_directory();
    let path = root.path().join("control.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    let refused = ControlClient::unix(&path).store().await;
    assert!(matches!(&refused, Err(ClientError::NotRunning { .. })), "{refused:?}");
}
