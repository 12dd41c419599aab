//! A disk that loses its power: what it may hold afterwards, by what was done to it and what was synced.
//!
//! What a sync covered that has ended is there. Of each change since, the disk holds what the manner of the cut says: of a write any of its
//! sectors, each as a whole or up to some byte; of a file's growth the size without the content, which is zeros then, noise, or what
//! a removed file left there; of the names of a directory, which are synced by themselves, any of the changes.
//!
//! A write that is cut off changes no byte beside those that it was to change: SQLite calls that a power-safe overwrite, and so does
//! this disk keep it, unless it is a [`Flaw::Garbles`].

use std::collections::BTreeMap;

use super::{
    image::{Begun, Content, Image, Node},
    record::Event,
};

/// The least that a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// SplitMix64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }
}

/// How a disk breaks what it promised. The controls have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// It says that it synced, and did not.
    IgnoresSyncs,
    /// It syncs files, and not the names in a directory.
    ForgetsNames,
    /// A write that is cut off leaves noise in the whole of its first sector.
    Garbles,
}

/// What arrives of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Nothing,
    Everything,
    /// Only the last change.
    Last,
    AllButLast,
    /// Names and sizes, and no content.
    Names,
    /// Content, and no names.
    Content,
    /// This share of the changes, in percent, half of them torn.
    Some(u64),
}

/// What a new part of a file holds whose content did not arrive.
#[derive(Clone, Copy)]
enum Fill {
    Zeros,
    Noise,
    /// What a file held that was removed before: its blocks were given away as they were.
    Past,
}

#[derive(Clone, Copy, Debug)]
enum Change<'a> {
    Write { offset: usize, bytes: &'a [u8] },
    Zeros { offset: usize, length: usize },
    Size(usize),
}

impl Change<'_> {
    fn span(&self) -> (usize, usize) {
        match *self {
            Self::Write { offset, bytes } => (offset, offset + bytes.len()),
            Self::Zeros { offset, length } => (offset, offset + length),
            Self::Size(length) => (length, length),
        }
    }

    fn apply(&self, content: &mut Content) {
        let (start, end) = self.span();
        if let Self::Size(length) = *self {
            return content.resize(length);
        }
        content.resize(content.length.max(end));
        self.copy(start, end, content);
    }

    /// Writes the part of it that lies between two offsets.
    fn copy(&self, from: usize, to: usize, content: &mut Content) {
        match *self {
            Self::Write { offset, bytes } => {
                content.part(from, to).copy_from_slice(&bytes[from - offset..to - offset]);
            }
            Self::Zeros { .. } if from >= content.bytes.len() => {}
            Self::Zeros { .. } => content.part(from, to).fill(0),
            Self::Size(_) => {}
        }
    }
}

#[derive(Debug, Default)]
struct File<'a> {
    synced: Content,
    /// What came after that, with its place among all events.
    changes: Vec<(usize, Change<'a>)>,
}

impl File<'_> {
    fn sync(&mut self, before: usize) {
        let covered = self.changes.partition_point(|(place, _)| *place < before);
        self.changes.drain(..covered).for_each(|(_, change)| change.apply(&mut self.synced));
    }

    fn now(&self) -> Content {
        let mut content = self.synced.clone();
        self.changes.iter().for_each(|(_, change)| change.apply(&mut content));
        content
    }
}

