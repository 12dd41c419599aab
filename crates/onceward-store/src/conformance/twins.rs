//! Cases of the marks of twins (P5).

use std::{sync::Arc, time::Duration};

use onceward_core::{
    actor::{ActorTag, LookupId},
    record::Epoch,
    twin::{Bid, Holder, Mark, TwinId},
};

use super::{
    Subject, Survival,
    kit::{self, decision, granted, id},
};
use crate::port::{Clock, EntryFilter, Marked, Settle, Store, Swept, Twin};

const WINDOW: Duration = Duration::from_mins(10);

fn holder(number: u64, epoch: u64) -> Holder {
    Holder { id: id(number), epoch: Epoch(epoch) }
}

/// A bid for the mark of meaning `meaning`.
fn bid(meaning: u64, holder: Holder, replaces: Option<Holder>) -> Twin {
    Twin {
        id: TwinId::from_bytes(*id(1_000_000 + meaning).as_bytes()),
        actor: ActorTag::from_bytes((meaning % 3).to_be_bytes()),
        bid: Bid { holder, window: WINDOW, replaces },
    }
}

async fn marked(store: &dyn Store, twin: Twin) -> Marked {
    store.mark_twin(twin).await.expect("the store answers")
}

/// Of many effects of one meaning at one instant one takes the mark, and the others are told which.
// covers: P5, L1
pub async fn one_of_many_simultaneous_bids_takes_a_mark<S: Subject>(subject: S) {
    const BIDDERS: u64 = 32;
    let since = subject.clock().now();
    for meaning in 0..8 {
        let start = Arc::new(tokio::sync::Barrier::new(32));
        let mut bidders = tokio::task::JoinSet::new();
        for number in 0..BIDDERS {
            let (store, start) = (subject.store(), Arc::clone(&start));
            bidders.spawn(async move {
                start.wait().await;
                let own = holder(number, number + 1);
                (own, marked(&*store, bid(meaning, own, None)).await)
            });
        }
        let answers = bidders.join_all().await;
        let held: Vec<_> =
            answers.iter().filter(|(_, answer)| *answer == Marked::Held).map(|(own, _)| *own).collect();
        assert_eq!(held.len(), 1, "{answers:?}");
        let mark = Mark { holder: held[0], since, until: since.after(WINDOW) };
        let told = answers.iter().filter(|(_, answer)| *answer == Marked::Taken(mark)).count();
        assert_eq!(told, 31, "{answers:?}");
    }
}

/// A lost answer is asked for again, and is the same; the window goes on counting from the first time.
// covers: P5, L11
pub async fn a_bid_may_be_repeated<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let since = clock.now();
    let (first, other) = (holder(1, 5), holder(2, 6));
    for _ in 0..2 {
        assert_eq!(marked(&*store, bid(1, first, None)).await, Marked::Held);
        let mark = Mark { holder: first, since, until: since.after(WINDOW) };
        assert_eq!(marked(&*store, bid(1, other, None)).await, Marked::Taken(mark));
        clock.advance(Duration::from_secs(1));
    }
    let since = clock.now();
    for _ in 0..2 {
        assert_eq!(marked(&*store, bid(1, other, Some(first))).await, Marked::Held);
        let mark = Mark { holder: other, since, until: since.after(WINDOW) };
        assert_eq!(marked(&*store, bid(1, first, None)).await, Marked::Taken(mark));
        clock.advance(Duration::from_secs(1));
    }
}

/// The next attempt of the same key follows the former one; whoever saw that one come to nothing comes too late then.
// covers: P5
pub async fn a_mark_is_taken_over_only_from_the_holder_that_was_seen<S: Subject>(subject: S) {
    let (store, since) = (subject.store(), subject.clock().now());
    let taken = |holder| Marked::Taken(Mark { holder, since, until: since.after(WINDOW) });
    let (first, again, other) = (holder(1, 5), holder(1, 7), holder(2, 6));
    assert_eq!(marked(&*store, bid(1, first, None)).await, Marked::Held);
    assert_eq!(marked(&*store, bid(1, other, Some(holder(3, 5)))).await, taken(first));
    assert_eq!(marked(&*store, bid(1, again, None)).await, Marked::Held);
    assert_eq!(marked(&*store, bid(1, other, Some(first))).await, taken(again));
    // A late copy of what the former attempt asked for.
    assert_eq!(marked(&*store, bid(1, first, None)).await, taken(again));
    assert_eq!(marked(&*store, bid(1, other, Some(again))).await, Marked::Held);
    assert_eq!(marked(&*store, bid(1, again, None)).await, taken(other));
    // Another meaning is another mark.
    assert_eq!(marked(&*store, bid(2, first, None)).await, Marked::Held);
}

