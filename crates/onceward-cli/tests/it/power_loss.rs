//! Power lost under the store of a running gateway.
//!
//! The real program runs over a file, and `recorder.c` in it writes down, in order, every change of its files, every sync, and what it
//! sends. From that record [`disk`] makes what a disk may hold after the power failed at any point of it. What was promised by then is what
//! the gateway had sent: a request to the shop promises that its key never runs again, an answer to the customer that it is there. The
//! shop's ledger and the customers are in this process, and nothing of them is on that disk.

mod disk;
mod image;
mod judge;
mod record;
mod shop;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use tokio::runtime::Runtime;

use self::{
    disk::{Disk, Flaw, Manner, Random},
    image::Image,
    judge::{Findings, Whole},
    record::Event,
    shop::{Life, Promises, Recording},
};
use crate::kit::{command, ran};

/// Where every choice of these tests begins.
const SEED: u64 = 17;

/// Where images are looked at: in memory where that has room, since what a store syncs in its recovery need not be kept.
static SWIFT: LazyLock<PathBuf> = LazyLock::new(|| {
    const MEMORY: &str = "/dev/shm";
    const ROOM_KIB_MIN: u64 = 1 << 20;
    let listed = Command::new("df").args(["-Pk", MEMORY]).output();
    let listed =
        listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned()).unwrap_or_default();
    // POSIX: a line of names, then the file system, its size, what is used, what is available.
    let room = listed.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    if room >= Some(ROOM_KIB_MIN) { PathBuf::from(MEMORY) } else { std::env::temp_dir() }
});

/// Where, how, and by which chance the power fails.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// So many events have happened.
    after: usize,
    manner: Manner,
    seed: u64,
}

const MANNERS: [Manner; 9] = [
    Manner::Nothing,
    Manner::Everything,
    Manner::Last,
    Manner::AllButLast,
    Manner::Names,
    Manner::Content,
    Manner::Some(10),
    Manner::Some(50),
    Manner::Some(90),
];

/// Half of the cuts anywhere, and half just behind an event that `is_meant`; in order, each manner equally often.
fn cuts(events: &[Event<'_>], count: usize, is_meant: impl Fn(&Event<'_>) -> bool) -> Vec<Cut> {
    // The log is filled with zeros before it is used: hundreds of events like one another.
    let is_anything = |event: &Event<'_>| !matches!(event, Event::Zeroed { .. });
    let behind = |is: &dyn Fn(&Event<'_>) -> bool| -> Vec<usize> {
        (1..).zip(events).filter(|(_, event)| is(event)).map(|(behind, _)| behind).collect()
    };
    let (anywhere, meant) = (behind(&is_anything), behind(&is_meant));
    let mut random = Random(SEED);
    let mut cuts: Vec<Cut> = (0..count)
        .map(|number| {
            let after = match number % 2 {
                0 => anywhere[random.below(anywhere.len())],
                _ => (meant[random.below(meant.len())] + random.below(3)).min(events.len()),
            };
            Cut { after, manner: MANNERS[number / 2 % MANNERS.len()], seed: random.next() }
        })
        .collect();
    cuts.sort_by_key(|cut| cut.after);
    cuts
}

/// Cuts where a write has begun in the sector that holds the end of what something was just promised for.
fn torn(events: &[Event<'_>], count: usize) -> Vec<Cut> {
    let begins = (2..).zip(events.windows(2));
    let begins = begins.filter(|(_, pair)| matches!(pair, [Event::Sent(_), Event::Written { .. }]));
    let begins: Vec<usize> = begins.map(|(after, _)| after).collect();
    let mut random = Random(SEED);
    let mut cuts: Vec<Cut> = (0..count)
        .map(|_| {
            let after = begins[random.below(begins.len())];
            Cut { after, manner: Manner::Some(50), seed: random.next() }
        })
        .collect();
    cuts.sort_by_key(|cut| cut.after);
    cuts
}

/// What happens seldom: a name, a size, something that is sent.
fn is_seldom(event: &Event<'_>) -> bool {
    match event {
        Event::Written { .. } | Event::Zeroed { .. } | Event::SyncBegun { .. } | Event::SyncEnded { .. } => {
            false
        }
        Event::Created { .. }
        | Event::Resized { .. }
        | Event::Renamed { .. }
        | Event::Removed { .. }
        | Event::Linked { .. }
        | Event::DirectoryMade { .. }
        | Event::Sent(_) => true,
    }
}

/// A recorded life, and what is to be known to judge what the power leaves of it.
struct Case {
    recording: Recording,
    root: PathBuf,
    /// What was promised before the record begins.
    promises: Promises,
    whole: Whole,
    runtime: Runtime,
}

/// One loss of power, looked at.
struct Loss<'a> {
    cut: Cut,
    promises: &'a Promises,
    image: &'a Image,
    findings: Findings,
}

