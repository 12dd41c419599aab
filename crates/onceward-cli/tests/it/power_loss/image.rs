//! What lies below a directory, on a real disk or on one that lost its power.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::disk::Random;

const ZEROS: &[u8] = &[0; 1 << 14];

/// What SQLite maps and makes anew after a crash. It may hold anything then.
const SHARED_MEMORY: &str = "-shm";

/// What a name stands for: a directory, or the file of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(usize),
    Directory,
}

/// What a file holds: some bytes, and zeros behind them, of which a log has tens of megabytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) length: usize,
}

impl Content {
    pub(super) fn resize(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.length = length;
    }

    /// The bytes between two offsets, neither of them behind the end, to be written over.
    pub(super) fn part(&mut self, from: usize, to: usize) -> &mut [u8] {
        // `Vec::resize` goes byte by byte in a build without optimisation.
        while self.bytes.len() < to {
            let more = ZEROS.len().min(to - self.bytes.len());
            self.bytes.extend_from_slice(&ZEROS[..more]);
        }
        &mut self.bytes[from..to]
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        let common = self.bytes.len().min(other.bytes.len());
        let is_zero = |bytes: &[u8]| bytes.chunks(ZEROS.len()).all(|bytes| bytes == &ZEROS[..bytes.len()]);
        self.length == other.length
            && self.bytes[..common] == other.bytes[..common]
            && is_zero(&self.bytes[common..])
            && is_zero(&other.bytes[common..])
    }
}

/// What a disk holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Image {
    pub(super) directories: BTreeSet<String>,
    pub(super) files: BTreeMap<String, Content>,
}

impl Image {
    pub(super) fn of(names: &BTreeMap<&str, Node>, mut content: impl FnMut(usize) -> Content) -> Self {
        let mut image = Self { directories: BTreeSet::new(), files: BTreeMap::new() };
        // A directory comes before what is in it; what is in one that is not there cannot be found.
        for (path, node) in names {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if !parent.is_empty() && !image.directories.contains(parent) {
                continue;
            }
            match node {
                Node::Directory => drop(image.directories.insert((*path).to_owned())),
                Node::File(_) if path.ends_with(SHARED_MEMORY) => {}
                Node::File(file) => drop(image.files.insert((*path).to_owned(), content(*file))),
            }
        }
        image
    }

    pub(super) fn scribble_over_shared_memory(&mut self, random: &mut Random) {
        let logs: Vec<_> = self.files.keys().filter_map(|path| path.strip_suffix("-wal")).collect();
        let maps: Vec<_> = logs.into_iter().map(|path| format!("{path}{SHARED_MEMORY}")).collect();
        for path in maps {
            let bytes: Vec<u8> = (0..4_096).flat_map(|_| random.next().to_ne_bytes()).collect();
            self.files.insert(path, Content { length: bytes.len(), bytes });
        }
    }

    /// Without what is mapped.
    pub(crate) fn kept(mut self) -> Self {
        self.files.retain(|path, _| !path.ends_with(SHARED_MEMORY));
        self
    }

    /// What is below `root`, but for sockets.
    pub(crate) fn read(root: &Path) -> Self {
        let mut image = Self { directories: BTreeSet::new(), files: BTreeMap::new() };
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let (kind, path) = entry.map(|entry| (entry.file_type().unwrap(), entry.path())).unwrap();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                if kind.is_dir() {
                    image.directories.insert(name);
                    folders.push(path);
                } else if kind.is_file() {
                    let bytes = fs::read(path).unwrap();
                    image.files.insert(name, Content { length: bytes.len(), bytes });
                }
            }
        }
        image
    }

    /// Puts it into an empty directory, for its owner alone, as the store does.
    pub(crate) fn write(&self, root: &Path) {
        for directory in &self.directories {
            fs::DirBuilder::new().mode(0o700).create(root.join(directory)).unwrap();
        }
        for (path, content) in &self.files {
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(root.join(path));
            let file = file.unwrap();
            file.set_len(content.length as u64).unwrap();
            // Holes stay holes.
            for (block, bytes) in content.bytes.chunks(ZEROS.len()).enumerate() {
                if bytes != &ZEROS[..bytes.len()] {
                    file.write_all_at(bytes, (block * ZEROS.len()) as u64).unwrap();
                }
            }
        }
    }
}

/// What was below a directory before anything was recorded.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(super) root: u64,
    pub(super) image: Image,
    pub(super) inodes: BTreeMap<String, u64>,
}

impl Begun {
    pub(crate) fn read(root: &Path) -> Self {
        let image = Image::read(root);
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        let names = image.directories.iter().chain(image.files.keys());
        let inodes = names.map(|name| (name.clone(), inode(&root.join(name)))).collect();
        Self { root: inode(root), image, inodes }
    }
}
