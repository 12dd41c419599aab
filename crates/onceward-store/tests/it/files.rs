//! Opening files: whose, in which condition, and what is refused. What is refused is left as it was.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onceward_core::{
    record::{DoubtReason, State},
    time::Timestamp,
};
use onceward_store::{
    Clock, EntryFilter, OpenError, Reply, Sqlite, SqliteOptions, Store, StoreError, VerifyReport,
    conformance::STARTED_MS,
};
use tempfile::TempDir;

use crate::kit::{self, SECRET_CHECK, claim, open};

/// A directory, and the path of a store in it.
fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store.db");
    (directory, path)
}

async fn barrier(store: &Sqlite) -> Option<Timestamp> {
    store.health().await.expect("the store answers").history_barrier
}

fn sql(path: &Path, statements: &str) {
    let connection = rusqlite::Connection::open(path).expect("opened");
    connection.execute_batch(statements).expect("executed");
}

#[tokio::test]
async fn a_closed_file_holds_what_it_was_given() {
    let (_directory, path) = place();
    let store = open(&path).expect("a new store");
    kit::completed(&store, 1).await;
    kit::granted(&store, 2).await;
    drop(store);
    assert!(!path.with_extension("db-wal").exists(), "an orderly end leaves no log");
    let store = open(&path).expect("the same store");
    let states =
        [kit::record(&store, 1).await, kit::record(&store, 2).await].map(|record| record.map(|r| r.state));
    assert!(
        matches!(&states[0], Some(State::Done { outcome, .. }) if *outcome == Some(kit::answer(1))),
        "{states:?}"
    );
    let gone = DoubtReason::HolderGone;
    assert!(matches!(&states[1], Some(State::InDoubt { reason, .. }) if *reason == gone), "{states:?}");
    assert_eq!(barrier(&store).await, None);
    let expected =
        VerifyReport { records: 2, counts_agree: true, epochs_agree: true, ..VerifyReport::default() };
    assert_eq!(store.verify().await.expect("verified"), expected);
    let stats = store.stats().await.expect("it answers");
    assert_eq!((stats.records, stats.runs, stats.history_barrier), ([0, 0, 1, 1, 0], 2, None));
}

// covers: S3
#[tokio::test]
async fn a_second_writer_is_refused_by_whichever_path_it_comes() {
    let (directory, path) = place();
    let store = open(&path).expect("a new store");
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    let name = directory.path().file_name().expect("a name");
    let detour = directory.path().join("..").join(name).join("store.db");
    for path in [&path, &link, &detour] {
        let refused = open(path).map(drop);
        let pid = Some(std::process::id());
        assert!(matches!(&refused, Err(OpenError::InUse { pid: found, .. }) if *found == pid), "{refused:?}");
        let text = refused.expect_err("refused").to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    }
    // The refused ones took nothing from the first: its locks still hold, and it still writes.
    assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
    kit::completed(&store, 1).await;
    drop(store);
    drop(open(&link).expect("free again"));
}

#[tokio::test]
async fn a_file_can_be_looked_at_while_it_is_written() {
    let (_directory, path) = place();
    assert!(matches!(Sqlite::open_read_only(&path, SECRET_CHECK), Err(OpenError::Io { .. })));
    assert!(!path.exists(), "looking makes nothing");
    let store = open(&path).expect("a new store");
    kit::completed(&store, 1).await;
    let looking = Sqlite::open_read_only(&path, SECRET_CHECK).expect("open to readers");
    kit::completed(&store, 2).await;
    let page = looking.scan(EntryFilter::default(), None, 10).await.expect("it answers");
    assert_eq!(page.entries.len(), 2);
    assert!(looking.verify().await.expect("verified").is_sound());
    let refused = looking.claim(claim(3)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(matches!(looking.health().await, Err(StoreError::Unavailable { .. })));
    drop(store);
    // The writer's end disturbs nobody, and a file at rest can be looked at too.
    assert!(kit::record(&looking, 2).await.is_some());
    drop(looking);
    let looking = Sqlite::open_read_only(&path, SECRET_CHECK).expect("open to readers");
    assert!(kit::record(&looking, 1).await.is_some());
    assert!(matches!(Sqlite::open_read_only(&path, [0; 32]), Err(OpenError::OtherSecret { .. })));
}

#[test]
fn new_files_are_for_their_owner_only() {
    let (directory, path) = place();
    let store = open(&path).expect("a new store");
    for file in fs::read_dir(directory.path()).expect("listed") {
        let file = file.expect("a file");
        let mode = file.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
    drop(store);
}

/// Opens `path`, which must be refused and left as it is.
fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).ok();
    let error = open(path).map(drop).expect_err("refused");
    assert_eq!(fs::read(path).ok(), before, "a refused file was changed");
    error
}

