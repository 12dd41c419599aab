//! The exchange of rows on a real server: each swap against each state, alone and by the thousand.

mod kit;
mod many;
mod past;
mod replica;
mod tls;
mod unflushed;

use onceward_core::{
    actor::{ActorTag, KeyTag},
    time::Timestamp,
};

use self::kit::{Database, NOW, UNJUDGED, audit, claim, id, mark, new_row, stored};
use crate::{
    port::{AuditCursor, EntryFilter, PageCursor, StoredAudit},
    shared::backend::{Backend, Expected, Mark, Put, StoredRow, Swap, Swapped},
    step::Kind,
};

/// What a test expects of one swap: the answer, the row afterwards, and whether its audit line stands.
type Outcome = (Swapped, Option<StoredRow>, bool);

/// Each way to swap, with what comes of it where no row is there, and where the row marked 1 is.
fn swaps() -> Vec<(Expected, Put, Outcome, Outcome)> {
    let there = || Some(stored(1));
    let found = || (Swapped::Found(there()), there(), false);
    let missing = || (Swapped::Found(None), None, false);
    let (one, other) = (Expected::Row(mark(1)), Expected::Row(mark(7)));
    let new = || Put::Row(new_row(2));
    let put = || (Swapped::Done, Some(stored(2)), true);
    vec![
        (Expected::Nothing, Put::Keep, (Swapped::Done, None, true), found()),
        (Expected::Nothing, Put::Nothing, (Swapped::Done, None, true), found()),
        (Expected::Nothing, new(), put(), found()),
        (one, Put::Keep, missing(), (Swapped::Done, there(), true)),
        (one, Put::Nothing, (Swapped::Done, None, true), (Swapped::Done, None, true)),
        (one, new(), missing(), put()),
        (other, Put::Keep, missing(), found()),
        (other, Put::Nothing, (Swapped::Done, None, true), found()),
        (other, new(), missing(), found()),
    ]
}

// covers: L1, L2, L11, D4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_swap_meets_each_state() {
    let database = Database::new().await;
    let store = database.open().await;
    for there in [false, true] {
        // Alone, and all in one batch, of which each goes its own way.
        for together in [false, true] {
            let base = u64::from(there) * 200 + u64::from(together) * 100;
            let ids: Vec<_> = (base..).take(swaps().len()).collect();
            if there {
                let first: Vec<_> = ids.iter().map(|&number| claim(number, 1)).collect();
                assert_eq!(
                    store.exchange(first.into(), NOW).await.expect("made"),
                    vec![Swapped::Done; ids.len()]
                );
            }
            let batch = ids.iter().zip(swaps()).map(|(&number, (expected, put, ..))| Swap {
                id: id(number),
                expected,
                grant: matches!(put, Put::Row(_)).then_some(UNJUDGED),
                put,
                audit: Some(audit(number)),
            });
            let batch: Vec<_> = batch.collect();
            let mut answers = Vec::new();
            if together {
                answers = store.exchange(batch.into(), NOW).await.expect("exchanged");
            } else {
                for swap in batch {
                    answers.extend(store.exchange(vec![swap].into(), NOW).await.expect("exchanged"));
                }
            }
            let rows = store.fetch(ids.iter().map(|&number| id(number)).collect(), true).await.expect("read");
            let lines = store.read_audit(AuditCursor(0), None, 1_000).await.expect("read");
            for ((number, (expected, put, absent, present)), (answer, row)) in
                ids.iter().zip(swaps()).zip(answers.into_iter().zip(rows))
            {
                let line = lines.iter().any(|(_, line)| *line == audit(*number));
                let wanted = if there { present } else { absent };
                assert_eq!((answer, row, line), wanted, "there: {there}, {together}: {expected:?} {put:?}");
            }
        }
    }
    database.remove().await;
}

