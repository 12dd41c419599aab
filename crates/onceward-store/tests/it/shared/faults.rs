//! One whole life of a few keys, with something going wrong at each call of it in turn.

use std::{pin::Pin, sync::Arc, task::Poll, time::Duration};

use onceward_core::record::{Attempt, Decision, DoubtReason, Epoch, OnLapse, Record, State, Verdict};
use onceward_store::{
    Claim, Fault, Faults, ManualClock, Reply, Resolution, ResolutionChange, Settle, Shared, Store,
    StoreError, StoreFuture, StoredAudit, Swept, Table,
};

use super::kit::{again, now, open};
use crate::kit::{self, LEASE, answer, claim, id};

/// Something that the scenario asks of a store. What it asks depends on what was granted before.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Claim(u64, u8),
    Renew(u64),
    Complete(u64),
    Release(u64),
    Doubt(u64),
    Found(u64),
    Cancel(u64),
    Sweep,
    Pass(Duration),
}

const SCENARIO: [Ask; 22] = [
    Ask::Claim(1, 1),
    Ask::Claim(1, 2),
    Ask::Renew(1),
    Ask::Complete(1),
    Ask::Complete(1),
    Ask::Claim(1, 3),
    Ask::Claim(2, 1),
    Ask::Release(2),
    Ask::Claim(2, 2),
    Ask::Doubt(2),
    Ask::Found(2),
    Ask::Claim(2, 3),
    Ask::Claim(3, 1),
    Ask::Claim(4, 1),
    Ask::Cancel(5),
    Ask::Claim(5, 1),
    Ask::Pass(LEASE),
    Ask::Renew(3),
    Ask::Sweep,
    Ask::Claim(4, 2),
    Ask::Cancel(2),
    Ask::Complete(3),
];

/// What was said and what is there afterwards.
#[derive(Debug, PartialEq)]
struct Told {
    replies: Vec<Reply>,
    swept: Vec<Swept>,
    records: Vec<Option<Record>>,
    lapsed: u64,
}

struct Scene {
    store: Shared,
    clock: Arc<ManualClock>,
    table: Table,
    granted: [Option<Attempt>; 6],
}

impl Scene {
    async fn new() -> Self {
        let (table, clock) = (Table::default(), kit::clock());
        let store = open(&table, &clock, 1).await;
        Self { store, clock, table, granted: [None; 6] }
    }

    fn holder(&self, number: u64) -> Attempt {
        self.granted[usize::try_from(number).expect("small")].expect("granted before")
    }

    fn asked(&self, ask: Ask) -> StoreFuture<'_, Reply> {
        match ask {
            Ask::Claim(4, attempt) => {
                let mut claim = again(4, attempt);
                claim.terms.on_lapse = OnLapse::Execute;
                self.store.claim(claim)
            }
            Ask::Claim(number, attempt) => self.store.claim(again(number, attempt)),
            Ask::Renew(number) => self.store.renew(id(number), self.holder(number)),
            Ask::Complete(number) => {
                self.store.settle(id(number), self.holder(number), Settle::Complete(answer(number)))
            }
            Ask::Release(number) => self.store.settle(id(number), self.holder(number), Settle::Release),
            Ask::Doubt(number) => {
                self.store.settle(id(number), self.holder(number), Settle::Doubt(DoubtReason::NoAnswer))
            }
            Ask::Found(number) => {
                let judged = self.holder(number).epoch;
                let change = ResolutionChange::Verdict { verdict: Verdict::Absent, judged };
                self.store.resolve(resolution(number, change))
            }
            Ask::Cancel(number) => {
                let change = ResolutionChange::Cancel { remember: Duration::from_hours(1) };
                self.store.resolve(resolution(number, change))
            }
            Ask::Sweep | Ask::Pass(_) => panic!("not asked of one record"),
        }
    }

    fn note(&mut self, ask: Ask, reply: &Reply) {
        if let (Ask::Claim(number, _), Reply::Decided { decision: Decision::Execute(attempt), .. }) =
            (ask, reply)
        {
            self.granted[usize::try_from(number).expect("small")] = Some(*attempt);
        }
    }

    /// The scenario, each question asked until it is answered, as the engine does.
    async fn play(mut self) -> Told {
        let (mut replies, mut swept) = (Vec::new(), Vec::new());
        for ask in SCENARIO {
            match ask {
                Ask::Pass(time) => self.clock.advance(time),
                Ask::Sweep => swept.push(persistent(|| self.store.sweep(100)).await),
                ask => {
                    let reply = persistent(|| self.asked(ask)).await;
                    self.note(ask, &reply);
                    replies.push(reply);
                }
            }
        }
        self.told(replies, swept).await
    }

    async fn told(self, replies: Vec<Reply>, swept: Vec<Swept>) -> Told {
        self.table.fail(Faults::scripted([]));
        let mut records = Vec::new();
        for number in 1..=5 {
            records.push(kit::record(&self.store, number).await);
        }
        let lapsed = self.store.health().await.expect("the store answers").tally.leases_lapsed();
        Told { replies, swept, records, lapsed }
    }
}

