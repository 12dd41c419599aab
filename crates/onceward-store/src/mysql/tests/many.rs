//! Batches of several processes at once, over the same rows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::kit::{Database, NOW, UNJUDGED, audit, claim, id, mark, new_row, stored, tell};
use crate::{
    mysql::{ASKING_MAX, EXCHANGES_MAX},
    port::{AuditCursor, StoreError},
    shared::backend::{Backend, Expected, Put, Swap, Swapped},
};

/// As `Shared` does: a batch that did not happen is sent again.
async fn exchanged(store: &dyn Backend, batch: Vec<Swap>) -> Vec<Swapped> {
    for _ in 0..100 {
        match store.exchange(batch.clone().into(), NOW).await {
            Ok(answers) => return answers,
            Err(StoreError::Unavailable { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("refused a hundred times")
}

// covers: L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_claims_of_a_key_one_is_granted() {
    const KEYS: u64 = 2_000;
    // No factor in common with the number of keys, so that each step meets every key once.
    const STEPS: [u64; 6] = [1, 3, 7, 9, 11, 13];
    const CLAIMANTS: u64 = STEPS.len() as u64;
    const BATCH: usize = 50;
    let database = Database::new().await;
    let granted = Arc::new(Mutex::new(HashMap::<u64, Vec<u64>>::new()));
    let mut claimants = tokio::task::JoinSet::new();
    for (claimant, step) in (1..).zip(STEPS) {
        let (store, granted) = (database.open().await, Arc::clone(&granted));
        claimants.spawn(async move {
            // Each in another order, so that batches overlap in every way.
            let keys: Vec<_> = (0..KEYS).map(|key| (key * step + claimant * 37) % KEYS).collect();
            for batch in keys.chunks(BATCH) {
                let swaps = batch.iter().map(|&key| claim(key, key * CLAIMANTS + claimant)).collect();
                let answers = exchanged(&store, swaps).await;
                let mut granted = granted.lock().expect("unpoisoned");
                for (&key, answer) in batch.iter().zip(answers) {
                    match answer {
                        Swapped::Done => granted.entry(key).or_default().push(claimant),
                        Swapped::Found(Some(_)) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
    }
    while let Some(ended) = claimants.join_next().await {
        ended.expect("a claimant that ends");
    }
    let granted = granted.lock().expect("unpoisoned").clone();
    let store = database.open().await;
    for key in 0..KEYS {
        let winners = granted.get(&key).cloned().unwrap_or_default();
        let [winner] = winners[..] else { panic!("{key} was granted to {winners:?}") };
        let row = store.fetch(vec![id(key)], false).await.expect("read").remove(0).expect("a row");
        assert_eq!(row.mark, mark(key * CLAIMANTS + winner), "{key}");
    }
    database.remove().await;
}

/// Every kind of swap at once on a few rows: what each row went through is a chain, each link of which was granted once.
// covers: L1, L2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_many_change_lose_no_change_and_take_none_twice() {
    const ROWS: u64 = 8;
    const ROUNDS: u64 = 60;
    const WRITERS: u64 = 6;
    let database = Database::new().await;
    let changes = Arc::new(Mutex::new(Vec::new()));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, changes) = (database.open().await, Arc::clone(&changes));
        writers.spawn(async move {
            let mut known = [None; ROWS as usize];
            for round in 0..ROUNDS {
                let new = |row: u64| 1 + (round * WRITERS + writer) * ROWS + row;
                let swaps = (0..ROWS).map(|row| {
                    let expected = known[row as usize].map_or(Expected::Nothing, Expected::Row);
                    // Now and then it goes.
                    let put = if known[row as usize].is_some() && (round + row) % 5 == 0 {
                        Put::Nothing
                    } else {
                        Put::Row(new_row(new(row)))
                    };
                    let grant = matches!(put, Put::Row(_)).then_some(UNJUDGED);
                    Swap { id: id(row), expected, grant, put, audit: None }
                });
                let swaps: Vec<_> = swaps.collect();
                for ((row, swap), answer) in (0..ROWS).zip(&swaps).zip(exchanged(&store, swaps.clone()).await)
                {
                    let put = match &swap.put {
                        Put::Row(row) => Some(row.mark),
                        Put::Nothing | Put::Keep => None,
                    };
                    known[row as usize] = match answer {
                        Swapped::Done => {
                            changes.lock().expect("unpoisoned").push((row, swap.expected, put));
                            put
                        }
                        Swapped::Found(found) => found.map(|found| found.mark),
                        other => panic!("{other:?}"),
                    };
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer that ends");
    }
    let changes = changes.lock().expect("unpoisoned").clone();
    let store = database.open().await;
    for row in 0..ROWS {
        let mut followed = HashMap::new();
        let (mut made, mut went) = (0, 0);
        for (_, expected, put) in changes.iter().filter(|(of, ..)| *of == row) {
            match (expected, put) {
                (Expected::Nothing, Some(_)) => made += 1,
                // Many may find that a row has gone already, which is as good as to have deleted it.
                (Expected::Row(_), None) => went += 1,
                (Expected::Row(seen), Some(put)) => {
                    assert_eq!(followed.insert(seen.0, put.0), None, "{row}: one version was changed twice");
                }
                (Expected::Nothing, None) => panic!("never asked for"),
            }
        }
        let there = store.fetch(vec![id(row)], false).await.expect("read").remove(0).is_some();
        assert!(
            made >= 1 && made <= went + u64::from(there),
            "{row}: made {made} times, deleted {went} times"
        );
    }
    database.remove().await;
}

/// Readers that go on from the last line they saw, while many append, and hold some of their transactions open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_audit_line_appears_behind_a_reader() {
    const WRITERS: u64 = 4;
    const LINES: u64 = 120;
    let database = Database::new().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = database.open().await;
        writers.spawn(async move {
            for number in 0..LINES {
                let line = audit(writer * LINES + number);
                // By themselves, and with a swap.
                if number % 3 == 0 {
                    let key = 1_000 + writer * LINES + number;
                    let swap = Swap { audit: Some(line), ..claim(key, key) };
                    assert_eq!(exchanged(&store, vec![swap]).await, [Swapped::Done]);
                } else {
                    store.append(vec![line]).await.expect("appended");
                }
            }
        });
    }
    let store = database.open().await;
    let (mut after, mut seen) = (AuditCursor(0), Vec::new());
    while seen.len() < (WRITERS * LINES) as usize {
        let lines = store.read_audit(after, None, 7).await.expect("read");
        after = lines.last().map_or(after, |(place, _)| *place);
        seen.extend(lines.into_iter().map(|(_, line)| line.json));
        if lines_are_over(&mut writers) && store.read_audit(after, None, 1).await.expect("read").is_empty() {
            break;
        }
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer that ends");
    }
    let mut expected: Vec<_> = (0..WRITERS * LINES).map(|number| audit(number).json).collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    database.remove().await;
}

fn lines_are_over(writers: &mut tokio::task::JoinSet<()>) -> bool {
    while writers.try_join_next().is_some_and(|ended| ended.is_ok()) {}
    writers.is_empty()
}

/// A row that somebody else keeps locked: the batch did not happen, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_behind_a_lock_did_not_happen() {
    let database = Database::new().await;
    let store = database.open().await;
    exchanged(&store, vec![claim(1, 1)]).await;
    let blocking = database.options().url;
    let mut conn = mysql_async::Conn::from_url(&blocking).await.expect("connected");
    use mysql_async::prelude::Queryable as _;
    conn.query_drop("START TRANSACTION").await.expect("begun");
    conn.query_drop("SELECT * FROM onceward_records FOR UPDATE").await.expect("locked");
    let change = Swap { id: id(1), expected: Expected::Row(mark(1)), grant: None, ..claim(2, 2) };
    let refused = store.exchange(vec![claim(2, 2), change.clone()].into(), NOW).await;
    let Err(StoreError::Unavailable { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "the rows are locked");
    conn.query_drop("ROLLBACK").await.expect("unlocked");
    conn.disconnect().await.expect("disconnected");
    assert_eq!(store.fetch(vec![id(2)], false).await.expect("read"), [None]);
    assert_eq!(exchanged(&store, vec![change]).await, [Swapped::Done]);
    tell(&blocking, "SELECT 1").await;
    database.remove().await;
}

/// Operations that nobody waits for any more, on a server that does not get on: it has as many sessions of a process as ever.
// covers: S1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_waiting_leaves_no_session_behind() {
    use mysql_async::prelude::Queryable as _;
    const CONNECTIONS: u64 = (EXCHANGES_MAX + ASKING_MAX) as u64;
    let database = Database::new().await;
    let store = database.open().await;
    let mut conn = mysql_async::Conn::from_url(database.options().url).await.expect("connected");
    conn.query_drop("LOCK TABLES onceward_records WRITE").await.expect("locked");
    for number in 0..30 {
        let (change, look) =
            (store.exchange(vec![claim(number, number)].into(), NOW), store.fetch(vec![id(number)], true));
        let given_up = std::time::Duration::from_millis(10);
        // waits: as long as whoever asks has patience
        let (change, look) =
            tokio::join!(tokio::time::timeout(given_up, change), tokio::time::timeout(given_up, look));
        assert!(change.is_err() && look.is_err(), "{change:?} {look:?}");
    }
    let sessions =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()";
    let found: Option<u64> = conn.query_first(sessions).await.expect("counted");
    assert!(found.is_some_and(|found| found <= CONNECTIONS), "{found:?}");
    conn.query_drop("UNLOCK TABLES").await.expect("unlocked");
    conn.disconnect().await.expect("disconnected");
    // Connections that were given up come back in a known state.
    for number in 100..120 {
        assert_eq!(exchanged(&store, vec![claim(number, number)]).await, [Swapped::Done]);
        assert_eq!(store.fetch(vec![id(number)], true).await.expect("read"), [Some(stored(number))]);
    }
    database.remove().await;
}
