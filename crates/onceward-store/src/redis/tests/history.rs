//! What of a server's past is noticed (T5).

use super::*;

/// What a claim of an unknown key by an old judgement is answered: the barrier, if it was raised.
async fn barrier_after(database: &Database, number: u64) -> Option<Timestamp> {
    match persistently(database, claim(number, 1)).await {
        Swapped::Done => None,
        Swapped::History { barrier } => Some(barrier),
        other => panic!("{other:?}"),
    }
}

/// A server that synced before each answer starts again: it has everything, and says nothing of a loss.
// covers: T5
#[tokio::test]
async fn a_restart_on_a_synced_log_loses_nothing() {
    let mut server = server(Keeping::Always);
    let database = open(&server.url()).await;
    for number in 0..50 {
        assert_eq!(exchanged(&database, claim(number, 1)).await, Swapped::Done);
    }
    for _ in 0..2 {
        database.survey().await.expect("a survey");
        server.restart().expect("restarted");
        assert_eq!(barrier_after(&database, 100).await, None);
    }
    let rows = database.fetch((0..50).map(id).collect(), false).await.expect("rows");
    assert_eq!(rows.iter().flatten().count(), 50);
    assert_eq!(open(&server.url()).await.barrier(NOW).await.expect("an answer"), None);
}

/// A server that synced once a second starts again: it may have lost what it acknowledged.
// covers: T5
#[tokio::test]
async fn a_restart_on_a_lagging_log_raises_the_barrier() {
    let mut server = server(Keeping::EverySecond);
    let database = open(&server.url()).await;
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    server.restart().expect("restarted");
    assert_eq!(barrier_after(&database, 2).await, Some(NOW));
    assert_eq!(fetched(&database, 2).await, None);
    // Judged by the barrier as it is now, the key is the claimant's to run or to refuse.
    assert_eq!(exchanged(&database, claim_by(2, 1, Some(NOW))).await, Swapped::Done);
    assert_eq!(open(&server.url()).await.barrier(NOW).await.expect("an answer"), Some(NOW));
}

/// The log was synced each second for a while, and is synced at once again: what was acknowledged meanwhile is not known to be there.
// covers: T5
#[tokio::test]
async fn a_setting_that_was_weaker_for_a_while_is_remembered() {
    let mut server = server(Keeping::Always);
    let database = open(&server.url()).await;
    server.ask(&["CONFIG", "SET", "appendfsync", "everysec"]).expect("set");
    for server in database.calls.links.all() {
        server.look().await.expect("looked");
    }
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    server.ask(&["CONFIG", "SET", "appendfsync", "always"]).expect("set");
    server.restart().expect("restarted");
    let same_partition = (2..).find(|number| id(*number).as_bytes()[0] == id(1).as_bytes()[0]).expect("one");
    assert_eq!(barrier_after(&database, same_partition).await, Some(NOW));
}

/// All data goes while the server runs.
// covers: T5
#[tokio::test]
async fn an_emptied_server_raises_the_barrier() {
    let server = server(Keeping::Always);
    let database = open(&server.url()).await;
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    server.ask(&["FLUSHALL"]).expect("flushed");
    assert_eq!(barrier_after(&database, 1).await, Some(NOW));
}

/// A server without a disk forgets with its process; one that begins without anything begins behind a barrier.
// covers: T5
#[tokio::test]
async fn a_server_that_keeps_nothing_is_never_taken_for_a_new_one() {
    let mut server = server(Keeping::Nothing);
    let lax = RedisOptions { strict: false, ..options(&server.url()) };
    let first = lax.clone().connect().await.expect("a server").barrier(NOW).await.expect("an answer");
    assert!(first.is_some_and(|barrier| barrier > NOW), "{first:?}");
    server.restart().expect("restarted");
    let second = lax.connect().await.expect("a server").barrier(NOW).await.expect("an answer");
    assert!(second > first, "{second:?} {first:?}");
}

