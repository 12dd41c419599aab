//! Resolvers: who looks, when a look that finds nothing counts, and what is left in the record and the log.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use onceward_core::{
    actor::KeyTag,
    outcome::{Evidence, Outcome},
    record::{DoubtReason, Settlement, State},
    refusal::Refusal,
};
use onceward_engine::{
    Call, Doubtful, Effected, Engine, Limits, Look, LookFuture, Pace, Ran, Resolver, Sight, Stored,
};
use onceward_store::AuditCursor;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::kit::{World, call, outcome, policy};

const SETTLING: Duration = Duration::from_secs(20);

/// Says what it was told to, one answer a look, the last one for ever; and notes what it was asked about.
#[derive(Debug)]
struct Scripted {
    says: Mutex<VecDeque<Sight>>,
    asked: Mutex<Vec<(Vec<u8>, u32, Duration)>>,
    began: Instant,
}

impl Scripted {
    fn saying(says: impl IntoIterator<Item = Sight>) -> Arc<Self> {
        let says = Mutex::new(says.into_iter().collect());
        Arc::new(Self { says, asked: Mutex::default(), began: Instant::now() })
    }

    fn looks(&self) -> Vec<u32> {
        self.asked.lock().unwrap().iter().map(|(_, looks, _)| *looks).collect()
    }
}

impl Resolver for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn look<'a>(&'a self, doubt: &'a Doubtful) -> LookFuture<'a> {
        self.asked.lock().unwrap().push((doubt.request.to_vec(), doubt.looks, self.began.elapsed()));
        let mut says = self.says.lock().unwrap();
        let sight = if says.len() > 1 { says.pop_front() } else { says.front().cloned() };
        Box::pin(async { Look { sight: sight.expect("a sight"), evidence: "as told".to_owned() } })
    }
}

fn nothing() -> Sight {
    Sight::Nothing { settling: SETTLING }
}

fn created() -> Outcome {
    outcome(201, "order 7")
}

/// Places an order whose answer is lost.
async fn lost(engine: &Engine, key: &str) {
    let request = Some(Zeroizing::new(b"POST /orders".to_vec()));
    let call = Call { request, ..call(key, "a", policy()) };
    let ran: Ran<()> =
        engine.run(call, |_| async { Effected::Unanswered(Evidence::Unknown(DoubtReason::NoAnswer)) }).await;
    assert!(matches!(ran, Ran::Refused(Refusal::OutcomeUnknown(_))), "{ran:?}");
}

/// What the record says, by its state's name, and what is kept of the request.
async fn standing(engine: &Engine, key: &str) -> (State, bool) {
    let id = call(key, "a", policy()).id(engine.secret());
    match engine.get(id).await.unwrap() {
        Some(Stored::Record(record, _)) => (record.state, record.inquiry.is_some()),
        other => panic!("{other:?}"),
    }
}

