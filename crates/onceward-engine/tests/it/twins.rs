//! Requests of one meaning under different keys: one of them runs, and the others learn of it (P5).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_core::{
    actor::{KeyTag, Label, LookupId},
    key::Key,
    outcome::Policy,
    record::{AttemptId, Decision, Seen, State},
    refusal::{Duplicate, Refusal, Sent},
    twin::{Bid, CONFIRMATION_TIME, Confirmation, Holder, TwinId},
};
use onceward_engine::{Call, Consent, Engine, Finding, Limits, Ran, TwinGuard, Twins};
use onceward_store::{
    AuditCursor, AuditLog, Claim, Clock, Fault, Faults, Faulty, Marked, Memory, MemoryLimits, Reply, Store,
    Stored, Twin, Undated,
};

use crate::kit::{World, answering, call, policy, secret, told};

const WINDOW: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(50);
const MEANING: TwinId = TwinId::from_bytes([5; 32]);

fn meaning(key: &str, consent: Consent) -> Call {
    let guard = TwinGuard { id: MEANING, window: WINDOW, consent };
    Call { twins: Twins::Sought(guard), ..call(key, "a", policy()) }
}

/// An engine, and the effects that ran on it.
struct Shop {
    engine: Engine,
    effects: Arc<AtomicUsize>,
}

impl Shop {
    async fn open(world: &World) -> Self {
        Self { engine: world.engine(Limits::default()).await, effects: Arc::default() }
    }

    async fn asked(&self, key: &str, consent: Consent, status: u16) -> Ran<&'static str> {
        self.engine.run(meaning(key, consent), answering(&self.effects, SHORT, status, "order")).await
    }

    async fn order(&self, key: &str) -> Ran<&'static str> {
        self.asked(key, Consent::None, 201).await
    }

    fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    fn id(&self, key: &str) -> LookupId {
        meaning(key, Consent::None).id(&secret())
    }

    async fn record(&self, key: &str) -> (onceward_core::record::Record, Label) {
        match self.engine.get(self.id(key)).await.unwrap() {
            Some(Stored::Record(record, label)) => (*record, label),
            other => panic!("{key}: {other:?}"),
        }
    }
}

fn tag(key: &str) -> Option<KeyTag> {
    Some(KeyTag::of(&secret(), &Key::new(key).unwrap()))
}

/// What a refused call is told of the earlier effect.
fn duplicate(ran: Ran<&'static str>) -> Duplicate {
    match ran {
        Ran::Refused(Refusal::PossibleDuplicate(duplicate)) => *duplicate,
        other => panic!("not refused: {}", told(&other)),
    }
}

/// Whose effect stands in the way, how, and what was said of the confirmation that was sent.
fn met(ran: Ran<&'static str>) -> (Option<KeyTag>, Seen, Sent) {
    let Duplicate { earlier, sent, .. } = duplicate(ran);
    (earlier.key, earlier.seen, sent)
}

fn with(confirmation: Confirmation) -> Consent {
    Consent::Token(confirmation)
}

// covers: P5
#[tokio::test(start_paused = true)]
async fn another_key_of_the_same_meaning_runs_only_when_confirmed() {
    let world = World::sound();
    let shop = Shop::open(&world).await;
    let sent_at = world.store_clock.now();
    assert_eq!(told(&shop.order("one").await), "order Recorded");
    let Duplicate { earlier, confirmation, sent } = duplicate(shop.order("two").await);
    assert_eq!((earlier.id, earlier.key, earlier.seen), (shop.id("one"), tag("one"), Seen::Done));
    assert_eq!((earlier.sent_at, earlier.until), (sent_at, sent_at.after(WINDOW)));
    assert_eq!((sent, shop.effects()), (Sent::Nothing, 1));
    // Nothing happened under the key: it is free, and asked again it is told the same.
    assert_eq!(shop.record("two").await.0.state, State::Absent);
    assert_eq!(met(shop.order("two").await), (tag("one"), Seen::Done, Sent::Nothing));
    assert_eq!(told(&shop.asked("two", with(confirmation), 201).await), "order Recorded");
    assert_eq!(shop.effects(), 2);
    // The first one's own repeat, and the second one's, are answered by their keys.
    assert_eq!(told(&shop.order("one").await), "order stored Repeat Same");
    assert_eq!(told(&shop.asked("two", with(confirmation), 201).await), "order stored Repeat Same");
    assert_eq!(met(shop.order("three").await), (tag("two"), Seen::Done, Sent::Nothing));
    assert_eq!(shop.effects(), 2);
}

