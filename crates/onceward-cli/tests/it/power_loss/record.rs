//! What `recorder.c` wrote down: every change of the files below one directory, and what was sent, in the order in which it happened.

use std::{path::Path, process::Command};

/// One thing that the program did. Paths begin below the recorded directory, which itself is the empty path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    Created {
        inode: u64,
        path: &'a str,
    },
    Written {
        inode: u64,
        offset: usize,
        bytes: &'a [u8],
    },
    Zeroed {
        inode: u64,
        offset: usize,
        length: usize,
    },
    Resized {
        inode: u64,
        length: usize,
    },
    SyncBegun {
        inode: u64,
        number: u64,
    },
    SyncEnded {
        inode: u64,
        number: u64,
    },
    Renamed {
        from: &'a str,
        to: &'a str,
    },
    Removed {
        path: &'a str,
    },
    Linked {
        from: &'a str,
        to: &'a str,
    },
    DirectoryMade {
        inode: u64,
        path: &'a str,
    },
    /// The first bytes of what one call sent to a socket.
    Sent(&'a [u8]),
}

/// Builds the recorder into `folder`, with the compiler that Rust links with.
pub(crate) fn build_recorder(folder: &Path) -> std::path::PathBuf {
    let library = folder.join("recorder.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/power_loss/recorder.c");
    let built = Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(built.success());
    library
}

const HEADER_BYTES: usize = 40;

/// Takes a record apart. `root` is the recorded directory without symbolic links.
pub(crate) fn events<'a>(record: &'a [u8], root: &Path) -> Vec<Event<'a>> {
    let root = root.to_str().unwrap();
    let mut events = Vec::new();
    let mut rest = record;
    while let Some((header, behind)) = rest.split_at_checked(HEADER_BYTES) {
        let mut numbers = header.chunks_exact(8).map(|number| u64::from_ne_bytes(number.try_into().unwrap()));
        let header = [(); 5].map(|()| numbers.next().unwrap());
        let (payload, behind) = behind.split_at(usize::try_from(header[4]).unwrap());
        events.push(event(header, payload, root));
        rest = behind;
    }
    assert!(rest.is_empty(), "a record that is not whole");
    events
}

fn event<'a>([kind, inode, offset, length, _]: [u64; 5], payload: &'a [u8], root: &str) -> Event<'a> {
    let [place, length] = [offset, length].map(|number| usize::try_from(number).unwrap());
    let below = |path: &'a str| path.strip_prefix(root).unwrap().trim_start_matches('/');
    let path = || below(str::from_utf8(payload).unwrap());
    let names = || {
        let (from, to) = str::from_utf8(payload).unwrap().split_once('\n').unwrap();
        (below(from), below(to))
    };
    match kind {
        0 => Event::Created { inode, path: path() },
        1 => Event::Written { inode, offset: place, bytes: payload },
        2 => Event::Zeroed { inode, offset: place, length },
        3 => Event::Resized { inode, length: place },
        4 => Event::SyncBegun { inode, number: offset },
        5 => Event::SyncEnded { inode, number: offset },
        6 => {
            let (from, to) = names();
            Event::Renamed { from, to }
        }
        7 => Event::Removed { path: path() },
        8 => {
            let (from, to) = names();
            Event::Linked { from, to }
        }
        9 => Event::DirectoryMade { inode, path: path() },
        10 => Event::Sent(payload),
        unknown => panic!("a record of kind {unknown}"),
    }
}