impl Case {
    fn of(recording: Recording) -> Self {
        let root = recording.root();
        let mut disk = Disk::new(&recording.begun, Flaw::None);
        record::events(&recording.record, &root).into_iter().for_each(|event| disk.take(event));
        assert!(disk.now() == Image::read(&root).kept(), "not all that happened was recorded");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let whole = runtime.block_on(Whole::read(&root));
        Self { recording, root, promises: Promises::default(), whole, runtime }
    }

    fn events(&self) -> Vec<Event<'_>> {
        record::events(&self.recording.record, &self.root)
    }

    /// Loses the power at each cut, and has what is left looked at.
    fn lose(&self, flaw: Flaw, cuts: &[Cut], mut seen: impl FnMut(&Loss<'_>)) {
        let events = self.events();
        let mut disk = Disk::new(&self.recording.begun, flaw);
        let (mut promises, mut taken) = (self.promises.clone(), 0);
        for cut in cuts {
            for event in &events[taken..cut.after] {
                disk.take(*event);
                promises.take(event);
            }
            taken = cut.after;
            let image = disk.cut(cut.manner, &mut Random(cut.seed));
            let home = tempfile::tempdir_in(&*SWIFT).unwrap();
            let root = on_disk(&image, home.path());
            let findings = self.runtime.block_on(judge::look(&root, &promises, &self.whole));
            seen(&Loss { cut: *cut, promises: &promises, image: &image, findings });
        }
    }

    /// Has the whole program started on what is left, and the customers ask again.
    fn ask_again(&self, loss: &Loss<'_>) -> Vec<String> {
        let home = tempfile::tempdir_in(&*SWIFT).unwrap();
        let root = on_disk(loss.image, home.path());
        let mut wrong = judge::ask_again(&root, loss.promises, &self.recording.answers);
        let state = root.join("state");
        let verified = ran(command(&["store", "verify", "--json", "--state-dir"]).arg(state));
        if verified.code != Some(0) {
            wrong.push(verified.stdout);
        }
        wrong
    }
}

/// Puts an image into a directory `root` in `home`.
fn on_disk(image: &Image, home: &Path) -> PathBuf {
    let root = home.join("root");
    fs::create_dir(&root).unwrap();
    image.write(&root);
    root
}

impl Loss<'_> {
    /// Ends the test where a promise is broken, and leaves the image behind as the disk held it: the record is of one run, and no seed makes
    /// it again.
    fn assert_kept(&self, also: &[String]) {
        let Findings { lost, wrong, is_barrier_raised } = &self.findings;
        if lost.is_empty() && wrong.is_empty() && also.is_empty() && !is_barrier_raised {
            return;
        }
        let home = tempfile::tempdir().unwrap().keep();
        let root = on_disk(self.image, &home);
        panic!(
            "power lost at {:?}, image kept as {}\nlost: {lost:#?}\nwrong: {wrong:#?}\nalso: {also:#?}\nbarrier: {is_barrier_raised}",
            self.cut,
            root.display()
        );
    }
}

/// What a test looked at.
#[derive(Default)]
struct Counted {
    losses: usize,
    promises: usize,
}

impl Counted {
    fn take(&mut self, loss: &Loss<'_>) {
        self.losses += 1;
        self.promises += loss.promises.sent.len() + loss.promises.answered.len();
    }

    fn print(&self) {
        let Self { losses, promises } = self;
        assert!(promises > losses, "nothing was promised");
        println!("{losses} losses of power, {promises} promises looked for");
    }
}

/// A first start, some trade with slow orders, an orderly end, a death in the middle of trade, the recovery from it, and a sweep.
fn short_life(durability: &'static str) -> Recording {
    let life = Life::new(durability, |_| {});
    let gateway = life.start(None);
    life.hold(&gateway, 6, || life.trade(&gateway, 12, 48));
    Life::stop(gateway);
    let gateway = life.start(Some(1_500));
    life.trade(&gateway, 6, 1_000);
    assert_eq!(gateway.ended().0, None, "it was to die");
    let gateway = life.start(None);
    life.hold(&gateway, 3, || life.trade(&gateway, 4, 20));
    life.await_sweep();
    life.trade(&gateway, 2, 8);
    Life::stop(gateway);
    life.recorded()
}