#[test]
fn what_is_no_store_is_refused() {
    let (directory, path) = place();
    fs::write(&path, "").expect("written");
    assert!(matches!(refused(&path), OpenError::Empty { .. }));
    fs::write(&path, "notes, and not a database at all\n".repeat(200)).expect("written");
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    fs::remove_file(&path).expect("removed");
    sql(&path, "CREATE TABLE bookmarks (url TEXT)");
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    fs::remove_file(&path).expect("removed");
    assert!(matches!(open(directory.path()), Err(OpenError::Foreign { .. } | OpenError::Io { .. })));
    assert!(matches!(open(&directory.path().join("missing/store.db")), Err(OpenError::Io { .. })));
    std::os::unix::fs::symlink(directory.path().join("nowhere"), &path).expect("linked");
    assert!(matches!(open(&path), Err(OpenError::DanglingLink { .. })));
}

#[test]
fn a_file_with_two_names_is_refused() {
    let (directory, path) = place();
    drop(open(&path).expect("a new store"));
    fs::hard_link(&path, directory.path().join("other.db")).expect("linked");
    assert!(matches!(refused(&path), OpenError::HardLinked { links: 2, .. }));
}

#[test]
fn a_log_without_its_file_is_refused() {
    let (directory, path) = place();
    fs::write(directory.path().join("store.db-wal"), "frames").expect("written");
    assert!(matches!(refused(&path), OpenError::OrphanedLog { .. }));
    assert!(!path.exists(), "an empty store was started beside a log");
}

#[test]
fn a_file_of_another_making_is_refused() {
    let (_directory, path) = place();
    drop(open(&path).expect("a new store"));
    let other = SqliteOptions { secret_check: [1; 32], ..kit::options(&kit::clock()) };
    assert!(matches!(Sqlite::open(&path, other), Err(OpenError::OtherSecret { .. })));
    sql(&path, "INSERT INTO migrations VALUES (99, x'00')");
    assert!(matches!(refused(&path), OpenError::Newer { found: 99, known: 2, .. }));
    sql(&path, "DELETE FROM migrations WHERE number = 99; UPDATE migrations SET sha256 = x'00'");
    assert!(matches!(refused(&path), OpenError::MigrationDiffers { number: 1, .. }));
    sql(&path, "DROP TABLE migrations");
    assert!(matches!(refused(&path), OpenError::Sqlite { .. }));
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let (_directory, path) = place();
    let store = open(&path).expect("a new store");
    for number in 0..200 {
        kit::completed(&store, number).await;
    }
    drop(store);
    let whole = fs::read(&path).expect("read");
    let mut torn = whole.clone();
    torn[8 * 4096..9 * 4096].fill(0x5a);
    fs::write(&path, &torn).expect("written");
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
    fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
    fs::write(&path, &whole).expect("written");
    open(&path).expect("whole again");
}

#[tokio::test]
async fn an_interrupted_creation_is_begun_anew() {
    let (directory, path) = place();
    fs::write(directory.path().join("store.db.new"), "half").expect("written");
    let store = open(&path).expect("a new store");
    kit::completed(&store, 1).await;
    assert!(!directory.path().join("store.db.new").exists());
}

// covers: T5
#[tokio::test]
async fn a_file_that_vanished_leaves_a_barrier() {
    let (_directory, path) = place();
    let store = open(&path).expect("a new store");
    assert_eq!(barrier(&store).await, None);
    kit::completed(&store, 1).await;
    drop(store);
    fs::remove_file(&path).expect("removed");
    let store = open(&path).expect("a new store");
    assert_eq!(barrier(&store).await, Some(Timestamp::from_ms(STARTED_MS)));
    drop(store);
    let store = open(&path).expect("the same store");
    assert_eq!(barrier(&store).await, Some(Timestamp::from_ms(STARTED_MS)));
}