/// The audit lines of a key: decision and evidence.
async fn lines(engine: &Engine, key: KeyTag) -> Vec<(String, String)> {
    let read = engine.audit(AuditCursor(0), Some(key), 100).await.unwrap();
    let parsed =
        read.into_iter().map(|(_, line)| serde_json::from_str::<serde_json::Value>(&line.json).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    parsed.map(|line| (text(&line["decision"]), text(&line["evidence"]))).collect()
}

fn key_tag(engine: &Engine, key: &str) -> KeyTag {
    engine.key_tag(&call(key, "a", policy()).key)
}

// covers: D2, D4
#[tokio::test(start_paused = true)]
async fn a_doubt_is_looked_at_at_once_and_its_answer_replayed() {
    let engine = World::sound().engine(Limits::default()).await;
    let resolver = Scripted::saying([Sight::Happened(Some(Box::new(created())))]);
    engine.resolve_by(vec![resolver.clone()], Pace::default());
    tokio::task::yield_now().await;
    lost(&engine, "a").await;
    sleep(Duration::from_millis(50)).await;

    let (request, looks, took) = resolver.asked.lock().unwrap()[0].clone();
    assert_eq!((request.as_slice(), looks), (b"POST /orders".as_slice(), 1));
    assert!(took < Duration::from_millis(50), "not waited for the next round: {took:?}");
    let (state, is_kept) = standing(&engine, "a").await;
    assert!(matches!(state, State::Done { how: Settlement::Vouched, .. }), "{state:?}");
    assert!(!is_kept, "the request is of no use any more");
    let ran: Ran<()> = engine.run(call("a", "a", policy()), |_| async { panic!("it ran again") }).await;
    let Ran::Stored { outcome, .. } = ran else { panic!("{ran:?}") };
    assert_eq!(outcome, created());
    let log = lines(&engine, key_tag(&engine, "a")).await;
    let resolved = ("resolved".to_owned(), "scripted saw happened: as told".to_owned());
    assert!(log.contains(&resolved), "{log:?}");
    let metrics = engine.telemetry().render();
    for expected in [
        "onceward_looks_total{resolver=\"scripted\",sight=\"happened\"} 1\n",
        "onceward_resolutions_total{verdict=\"happened\"} 1\n",
    ] {
        assert!(metrics.contains(expected), "{metrics}");
    }
}

// covers: D3
#[tokio::test(start_paused = true)]
async fn nothing_found_counts_only_once_what_was_sent_has_settled() {
    let engine = World::sound().engine(Limits::default()).await;
    let resolver = Scripted::saying([nothing()]);
    engine.resolve_by(
        vec![resolver.clone()],
        Pace { look_time_max: Duration::from_secs(1), ..Pace::default() },
    );
    lost(&engine, "a").await;
    sleep(SETTLING - Duration::from_secs(1)).await;
    assert!(matches!(standing(&engine, "a").await.0, State::InDoubt { .. }));
    assert!(resolver.looks().len() > 1, "it looked meanwhile, and in vain");

    sleep(SETTLING * 2).await;
    assert!(matches!(standing(&engine, "a").await.0, State::Absent));
    let log = lines(&engine, key_tag(&engine, "a")).await;
    let too_early = "scripted saw nothing, too early for a verdict: as told";
    assert!(log.contains(&("looked".to_owned(), too_early.to_owned())), "{log:?}");
    assert!(log.contains(&("resolved".to_owned(), "scripted saw nothing: as told".to_owned())), "{log:?}");
    // The key is free, for exactly one more run.
    let ran: Ran<u8> = engine
        .run(call("a", "a", policy()), |_| async {
            Effected::Whole { answer: 1, outcome: created(), consumed: None }
        })
        .await;
    assert!(matches!(ran, Ran::Answered { answer: 1, .. }), "{ran:?}");
}

// covers: D3
#[tokio::test(start_paused = true)]
async fn what_is_unclear_stays_in_doubt_and_is_looked_at_ever_more_rarely() {
    let engine = World::sound().engine(Limits::default()).await;
    let resolver = Scripted::saying([Sight::Unclear]);
    let pace =
        Pace { pause_max: Duration::from_mins(1), age_max: Duration::from_hours(1), ..Pace::default() };
    engine.resolve_by(vec![resolver.clone()], pace);
    lost(&engine, "a").await;
    sleep(Duration::from_hours(3)).await;
    let (state, is_kept) = standing(&engine, "a").await;
    assert!(matches!(state, State::InDoubt { .. }) && is_kept, "{state:?}");
    let times: Vec<_> = resolver.asked.lock().unwrap().iter().map(|(_, _, at)| *at).collect();
    assert!((60..=130).contains(&times.len()), "{} looks in an hour, and none behind it", times.len());
    assert!(times.iter().all(|at| *at <= Duration::from_secs(3_605)), "{times:?}");
    let metrics = engine.telemetry().render();
    let oldest = metrics.lines().find_map(|line| line.strip_prefix("onceward_doubt_oldest_seconds "));
    assert!(oldest.is_some_and(|age| age.parse::<f64>().unwrap() > 10_000.0), "{oldest:?}");
}

// covers: D2
#[tokio::test(start_paused = true)]
async fn resolvers_are_asked_in_their_order_until_one_knows() {
    let engine = World::sound().engine(Limits::default()).await;
    let foreign = Scripted::saying([Sight::NotMine]);
    let unsure = Scripted::saying([Sight::Unclear]);
    let sure = Scripted::saying([Sight::Multiple]);
    let unasked = Scripted::saying([Sight::Never]);
    let resolvers: Vec<Arc<dyn Resolver>> =
        vec![foreign.clone(), unsure.clone(), sure.clone(), unasked.clone()];
    engine.resolve_by(resolvers, Pace::default());
    lost(&engine, "a").await;
    sleep(Duration::from_secs(1)).await;
    let asked = [&foreign, &unsure, &sure, &unasked].map(|resolver| resolver.looks().len());
    assert_eq!(asked, [1, 1, 1, 0]);
    let (state, _) = standing(&engine, "a").await;
    assert!(matches!(state, State::Done { how: Settlement::Diverged, .. }), "{state:?}");
}

/// One that hangs, and one that panics.
#[derive(Debug)]
struct Broken {
    hangs: bool,
}

impl Resolver for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn look<'a>(&'a self, _: &'a Doubtful) -> LookFuture<'a> {
        assert!(self.hangs, "a resolver that fails");
        Box::pin(std::future::pending())
    }
}

