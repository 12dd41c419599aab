//! A database server whose clock steps. On tokio's paused clock, so that a second until the next reading passes at once; the server's and the
//! local clock are real, and differ by what the test steps.

use std::time::Duration;

use onceward_core::record::Decision;
use onceward_store::{Shared, Store, Table};
use tokio::time::{Instant, sleep};

use super::kit::{again, open_on_server_time};
use crate::kit::{LEASE, claim, decision, granted};

/// One period of reading the clock, and what the reading itself takes.
const NEXT_READING: Duration = Duration::from_millis(1_100);

async fn steps(store: &Shared) -> u64 {
    let link = store.health().await.expect("the store answers").link;
    link.expect("a shared store has one").clock_steps()
}

/// The claim is live. Its lease is shorter by no more than this test takes, and longer by no more than a reading may be behind.
async fn assert_live(store: &Shared, number: u64) {
    match decision(store.claim(again(number, 2)).await) {
        Decision::Wait { lease_left, .. } => {
            let sound = LEASE - Duration::from_secs(10)..LEASE + Duration::from_millis(500);
            assert!(sound.contains(&lease_left), "{lease_left:?}");
        }
        other => panic!("a live lease was freed: {other:?}"),
    }
}

// covers: L9
#[tokio::test(start_paused = true)]
async fn a_step_of_the_servers_clock_frees_no_lease_in_any_process() {
    for step_ms in [3_600_000, -3_600_000] {
        let table = Table::default();
        let (here, there) = (open_on_server_time(&table, 1).await, open_on_server_time(&table, 2).await);
        granted(&here, 1).await;
        let before = table.corrected_now();
        // Whoever has a time of its own is past it before the next reading, and after it.
        table.step_clock(step_ms);
        assert_live(&here, 1).await;
        // A process that starts on the stepped clock waits until somebody could correct it.
        let newcomer = open_on_server_time(&table, 3).await;
        assert_live(&newcomer, 1).await;
        sleep(NEXT_READING).await;
        for store in [&here, &there, &newcomer] {
            assert_live(store, 1).await;
        }
        // One of them undid the step, for all.
        assert_eq!(steps(&here).await + steps(&there).await + steps(&newcomer).await, 1);
        let off = table.corrected_now().as_ms().abs_diff(before.as_ms());
        assert!(off < 10_000, "{off} ms off after a step of {step_ms}");
        // What they claim now is live for a process that starts later.
        granted(&there, 2).await;
        assert_live(&open_on_server_time(&table, 4).await, 2).await;
    }
}

/// The first claim waits until the clock has been watched, and no longer.
// covers: L9
#[tokio::test(start_paused = true)]
async fn a_process_watches_the_clock_before_it_works() {
    let store = open_on_server_time(&Table::default(), 1).await;
    let began = Instant::now();
    granted(&store, 1).await;
    let took = began.elapsed();
    assert!((Duration::from_millis(1_250)..Duration::from_millis(1_300)).contains(&took), "{took:?}");
    let began = Instant::now();
    decision(store.claim(claim(2)).await);
    assert_eq!(began.elapsed(), Duration::ZERO);
}