// covers: P5
#[tokio::test(start_paused = true)]
async fn a_confirmation_is_good_for_its_key_its_effect_and_its_time() {
    let world = World::sound();
    let shop = Shop::open(&world).await;
    shop.order("one").await;
    let confirmation = duplicate(shop.order("two").await).confirmation;
    let no_good = |key| (tag(key), Seen::Done, Sent::NoGood);
    assert_eq!(met(shop.asked("three", with(confirmation), 201).await), no_good("one"));
    assert_eq!(met(shop.asked("two", Consent::Unreadable, 201).await), no_good("one"));
    // Shown about the first effect; by now another one stands.
    let other = duplicate(shop.order("three").await).confirmation;
    assert_eq!(told(&shop.asked("three", with(other), 201).await), "order Recorded");
    assert_eq!(met(shop.asked("two", with(confirmation), 201).await), no_good("three"));
    // Left open too long, and offered anew.
    let late = duplicate(shop.order("two").await).confirmation;
    world.sleep(CONFIRMATION_TIME);
    let again = duplicate(shop.asked("two", with(late), 201).await);
    assert_eq!((again.sent, shop.effects()), (Sent::NoGood, 2));
    assert_eq!(told(&shop.asked("two", with(again.confirmation), 201).await), "order Recorded");
    assert_eq!(shop.effects(), 3);
}

/// Of many keys at one instant one runs.
// covers: P5
#[tokio::test(start_paused = true)]
async fn of_simultaneous_keys_of_one_meaning_one_runs() {
    let shop = Arc::new(Shop::open(&World::sound()).await);
    let orders = (0..16).map(|number| {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move { told(&shop.order(&format!("key-{number}")).await) })
    });
    let mut answers = Vec::new();
    for order in orders.collect::<Vec<_>>() {
        answers.push(order.await.unwrap());
    }
    answers.sort();
    let mut expected = vec!["possible-duplicate".to_owned(); 15];
    expected.insert(0, "order Recorded".to_owned());
    assert_eq!((answers, shop.effects()), (expected, 1));
}

/// What the store loses, doubles or keeps back, no second effect of a meaning runs.
// covers: P5, L11
#[tokio::test(start_paused = true)]
async fn no_fault_of_the_store_lets_a_second_effect_of_a_meaning_run() {
    let mut ran = 0;
    for seed in 0..60 {
        let world = World::new(seed, Faults::seeded(seed, 300, Duration::from_secs(2)));
        let shop = Arc::new(Shop::open(&world).await);
        let orders = (0..4).map(|number| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move {
                for _ in 0..3 {
                    shop.order(&format!("key-{number}")).await;
                }
            })
        });
        for order in orders.collect::<Vec<_>>() {
            order.await.unwrap();
        }
        assert!(shop.effects() <= 1, "seed {seed}: {} effects", shop.effects());
        ran += shop.effects();
    }
    // Most of them get through.
    assert!(ran > 30, "{ran}");
}

/// A declined card is no order, nor is what provably never left; a failure may be one.
// covers: P5
#[tokio::test(start_paused = true)]
async fn an_effect_that_did_not_happen_stands_in_nobodys_way() {
    for (status, expected) in [
        (402, "order Recorded"),
        (409, "order Recorded"),
        (401, "order Recorded"),
        (303, "possible-duplicate"),
        (500, "possible-duplicate"),
    ] {
        let shop = Shop::open(&World::sound()).await;
        shop.asked("one", Consent::None, status).await;
        assert_eq!(told(&shop.order("two").await), expected, "{status}");
        // Whoever came through stands.
        if expected == "order Recorded" {
            assert_eq!(met(shop.order("three").await), (tag("two"), Seen::Done, Sent::Nothing));
        }
    }
}

/// A key that was released comes back to a mark of its own.
// covers: P5
#[tokio::test(start_paused = true)]
async fn a_released_key_is_not_in_its_own_way() {
    let shop = Shop::open(&World::sound()).await;
    assert!(told(&shop.asked("one", Consent::None, 401).await).contains("Released"));
    assert_eq!(told(&shop.order("one").await), "order Recorded");
    assert_eq!(met(shop.order("two").await), (tag("one"), Seen::Done, Sent::Nothing));
}

