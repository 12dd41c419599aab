//! Swaps.

use super::*;
use crate::{port::StoredAudit, shared::backend::Swapped::*};

fn outcome_row(number: u64, version: u64) -> NewRow {
    NewRow { kind: Kind::Done, outcome: Some(b"answer".to_vec()), ..row(number, version, NOW.as_ms()) }
}

/// Each expectation, each thing to put, each state: what it answers, and what is there afterwards.
// covers: L1, L2
#[tokio::test]
async fn a_swap_applies_where_it_finds_what_it_expects() {
    let place = place();
    let database = open_at(&place).await;
    let (old, new) = (row(0, 1, 5), outcome_row(0, 2));
    let (there, put) = (Some(stored(&old)), Some(stored(&new)));
    let rows = [
        (None, Expected::Nothing, Put::Keep, Done, None),
        (None, Expected::Nothing, Put::Nothing, Done, None),
        (None, Expected::Nothing, Put::Row(new.clone()), Done, put.clone()),
        (None, Expected::Row(mark(1)), Put::Keep, Found(None), None),
        (None, Expected::Row(mark(1)), Put::Nothing, Done, None),
        (None, Expected::Row(mark(1)), Put::Row(new.clone()), Found(None), None),
        (Some(&old), Expected::Nothing, Put::Keep, Found(there.clone()), there.clone()),
        (Some(&old), Expected::Nothing, Put::Nothing, Found(there.clone()), there.clone()),
        (Some(&old), Expected::Nothing, Put::Row(new.clone()), Found(there.clone()), there.clone()),
        (Some(&old), Expected::Row(mark(1)), Put::Keep, Done, there.clone()),
        (Some(&old), Expected::Row(mark(1)), Put::Nothing, Done, None),
        (Some(&old), Expected::Row(mark(1)), Put::Row(new.clone()), Done, put.clone()),
        (Some(&old), Expected::Row(mark(9)), Put::Keep, Found(there.clone()), there.clone()),
        (Some(&old), Expected::Row(mark(9)), Put::Nothing, Found(there.clone()), there.clone()),
        (Some(&old), Expected::Row(mark(9)), Put::Row(new.clone()), Found(there.clone()), there.clone()),
        (Some(&new), Expected::Nothing, Put::Row(new.clone()), Done, put.clone()),
        (Some(&new), Expected::Row(mark(1)), Put::Row(new.clone()), Done, put.clone()),
    ];
    for (number, (state, expected, put, answer, left)) in (1..).zip(rows) {
        if let Some(state) = state {
            let made = Swap { id: id(number), put: Put::Row(state.clone()), ..claim(number, 0) };
            assert_eq!(exchanged(&database, made).await, Done);
        }
        let grant = matches!(put, Put::Row(_)).then_some(Grant { barrier: None });
        let swap = Swap { id: id(number), expected, grant, put, audit: None };
        assert_eq!(exchanged(&database, swap.clone()).await, answer, "{number}");
        assert_eq!(fetched(&database, number).await, left, "{number}");
        // The same once more, as after a lost answer, says the same.
        assert_eq!(exchanged(&database, swap).await, answer, "{number} again");
        assert_eq!(fetched(&database, number).await, left, "{number} again");
    }
}

/// A batch of all kinds, over many partitions: each swap by itself.
#[tokio::test]
async fn a_swap_that_does_not_apply_keeps_none_of_its_batch_from_it() {
    let place = place();
    let database = open_at(&place).await;
    for number in (0..300).step_by(3) {
        assert_eq!(exchanged(&database, claim(number, 1)).await, Done);
    }
    let swapped =
        database.exchange((0..300).map(|number| claim(number, 2)).collect(), NOW).await.expect("answers");
    let expected = (0..300).map(|number| match number % 3 {
        0 => Found(Some(stored(&row(number, 1, 0)))),
        _ => Done,
    });
    assert_eq!(swapped, expected.collect::<Vec<_>>());
}

/// Thousands of claims of some hundred keys at the same time, over two connections, in batches: one wins each.
// covers: L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_simultaneous_claims_wins_each_key() {
    const KEYS: u64 = 200;
    let place = place();
    let databases = [Arc::new(open_at(&place).await), Arc::new(open_at(&place).await)];
    let mut tasks = tokio::task::JoinSet::new();
    for contender in 0..20 {
        let database = Arc::clone(&databases[contender as usize % 2]);
        tasks.spawn(async move {
            // Each begins elsewhere, so that batches overlap in all ways.
            let numbers = (0..KEYS).map(|number| (number + contender * 37) % KEYS).collect::<Vec<_>>();
            let mut won = Vec::new();
            for chunk in numbers.chunks(50) {
                let batch = chunk.iter().map(|number| claim(*number, 1_000 + contender)).collect();
                let swapped = database.exchange(batch, NOW).await.expect("answers");
                won.extend(
                    chunk
                        .iter()
                        .zip(swapped)
                        .filter(|(_, swapped)| *swapped == Done)
                        .map(|(number, _)| *number),
                );
            }
            won
        });
    }
    let mut won = tasks.join_all().await.concat();
    won.sort_unstable();
    assert_eq!(won, (0..KEYS).collect::<Vec<_>>());
}

/// The line of a verdict is there if the verdict is, and only then.
// covers: D4
#[tokio::test]
async fn an_audit_line_is_written_where_its_swap_applies() {
    let place = place();
    let database = open_at(&place).await;
    let line = |number: u64| StoredAudit {
        at: NOW,
        key: Some(KeyTag::from_bytes(number.to_be_bytes())),
        json: format!(r#"{{"n":{number}}}"#),
    };
    for number in 0..5 {
        let swap = Swap { audit: Some(line(number)), ..claim(number, 1) };
        assert_eq!(exchanged(&database, swap).await, Done);
        let late = Swap { audit: Some(line(100)), ..claim(number, 2) };
        assert_eq!(exchanged(&database, late).await, Found(Some(stored(&row(number, 1, 0)))));
    }
    let lines = database.read_audit(crate::AuditCursor(0), None, 100).await.expect("lines");
    let lines = lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>();
    assert_eq!(lines, (0..5).map(line).collect::<Vec<_>>());
}

/// Scripts that the server forgot are loaded again, and nothing is lost or done twice.
#[tokio::test]
async fn a_flush_of_the_scripts_is_not_noticed() {
    let server = server(Keeping::Nothing);
    let lax = RedisOptions { strict: false, ..options(&server.url()) };
    let database = lax.connect().await.expect("a server");
    let barrier = database.barrier(NOW).await.expect("an answer");
    for number in 0..20 {
        server.ask(&["SCRIPT", "FLUSH"]).expect("flushed");
        assert_eq!(exchanged(&database, claim_by(number, 1, barrier)).await, Done);
    }
    let rows = database.fetch((0..20).map(id).collect(), false).await.expect("rows");
    assert_eq!(rows, (0..20).map(|number| Some(stored(&row(number, 1, 0)))).collect::<Vec<_>>());
}
