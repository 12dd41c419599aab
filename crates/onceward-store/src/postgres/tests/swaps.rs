//! Every swap in every state.

use onceward_core::time::Timestamp;

use super::*;
use crate::{
    port::{AuditCursor, EntryFilter, PageCursor, StoredAudit},
    postgres::backend::{COUNT, ESTIMATE},
};

// covers: L1
#[tokio::test]
async fn a_swap_applies_to_what_it_expects_and_to_nothing_else() {
    let (_place, store) = fresh().await;
    // Under each id: what is there, what is swapped, the answer, what is there then.
    let there = |number| Some(kept(number));
    let cases = [
        (None, NOTHING, Put::Row(row(1)), Swapped::Done, there(1)),
        (None, NOTHING, Put::Keep, Swapped::Done, None),
        (None, NOTHING, Put::Nothing, Swapped::Done, None),
        (None, Expected::Row(mark(7)), Put::Row(row(1)), Swapped::Found(None), None),
        (None, Expected::Row(mark(7)), Put::Keep, Swapped::Found(None), None),
        (None, Expected::Row(mark(7)), Put::Nothing, Swapped::Done, None),
        (Some(7), NOTHING, Put::Row(row(1)), Swapped::Found(there(7)), there(7)),
        (Some(7), NOTHING, Put::Keep, Swapped::Found(there(7)), there(7)),
        (Some(7), NOTHING, Put::Nothing, Swapped::Found(there(7)), there(7)),
        (Some(7), NOTHING, Put::Row(row(7)), Swapped::Done, there(7)),
        (Some(7), Expected::Row(mark(7)), Put::Row(row(1)), Swapped::Done, there(1)),
        (Some(7), Expected::Row(mark(7)), Put::Keep, Swapped::Done, there(7)),
        (Some(7), Expected::Row(mark(7)), Put::Nothing, Swapped::Done, None),
        (Some(8), Expected::Row(mark(7)), Put::Row(row(1)), Swapped::Found(there(8)), there(8)),
        (Some(8), Expected::Row(mark(7)), Put::Row(row(8)), Swapped::Done, there(8)),
        (Some(8), Expected::Row(mark(7)), Put::Keep, Swapped::Found(there(8)), there(8)),
        (Some(8), Expected::Row(mark(7)), Put::Nothing, Swapped::Found(there(8)), there(8)),
    ];
    // Each alone, then all as one batch under other ids.
    for offset in [0, 100] {
        for (of, (before, ..)) in (offset..).zip(&cases) {
            if let Some(before) = before {
                put(&store, of, *before).await;
            }
        }
        let batch: Vec<_> = (offset..)
            .zip(&cases)
            .map(|(of, (_, expected, new, ..))| swap(of, *expected, new.clone()))
            .collect();
        let swapped = if offset == 0 {
            let mut swapped = Vec::new();
            for one in batch {
                swapped.extend(exchanged(&store, vec![one]).await);
            }
            swapped
        } else {
            exchanged(&store, batch).await
        };
        let expected: Vec<_> = cases.iter().map(|(.., answer, _)| answer.clone()).collect();
        assert_eq!(swapped, expected);
        for (of, (.., after)) in (offset..).zip(&cases) {
            assert_eq!(&fetched(&store, of).await, after, "case {of}");
        }
    }
}

// covers: L11
#[tokio::test]
async fn a_batch_that_is_sent_twice_says_the_same_again() {
    let (_place, store) = fresh().await;
    for of in [2, 3] {
        put(&store, of, 10 + of).await;
    }
    let batch = vec![
        swap(1, NOTHING, Put::Row(row(21))),
        swap(2, Expected::Row(mark(12)), Put::Row(row(22))),
        swap(3, Expected::Row(mark(13)), Put::Nothing),
    ];
    for _ in 0..2 {
        assert_eq!(exchanged(&store, batch.clone()).await, [Swapped::Done, Swapped::Done, Swapped::Done]);
        assert_eq!(fetched(&store, 1).await, Some(kept(21)));
        assert_eq!(fetched(&store, 2).await, Some(kept(22)));
        assert_eq!(fetched(&store, 3).await, None);
    }
}

// covers: D4
#[tokio::test]
async fn an_audit_line_is_written_where_its_swap_applies_and_only_there() {
    let (_place, store) = fresh().await;
    put(&store, 2, 2).await;
    let line = |text: &str| StoredAudit { at: now(), key: None, json: text.to_owned() };
    let audited = |of, expected, put, text| Swap { audit: Some(line(text)), ..swap(of, expected, put) };
    let batch = vec![
        audited(1, NOTHING, Put::Row(row(1)), "put"),
        audited(2, NOTHING, Put::Row(row(9)), "in the way"),
        audited(3, NOTHING, Put::Keep, "looked"),
        audited(4, Expected::Row(mark(4)), Put::Keep, "not found"),
    ];
    let swapped = exchanged(&store, batch).await;
    assert_eq!(swapped, [Swapped::Done, Swapped::Found(Some(kept(2))), Swapped::Done, Swapped::Found(None)]);
    let lines = store.read_audit(AuditCursor(0), None, 10).await.expect("the server answers");
    let mut texts: Vec<_> = lines.into_iter().map(|(_, line)| line.json).collect();
    texts.sort();
    assert_eq!(texts, ["looked", "put"]);
}