/// Whether a sweep came by or not.
// covers: P5
pub async fn a_mark_is_free_once_its_window_has_passed<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let since = clock.now();
    let (first, other) = (holder(1, 5), holder(2, 6));
    assert_eq!(marked(&*store, bid(1, first, None)).await, Marked::Held);
    clock.advance(WINDOW - Duration::from_millis(1));
    let mark = Mark { holder: first, since, until: since.after(WINDOW) };
    assert_eq!(marked(&*store, bid(1, other, None)).await, Marked::Taken(mark));
    clock.advance(Duration::from_millis(1));
    assert_eq!(marked(&*store, bid(1, other, None)).await, Marked::Held);
    let mark = Mark { holder: other, since: clock.now(), until: clock.now().after(WINDOW) };
    assert_eq!(marked(&*store, bid(1, first, None)).await, Marked::Taken(mark));
    // The sweep forgets the first window, and not the second.
    kit::sweep_all(&*store).await;
    assert_eq!(marked(&*store, bid(1, first, None)).await, Marked::Taken(mark));
}

/// A round visits what it was asked to at most, and what is not due stays.
// covers: P5, T3
pub async fn marks_are_forgotten_in_bounded_rounds<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    for meaning in 0..10 {
        assert_eq!(marked(&*store, bid(meaning, holder(1, 5), None)).await, Marked::Held);
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(marked(&*store, bid(10, holder(1, 5), None)).await, Marked::Held);
    assert_eq!(store.sweep(100).await.expect("the store answers"), Swept::default());
    clock.advance(WINDOW - Duration::from_secs(1));
    let mut rounds = Vec::new();
    loop {
        let swept = store.sweep(4).await.expect("the store answers");
        rounds.push(swept);
        if !swept.more {
            break;
        }
    }
    let round = |marks, more| Swept { marks, more, ..Swept::default() };
    assert_eq!(rounds, [round(4, true), round(4, true), round(2, false)]);
    let swept = store.sweep(100).await.expect("the store answers");
    assert_eq!(swept, Swept::default());
    assert!(matches!(marked(&*store, bid(10, holder(2, 6), None)).await, Marked::Taken(_)));
}

/// Neither listings nor counts know of it, and a key of its holder lives as if there were none.
// covers: P5, L7
pub async fn a_mark_is_no_record<S: Subject>(subject: S) {
    let store = subject.store();
    let attempt = granted(&*store, 1, 1).await;
    for meaning in 0..20 {
        let own = Holder { id: id(1), epoch: attempt.epoch };
        assert_eq!(marked(&*store, bid(meaning, own, None)).await, Marked::Held);
    }
    assert_eq!(store.health().await.expect("the store answers").records, [0, 1, 0, 0, 0]);
    let actor = Some(ActorTag::from_bytes(1_u64.to_be_bytes()));
    let filters = [
        EntryFilter::default(),
        EntryFilter { actor, ..EntryFilter::default() },
        EntryFilter { key: Some(kit::key_tag(1)), ..EntryFilter::default() },
    ];
    for filter in filters {
        let (mut listed, mut after): (Vec<LookupId>, _) = (Vec::new(), None);
        loop {
            let page = store.scan(filter.clone(), after, 3).await.expect("the store answers");
            assert_eq!(page.corrupt, 0);
            listed.extend(page.entries.iter().map(|entry| entry.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, [id(1)], "{filter:?}");
    }
    // Behind a raised barrier a mark is taken as before: it is no key.
    store.raise_barrier(None).await.expect("the store answers");
    assert_eq!(marked(&*store, bid(30, holder(1, 5), None)).await, Marked::Held);
    let end = Settle::Complete(kit::answer());
    decision(store.settle(id(1), attempt, end).await);
    assert_eq!(store.health().await.expect("the store answers").records, [0, 0, 1, 0, 0]);
}

/// What a crash leaves of records it leaves of marks.
// covers: P5
pub async fn a_mark_outlives_what_its_holder_outlives<S: Subject>(mut subject: S) {
    let (store, since) = (subject.store(), subject.clock().now());
    let attempt = granted(&*store, 1, 1).await;
    let own = Holder { id: id(1), epoch: attempt.epoch };
    assert_eq!(marked(&*store, bid(1, own, None)).await, Marked::Held);
    drop(store);
    let survival = subject.crash().await;
    let store = subject.store();
    let twin = marked(&*store, bid(1, holder(2, attempt.epoch.0 + 1), None)).await;
    match survival {
        Survival::Records | Survival::Leases => {
            assert_eq!(twin, Marked::Taken(Mark { holder: own, since, until: since.after(WINDOW) }));
        }
        Survival::Nothing => assert_eq!(twin, Marked::Held),
    }
}