// covers: T5
#[tokio::test]
async fn a_file_that_was_put_back_leaves_a_barrier() {
    let (directory, path) = place();
    drop(open(&path).expect("a new store"));
    let backup = directory.path().join("backup.db");
    fs::copy(&path, &backup).expect("copied");
    let store = open(&path).expect("the same store");
    kit::completed(&store, 1).await;
    drop(store);
    fs::copy(&backup, &path).expect("restored");
    let store = open(&path).expect("the backup");
    let reply =
        store.claim(onceward_store::Claim { issued_at: Some(Timestamp::from_ms(1)), ..claim(1) }).await;
    let barrier = Timestamp::from_ms(STARTED_MS);
    assert_eq!(reply.expect("it answers"), Reply::HistoryLost { barrier });
}

// covers: T5, L10
#[tokio::test]
async fn a_crashed_file_without_its_log_leaves_a_barrier() {
    let (directory, path) = place();
    let store = open(&path).expect("a new store");
    kit::granted(&store, 1).await;
    let copy = TempDir::new().expect("a directory");
    kit::copied(directory.path(), copy.path());
    let with_log = open(&copy.path().join("store.db")).expect("what a crash left");
    assert_eq!(barrier(&with_log).await, None);
    drop(with_log);
    kit::copied(directory.path(), copy.path());
    fs::remove_file(copy.path().join("store.db-wal")).expect("removed");
    let without = open(&copy.path().join("store.db")).expect("what is left of it");
    assert_eq!(barrier(&without).await, Some(Timestamp::from_ms(STARTED_MS)));
}

// covers: T5
#[tokio::test]
async fn a_barrier_can_be_raised_and_stays() {
    let (_directory, path) = place();
    let store = open(&path).expect("a new store");
    let raised = store.raise_barrier(None).await.expect("raised");
    assert_eq!(barrier(&store).await, Some(raised));
    drop(store);
    assert_eq!(barrier(&open(&path).expect("the same store")).await, Some(raised));
}

/// The system's clock was set back between two runs.
// covers: L9
#[tokio::test]
async fn time_goes_on_from_what_the_file_holds() {
    let (_directory, path) = place();
    let ahead = kit::clock();
    ahead.set(Timestamp::from_ms(u64::MAX / 4));
    let store = Sqlite::open(&path, kit::options(&ahead)).expect("a new store");
    kit::granted(&store, 1).await;
    drop(store);
    let options = SqliteOptions { log_pages: kit::LOG_PAGES, ..SqliteOptions::new(SECRET_CHECK) };
    let store = Sqlite::open(&path, options).expect("the same store, on the system's clock");
    let Ok(Reply::Decided { at, .. }) = store.claim(claim(2)).await else { panic!("not granted") };
    assert!(at >= ahead.now(), "{at:?}");
}

/// A clock that panics, or keeps its reader waiting, when it is told to.
#[derive(Debug, Default)]
struct UnreliableClock {
    panics: AtomicBool,
    stopped: Mutex<bool>,
    released: Condvar,
}

impl UnreliableClock {
    fn stop(&self, stopped: bool) {
        *self.stopped.lock().expect("the lock") = stopped;
        self.released.notify_all();
    }
}

impl Clock for UnreliableClock {
    fn now(&self) -> Timestamp {
        let stopped = self.stopped.lock().expect("the lock");
        drop(self.released.wait_while(stopped, |stopped| *stopped).expect("the lock"));
        assert!(!self.panics.load(Ordering::SeqCst), "told to");
        Timestamp::from_ms(STARTED_MS)
    }
}

fn unreliable(path: &Path) -> (Sqlite, Arc<UnreliableClock>) {
    let clock = Arc::new(UnreliableClock::default());
    let given: Arc<dyn Clock> = clock.clone();
    let options =
        SqliteOptions { clock: Some(given), log_pages: kit::LOG_PAGES, ..SqliteOptions::new(SECRET_CHECK) };
    (Sqlite::open(path, options).expect("a new store"), clock)
}

