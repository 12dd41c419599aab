use std::time::Duration;

use onceward_core::actor::{ActorTag, KeyTag};

use super::*;
use crate::{
    clock::ManualClock,
    shared::{Entropy, Table, backend::Grant},
    step::Kind,
};

fn id(number: u8) -> LookupId {
    LookupId::from_bytes([number; 32])
}

fn mark(number: u8) -> Mark {
    Mark([number; 16])
}

fn row(number: u8, bytes: usize) -> NewRow {
    NewRow {
        mark: mark(number),
        kind: Kind::Claimed,
        due_at: None,
        key: KeyTag::from_bytes([0; 8]),
        actor: ActorTag::from_bytes([0; 8]),
        head: vec![number],
        outcome: Some(vec![0; bytes]),
    }
}

const NOTHING: Expected = Expected::Nothing;

fn swap(expected: Expected, put: Put) -> Swap {
    Swap { id: id(1), expected, grant: None, put, audit: None }
}

/// One that lets an effect run.
fn grant(expected: Expected, put: Put) -> Swap {
    Swap { grant: Some(Grant { barrier: None }), ..swap(expected, put) }
}

fn stored(number: u8) -> StoredRow {
    StoredRow { mark: mark(number), head: vec![number], outcome: Some(Vec::new()) }
}

const HISTORY: Outcome = Outcome::History { barrier: Timestamp::from_ms(5) };

/// One that was not sent is told what it would have met, and is sent where that is what it expects and it has something to write.
#[test]
fn who_stands_behind_a_swap_is_told_what_it_met() {
    let put = |number| Put::Row(row(number, 0));
    let found = |row| Some(Outcome::Found(row));
    let row_9 = Expected::Row(mark(9));
    let rows = [
        // A duplicate behind the claim that was granted, and behind one that was not.
        (swap(NOTHING, put(2)), swap(NOTHING, put(1)), Outcome::Done, found(Some(stored(1)))),
        (
            swap(NOTHING, put(2)),
            swap(NOTHING, put(1)),
            Outcome::Found(Some(stored(9))),
            found(Some(stored(9))),
        ),
        // The holder behind a duplicate: the row is its own, and it has to be sent.
        (swap(row_9, put(2)), swap(NOTHING, put(1)), Outcome::Found(Some(stored(9))), None),
        // Somebody who expected the row that was replaced, or forgotten.
        (swap(row_9, put(2)), swap(row_9, put(1)), Outcome::Done, found(Some(stored(1)))),
        (swap(row_9, put(2)), swap(row_9, Put::Nothing), Outcome::Done, found(None)),
        (swap(NOTHING, put(2)), swap(row_9, Put::Nothing), Outcome::Done, None),
        // Who only looks may be told that it is as expected; who writes may not.
        (swap(row_9, Put::Keep), swap(row_9, Put::Keep), Outcome::Done, Some(Outcome::Done)),
        (swap(row_9, put(2)), swap(row_9, Put::Keep), Outcome::Done, None),
        // A look says that the row is there, and not what it holds.
        (swap(NOTHING, put(2)), swap(row_9, Put::Keep), Outcome::Done, None),
        // History concerns grants that expect what is there; of others it says that it is there.
        (grant(NOTHING, put(2)), grant(NOTHING, put(1)), HISTORY, Some(HISTORY)),
        (grant(row_9, put(2)), grant(row_9, put(1)), HISTORY, Some(HISTORY)),
        (swap(NOTHING, Put::Keep), grant(NOTHING, put(1)), HISTORY, Some(Outcome::Done)),
        (swap(row_9, Put::Keep), grant(row_9, put(1)), HISTORY, Some(Outcome::Done)),
        (swap(row_9, put(2)), grant(row_9, put(1)), HISTORY, None),
        (swap(row_9, put(2)), grant(NOTHING, put(1)), HISTORY, found(None)),
        // Another row than it expected is there, and what it holds was not said.
        (grant(NOTHING, put(2)), grant(row_9, put(1)), HISTORY, None),
    ];
    for (unsent, sent, met, expected) in rows {
        let told = overheard(&unsent, &sent, &Ok(met.clone())).map(|told| told.expect("an outcome"));
        assert_eq!(told, expected, "{unsent:?} behind {sent:?}, which met {met:?}");
    }
    // A look that leaves an audit line has to be sent, too.
    let line = crate::port::StoredAudit { at: Timestamp::from_ms(1), key: None, json: "{}".to_owned() };
    let unsent = Swap { audit: Some(line), ..swap(row_9, Put::Keep) };
    let sent = swap(row_9, Put::Keep);
    assert!(overheard(&unsent, &sent, &Ok(Outcome::Done)).is_none());
    // Whatever became of the one that was sent, this one has not happened.
    let lost = Err(StoreError::Unknown { reason: "lost", source: None });
    let told = overheard(&swap(NOTHING, put(2)), &swap(NOTHING, put(1)), &lost);
    assert!(matches!(told, Some(Err(StoreError::Unavailable { .. }))), "{told:?}");
}

