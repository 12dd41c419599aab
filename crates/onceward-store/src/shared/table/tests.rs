use onceward_core::actor::ActorTag;

use super::*;

fn id(number: u8) -> LookupId {
    LookupId::from_bytes([number; 32])
}

/// A row whose bytes name its version.
fn row(version: u8) -> NewRow {
    NewRow {
        mark: Mark([version; 16]),
        kind: Kind::Claimed,
        due_at: None,
        key: KeyTag::from_bytes([0; 8]),
        actor: ActorTag::from_bytes([0; 8]),
        head: vec![version],
        outcome: None,
    }
}

fn stored(version: u8) -> StoredRow {
    StoredRow { mark: Mark([version; 16]), head: vec![version], outcome: None }
}

fn granted(number: u8, seen: Option<u8>, version: u8, barrier: Option<Timestamp>) -> Swap {
    Swap {
        id: id(number),
        expected: seen.map_or(Expected::Nothing, |seen| Expected::Row(Mark([seen; 16]))),
        grant: Some(Grant { barrier }),
        put: Put::Row(row(version)),
        audit: None,
    }
}

/// The contract of a grant, as the tests of each database have it.
// covers: T5, L5
#[tokio::test]
async fn a_row_is_granted_anew_by_who_knows_of_the_loss_only() {
    let table = Table::default();
    let (now, later) = (Timestamp::from_ms(10), Timestamp::from_ms(20));
    let exchanged = async |batch: &[Swap], now| table.exchange(batch.into(), now).await.expect("no faults");
    let made = [1, 2, 3].map(|number| granted(number, None, number, None));
    assert_eq!(exchanged(&made, now).await, vec![Swapped::Done; 3]);
    table.fail_over(table.replica());
    // What grants nothing goes by its row, and settles nothing.
    let moved = |number, seen, version| Swap { grant: None, ..granted(number, seen, version, None) };
    assert_eq!(exchanged(&[moved(1, Some(1), 11)], now).await, [Swapped::Done]);
    let batch = [granted(2, Some(2), 12, None), moved(3, Some(3), 13), granted(1, Some(1), 21, None)];
    let history = Swapped::History { barrier: later };
    assert_eq!(exchanged(&batch, later).await, [history, Swapped::Done, Swapped::Found(Some(stored(11)))]);
    assert_eq!(table.fetch(vec![id(2)], true).await.expect("no faults"), [Some(stored(2))]);
    assert_eq!(exchanged(&[granted(2, Some(2), 12, Some(later))], later).await, [Swapped::Done]);
    // A copy of what was granted finds itself, whatever it was judged by.
    assert_eq!(exchanged(&[granted(2, Some(2), 12, None)], later).await, [Swapped::Done]);
    assert_eq!(table.fetch(vec![id(2)], true).await.expect("no faults"), [Some(stored(12))]);
}