// covers: L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_that_is_sent_twice_finds_itself() {
    let database = Database::new().await;
    let store = database.open().await;
    let swap = |number, expected, put| {
        let grant = matches!(put, Put::Row(_)).then_some(UNJUDGED);
        Swap { id: id(number), expected, grant, put, audit: None }
    };
    let steps = [
        swap(1, Expected::Nothing, Put::Row(new_row(1))),
        swap(1, Expected::Row(mark(1)), Put::Row(new_row(2))),
        swap(1, Expected::Row(mark(2)), Put::Keep),
        swap(1, Expected::Row(mark(2)), Put::Nothing),
        swap(1, Expected::Nothing, Put::Keep),
    ];
    for step in steps {
        for _ in 0..2 {
            assert_eq!(
                store.exchange(vec![step.clone()].into(), NOW).await.expect("exchanged"),
                [Swapped::Done],
                "{step:?}"
            );
        }
    }
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_back_in_pages_and_when_they_are_due() {
    let database = Database::new().await;
    let store = database.open().await;
    let row = |number: u64, kind, due_ms: Option<u64>, key, actor| {
        let mut row = new_row(number);
        row.kind = kind;
        row.due_at = due_ms.map(Timestamp::from_ms);
        (row.key, row.actor) = (KeyTag::from_bytes([key; 8]), ActorTag::from_bytes([actor; 8]));
        Swap { put: Put::Row(row), ..claim(number, number) }
    };
    let rows = [
        row(1, Kind::Claimed, Some(30), 1, 1),
        row(2, Kind::Done, Some(10), 2, 1),
        row(3, Kind::InDoubt, None, 1, 2),
        row(4, Kind::Tombstone, Some(40), 2, 2),
    ];
    for swap in rows {
        store.exchange(vec![swap].into(), NOW).await.expect("made");
    }
    let head = |number| (id(number), StoredRow { outcome: None, ..stored(number) });
    let due = store.due(Timestamp::from_ms(30), 10).await.expect("read");
    assert_eq!(due, [head(2), head(1)]);
    assert_eq!(store.due(Timestamp::from_ms(30), 1).await.expect("read"), [head(2)]);
    store.quarantine(id(2), mark(7)).await.expect("another row's mark changes nothing");
    store.quarantine(id(2), mark(2)).await.expect("taken out");
    assert_eq!(store.due(Timestamp::from_ms(30), 10).await.expect("read"), [head(1)]);
    assert_eq!(store.fetch(vec![id(2), id(9)], false).await.expect("read"), [Some(head(2).1), None]);

    let filter = EntryFilter::default();
    let first = store.list(filter.clone(), None, 3).await.expect("read");
    assert_eq!(first.rows, [head(4), head(3), head(2)]);
    let rest = store.list(filter, first.next, 3).await.expect("read");
    assert_eq!((rest.rows, rest.next), (vec![head(1)], None));
    let narrowed = [
        (EntryFilter { in_doubt_only: true, ..EntryFilter::default() }, vec![head(3)]),
        (
            EntryFilter { key: Some(KeyTag::from_bytes([1; 8])), ..EntryFilter::default() },
            vec![head(3), head(1)],
        ),
        (
            EntryFilter { actor: Some(ActorTag::from_bytes([1; 8])), ..EntryFilter::default() },
            vec![head(2), head(1)],
        ),
    ];
    for (filter, expected) in narrowed {
        let page = store.list(filter.clone(), Some(PageCursor(u64::MAX)), 10).await.expect("read");
        assert_eq!(page.rows, expected, "{filter:?}");
    }
    let survey = store.survey().await.expect("surveyed");
    assert_eq!((survey.durability, survey.rows), ("power", [0, 1, 1, 1, 1]));
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_lines_are_read_behind_a_position_and_trimmed_from_the_oldest_on() {
    let database = Database::new().await;
    let store = database.open().await;
    let line = |at_ms, key: Option<u8>| StoredAudit {
        at: Timestamp::from_ms(at_ms),
        key: key.map(|key| KeyTag::from_bytes([key; 8])),
        json: format!("{{\"at\":{at_ms},\"name\":\"ä\u{1f600}'\\\\\"}}"),
    };
    let lines = [line(1, Some(1)), line(2, None), line(3, Some(2)), line(4, Some(1))];
    store.append(lines[..3].to_vec()).await.expect("appended");
    store.append(lines[3..].to_vec()).await.expect("appended");
    let read = store.read_audit(AuditCursor(0), None, 10).await.expect("read");
    let (places, found): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    assert_eq!(found, lines);
    let behind = store.read_audit(places[1], Some(KeyTag::from_bytes([1; 8])), 10).await.expect("read");
    assert_eq!(behind, [(places[3], lines[3].clone())]);
    assert_eq!(store.trim_audit(Timestamp::from_ms(4), 2).await.expect("trimmed"), 2);
    assert_eq!(store.trim_audit(Timestamp::from_ms(4), 5).await.expect("trimmed"), 1);
    assert_eq!(store.trim_audit(Timestamp::from_ms(4), 5).await.expect("trimmed"), 0);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_of_the_clock_replaces_the_one_that_was_seen() {
    let database = Database::new().await;
    let store = database.open().await;
    let first = store.clock().await.expect("read");
    assert_eq!(first.correction_ms, 0);
    assert!(store.correct_clock(0, -5_000).await.expect("asked"));
    assert!(!store.correct_clock(0, 7).await.expect("asked"));
    assert!(store.correct_clock(-5_000, -5_000).await.expect("asked"));
    let second = store.clock().await.expect("read");
    assert_eq!(second.correction_ms, -5_000);
    assert!(first.server <= second.server);
    database.remove().await;
}

/// Two ids that a case-blind collation takes for one, and a mark that ends in spaces and zeros.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_bytes_and_not_words() {
    let database = Database::new().await;
    let store = database.open().await;
    let lower = onceward_core::actor::LookupId::from_bytes([b'a'; 32]);
    let upper = onceward_core::actor::LookupId::from_bytes([b'A'; 32]);
    let mut ends = [b'x'; 32];
    ends[28..].copy_from_slice(b" \0 \0");
    let blank = onceward_core::actor::LookupId::from_bytes(ends);
    let odd = Mark(*b"mark ends in  \0 ");
    let swaps = [lower, upper, blank].map(|id| {
        let put = Put::Row(crate::shared::backend::NewRow { mark: odd, ..new_row(1) });
        Swap { id, put, ..claim(1, 1) }
    });
    assert_eq!(
        store.exchange(swaps.to_vec().into(), NOW).await.expect("made"),
        [Swapped::Done, Swapped::Done, Swapped::Done]
    );
    let rows = store.fetch(vec![lower, upper, blank], true).await.expect("read");
    assert_eq!(rows, vec![Some(StoredRow { mark: odd, ..stored(1) }); 3]);
    database.remove().await;
}