fn pushed(queue: &mut Queue, swap: Swap) -> oneshot::Receiver<Answer> {
    let (asker, answer) = oneshot::channel();
    let load = Arc::new(Load { link: Arc::default(), bytes: AtomicUsize::new(0) });
    let place = Place::take(&load, 0).expect("there is room");
    queue.push(Job { swap, asker: Asker { booking: Booking::default(), answer: asker, place } });
    answer
}

// covers: S1
#[test]
fn a_batch_has_a_bound_in_swaps_and_in_bytes_and_each_id_once() {
    let mut queue = Queue::default();
    let mut answers = Vec::new();
    for number in 1..=5 {
        for _ in 0..2 {
            let swap = swap(NOTHING, Put::Row(row(number, 0)));
            answers.push(pushed(&mut queue, Swap { id: id(number), ..swap }));
        }
    }
    let ids = |batch: &[Job]| batch.iter().map(|job| job.swap.id).collect::<Vec<_>>();
    let first = queue.take(3);
    assert_eq!(ids(&first), [id(1), id(2), id(3)]);
    let second = queue.take(3);
    assert_eq!(ids(&second), [id(4), id(5)]);
    assert!(queue.take(3).is_empty(), "one of an id that is under way");
    // Those behind are answered with the first of their id.
    let mut told = Vec::new();
    for Job { swap, asker } in first.into_iter().chain(second) {
        queue.end(&swap, asker, Ok(Outcome::Done), &mut told);
    }
    assert_eq!((told.len(), queue.lines.len()), (10, 0));

    // A row that is larger than the bound goes alone, and at the latest with the next batch.
    for (number, bytes) in [(1, EXCHANGE_BYTES_MAX / 2), (2, EXCHANGE_BYTES_MAX), (3, 1), (4, 1)] {
        let swap = swap(NOTHING, Put::Row(row(number, bytes)));
        answers.push(pushed(&mut queue, Swap { id: id(number), ..swap }));
    }
    assert_eq!(ids(&queue.take(10)), [id(1), id(2)]);
    assert_eq!(ids(&queue.take(10)), [id(3), id(4)]);
}

/// One that asked while another of its id was under way has not been answered by it, and goes next.
#[test]
fn who_asks_after_a_swap_was_sent_is_sent() {
    let mut queue = Queue::default();
    let claim = |number| swap(NOTHING, Put::Row(row(number, 0)));
    let _first = pushed(&mut queue, claim(1));
    let _before = pushed(&mut queue, claim(2));
    let mut batch = queue.take(10);
    let _after = pushed(&mut queue, claim(3));
    let _later = pushed(&mut queue, claim(4));
    let mut told = Vec::new();
    let Job { swap, asker } = batch.remove(0);
    queue.end(&swap, asker, Ok(Outcome::Done), &mut told);
    let answers: Vec<_> = told.into_iter().map(|(_, answer)| answer.expect("an outcome")).collect();
    assert_eq!(answers, [Outcome::Found(Some(stored(1))), Outcome::Done]);
    let next = queue.take(10);
    assert_eq!(
        next.iter()
            .map(|job| job.swap.clone().put)
            .map(|put| match put {
                Put::Row(row) => row.mark,
                Put::Keep | Put::Nothing => mark(0),
            })
            .collect::<Vec<_>>(),
        [mark(3)]
    );
    assert_eq!(queue.lines.get(&id(1)).map(|line| (line.behind.len(), line.before)), Some((1, 1)));
}

/// A gatherer, and a way to a table.
fn parts() -> (Gatherer, Guard, Arc<Link>) {
    let link = Arc::<Link>::default();
    let gatherer = Gatherer::new(Arc::default(), Arc::clone(&link));
    let entropy = Arc::new(Entropy::seeded(1));
    let guard = Guard::new(Arc::new(Table::default()), Arc::clone(&link), entropy, Duration::from_secs(1));
    (gatherer, guard, link)
}

