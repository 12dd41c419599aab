use std::time::Duration;

use onceward_core::actor::{ActorTag, KeyTag};

use super::*;
use crate::{
    shared::{Entropy, Table},
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

fn nothing() -> Expected {
    Expected::Nothing { barrier: None, now: Timestamp::from_ms(1) }
}

fn swap(expected: Expected, put: Put) -> Swap {
    Swap { id: id(1), expected, put, audit: None }
}

fn stored(number: u8) -> StoredRow {
    StoredRow { mark: mark(number), head: vec![number], outcome: Some(Vec::new()) }
}

/// One that was not sent is told what it would have met, and is sent where that is what it expects and it has something to write.
#[test]
fn who_stands_behind_a_swap_is_told_what_it_met() {
    let put = |number| Put::Row(row(number, 0));
    let found = |row| Some(Outcome::Found(row));
    let rows = [
        // A duplicate behind the claim that was granted, and behind one that was not.
        (swap(nothing(), put(2)), swap(nothing(), put(1)), Outcome::Done, found(Some(stored(1)))),
        (
            swap(nothing(), put(2)),
            swap(nothing(), put(1)),
            Outcome::Found(Some(stored(9))),
            found(Some(stored(9))),
        ),
        // The holder behind a duplicate: the row is its own, and it has to be sent.
        (
            swap(Expected::Row(mark(9)), put(2)),
            swap(nothing(), put(1)),
            Outcome::Found(Some(stored(9))),
            None,
        ),
        // Somebody who expected the row that was replaced, or forgotten.
        (
            swap(Expected::Row(mark(9)), put(2)),
            swap(Expected::Row(mark(9)), put(1)),
            Outcome::Done,
            found(Some(stored(1))),
        ),
        (
            swap(Expected::Row(mark(9)), put(2)),
            swap(Expected::Row(mark(9)), Put::Nothing),
            Outcome::Done,
            found(None),
        ),
        (swap(nothing(), put(2)), swap(Expected::Row(mark(9)), Put::Nothing), Outcome::Done, None),
        // Who only looks may be told that it is as expected; who writes may not.
        (
            swap(Expected::Row(mark(9)), Put::Keep),
            swap(Expected::Row(mark(9)), Put::Keep),
            Outcome::Done,
            Some(Outcome::Done),
        ),
        (swap(Expected::Row(mark(9)), put(2)), swap(Expected::Row(mark(9)), Put::Keep), Outcome::Done, None),
        // A look says that the row is there, and not what it holds.
        (swap(nothing(), put(2)), swap(Expected::Row(mark(9)), Put::Keep), Outcome::Done, None),
        // History concerns those who would make a row.
        (
            swap(nothing(), put(2)),
            swap(nothing(), put(1)),
            Outcome::History { barrier: Timestamp::from_ms(5) },
            Some(Outcome::History { barrier: Timestamp::from_ms(5) }),
        ),
        (
            swap(Expected::Row(mark(9)), put(2)),
            swap(nothing(), put(1)),
            Outcome::History { barrier: Timestamp::from_ms(5) },
            found(None),
        ),
    ];
    for (unsent, sent, met, expected) in rows {
        let told = overheard(&unsent, &sent, &Ok(met.clone())).map(|told| told.expect("an outcome"));
        assert_eq!(told, expected, "{unsent:?} behind {sent:?}, which met {met:?}");
    }
    // A look that leaves an audit line has to be sent, too.
    let line = crate::port::StoredAudit { at: Timestamp::from_ms(1), key: None, json: "{}".to_owned() };
    let unsent = Swap { audit: Some(line), ..swap(Expected::Row(mark(9)), Put::Keep) };
    let sent = swap(Expected::Row(mark(9)), Put::Keep);
    assert!(overheard(&unsent, &sent, &Ok(Outcome::Done)).is_none());
    // Whatever became of the one that was sent, this one has not happened.
    let lost = Err(StoreError::Unknown { reason: "lost", source: None });
    let told = overheard(&swap(nothing(), put(2)), &swap(nothing(), put(1)), &lost);
    assert!(matches!(told, Some(Err(StoreError::Unavailable { .. }))), "{told:?}");
}

fn pushed(queue: &mut Queue, swap: Swap) -> oneshot::Receiver<Answer> {
    let (asker, answer) = oneshot::channel();
    queue.push(Job { swap, booking: Booking::default(), asker });
    answer
}

// covers: S1
#[test]
fn a_batch_has_a_bound_in_swaps_and_in_bytes_and_each_id_once() {
    let mut queue = Queue::default();
    let mut answers = Vec::new();
    for number in 1..=5 {
        for _ in 0..2 {
            let swap =
                Swap { id: id(number), expected: nothing(), put: Put::Row(row(number, 0)), audit: None };
            answers.push(pushed(&mut queue, swap));
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
    for job in first.into_iter().chain(second) {
        queue.end(job, Ok(Outcome::Done), &mut told);
    }
    assert_eq!((told.len(), queue.lines.len()), (10, 0));

    // A row that is larger than the bound goes alone, and at the latest with the next batch.
    for (number, bytes) in [(1, EXCHANGE_BYTES_MAX / 2), (2, EXCHANGE_BYTES_MAX), (3, 1), (4, 1)] {
        let put = Put::Row(row(number, bytes));
        answers.push(pushed(&mut queue, Swap { id: id(number), expected: nothing(), put, audit: None }));
    }
    assert_eq!(ids(&queue.take(10)), [id(1), id(2)]);
    assert_eq!(ids(&queue.take(10)), [id(3), id(4)]);
}

/// One that asked while another of its id was under way has not been answered by it, and goes next.
#[test]
fn who_asks_after_a_swap_was_sent_is_sent() {
    let mut queue = Queue::default();
    let claim = |number| swap(nothing(), Put::Row(row(number, 0)));
    let _first = pushed(&mut queue, claim(1));
    let _before = pushed(&mut queue, claim(2));
    let mut batch = queue.take(10);
    let _after = pushed(&mut queue, claim(3));
    let _later = pushed(&mut queue, claim(4));
    let mut told = Vec::new();
    queue.end(batch.remove(0), Ok(Outcome::Done), &mut told);
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

/// An exchange that breaks off, as by a panic in a driver, is a lost answer for those in it, and keeps nobody else.
// covers: L11
#[tokio::test]
async fn an_exchange_that_breaks_off_leaves_its_ids_free() {
    let gatherer = Gatherer::new(Arc::default());
    let (link, entropy) = (Arc::default(), Arc::new(Entropy::seeded(1)));
    let guard = Guard::new(Arc::new(Table::default()), link, entropy, Duration::from_secs(1));
    let put = || swap(nothing(), Put::Row(row(1, 0)));
    let sent = gatherer.ask(&guard, put(), Booking::default()).expect("handed in");
    let jobs = gatherer.next(10).await.expect("a batch");
    let later = gatherer.ask(&guard, put(), Booking::default()).expect("handed in");
    drop(Sent { gatherer: &gatherer, guard: &guard, jobs });
    let lost = sent.answer().await;
    assert!(matches!(lost, Err(StoreError::Unknown { .. })), "{lost:?}");
    gatherer.close();
    gatherer.work(&guard).await;
    assert_eq!(later.answer().await.expect("an outcome"), Outcome::Done);
}