/// An older copy of the data is put in place of the present one, under a running store: no partition takes it for a restart.
// covers: T5
#[tokio::test]
async fn a_restored_copy_raises_the_barrier() {
    let mut server = server(Keeping::Always);
    let database = open(&server.url()).await;
    server.shut_down().expect("ended");
    let (log, copy) =
        (server.directory().join("appendonlydir"), tempfile::TempDir::new().expect("a directory"));
    let copied = |from: &std::path::Path, to: &std::path::Path| {
        for file in std::fs::read_dir(from).expect("listed") {
            let file = file.expect("a file");
            std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
    };
    copied(&log, copy.path());
    server.start_again().expect("started");
    // Keys at both ends of the groups that one script reaches into, and between.
    let lost = [0, 1, 63, 64, 127, 130, 191, 255].map(|first: u8| {
        (1..).find(|number| id(*number).as_bytes()[0] == first).expect("a key of each partition")
    });
    for number in lost {
        assert_eq!(persistently(&database, claim(number, 1)).await, Swapped::Done);
    }
    database.survey().await.expect("a survey");
    server.shut_down().expect("ended");
    copied(copy.path(), &log);
    server.start_again().expect("started");
    for number in lost {
        assert_eq!(barrier_after(&database, number).await, Some(NOW), "{number}");
    }
}

/// Single records, or all that is known of a partition's records, go away behind our back.
// covers: T5
#[tokio::test]
async fn an_evicted_record_is_not_granted_again() {
    let place = place();
    let database = open_at(&place).await;
    for number in 0..3 {
        assert_eq!(exchanged(&database, claim(number, 1)).await, Swapped::Done);
        assert_eq!(exchanged(&database, claim(number + 300, 1)).await, Swapped::Done);
    }
    let partition = |number| crate::redis::layout::Partition::of(id(number));
    // The row; the row and its births; the row, and all that is there of its partition.
    let gone = [
        vec![database.keys.row(id(0))],
        vec![database.keys.row(id(1)), database.keys.births(partition(1))],
        vec![
            database.keys.row(id(2)),
            database.keys.births(partition(2)),
            database.keys.states(partition(2)),
            database.keys.books(partition(2)),
        ],
    ];
    for (number, keys) in (0..).zip(gone) {
        let mut command = vec![b"DEL".as_slice()];
        command.extend(keys.iter().map(Vec::as_slice));
        place.converse(&command).expect("deleted");
        assert_eq!(barrier_after(&database, number).await, Some(NOW), "{number}");
        assert_eq!(fetched(&database, number).await, None);
    }
    assert_eq!(fetched(&database, 300).await, Some(stored(&row(300, 1, 0))));
}

/// What was known may be what was lost, too: a row may be back as it was before others were granted on it.
// covers: T5, L5
#[tokio::test]
async fn a_row_is_granted_anew_by_who_knows_of_the_loss_only() {
    let mut server = server(Keeping::EverySecond);
    let database = open(&server.url()).await;
    for number in 1..=2 {
        assert_eq!(exchanged(&database, claim(number, 1)).await, Swapped::Done);
    }
    server.restart().expect("restarted");
    let granted = |number, barrier| Swap { expected: Expected::Row(mark(1)), ..claim_by(number, 2, barrier) };
    // What grants nothing goes by its row, and settles nothing.
    let moved = Swap { grant: None, ..granted(1, None) };
    assert_eq!(persistently(&database, moved).await, Swapped::Done);
    assert_eq!(persistently(&database, granted(2, None)).await, Swapped::History { barrier: NOW });
    assert_eq!(fetched(&database, 2).await, Some(stored(&row(2, 1, 0))));
    assert_eq!(exchanged(&database, granted(2, Some(NOW))).await, Swapped::Done);
    // A copy of what was granted finds itself, whatever it was judged by.
    assert_eq!(exchanged(&database, granted(2, None)).await, Swapped::Done);
    assert_eq!(fetched(&database, 2).await, Some(stored(&row(2, 2, 0))));
}