// covers: P5, D3
#[tokio::test(start_paused = true)]
async fn an_effect_in_doubt_stands_until_it_is_found_out() {
    let finding = |absent| if absent { Finding::Absent } else { Finding::Happened(None) };
    for (absent, expected) in [(true, "order Recorded"), (false, "possible-duplicate")] {
        let shop = Shop::open(&World::sound()).await;
        // The forward proxy's policy: nobody knows what a 504 means.
        shop.asked("one", Consent::None, 504).await;
        assert_eq!(met(shop.order("two").await), (tag("one"), Seen::InDoubt, Sent::Nothing));
        let (record, label) = shop.record("one").await;
        let found = shop.engine.resolve(shop.id("one"), &label, finding(absent), record.epoch, "looked");
        found.await.unwrap();
        assert_eq!(told(&shop.order("two").await), expected);
    }
}

// covers: P5, T1
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_gone_stands_until_the_window_has_passed() {
    let world = World::sound();
    let shop = Shop::open(&world).await;
    let brief = Policy { retention: Duration::from_secs(60), ..policy() };
    let first = Call { policy: Arc::new(brief), ..meaning("one", Consent::None) };
    shop.engine.run(first, answering(&shop.effects, SHORT, 201, "order")).await;
    world.sleep(Duration::from_secs(61));
    assert_eq!(met(shop.order("two").await), (tag("one"), Seen::Expired, Sent::Nothing));
    world.sleep(WINDOW);
    assert_eq!(told(&shop.order("two").await), "order Recorded");
    assert_eq!(shop.effects(), 2);
}

/// Claims `key` as a process does that dies right after.
async fn claimed_by_the_dead(world: &World, key: &str) -> Holder {
    let call = meaning(key, Consent::None);
    let id = call.id(&secret());
    let claim = Claim {
        id,
        attempt: AttemptId([9; 16]),
        fingerprint: call.fingerprint,
        terms: policy().terms(),
        label: Label {
            tenant: call.tenant.clone(),
            actor: call.actor.tag(&secret(), &call.tenant),
            key: KeyTag::of(&secret(), &call.key),
            effect: call.effect.clone(),
        },
        issued_at: None,
        undated: Undated::Execute,
        request: None,
    };
    match world.store.claim(claim).await.unwrap() {
        Reply::Decided { decision: Decision::Execute(attempt), .. } => Holder { id, epoch: attempt.epoch },
        other => panic!("{other:?}"),
    }
}

/// Before its mark an effect never ran, so that nobody has to wait for what became of it.
// covers: P5
#[tokio::test(start_paused = true)]
async fn who_died_between_claim_and_mark_stands_in_nobodys_way() {
    let world = World::sound();
    let shop = Shop::open(&world).await;
    claimed_by_the_dead(&world, "dead").await;
    assert_eq!(told(&shop.order("two").await), "order Recorded");
    world.sleep(policy().lease);
    assert_eq!(told(&shop.order("dead").await), "outcome-unknown");
}

// covers: P5, L4
#[tokio::test(start_paused = true)]
async fn who_died_behind_its_mark_may_have_acted() {
    let world = World::sound();
    let shop = Shop::open(&world).await;
    let holder = claimed_by_the_dead(&world, "dead").await;
    let (_, label) = shop.record("dead").await;
    let bid = Bid { holder, window: WINDOW, replaces: None };
    let marked = world.store.mark_twin(Twin { id: MEANING, actor: label.actor, bid }).await.unwrap();
    assert_eq!(marked, Marked::Held);
    assert_eq!(met(shop.order("two").await), (tag("dead"), Seen::Claimed, Sent::Nothing));
    world.sleep(policy().lease);
    let Duplicate { earlier, confirmation, .. } = duplicate(shop.order("two").await);
    assert_eq!(earlier.seen, Seen::InDoubt);
    assert_eq!(told(&shop.asked("two", with(confirmation), 201).await), "order Recorded");
    // What it confirmed past is still in doubt, for whoever asks by its key.
    assert_eq!(told(&shop.order("dead").await), "outcome-unknown");
}

