//! Killed processes: a child of this test binary works on a file, is killed, and its file is looked at.
//!
//! A killed process loses nothing from the page cache, so this proves the order of answers and commits, the lock's release and the
//! recovery of claims, and not durability; for that see `power`.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use onceward_core::record::{Decision, DoubtReason, State};
use onceward_store::{OpenError, Reply, Settle, Sqlite, SqliteOptions, Store, StoreError};
use tempfile::TempDir;

use crate::kit::{self, LOG_PAGES, SECRET_CHECK, answer, claim, id};

/// Names the file that a child works on, and its first key. Without it `child` has nothing to do.
const CHILD: &str = "ONCEWARD_STORE_TEST_CHILD";

/// Keys of one child.
const KEYS: u64 = 1_000_000;

fn open(path: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open(path, SqliteOptions { log_pages: LOG_PAGES, ..SqliteOptions::new(SECRET_CHECK) })
}

/// One line, whole, as soon as it is known.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).expect("written");
    out.flush().expect("flushed");
}

/// What a child does until it is killed, or until the store fails it: eight tasks claim, and complete two of three.
///
/// A test only in name: the parents below run it in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(orders) = std::env::var(CHILD) else { return };
    let (path, first_key) = orders.rsplit_once('#').expect("path and key");
    let first_key: u64 = first_key.parse().expect("a number");
    let store = Arc::new(open(Path::new(path)).expect("the store opens"));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut number = first_key + task;
            while work(&store, number).await.is_ok() {
                number += 8;
            }
        });
    }
    tasks.join_all().await;
    // Reading goes on where writing does not.
    assert!(store.get(id(first_key)).await.is_ok());
    say("failed");
    std::process::abort();
}

async fn work(store: &Sqlite, number: u64) -> Result<(), StoreError> {
    let reply = store.claim(claim(number)).await.inspect_err(|error| complain(number, error))?;
    let Reply::Decided { decision: Decision::Execute(attempt), .. } = reply else { panic!("{reply:?}") };
    say(&format!("claimed {number}"));
    if !number.is_multiple_of(3) {
        store.settle(id(number), attempt, Settle::Complete(answer(number))).await?;
        say(&format!("done {number}"));
    }
    Ok(())
}

/// An operation that says it did not happen must not be there afterwards.
fn complain(number: u64, error: &StoreError) {
    match error {
        StoreError::Unavailable { .. } | StoreError::Busy { .. } | StoreError::Full { .. } => {
            say(&format!("refused {number}"))
        }
        StoreError::Unknown { .. } => say(&format!("unknown {number}")),
    }
}

/// The last thing that was said of each key.
fn heard(lines: impl Iterator<Item = String>) -> BTreeMap<u64, String> {
    let mut heard = BTreeMap::new();
    for line in lines {
        // The test harness speaks on the same stream.
        if let Some((word, number)) = line.split_once(' ')
            && let Ok(number) = number.parse()
            && ["claimed", "done", "refused", "unknown"].contains(&word)
        {
            heard.insert(number, word.to_owned());
        }
    }
    heard
}

fn start(mut command: Command, path: &Path, first_key: u64) -> Child {
    command
        .env(CHILD, format!("{}#{first_key}", path.display()))
        .args(["--exact", "crash::child", "--nocapture", "--test-threads", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child")
}

/// Everything that was acknowledged is there, and nobody holds anything.
async fn check(store: &Sqlite, heard: &BTreeMap<u64, String>) {
    for (number, word) in heard {
        let state = kit::record(store, *number).await.map(|record| record.state);
        match (word.as_str(), state) {
            ("done", Some(State::Done { outcome, .. })) => assert_eq!(outcome, Some(answer(*number))),
            ("claimed", Some(State::InDoubt { reason: DoubtReason::HolderGone, .. })) => {}
            // Completed, and killed before it could say so.
            ("claimed", Some(State::Done { outcome, .. })) if number % 3 != 0 => {
                assert_eq!(outcome, Some(answer(*number)));
            }
            ("refused", None) | ("unknown", _) => {}
            (word, state) => panic!("{number} was {word}, and is {state:?}"),
        }
    }
    let report = store.verify().await.expect("verified");
    assert!(report.is_sound(), "{report:?}");
}

// covers: L10, O1, S3
#[tokio::test]
async fn a_killed_process_leaves_what_it_acknowledged_and_no_claim() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store.db");
    let mut all = BTreeMap::new();
    for round in 0..10_u64 {
        let this = Command::new(std::env::current_exe().expect("this binary"));
        let mut child = start(this, &path, (round + 1) * KEYS);
        let mut lines =
            BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        // Killed at a different point of its work each time, some of them in the middle of a checkpoint.
        let spoken: Vec<_> = lines.by_ref().take(20 + 137 * usize::try_from(round).expect("small")).collect();
        let refused = open(&path).map(drop);
        let pid = Some(child.id());
        assert!(matches!(&refused, Err(OpenError::InUse { pid: found, .. }) if *found == pid), "{refused:?}");
        child.kill().expect("killed");
        all.append(&mut heard(spoken.into_iter().chain(lines)));
        child.wait().expect("ended");
        check(&open(&path).expect("what a crash left"), &all).await;
    }
    assert!(all.len() > 1_000, "{} operations were acknowledged", all.len());
}

/// The disk is full, or says so: files may not grow beyond 1 MiB. What fails is never called a success, and what is refused has not
/// happened.
// covers: O6
#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store.db");
    let mut shell = Command::new("bash");
    // Without the signal, writes beyond the limit fail with EFBIG.
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f 1024; exec "$0" "$@""#]);
    shell.arg(std::env::current_exe().expect("this binary"));
    let mut child = start(shell, &path, KEYS);
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let lines: Vec<_> = lines.collect();
    child.wait().expect("ended");
    assert!(lines.iter().any(|line| line == "failed"), "the disk was never full: {lines:?}");
    let heard = heard(lines.into_iter());
    let failed = heard.values().filter(|word| *word == "refused" || *word == "unknown").count();
    assert!(failed > 0, "no claim failed");
    let store = open(&path).expect("with room again");
    check(&store, &heard).await;
    kit::completed(&store, 7).await;
}