fn clock() -> ManualClock {
    ManualClock::standing_at(Timestamp::from_ms(1))
}

/// An exchange that breaks off, as by a panic in a driver, is a lost answer for those in it, and keeps nobody else.
// covers: L11
#[tokio::test]
async fn an_exchange_that_breaks_off_leaves_its_ids_free() {
    let (gatherer, guard, link) = parts();
    let put = || swap(NOTHING, Put::Row(row(1, 0)));
    let sent = gatherer.ask(put(), Booking::default()).expect("handed in");
    let batch = gatherer.next(10).await.expect("a batch");
    let later = gatherer.ask(put(), Booking::default()).expect("handed in");
    drop(Sent::new(&gatherer, batch));
    let lost = sent.answer().await;
    assert!(matches!(lost, Err(StoreError::Unknown { .. })), "{lost:?}");
    gatherer.close();
    gatherer.work(&guard, &clock()).await;
    assert_eq!(later.answer().await.expect("an outcome"), Outcome::Done);
    assert_eq!(link.queued(), 0);
}

/// The same where it breaks off while its answers are given: those whose turn had not come are told that theirs was lost.
// covers: L11
#[tokio::test]
async fn an_end_that_breaks_off_is_brought_to_its_end() {
    let (gatherer, guard, link) = parts();
    let put = |number| Swap { id: id(number), ..swap(NOTHING, Put::Row(row(number, 0))) };
    let asked: Vec<_> =
        (1..=3).map(|number| gatherer.ask(put(number), Booking::default()).expect("handed in")).collect();
    let mut sent = Sent::new(&gatherer, gatherer.next(10).await.expect("a batch"));
    // As far as it came.
    let first = sent.askers.pop_front().expect("three");
    let mut told = Vec::new();
    gatherer.queue().end(&sent.swaps[0], first, Ok(Outcome::Done), &mut told);
    drop(sent);
    drop(told);
    for asked in asked {
        let lost = asked.answer().await;
        assert!(matches!(lost, Err(StoreError::Unknown { .. })), "{lost:?}");
    }
    assert_eq!((link.queued(), gatherer.queue().lines.len()), (0, 0));
    let again: Vec<_> =
        (1..=3).map(|number| gatherer.ask(put(number), Booking::default()).expect("handed in")).collect();
    gatherer.close();
    gatherer.work(&guard, &clock()).await;
    for asked in again {
        assert_eq!(asked.answer().await.expect("an outcome"), Outcome::Done);
    }
}

/// Beyond the bound nothing more is taken, until what waits is answered.
// covers: S1
#[tokio::test]
async fn what_waits_has_a_bound_in_bytes() {
    let (gatherer, guard, link) = parts();
    let put = |number, bytes| Swap { id: id(number), ..swap(NOTHING, Put::Row(row(number, bytes))) };
    let quarter = QUEUE_BYTES_MAX / 4;
    let mut asked = Vec::new();
    for number in 1..=4 {
        asked.push(gatherer.ask(put(number, quarter), Booking::default()).expect("handed in"));
    }
    let busy = |told: Result<Asked, StoreError>| match told {
        Err(StoreError::Busy { limit }) => limit,
        other => panic!("{other:?}"),
    };
    // Also behind one of the same id, and whatever its size.
    assert_eq!(busy(gatherer.ask(put(1, 0), Booking::default())), "queue_bytes_max");
    assert_eq!(busy(gatherer.ask(put(5, 0), Booking::default())), "queue_bytes_max");
    assert_eq!(link.queued(), 4);
    // One that is answered gives its bytes back, whether or not its asker is still there.
    asked.pop();
    let mut sent = Sent::new(&gatherer, gatherer.next(1).await.expect("a batch"));
    let ended = guard.exchange(&sent.swaps, &clock()).await;
    sent.end(ended);
    drop(sent);
    gatherer.ask(put(5, quarter), Booking::default()).expect("handed in");
    assert_eq!(busy(gatherer.ask(put(6, 0), Booking::default())), "queue_bytes_max");
    // An audit line counts.
    let line =
        |bytes| crate::port::StoredAudit { at: Timestamp::from_ms(1), key: None, json: "x".repeat(bytes) };
    assert_eq!(bytes_of(&Swap { audit: Some(line(7)), ..put(1, 5) }), 1 + 5 + 7);
    gatherer.close();
    gatherer.work(&guard, &clock()).await;
    assert_eq!((link.queued(), gatherer.load.bytes.load(Ordering::Relaxed)), (0, 0));
}