// covers: L1, L10, L14, O1, D1
#[test]
fn power_lost_at_any_point_breaks_no_promise() {
    const CUTS: usize = 240;
    /// Each so many-th is looked at by the whole program, too.
    const WHOLE: usize = 12;
    let case = Case::of(short_life("power"));
    let events = case.events();
    let mut counted = Counted::default();
    case.lose(Flaw::None, &cuts(&events, CUTS, is_seldom), |loss| {
        counted.take(loss);
        let also = if counted.losses % WHOLE == 0 { case.ask_again(loss) } else { Vec::new() };
        loss.assert_kept(&also);
    });
    counted.print();
}

/// The log is full while the gateway trades: its pages go to the file, and the log begins anew over what it held.
// covers: L1, L14, O1
#[test]
fn power_lost_around_a_checkpoint_breaks_no_promise() {
    const CUTS: usize = 40;
    let life = Life::new("power", |_| {});
    let gateway = life.start(None);
    life.trade(&gateway, 3, 800);
    Life::stop(gateway);
    let case = Case::of(life.recorded());
    let events = case.events();
    let inode_of = |name: &str| {
        let created = events.iter().find_map(|event| match event {
            Event::Created { inode, path } if *path == name => Some(*inode),
            _ => None,
        });
        created.unwrap()
    };
    let (file, log) = (inode_of("state/onceward.db.new"), inode_of("state/onceward.db-wal"));
    let is_checkpoint = |event: &Event<'_>| matches!(event, Event::Written { inode, .. } if *inode == file);
    let begins_log =
        |event: &&Event<'_>| matches!(event, Event::Written { inode, offset: 0, .. } if *inode == log);
    assert!(events.iter().filter(begins_log).count() > 1, "the log was not full");
    let mut counted = Counted::default();
    case.lose(Flaw::None, &cuts(&events, CUTS, is_checkpoint), |loss| {
        counted.take(loss);
        loss.assert_kept(&[]);
    });
    counted.print();
}

/// What power leaves is opened by a gateway, and lost again while it opens, recovers and ends.
// covers: L1, L10, L14, O1
#[test]
fn power_lost_again_in_recovery_breaks_no_promise() {
    const FIRST_CUTS: usize = 6;
    const CUTS: usize = 8;
    let case = Case::of(short_life("power"));
    let first = cuts(&case.events(), FIRST_CUTS, is_seldom);
    let mut counted = Counted::default();
    case.lose(Flaw::None, &first, |loss| {
        loss.assert_kept(&[]);
        let life = Life::new("power", |root| loss.image.write(root));
        Life::stop(life.start(None));
        let mut again = Case::of(life.recorded());
        again.promises = loss.promises.clone();
        let second = cuts(&again.events(), CUTS, is_seldom);
        again.lose(Flaw::None, &second, |loss| {
            counted.take(loss);
            loss.assert_kept(&[]);
        });
    });
    counted.print();
}

/// Each shows a loss, so that the tests above would see one.
#[test]
fn a_disk_that_does_not_keep_its_word_is_seen_to_lose() {
    const CUTS: usize = 24;
    let case = Case::of(short_life("power"));
    let events = case.events();
    let seldom = cuts(&events, CUTS, is_seldom);
    let torn = torn(&events, 4 * CUTS);
    for (flaw, cuts) in [(Flaw::IgnoresSyncs, &seldom), (Flaw::ForgetsNames, &seldom), (Flaw::Garbles, &torn)]
    {
        let mut losses = 0;
        case.lose(flaw, cuts, |loss| losses += usize::from(!loss.findings.lost.is_empty()));
        println!("{flaw:?}: something is lost at {losses} of {} losses of power", cuts.len());
        assert!(losses > 0, "{flaw:?}");
    }
}

/// What was promised for the process's sake alone is lost, and each loss is noticed.
// covers: T5, L14
#[test]
fn what_survives_the_process_only_is_lost_and_noticed() {
    const CUTS: usize = 60;
    let case = Case::of(short_life("process"));
    let mut losses = 0;
    case.lose(Flaw::None, &cuts(&case.events(), CUTS, is_seldom), |loss| {
        let Findings { lost, wrong, is_barrier_raised } = &loss.findings;
        assert_eq!(wrong, &Vec::<String>::new(), "{:?}", loss.cut);
        assert!(lost.is_empty() || *is_barrier_raised, "{:?}: {lost:?}", loss.cut);
        losses += usize::from(!lost.is_empty());
    });
    println!("something is lost, and noticed, at {losses} of {CUTS} losses of power");
    assert!(losses > 0);
}