/// Nobody waits for ever, and the file is free for the next.
#[tokio::test]
async fn a_writer_that_panics_answers_that_it_does_not_know() {
    let (_directory, path) = place();
    let (store, clock) = unreliable(&path);
    kit::completed(&store, 1).await;
    clock.panics.store(true, Ordering::SeqCst);
    let first = store.claim(claim(2)).await;
    assert!(matches!(first, Err(StoreError::Unknown { .. })), "{first:?}");
    clock.panics.store(false, Ordering::SeqCst);
    let second = loop {
        match store.claim(claim(2)).await {
            // The queue closes a moment after the operation was dropped.
            Err(StoreError::Unknown { .. }) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    assert!(matches!(second, Err(StoreError::Unavailable { .. })), "{second:?}");
    assert!(kit::record(&store, 1).await.is_some(), "reading goes on");
    drop(store);
    let store = open(&path).expect("free again");
    assert!(kit::record(&store, 1).await.is_some());
}

/// More waits than the queue holds.
// covers: S1
#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    const MORE_THAN_QUEUE_AND_BATCH: u64 = 8_192 + 512 + 1;
    let (_directory, path) = place();
    let (store, clock) = unreliable(&path);
    let store = Arc::new(store);
    clock.stop(true);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..MORE_THAN_QUEUE_AND_BATCH {
        let store = Arc::clone(&store);
        asking.spawn(async move { store.claim(claim(number)).await });
    }
    // A refusal comes without the writer; the others wait for it.
    let first = asking.join_next().await.expect("an answer").expect("no panic");
    assert!(matches!(first, Err(StoreError::Busy { .. })), "{first:?}");
    clock.stop(false);
    let mut granted = 0;
    while let Some(answer) = asking.join_next().await {
        granted += u64::from(matches!(answer.expect("no panic"), Ok(Reply::Decided { .. })));
    }
    assert!(granted >= 8_192, "{granted}");
    kit::completed(&*store, MORE_THAN_QUEUE_AND_BATCH).await;
    let counted = store.health().await.expect("it answers").records;
    assert_eq!(counted, [0, granted, 1, 0, 0]);
}

/// Each kind of damage has its own line in the report.
#[tokio::test]
async fn a_look_through_the_file_finds_what_is_wrong() {
    let (_directory, path) = place();
    let store = open(&path).expect("a new store");
    for number in 0..4 {
        kit::completed(&store, number).await;
    }
    let sound =
        VerifyReport { records: 4, counts_agree: true, epochs_agree: true, ..VerifyReport::default() };
    let found = async |statements: &str| {
        sql(&path, statements);
        store.verify().await.expect("verified")
    };
    assert_eq!(found("").await, sound);
    let misfiled = found("UPDATE records SET due_ms = 5 WHERE place = 1").await;
    assert_eq!(misfiled, VerifyReport { misfiled: 1, ..sound.clone() });
    let unreadable = found("UPDATE records SET outcome = x'00' WHERE place = 2").await;
    assert_eq!(unreadable, VerifyReport { unreadable: 1, misfiled: 1, ..sound.clone() });
    let miscounted = found("UPDATE store SET done = 3, epoch_end = 1").await;
    let expected = VerifyReport {
        unreadable: 1,
        misfiled: 1,
        counts_agree: false,
        epochs_agree: false,
        ..sound.clone()
    };
    assert_eq!(miscounted, expected);
    assert!(sound.is_sound() && !misfiled.is_sound() && !unreadable.is_sound() && !miscounted.is_sound());
}

/// The log starts over at a checkpoint; it does not grow with what was stored.
// covers: S1
#[tokio::test]
async fn the_log_is_bounded() {
    let (directory, path) = place();
    let store = open(&path).expect("a new store");
    for number in 0..600 {
        kit::completed(&store, number).await;
    }
    let log = fs::metadata(directory.path().join("store.db-wal")).expect("the log").len();
    let primed = u64::from(kit::LOG_PAGES) * 4_120 * 9 / 8;
    assert!(log <= primed * 2, "{log} bytes of log, {primed} primed");
    assert!(fs::metadata(&path).expect("the file").len() > log, "nothing was checkpointed");
    tokio::time::timeout(Duration::from_secs(60), store.verify()).await.expect("in time").expect("verified");
}