/// Nothing is sent without a mark, and the key is free again.
// covers: P5, S1, S2
#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_mark_lets_nothing_run() {
    let full = World::sound();
    let limits = MemoryLimits { records_max: 1, ..MemoryLimits::default() };
    let memory = Memory::new(limits, Arc::clone(&full.store_clock) as Arc<dyn Clock>);
    let full = World { store: Arc::new(Faulty::new(memory, Faults::scripted([]))), ..full };
    // Behind the start and the claim the store refuses for longer than a mark is asked for.
    let refusals = std::iter::repeat_n(Fault::Refused, 30);
    let away = World::new(7, Faults::scripted([Fault::None; 2].into_iter().chain(refusals)));
    for (world, slug) in [(full, "overloaded"), (away, "store-unavailable")] {
        let shop = Shop::open(&world).await;
        assert_eq!(told(&shop.order("one").await), slug);
        assert_eq!((shop.effects(), shop.record("one").await.0.state), (0, State::Absent), "{slug}");
    }
}

// covers: P5, L11
#[tokio::test(start_paused = true)]
async fn a_mark_whose_answer_is_lost_is_asked_for_again() {
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Torn, Fault::Repeated] {
        let world = World::new(7, Faults::scripted([Fault::None, Fault::None, fault]));
        let shop = Shop::open(&world).await;
        assert_eq!(told(&shop.order("one").await), "order Recorded", "{fault:?}");
        assert_eq!(met(shop.order("two").await), (tag("one"), Seen::Done, Sent::Nothing));
    }
}

/// Whether a route asks for it, and whether a body says what it means.
// covers: P5
#[tokio::test(start_paused = true)]
async fn only_what_says_what_it_means_has_twins() {
    let shop = Shop::open(&World::sound()).await;
    shop.order("one").await;
    for twins in [Twins::Ignored, Twins::Unread] {
        let call = Call { twins, ..call(&format!("{twins:?}"), "a", policy()) };
        let ran = shop.engine.run(call, answering(&shop.effects, SHORT, 201, "order")).await;
        assert_eq!(told(&ran), "order Recorded");
    }
    // Another meaning, too.
    let guard = TwinGuard { id: TwinId::from_bytes([6; 32]), window: WINDOW, consent: Consent::None };
    let other = Call { twins: Twins::Sought(guard), ..call("other", "a", policy()) };
    let ran = shop.engine.run(other, answering(&shop.effects, SHORT, 201, "order")).await;
    assert_eq!(told(&ran), "order Recorded");
}

// covers: P5, A1, A2
#[tokio::test(start_paused = true)]
async fn the_log_and_the_metrics_say_what_a_request_met() {
    let world = World::sound();
    let shop = Shop::open(&world).await;
    shop.order("one").await;
    let confirmation = duplicate(shop.order("two").await).confirmation;
    shop.asked("two", with(confirmation), 402).await;
    shop.order("three").await;
    let unread = Call { twins: Twins::Unread, ..call("four", "a", policy()) };
    shop.engine.run(unread, answering(&shop.effects, SHORT, 201, "order")).await;
    shop.engine.drain(Duration::ZERO).await;
    shop.engine.close().await;
    let lines = world.store.inner().read(AuditCursor::default(), None, 100).await.unwrap();
    let said: Vec<_> = lines
        .iter()
        .map(|(_, line)| serde_json::from_str::<serde_json::Value>(&line.json).unwrap())
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            [text("decision"), text("reason"), text("twin"), text("earlier_key")].join(" ")
        })
        .collect();
    let one = tag("one").unwrap();
    assert_eq!(
        said,
        [
            "executed - - -".to_owned(),
            format!("refused possible-duplicate refused {one}"),
            format!("executed - confirmed {one}"),
            "executed - superseded -".to_owned(),
            "executed - unread -".to_owned(),
        ]
    );
    let metrics = shop.engine.telemetry().render();
    for line in [
        "onceward_twins_total{outcome=\"refused\"} 1",
        "onceward_twins_total{outcome=\"confirmed\"} 1",
        "onceward_twins_total{outcome=\"superseded\"} 1",
        "onceward_twins_total{outcome=\"unread\"} 1",
        "onceward_requests_total{outcome=\"possible-duplicate\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}
