//! Listings, what is due, counts, the clock, and audit lines.

use super::*;
use crate::{
    port::{AuditCursor, EntryFilter, StoredAudit},
    shared::backend::{Backend, Survey},
};

/// Settles the row of this key into another kind.
async fn turned(database: &Database, number: u64, kind: Kind, due_ms: Option<u64>) {
    let due_at = due_ms.map(Timestamp::from_ms);
    let row = NewRow { kind, due_at, ..row(number, 2, 0) };
    let swap = Swap {
        id: id(number),
        expected: Expected::Row(mark(1)),
        grant: None,
        put: Put::Row(row),
        audit: None,
    };
    assert_eq!(exchanged(database, swap).await, Swapped::Done);
}

async fn listed(database: &Database, filter: &EntryFilter, rows_max: usize) -> Vec<LookupId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = database.list(filter.clone(), after, rows_max).await.expect("a page");
        assert!(page.rows.len() <= rows_max);
        ids.extend(page.rows.into_iter().map(|(id, _)| id));
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

/// Rows come and go while a listing goes from page to page: what was there all the time is listed once.
#[tokio::test]
async fn a_listing_neither_skips_nor_repeats_what_changes_meanwhile() {
    let place = place();
    let database = open_at(&place).await;
    for first in (0..600).step_by(100) {
        let batch = (first..first + 100).map(|number| claim(number, 1)).collect();
        assert_eq!(database.exchange(batch, NOW).await.expect("answers"), vec![Swapped::Done; 100]);
    }
    let (mut ids, mut after, mut newer) = (Vec::new(), None, 1_000);
    loop {
        let page = database.list(EntryFilter::default(), after, 70).await.expect("a page");
        ids.extend(page.rows.iter().map(|(id, _)| *id));
        // A row that is to come goes, one that was listed changes, and new ones are made.
        let gone = Swap { expected: Expected::Row(mark(1)), put: Put::Nothing, ..claim(newer - 1_000, 1) };
        assert_eq!(exchanged(&database, gone).await, Swapped::Done);
        turned(&database, 599 - (newer - 1_000), Kind::InDoubt, None).await;
        assert_eq!(exchanged(&database, claim(newer, 1)).await, Swapped::Done);
        newer += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let gone = (0..newer - 1_000).map(id).collect::<Vec<_>>();
    let mut stayed = ids.into_iter().filter(|id| !gone.contains(id)).collect::<Vec<_>>();
    stayed.sort_unstable_by_key(|id| *id.as_bytes());
    let mut expected = (newer - 1_000..600).map(id).collect::<Vec<_>>();
    expected.sort_unstable_by_key(|id| *id.as_bytes());
    assert_eq!(stayed, expected);
}

/// The newest first, by state, key and actor.
#[tokio::test]
async fn a_listing_is_narrowed_by_what_it_is_asked_for() {
    let place = place();
    let database = open_at(&place).await;
    for number in 0..30 {
        assert_eq!(exchanged(&database, claim(number, 1)).await, Swapped::Done);
        if number % 5 == 0 {
            turned(&database, number, Kind::InDoubt, None).await;
        }
    }
    let actor = Some(ActorTag::from_bytes(0_u64.to_be_bytes()));
    let key = Some(KeyTag::from_bytes(7_u64.to_be_bytes()));
    let all = EntryFilter::default;
    let rows: [(EntryFilter, Vec<u64>); 5] = [
        (all(), (0..30).rev().collect()),
        (EntryFilter { in_doubt_only: true, ..all() }, vec![25, 20, 15, 10, 5, 0]),
        (EntryFilter { key, ..all() }, vec![7]),
        (EntryFilter { actor, ..all() }, (0..10).rev().map(|third| third * 3).collect()),
        (EntryFilter { in_doubt_only: true, actor, key: None }, vec![15, 0]),
    ];
    for (filter, numbers) in rows {
        let expected = numbers.into_iter().map(id).collect::<Vec<_>>();
        assert_eq!(listed(&database, &filter, 4).await, expected, "{filter:?}");
    }
}

/// What is due, the longest due first, whatever its kind; what is in doubt, undated or quarantined is not.
// covers: L7, T3
#[tokio::test]
async fn what_is_due_is_found_in_the_order_of_its_time() {
    let place = place();
    let database = open_at(&place).await;
    let batch = (0..8).map(|number| claim(number, 1)).collect();
    assert_eq!(database.exchange(batch, NOW).await.expect("answers"), vec![Swapped::Done; 8]);
    for (number, kind, due_ms) in [
        (0, Kind::Done, Some(300)),
        (1, Kind::Tombstone, Some(100)),
        (2, Kind::Claimed, Some(200)),
        (3, Kind::InDoubt, None),
        (4, Kind::Claimed, None),
        (5, Kind::Absent, Some(250)),
        (6, Kind::Done, Some(401)),
        (7, Kind::Done, Some(150)),
    ] {
        turned(&database, number, kind, due_ms).await;
    }
    database.quarantine(id(7), mark(2)).await.expect("quarantined");
    let due = async |rows_max| {
        let rows = database.due(Timestamp::from_ms(400), rows_max).await.expect("rows");
        rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(due(100).await, [1, 2, 5, 0].map(id));
    assert_eq!(due(2).await, [1, 2].map(id));
    assert_eq!(fetched(&database, 7).await.expect("it stays").mark, mark(2));
    let survey = database.survey().await.expect("a survey");
    let bytes = survey.bytes;
    assert_eq!(survey, Survey { durability: "power", rows: [1, 2, 3, 1, 1], bytes });
    assert!(bytes > 100_000, "{bytes}");
}

/// The correction is replaced only by who has seen it, and outlives the process.
// covers: L9
#[tokio::test]
async fn a_correction_of_the_clock_is_not_overwritten_unseen() {
    let place = place();
    let database = open_at(&place).await;
    assert!(database.correct_clock(0, -1_500).await.expect("an answer"));
    assert!(!database.correct_clock(0, 99).await.expect("an answer"));
    let reading = open_at(&place).await.clock().await.expect("a reading");
    assert_eq!(reading.correction_ms, -1_500);
    let machine = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert!(reading.server.as_ms().abs_diff(machine.as_millis() as u64) < 60_000);
}

fn line(number: u64) -> StoredAudit {
    let key = number.is_multiple_of(2).then(|| KeyTag::from_bytes((number % 10).to_be_bytes()));
    StoredAudit { at: Timestamp::from_ms(number), key, json: number.to_string() }
}

/// Many write while one reads on from where it is: it gets each line once, and none behind a position that it has passed.
// covers: A1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_audit_log_misses_nothing() {
    const WRITERS: u64 = 6;
    const LINES: u64 = 200;
    let place = place();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        // In partitions of their own, as if they were processes of their own.
        let mut database = open_at(&place).await;
        database.log_partition = crate::redis::layout::Partition(writer as u8 * 40);
        tasks.spawn(async move {
            for number in 0..LINES / 4 {
                let lines = (0..4).map(|part| line(writer * LINES + number * 4 + part)).collect();
                database.append(lines).await.expect("appended");
            }
        });
    }
    let database = open_at(&place).await;
    let (mut after, mut seen) = (AuditCursor::default(), Vec::new());
    while (seen.len() as u64) < WRITERS * LINES {
        let lines = database.read_audit(after, None, 50).await.expect("lines");
        after = lines.last().map_or(after, |(position, _)| *position);
        seen.extend(lines.into_iter().map(|(_, line)| line.at.as_ms()));
    }
    tasks.join_all().await;
    for writer in 0..WRITERS {
        let own = seen.iter().copied().filter(|number| number / LINES == writer).collect::<Vec<_>>();
        assert_eq!(own, (writer * LINES..(writer + 1) * LINES).collect::<Vec<_>>());
    }
    let of_key =
        database.read_audit(AuditCursor(0), Some(KeyTag::from_bytes(4_u64.to_be_bytes())), 10_000).await;
    let of_key = of_key.expect("lines").into_iter().filter(|(_, line)| line.at.as_ms() % 10 == 4).count();
    assert_eq!(of_key as u64, WRITERS * LINES / 10);
    assert_eq!(
        database.trim_audit(Timestamp::from_ms(u64::MAX), 10_000).await.expect("trimmed"),
        WRITERS * LINES
    );
}