fn resolution(number: u64, change: ResolutionChange) -> Resolution {
    let claim: Claim = claim(number);
    let audit = StoredAudit { at: now(), key: Some(claim.label.key), json: "{}".to_owned() };
    Resolution { id: claim.id, change, label: claim.label, audit: Some(audit) }
}

async fn persistent<'a, T>(ask: impl Fn() -> StoreFuture<'a, T>) -> T {
    for _ in 0..100 {
        match ask().await {
            Ok(answer) => return answer,
            Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) => {
                // waits: for the breaker to let a probe through, on a clock that is paused wherever something fails
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never answered");
}

/// Asks for an answer up to `polls` times, and lets go of it; the store's own tasks run in between.
async fn dropped_after(polls: usize, mut asked: StoreFuture<'_, Reply>) -> bool {
    for _ in 0..polls {
        let poll = std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut asked).poll(context).is_ready()));
        if poll.await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// An epoch is granted at each try of a decision, and one that comes to nothing leaves a gap: what is said is the same but for that.
fn but_for_epochs(mut told: Told) -> Told {
    for reply in &mut told.replies {
        if let Reply::Decided { decision: Decision::Execute(attempt), .. } = reply {
            attempt.epoch = Epoch(0);
        }
    }
    for record in told.records.iter_mut().flatten() {
        record.epoch = Epoch(0);
        if let State::Claimed { attempt, .. } | State::Done { attempt, .. } | State::InDoubt { attempt, .. } =
            &mut record.state
        {
            attempt.epoch = Epoch(0);
        }
        if let Some(overruled) = &mut record.overruled {
            overruled.epoch = Epoch(0);
        }
    }
    told
}

async fn faultless() -> Told {
    Scene::new().await.play().await
}

/// The scenario with these faults from call `nth` on; `None` where it has fewer calls.
async fn with_faults(nth: u64, faults: &[Fault]) -> Option<Told> {
    let scene = Scene::new().await;
    let table = scene.table.clone();
    let opened = table.calls();
    let sound = std::iter::repeat_n(Fault::None, usize::try_from(nth).expect("small"));
    table.fail(Faults::scripted(sound.chain(faults.iter().copied())));
    let told = scene.play().await;
    (table.calls() - opened > nth).then_some(told)
}

/// What goes wrong once is not noticed by anybody: not in a reply, not in a record, not in a count.
// covers: L11
#[tokio::test(start_paused = true)]
async fn one_failure_at_any_call_changes_nothing() {
    let expected = faultless().await;
    let stall = Fault::Late(Duration::from_secs(60));
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Torn, Fault::Repeated, stall] {
        let mut calls = 0;
        while let Some(told) = with_faults(calls, &[fault]).await {
            assert_eq!(told, expected, "{fault:?} at call {calls}");
            calls += 1;
        }
        assert!(calls > 20, "{calls} calls");
    }
}

/// What fails for so long that the store gives up is asked again, and comes to the same.
// covers: L11
#[tokio::test(start_paused = true)]
async fn a_failure_that_the_store_gives_up_on_is_mended_by_asking_again() {
    let expected = but_for_epochs(faultless().await);
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Torn] {
        let mut calls = 0;
        while let Some(told) = with_faults(calls, &[fault; 4]).await {
            let told = but_for_epochs(told);
            assert_eq!(
                (&told.replies, &told.records, told.lapsed),
                (&expected.replies, &expected.records, expected.lapsed),
                "{fault:?} at call {calls}"
            );
            calls += 1;
        }
        assert!(calls > 20, "{calls} calls");
    }
}

/// Whoever asks may go away at any await, and whoever asks again is told the same.
// covers: L6, L11
#[tokio::test]
async fn a_question_that_is_let_go_of_at_any_point_is_whole() {
    let expected = but_for_epochs(faultless().await);
    let mut all_answered = false;
    let mut polls = 0;
    while !all_answered {
        let mut scene = Scene::new().await;
        let (mut replies, mut swept) = (Vec::new(), Vec::new());
        all_answered = true;
        for ask in SCENARIO {
            match ask {
                Ask::Pass(time) => scene.clock.advance(time),
                Ask::Sweep => swept.push(persistent(|| scene.store.sweep(100)).await),
                ask => {
                    all_answered &= dropped_after(polls, scene.asked(ask)).await;
                    let reply = persistent(|| scene.asked(ask)).await;
                    scene.note(ask, &reply);
                    replies.push(reply);
                }
            }
        }
        let told = but_for_epochs(scene.told(replies, swept).await);
        assert_eq!(told, expected, "after {polls} polls");
        polls += 1;
        assert!(polls < 1_000, "questions that are never answered");
    }
    assert!(polls > 2, "{polls} polls");
}