// covers: D3, S1
#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_or_panics_stops_nobody() {
    let engine = World::sound().engine(Limits::default()).await;
    let never = Scripted::saying([Sight::Never]);
    let resolvers: Vec<Arc<dyn Resolver>> =
        vec![Arc::new(Broken { hangs: true }), Arc::new(Broken { hangs: false }), never.clone()];
    engine.resolve_by(resolvers, Pace::default());
    lost(&engine, "a").await;
    lost(&engine, "b").await;
    sleep(Duration::from_secs(60)).await;
    for key in ["a", "b"] {
        assert!(matches!(standing(&engine, key).await.0, State::Absent), "{key}");
    }
}

// covers: D2
#[tokio::test(start_paused = true)]
async fn processes_of_one_store_share_the_looking() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let other = world.engine(Limits::default()).await;
    let resolver = Scripted::saying([Sight::Unclear]);
    for engine in [&engine, &other] {
        engine.resolve_by(vec![resolver.clone()], Pace::default());
    }
    lost(&engine, "a").await;
    sleep(Duration::from_mins(5)).await;
    let looks = resolver.looks();
    assert_eq!(looks, (1..).take(looks.len()).collect::<Vec<_>>(), "each look was granted once");
    let times: Vec<_> = resolver.asked.lock().unwrap().iter().map(|(_, _, at)| *at).collect();
    let shortest = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    assert!(shortest >= Duration::from_secs(10), "{times:?}");
}

// covers: D2
#[tokio::test(start_paused = true)]
async fn without_a_request_nobody_looks() {
    let engine = World::sound().engine(Limits::default()).await;
    let resolver = Scripted::saying([Sight::Never]);
    engine.resolve_by(vec![resolver.clone()], Pace::default());
    let ran: Ran<()> = engine
        .run(call("a", "a", policy()), |_| async {
            Effected::Unanswered(Evidence::Unknown(DoubtReason::NoAnswer))
        })
        .await;
    assert!(matches!(ran, Ran::Refused(Refusal::OutcomeUnknown(_))), "{ran:?}");
    sleep(Duration::from_mins(5)).await;
    assert_eq!(resolver.looks(), [0_u32; 0]);
    assert!(matches!(standing(&engine, "a").await.0, State::InDoubt { .. }));
}
