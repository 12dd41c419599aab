//! Marks of twins in a table that fails, that is damaged, and that several processes share.

use std::time::Duration;

use onceward_core::twin::Mark;
use onceward_store::{Fault, Faults, Marked, Store, Table};

use super::kit::{now, open};
use crate::kit::{WINDOW, bid, clock, id};

/// What [`bid`] of key `holder` left at the start.
fn mark(holder: u64) -> Mark {
    Mark { holder: bid(1, holder).bid.holder, since: now(), until: now().after(WINDOW) }
}

/// What goes wrong once is not noticed by anybody.
// covers: P5, L11
#[tokio::test(start_paused = true)]
async fn one_failure_changes_nothing() {
    let stall = Fault::Late(Duration::from_secs(60));
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Torn, Fault::Repeated, stall] {
        let (table, clock) = (Table::default(), clock());
        let store = open(&table, &clock, 1).await;
        table.fail(Faults::scripted([fault]));
        assert_eq!(store.mark_twin(bid(1, 1)).await.expect("it answers"), Marked::Held, "{fault:?}");
        table.fail(Faults::scripted([fault]));
        let told = store.mark_twin(bid(1, 2)).await.expect("it answers");
        assert_eq!(told, Marked::Taken(mark(1)), "{fault:?}");
        assert_eq!(store.mark_twin(bid(1, 1)).await.expect("it answers"), Marked::Held, "{fault:?}");
    }
}

/// One process marks what another one finds marked, and sweeps.
// covers: P5, T3
#[tokio::test]
async fn processes_share_their_marks() {
    let (table, clock) = (Table::default(), clock());
    let (one, other) = (open(&table, &clock, 1).await, open(&table, &clock, 2).await);
    assert_eq!(one.mark_twin(bid(1, 1)).await.expect("it answers"), Marked::Held);
    assert_eq!(other.mark_twin(bid(1, 2)).await.expect("it answers"), Marked::Taken(mark(1)));
    clock.advance(WINDOW);
    assert_eq!(other.sweep(10).await.expect("it answers").marks, 1);
    assert_eq!(one.sweep(10).await.expect("it answers").marks, 0);
    assert!(table.bytes().is_empty());
}

/// It stops nobody, is written anew, and is not in the sweep's way.
// covers: P5, L8
#[tokio::test]
async fn a_damaged_mark_stops_nobody() {
    let (table, clock) = (Table::default(), clock());
    let store = open(&table, &clock, 1).await;
    let row = id(1_000_001);
    assert_eq!(store.mark_twin(bid(1, 1)).await.expect("it answers"), Marked::Held);
    assert!(table.damage(row));
    assert_eq!(store.mark_twin(bid(1, 2)).await.expect("it answers"), Marked::Held);
    assert_eq!(store.mark_twin(bid(1, 1)).await.expect("it answers"), Marked::Taken(mark(2)));
    assert!(table.damage(row));
    clock.advance(WINDOW);
    assert_eq!(store.sweep(10).await.expect("it answers").marks, 1);
    assert!(table.bytes().is_empty());
}