#[tokio::test]
async fn due_rows_come_oldest_first_until_they_are_quarantined() {
    let (_place, store) = fresh().await;
    for number in [3, 1, 2, 4] {
        put(&store, number, number).await;
    }
    let due = async |rows_max| {
        let rows = store.due(Timestamp::from_ms(NOW_MS + 3), rows_max).await.expect("the server answers");
        rows.into_iter().map(|(id, row)| (id, row.mark)).collect::<Vec<_>>()
    };
    assert_eq!(due(9).await, [(id(1), mark(1)), (id(2), mark(2)), (id(3), mark(3))]);
    assert_eq!(due(1).await, [(id(1), mark(1))]);
    store.quarantine(id(1), mark(9)).await.expect("the server answers");
    store.quarantine(id(2), mark(2)).await.expect("the server answers");
    assert_eq!(due(9).await, [(id(1), mark(1)), (id(3), mark(3))]);
    assert_eq!(fetched(&store, 2).await, Some(kept(2)));
}

#[tokio::test]
async fn a_listing_goes_on_where_it_stopped() {
    let (_place, store) = fresh().await;
    for number in 1..=6 {
        put(&store, number, number).await;
    }
    let doubted = NewRow { kind: Kind::InDoubt, ..row(16) };
    exchanged(&store, vec![swap(6, Expected::Row(mark(6)), Put::Row(doubted))]).await;
    let list = async |filter: EntryFilter, after, rows_max| {
        let listed = store.list(filter, after, rows_max).await.expect("the server answers");
        (listed.rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), listed.next)
    };
    let all = EntryFilter::default();
    let (first, next) = list(all.clone(), None, 4).await;
    assert_eq!(first, [id(6), id(5), id(4), id(3)]);
    put(&store, 7, 7).await;
    assert_eq!(list(all.clone(), next, 4).await, (vec![id(2), id(1)], None));
    assert_eq!(list(all, Some(PageCursor(0)), 4).await, (Vec::new(), None));
    let of_actor = EntryFilter { actor: Some(row(1).actor), ..EntryFilter::default() };
    assert_eq!(list(of_actor, None, 9).await.0, [id(7), id(4), id(1)]);
    let of_key = EntryFilter { key: Some(row(2).key), ..EntryFilter::default() };
    assert_eq!(list(of_key, None, 9).await.0, [id(2)]);
    let in_doubt = EntryFilter { in_doubt_only: true, actor: Some(row(6).actor), key: Some(row(6).key) };
    assert_eq!(list(in_doubt, None, 9).await.0, [id(6)]);
}

#[tokio::test]
async fn a_survey_counts_what_is_there() {
    let (place, store) = fresh().await;
    put(&store, 1, 1).await;
    put(&store, 2, 2).await;
    let done = NewRow { kind: Kind::Done, ..row(3) };
    exchanged(&store, vec![swap(2, Expected::Row(mark(2)), Put::Row(done))]).await;
    let survey = store.survey().await.expect("the server answers");
    assert_eq!((survey.durability, survey.rows), ("power", [0, 1, 1, 0, 0]));
    assert!(survey.bytes >= 8192, "{survey:?}");
    // What is estimated of a larger table is the same, where the last ANALYZE saw all of it.
    for number in 10..40 {
        put(&store, number, number).await;
    }
    for number in 10..12 {
        let done = NewRow { kind: Kind::Done, ..row(number + 100) };
        exchanged(&store, vec![swap(number, Expected::Row(mark(number)), Put::Row(done))]).await;
    }
    place.execute(&format!("ANALYZE {}.records", place.schema())).expect("analysed");
    for statement in [COUNT, ESTIMATE] {
        assert_eq!(store.counted(statement).await.expect("the server answers"), [0, 29, 3, 0, 0]);
    }
}

// covers: L9
#[tokio::test]
async fn the_clock_is_the_servers_and_is_corrected_once() {
    let (_place, store) = fresh().await;
    let reading = store.clock().await.expect("the server answers");
    assert_eq!(reading.correction_ms, 0);
    assert!(reading.server > now());
    for (seen, correction, corrected) in [(0, -5_000, true), (0, 7, false), (-5_000, 9, true)] {
        assert_eq!(store.correct_clock(seen, correction).await.expect("the server answers"), corrected);
    }
    assert_eq!(store.clock().await.expect("the server answers").correction_ms, 9);
}
