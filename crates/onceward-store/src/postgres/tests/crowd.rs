//! Many tasks and several processes after the same rows at once.

use std::{collections::HashMap, sync::Arc};

use tokio::{sync::Barrier, task::JoinSet};

use super::*;

/// Tasks, half of them on each of two stores.
const TASKS: u64 = 8;

/// How often every row is fought for, in each way.
const ROUNDS: u64 = 12;

/// Rows in a batch.
const ROWS: u64 = 48;

/// What one task was answered, by id.
type Answers = HashMap<u64, Swapped>;

/// One task's mark in one phase of one round.
fn own(task: u64, round: u64, phase: u64, of: u64) -> u64 {
    ((round * 4 + phase) * ROWS * ROUNDS + of) * TASKS + task
}

struct Fight {
    stores: Vec<Arc<Postgres>>,
}

impl Fight {
    /// All tasks send a batch over the same rows at once, each in an order of its own.
    async fn phase(&self, batch: impl Fn(u64) -> Vec<(u64, Swap)>) -> Vec<Answers> {
        let (start, mut tasks) = (Arc::new(Barrier::new(TASKS as usize)), JoinSet::new());
        for (task, store) in (0..TASKS).zip(self.stores.iter().cycle()) {
            let (store, start, mut batch) = (Arc::clone(store), Arc::clone(&start), batch(task));
            batch.rotate_left((task * 5 % ROWS) as usize);
            tasks.spawn(async move {
                start.wait().await;
                let (of, swaps): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                let swapped = store.exchange(swaps.into(), now()).await.expect("no deadlock, no failure");
                of.into_iter().zip(swapped).collect::<Answers>()
            });
        }
        tasks.join_all().await
    }
}

// covers: L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_swaps_of_one_row_exactly_one_applies() {
    let place = shared().expect("a server");
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(Arc::new(begun(&options(place.url(), place.schema())).await.expect("a store")));
    }
    let fight = Fight { stores };
    for round in 0..ROUNDS {
        let rows = round * ROWS..(round + 1) * ROWS;
        let insert = |task: u64| {
            let put = |of: u64| swap(of, NOTHING, Put::Row(row(own(task, round, 0, of))));
            rows.clone().map(|of| (of, put(of))).collect()
        };
        let answers = fight.phase(insert).await;
        let mut held = HashMap::new();
        for of in rows.clone() {
            held.insert(of, survivor(&fight, &answers, of).await);
        }
        let update = |task: u64| {
            let put =
                |of: u64| swap(of, Expected::Row(mark(held[&of])), Put::Row(row(own(task, round, 1, of))));
            rows.clone().map(|of| (of, put(of))).collect()
        };
        let answers = fight.phase(update).await;
        for of in rows.clone() {
            let after = survivor(&fight, &answers, of).await;
            assert_ne!(held.insert(of, after), Some(after));
        }
        // Updates, deletes and inserts in one batch, each task with another share of each.
        let mixed = |task: u64| {
            let swap = |of: u64| match (of + task) % 3 {
                0 => swap(of, Expected::Row(mark(held[&of])), Put::Nothing),
                1 => swap(of, NOTHING, Put::Row(row(own(task, round, 3, of)))),
                _ => swap(of, Expected::Row(mark(held[&of])), Put::Row(row(own(task, round, 2, of)))),
            };
            rows.clone().map(|of| (of, swap(of))).collect()
        };
        fight.phase(mixed).await;
    }
}

/// The row that is there after a phase: one task's, and that one alone was told so.
async fn survivor(fight: &Fight, answers: &[Answers], of: u64) -> u64 {
    let there = fetched(&fight.stores[0], of).await.expect("a row");
    let number = u64::from_be_bytes(there.mark.0[..8].try_into().expect("eight bytes"));
    assert_eq!(there, kept(number));
    let done = answers.iter().filter(|answers| answers[&of] == Swapped::Done).count();
    assert_eq!(done, 1, "row {of}");
    let found = Swapped::Found(Some(there));
    assert!(answers.iter().all(|answers| answers[&of] == Swapped::Done || answers[&of] == found), "row {of}");
    number
}
