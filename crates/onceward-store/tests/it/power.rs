//! Power cuts, as far as they can be had without cutting power.
//!
//! What a disk holds after a cut is what was synced, and any part of what was written since. Under `synchronous = FULL` a commit is
//! answered after its frames were synced, and a checkpoint writes to the database only what the synced log holds. So the states to survive
//! are: the log cut or scribbled over anywhere behind the last acknowledged frame, and the database with any subset of a checkpoint's pages.
//! These tests make such states from real files. They prove that what SQLite was told to sync is enough to bring back every acknowledged
//! operation. They do not prove that the system and the disk keep what they say they synced; nobody can from here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use onceward_core::record::{Decision, State};
use onceward_store::{Settle, Sqlite, SqliteOptions, Store};
use tempfile::TempDir;

use crate::kit::{self, answer, decision, granted, id};

/// How far one key had come when it was last acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Nothing,
    Claimed,
    Done,
}

/// An acknowledged operation, and how long the log was then.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    number: u64,
    progress: Progress,
    log_bytes: usize,
}

/// SplitMix64, so that each run cuts at the same places.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn below(state: &mut u64, bound: usize) -> usize {
    usize::try_from(random(state) % bound as u64).expect("it is below a length")
}

fn open(path: &Path, log_pages: u32) -> Sqlite {
    Sqlite::open(path, SqliteOptions { log_pages, ..kit::options(&kit::clock()) }).expect("a store")
}

fn read(directory: &Path) -> (Vec<u8>, Vec<u8>) {
    let read = |name| fs::read(directory.join(name)).expect("read");
    (read("store.db"), read("store.db-wal"))
}

fn image(database: &[u8], log: &[u8]) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("store.db");
    fs::write(&path, database).expect("written");
    fs::write(directory.path().join("store.db-wal"), log).expect("written");
    (directory, path)
}

/// How far a key got, by what the store says of it; an answer must be its own, to the byte.
async fn progress(store: &Sqlite, number: u64) -> Progress {
    match kit::record(store, number).await.map(|record| record.state) {
        None => Progress::Nothing,
        Some(State::InDoubt { .. }) => Progress::Claimed,
        Some(State::Done { outcome, .. }) => {
            assert_eq!(outcome, Some(answer(number)));
            Progress::Done
        }
        Some(other) => panic!("record {number} is {other:?}"),
    }
}

/// Opens a file with a cut log and compares it with what was acknowledged before the cut.
async fn check_cut(database: &[u8], log: &[u8], synced: usize, operations: &[Acknowledged]) {
    let (_directory, path) = image(database, log);
    let store = open(&path, 0);
    let mut ended = false;
    for operation in operations {
        let found = progress(&store, operation.number).await >= operation.progress;
        assert!(found || operation.log_bytes > synced, "{operation:?} is lost at {synced} of {}", log.len());
        // Commits come back in the order in which they were made, without a gap.
        assert!(!(found && ended), "{operation:?} is there, and an earlier one is not");
        ended |= !found;
    }
    let report = store.verify().await.expect("verified");
    assert!(report.is_sound(), "{report:?}");
}

/// The log, cut at a hundred places and scribbled over behind them.
// covers: L1, O1
#[tokio::test]
async fn a_cut_in_the_log_loses_nothing_that_was_synced() {
    let directory = TempDir::new().expect("a directory");
    // Without checkpoints, so that the database stays as it is and the log is all there is.
    let store = open(&directory.path().join("store.db"), 0);
    let mut operations = Vec::new();
    let log_bytes = || read(directory.path()).1.len();
    for number in 0..40 {
        let attempt = granted(&store, number).await;
        operations.push(Acknowledged { number, progress: Progress::Claimed, log_bytes: log_bytes() });
        let settled = store.settle(id(number), attempt, Settle::Complete(answer(number))).await;
        assert_eq!(decision(settled), Decision::Settled);
        operations.push(Acknowledged { number, progress: Progress::Done, log_bytes: log_bytes() });
    }
    let (database, log) = read(directory.path());
    let mut seed = 1;
    for round in 0..100 {
        // An exact end of a commit in each fourth round, where the next byte would be the first one lost.
        let cut = if round % 4 == 0 {
            operations[below(&mut seed, operations.len())].log_bytes
        } else {
            below(&mut seed, log.len() + 1)
        };
        let mut torn = log[..cut].to_vec();
        match round % 3 {
            0 => {}
            1 => torn.resize(log.len(), 0),
            _ => {
                // Sectors that were written out of order, among ones that were not.
                torn.resize(log.len(), 0);
                for (kept, (torn, whole)) in
                    torn[cut..].chunks_mut(512).zip(log[cut..].chunks(512)).enumerate()
                {
                    // Never the first one, which would only move the cut.
                    if kept > 0 && random(&mut seed).is_multiple_of(2) {
                        torn.copy_from_slice(whole);
                    }
                }
            }
        }
        check_cut(&database, &torn, cut, &operations).await;
    }
}

/// The database, with some of a checkpoint's pages written and others not, while the log still holds them all.
// covers: L1, O1
#[tokio::test]
async fn a_cut_in_a_checkpoint_loses_nothing() {
    let directory = TempDir::new().expect("a directory");
    let store = open(&directory.path().join("store.db"), 64);
    let (mut seed, mut checkpoints) = (2, 0);
    let mut acknowledged = Vec::new();
    let mut before = read(directory.path()).0;
    while checkpoints < 4 {
        // Looked at after each operation: the next one may start the log over.
        let number = acknowledged.len() as u64;
        let attempt = granted(&store, number).await;
        acknowledged.push(Progress::Claimed);
        let mut states = vec![(read(directory.path()), acknowledged.clone())];
        let settled = store.settle(id(number), attempt, Settle::Complete(answer(number))).await;
        assert_eq!(decision(settled), Decision::Settled);
        acknowledged.pop();
        acknowledged.push(Progress::Done);
        states.push((read(directory.path()), acknowledged.clone()));
        for ((after, log), acknowledged) in states {
            if after != before {
                checkpoints += 1;
                check_checkpoint(&before, &after, &log, &acknowledged, &mut seed).await;
                before = after;
            }
        }
    }
}

/// Opens files in which some of a checkpoint's pages are written and others are not.
async fn check_checkpoint(
    before: &[u8],
    after: &[u8],
    log: &[u8],
    acknowledged: &[Progress],
    seed: &mut u64,
) {
    const PAGE_BYTES: usize = 4_096;
    for _ in 0..6 {
        let mut mixed = after.to_vec();
        for (page, bytes) in mixed.chunks_mut(PAGE_BYTES).enumerate() {
            if random(seed).is_multiple_of(2) {
                match before.get(page * PAGE_BYTES..(page + 1) * PAGE_BYTES) {
                    Some(old) => bytes.copy_from_slice(old),
                    None => bytes.fill(0),
                }
            }
        }
        let (_directory, path) = image(&mixed, log);
        let store = open(&path, 0);
        for (number, expected) in (0_u64..).zip(acknowledged) {
            assert_eq!(progress(&store, number).await, *expected, "record {number}");
        }
        let report = store.verify().await.expect("verified");
        assert!(report.is_sound(), "{report:?}");
    }
}