/// A change of the names in one directory.
#[derive(Clone, Copy, Debug)]
enum Naming<'a> {
    Put(&'a str, Node),
    Take(&'a str),
    Move(&'a str, &'a str, Node),
}

impl<'a> Naming<'a> {
    fn directory(&self) -> &'a str {
        let (Self::Put(path, _) | Self::Take(path) | Self::Move(path, ..)) = *self;
        path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    fn apply(&self, names: &mut BTreeMap<&'a str, Node>) {
        match *self {
            Self::Put(path, node) => drop(names.insert(path, node)),
            Self::Take(path) => drop(names.remove(path)),
            Self::Move(from, to, node) => {
                names.remove(from);
                names.insert(to, node);
            }
        }
    }
}

/// A disk, as events come to it.
pub(crate) struct Disk<'a> {
    flaw: Flaw,
    files: Vec<File<'a>>,
    /// Which file an inode is of by now.
    inodes: BTreeMap<u64, usize>,
    directories: BTreeMap<u64, &'a str>,
    names: BTreeMap<&'a str, Node>,
    names_synced: BTreeMap<&'a str, Node>,
    namings: Vec<(usize, Naming<'a>)>,
    /// When each sync that runs began.
    syncs: BTreeMap<(u64, u64), usize>,
    /// What the largest of the removed files held.
    past: Content,
    events: usize,
}

impl<'a> Disk<'a> {
    /// A disk on which all of `begun` is synced.
    pub(crate) fn new(begun: &'a Begun, flaw: Flaw) -> Self {
        let mut disk = Self {
            flaw,
            files: Vec::new(),
            inodes: BTreeMap::new(),
            directories: BTreeMap::from([(begun.root, "")]),
            names: BTreeMap::new(),
            names_synced: BTreeMap::new(),
            namings: Vec::new(),
            syncs: BTreeMap::new(),
            past: Content::default(),
            events: 0,
        };
        for path in &begun.image.directories {
            disk.directories.insert(begun.inodes[path], path);
            disk.names.insert(path, Node::Directory);
        }
        for (path, content) in &begun.image.files {
            let file = disk.files.len();
            disk.files.push(File { synced: content.clone(), changes: Vec::new() });
            disk.inodes.insert(begun.inodes[path], file);
            disk.names.insert(path, Node::File(file));
        }
        disk.names_synced = disk.names.clone();
        disk
    }

    /// Does to the disk what the program did.
    pub(crate) fn take(&mut self, event: Event<'a>) {
        self.events += 1;
        match event {
            Event::Created { inode, path } => {
                let file = self.files.len();
                self.files.push(File::default());
                self.inodes.insert(inode, file);
                self.name(Naming::Put(path, Node::File(file)));
            }
            Event::Written { inode, offset, bytes } => self.change(inode, Change::Write { offset, bytes }),
            Event::Zeroed { inode, offset, length } => self.change(inode, Change::Zeros { offset, length }),
            Event::Resized { inode, length } => self.change(inode, Change::Size(length)),
            Event::SyncBegun { inode, number } => {
                self.syncs.insert((inode, number), self.events);
            }
            Event::SyncEnded { inode, number } => {
                let begun = self.syncs.remove(&(inode, number)).unwrap();
                self.sync(inode, begun);
            }
            Event::Renamed { from, to } => self.name(Naming::Move(from, to, self.names[from])),
            Event::Linked { from, to } => self.name(Naming::Put(to, self.names[from])),
            // A socket, which no disk holds, was not created by a call that is recorded.
            Event::Removed { path } if !self.names.contains_key(path) => {}
            Event::Removed { path } => {
                if let Node::File(file) = self.names[path] {
                    let content = self.files[file].now();
                    if content.bytes.len() >= self.past.bytes.len() {
                        self.past = content;
                    }
                }
                self.name(Naming::Take(path));
            }
            Event::DirectoryMade { inode, path } => {
                self.directories.insert(inode, path);
                self.name(Naming::Put(path, Node::Directory));
            }
            Event::Sent(_) => {}
        }
    }

    fn change(&mut self, inode: u64, change: Change<'a>) {
        self.files[self.inodes[&inode]].changes.push((self.events, change));
    }

    fn name(&mut self, naming: Naming<'a>) {
        naming.apply(&mut self.names);
        self.namings.push((self.events, naming));
    }

    fn sync(&mut self, inode: u64, begun: usize) {
        if self.flaw == Flaw::IgnoresSyncs {
            return;
        }
        let Some(directory) = self.directories.get(&inode) else {
            return self.files[self.inodes[&inode]].sync(begun);
        };
        if self.flaw == Flaw::ForgetsNames {
            return;
        }
        let synced =
            |(place, naming): &mut (usize, Naming<'_>)| *place < begun && naming.directory() == *directory;
        for (_, naming) in self.namings.extract_if(.., synced) {
            naming.apply(&mut self.names_synced);
        }
    }

    /// Every file as the program sees it, without what is mapped.
    pub(crate) fn now(&self) -> Image {
        Image::of(&self.names, |file| self.files[file].now())
    }

    /// Loses the power: what the disk holds afterwards.
    pub(crate) fn cut(&self, manner: Manner, random: &mut Random) -> Image {
        let last_change = self.files.iter().filter_map(|file| Some(file.changes.last()?.0)).max();
        let last = last_change.max(self.namings.last().map(|(place, _)| *place)).unwrap_or(0);
        let fill = [Fill::Zeros, Fill::Noise, Fill::Past][random.below(3)];
        let mut cut = Cut { disk: self, manner, last, fill, random };
        let mut names = self.names_synced.clone();
        for (place, naming) in &self.namings {
            if cut.arrives(*place, Part::Name) == Arrival::Whole {
                naming.apply(&mut names);
            }
        }
        let mut image = Image::of(&names, |file| cut.file(&self.files[file]));
        if random.percent(50) {
            image.scribble_over_shared_memory(random);
        }
        image
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Content,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Lost,
    SizeOnly,
    Torn,
    Whole,
}

/// One loss of power.
struct Cut<'d, 'a, 'r> {
    disk: &'d Disk<'a>,
    manner: Manner,
    /// The place of the last change.
    last: usize,
    fill: Fill,
    random: &'r mut Random,
}

impl Cut<'_, '_, '_> {
    fn arrives(&mut self, place: usize, part: Part) -> Arrival {
        let is_there = match self.manner {
            Manner::Nothing => false,
            Manner::Everything => true,
            Manner::Last => place == self.last,
            Manner::AllButLast => place != self.last,
            Manner::Names if part == Part::Content => return Arrival::SizeOnly,
            Manner::Names => true,
            Manner::Content => part == Part::Content,
            Manner::Some(_)
                if part == Part::Content && (self.disk.flaw == Flaw::Garbles || self.random.percent(50)) =>
            {
                return Arrival::Torn;
            }
            Manner::Some(share) => self.random.percent(share),
        };
        if is_there { Arrival::Whole } else { Arrival::Lost }
    }

    fn file(&mut self, file: &File<'_>) -> Content {
        let mut content = file.synced.clone();
        for (place, change) in &file.changes {
            match (self.arrives(*place, Part::Content), change) {
                (Arrival::Lost, _) => {}
                (Arrival::Whole, _) | (_, Change::Size(_)) => change.apply(&mut content),
                (Arrival::SizeOnly, _) => self.grow(&mut content, change.span().1),
                (Arrival::Torn, _) => self.tear(change, &mut content),
            }
        }
        content
    }

    /// A size that arrives before what it was made for.
    fn grow(&mut self, content: &mut Content, length: usize) {
        let begun = content.length;
        if length <= begun {
            return;
        }
        content.resize(length);
        match self.fill {
            Fill::Zeros => {}
            Fill::Noise => content.part(begun, length).chunks_mut(8).for_each(|bytes| {
                bytes.copy_from_slice(&self.random.next().to_ne_bytes()[..bytes.len()]);
            }),
            Fill::Past => {
                let known = self.disk.past.bytes.len().min(length);
                if let Some(past) = self.disk.past.bytes.get(begun..known) {
                    content.part(begun, known).copy_from_slice(past);
                }
            }
        }
    }

    /// Some sectors of a write arrive, some up to a byte, and some not; where it makes the file longer, the new size may not.
    fn tear(&mut self, change: &Change<'_>, content: &mut Content) {
        let (start, end) = change.span();
        if self.random.percent(70) {
            self.grow(content, end);
        }
        let end = end.min(content.length);
        if self.disk.flaw == Flaw::Garbles && start < end {
            let sector = start / SECTOR_BYTES * SECTOR_BYTES;
            content.part(sector, (sector + SECTOR_BYTES).min(content.length)).fill(0xa5);
            return;
        }
        let mut at = start;
        while at < end {
            let stop = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
            match self.random.below(8) {
                0..3 => {}
                3 => change.copy(at, at + self.random.below(stop - at), content),
                _ => change.copy(at, stop, content),
            }
            at = stop;
        }
    }
}
