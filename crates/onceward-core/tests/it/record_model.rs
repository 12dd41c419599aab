//! Random lives of one key: the record machine against an oracle that was written from the protocol, and what may never happen.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use onceward_core::fingerprint::{Fingerprint, Version};
use onceward_core::record::{
    AfterRetention, Alarm, Attempt, AttemptId, Decision, Denial, DoubtReason, Epoch, Event, OnLapse,
    OnMismatch, Record, Sealed, State, Terms, Verdict,
};
use onceward_core::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

const LEASE_MS: u64 = 10;
const RETENTION_MS: u64 = 50;
const REMEMBER_MS: u64 = 200;
const STEPS_MAX: usize = 60;

/// What happens next; `who` counts back through the attempts that were granted.
#[derive(Clone, Debug)]
enum Act {
    Arrive { name: u8, same: bool },
    Renew { who: usize },
    Complete { who: usize },
    Release { who: usize },
    Doubt { who: usize },
    HolderGone,
    Happened { who: usize },
    Multiple { who: usize },
    Absent { who: usize },
    Unknown { who: usize },
    Cancel,
    Erase,
    Sweep,
}

fn acts() -> impl Strategy<Value = Act> {
    let who = 0_usize..3;
    prop_oneof![
        6 => (0_u8..3, prop::bool::weighted(0.8)).prop_map(|(name, same)| Act::Arrive { name, same }),
        2 => who.clone().prop_map(|who| Act::Renew { who }),
        2 => who.clone().prop_map(|who| Act::Complete { who }),
        2 => who.clone().prop_map(|who| Act::Release { who }),
        2 => who.clone().prop_map(|who| Act::Doubt { who }),
        1 => Just(Act::HolderGone),
        1 => who.clone().prop_map(|who| Act::Happened { who }),
        1 => who.clone().prop_map(|who| Act::Multiple { who }),
        3 => who.clone().prop_map(|who| Act::Absent { who }),
        1 => who.prop_map(|who| Act::Unknown { who }),
        1 => Just(Act::Cancel),
        1 => Just(Act::Erase),
        2 => Just(Act::Sweep),
    ]
}

fn pauses_ms() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..LEASE_MS, 2 => LEASE_MS..RETENTION_MS, 1 => RETENTION_MS..2 * REMEMBER_MS]
}

fn terms() -> impl Strategy<Value = Terms> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(again, after, drift)| Terms {
        lease: Duration::from_millis(LEASE_MS),
        on_lapse: if again { OnLapse::Execute } else { OnLapse::Doubt },
        retention: Duration::from_millis(RETENTION_MS),
        remember: Duration::from_millis(REMEMBER_MS),
        after_retention: if after { AfterRetention::Execute } else { AfterRetention::Refuse },
        on_mismatch: if drift { OnMismatch::Replay } else { OnMismatch::Refuse },
    })
}

/// A decision without its details.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Run(Attempt),
    Answer(Option<Epoch>),
    Wait,
    No(&'static str),
    Done,
    Late,
    Alarm,
    Nothing,
}

/// What the protocol says of a key. A lapsed claim is in doubt at once here, where the machine waits until somebody looks.
#[derive(Clone, Copy, Debug)]
enum Life {
    Free { until: u64 },
    Runs { by: Attempt, until: u64 },
    Over { by: Attempt, answer: Option<Epoch>, how: &'static str, until: u64 },
    Doubt { by: Attempt, wanted: bool },
    Gone { why: &'static str, until: u64 },
}

struct Oracle {
    terms: Terms,
    life: Life,
    first: bool,
    overruled: Option<Attempt>,
    last: Option<Epoch>,
}

impl Oracle {
    fn age(&mut self, now: u64) {
        let again = self.terms.on_lapse == OnLapse::Execute;
        match self.life {
            Life::Runs { by, until } if now >= until && !again => {
                self.life = Life::Doubt { by, wanted: true }
            }
            Life::Over { until, .. } if now >= until => {
                self.life = Life::Gone { why: "expired", until: until + REMEMBER_MS };
                self.age(now);
            }
            Life::Free { until } | Life::Gone { until, .. } if now >= until => {
                *self = Self { life: Life::Free { until: u64::MAX }, overruled: None, last: None, ..*self };
            }
            _ => {}
        }
    }

    fn arrive(&mut self, by: Attempt, same: bool, now: u64) -> Told {
        let after = self.terms.after_retention == AfterRetention::Execute;
        let free = matches!(self.life, Life::Free { .. })
            || matches!(self.life, Life::Gone { why: "expired", .. } if after);
        let stands_for_something = !free && self.last.is_some();
        if stands_for_something && same != self.first && self.terms.on_mismatch == OnMismatch::Refuse {
            return Told::No("reused");
        }
        match self.life {
            Life::Runs { by: holder, until } if now < until && holder.id == by.id => Told::Run(holder),
            Life::Runs { until, .. } if now < until => Told::Wait,
            Life::Over { answer, .. } => Told::Answer(answer),
            Life::Doubt { .. } => Told::No("in doubt"),
            Life::Gone { why, .. } if !free => Told::No(why),
            Life::Free { .. } | Life::Gone { .. } | Life::Runs { .. } => {
                (self.life, self.first) = (Life::Runs { by, until: now + LEASE_MS }, same);
                self.last = Some(by.epoch);
                Told::Run(by)
            }
        }
    }

    fn report(&mut self, act: &Act, by: Attempt, now: u64) -> Told {
        let over = Life::Over { by, answer: Some(by.epoch), how: "answered", until: now + RETENTION_MS };
        match (act, self.life) {
            (Act::Renew { .. }, Life::Runs { by: holder, until }) if holder == by && now < until => {
                self.life = Life::Runs { by, until: until.max(now + LEASE_MS) };
            }
            (Act::Complete { .. }, Life::Runs { by: holder, .. } | Life::Doubt { by: holder, .. })
                if holder == by =>
            {
                self.life = over;
            }
            (Act::Complete { .. }, Life::Over { by: holder, how: "answered", .. }) if holder == by => {}
            (Act::Complete { .. }, _) if self.overruled == Some(by) => return Told::Alarm,
            (Act::Release { .. }, Life::Runs { by: holder, .. } | Life::Doubt { by: holder, .. })
                if holder == by =>
            {
                self.free(now);
            }
            (Act::Release { .. }, Life::Free { .. }) if self.last == Some(by.epoch) => {}
            (Act::Doubt { .. }, Life::Runs { by: holder, .. }) if holder == by => {
                self.life = Life::Doubt { by, wanted: true };
            }
            (Act::Doubt { .. }, Life::Doubt { by: holder, .. }) if holder == by => {}
            _ => return Told::Late,
        }
        Told::Done
    }

    fn free(&mut self, now: u64) {
        let memory_ms = if self.overruled.is_some() { REMEMBER_MS } else { RETENTION_MS };
        self.life = match self.life {
            Life::Doubt { wanted: false, .. } => Life::Gone { why: "cancelled", until: now + REMEMBER_MS },
            _ => Life::Free { until: now + memory_ms },
        };
    }

    fn holder_gone(&mut self, now: u64) -> Told {
        if let Life::Runs { by, until } = self.life {
            self.life = match self.terms.on_lapse {
                OnLapse::Doubt => Life::Doubt { by, wanted: true },
                OnLapse::Execute => Life::Runs { by, until: until.min(now) },
            };
        }
        Told::Nothing
    }

    /// A verdict is about one attempt, and says the same again when it is repeated.
    fn learn(&mut self, act: &Act, judged: Attempt, now: u64) -> Told {
        let over = |how| Life::Over { by: judged, answer: None, how, until: now + RETENTION_MS };
        let doubtful = match self.life {
            Life::Doubt { by, .. } => by == judged,
            Life::Runs { by, until } if now >= until && !matches!(act, Act::Unknown { .. }) => by == judged,
            Life::Runs { by, .. } if by == judged => return Told::No("in progress"),
            _ => false,
        };
        match (act, self.life) {
            (Act::Happened { .. }, _) if doubtful => self.life = over("happened"),
            (Act::Multiple { .. }, _) if doubtful => self.life = over("multiple"),
            (Act::Absent { .. }, _) if doubtful => {
                self.overruled = Some(judged);
                self.free(now);
            }
            (Act::Unknown { .. }, _) if doubtful => return Told::Nothing,
            (Act::Happened { .. }, Life::Over { by, how: "happened", .. }) if by == judged => {}
            (Act::Multiple { .. }, Life::Over { by, how: "multiple", .. }) if by == judged => {}
            (Act::Absent { .. }, _) if self.overruled == Some(judged) => {}
            _ => return Told::No("not in doubt"),
        }
        Told::Done
    }

    fn cancel(&mut self, now: u64) -> Told {
        match self.life {
            Life::Free { .. } => self.life = Life::Gone { why: "cancelled", until: now + REMEMBER_MS },
            Life::Runs { until, .. } if now < until => return Told::No("in progress"),
            Life::Runs { by, .. } | Life::Doubt { by, .. } => {
                self.life = Life::Doubt { by, wanted: false };
                return Told::No("in doubt");
            }
            Life::Over { answer, .. } => return Told::Answer(answer),
            Life::Gone { why: "expired", .. } => return Told::No("expired"),
            Life::Gone { .. } => {}
        }
        Told::Done
    }

    fn erase(&mut self) -> Told {
        match &mut self.life {
            Life::Runs { .. } => Told::No("in progress"),
            Life::Over { answer, .. } => {
                *answer = None;
                Told::Done
            }
            Life::Free { .. } | Life::Doubt { .. } | Life::Gone { .. } => Told::Done,
        }
    }

    fn step(&mut self, act: &Act, by: Attempt, now: u64) -> Told {
        self.age(now);
        match act {
            Act::Arrive { same, .. } => self.arrive(by, *same, now),
            Act::Renew { .. } | Act::Complete { .. } | Act::Release { .. } | Act::Doubt { .. } => {
                self.report(act, by, now)
            }
            Act::HolderGone => self.holder_gone(now),
            Act::Happened { .. } | Act::Multiple { .. } | Act::Absent { .. } | Act::Unknown { .. } => {
                self.learn(act, by, now)
            }
            Act::Cancel => self.cancel(now),
            Act::Erase => self.erase(),
            Act::Sweep => Told::Nothing,
        }
    }
}

/// Each attempt's answer is its epoch, so that no two are alike.
fn answer_of(attempt: Attempt) -> Sealed {
    Sealed(attempt.epoch.0.to_be_bytes().to_vec())
}

fn event_of(act: &Act, by: Attempt, terms: Terms) -> Event {
    match act {
        Act::Arrive { same, .. } => {
            let mut bytes = [if *same { 3 } else { 2 }; Fingerprint::LEN];
            bytes[0] = Version::C1 as u8;
            Event::Arrived {
                attempt: by,
                fingerprint: Fingerprint::from_bytes(&bytes).unwrap(),
                terms,
                request: None,
            }
        }
        Act::Renew { .. } => Event::Renewed { attempt: by },
        Act::Complete { .. } => Event::Completed { attempt: by, outcome: answer_of(by) },
        Act::Release { .. } => Event::Released { attempt: by },
        Act::Doubt { .. } => Event::Doubted { attempt: by, reason: DoubtReason::NoAnswer },
        Act::HolderGone => Event::HolderGone,
        Act::Happened { .. } => Event::Resolved { verdict: Verdict::Happened(None), judged: by.epoch },
        Act::Multiple { .. } => Event::Resolved { verdict: Verdict::Multiple(None), judged: by.epoch },
        Act::Absent { .. } => Event::Resolved { verdict: Verdict::Absent, judged: by.epoch },
        Act::Unknown { .. } => Event::Resolved { verdict: Verdict::Unknown, judged: by.epoch },
        Act::Cancel => Event::Cancelled { remember: Duration::from_millis(REMEMBER_MS) },
        Act::Erase => Event::Erased,
        Act::Sweep => Event::Swept,
    }
}

fn told(decision: &Decision, act: &Act) -> Told {
    match decision {
        Decision::Execute(attempt) => Told::Run(*attempt),
        Decision::Replay { outcome, .. } => Told::Answer(
            outcome.as_ref().map(|sealed| Epoch(u64::from_be_bytes(sealed.0.as_slice().try_into().unwrap()))),
        ),
        Decision::Wait { .. } => Told::Wait,
        Decision::Refuse(denial) => Told::No(match denial {
            Denial::KeyReused => "reused",
            Denial::InDoubt { .. } => "in doubt",
            Denial::InProgress => "in progress",
            Denial::Expired => "expired",
            Denial::Cancelled => "cancelled",
            Denial::NotInDoubt => "not in doubt",
        }),
        // Whether the death was news depends on when the machine noticed the lapse.
        Decision::Settled if matches!(act, Act::HolderGone) => Told::Nothing,
        Decision::Settled | Decision::Renewed(_) => Told::Done,
        Decision::Stale(Alarm::None) => Told::Late,
        Decision::Stale(Alarm::EffectAfterRelease) => Told::Alarm,
        Decision::Unchanged => Told::Nothing,
        Decision::Compare(_) => Told::No("version"),
    }
}

/// One key, the machine and what its world has seen.
struct World {
    record: Record,
    oracle: Oracle,
    now: u64,
    granted: Vec<Attempt>,
    /// Attempts whose effect could have happened under the key as it is remembered now.
    effects: Vec<Attempt>,
}

impl World {
    fn new(terms: Terms) -> Self {
        let life = Life::Free { until: u64::MAX };
        Self {
            record: Record::absent(),
            oracle: Oracle { terms, life, first: true, overruled: None, last: None },
            now: 1_000,
            granted: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Whom the act comes from, or whom it judges.
    fn sender(&self, act: &Act) -> Attempt {
        let stranger = Attempt { epoch: Epoch(u64::MAX), id: AttemptId([9; 16]) };
        match act {
            Act::Arrive { name, .. } => {
                let highest = self.granted.iter().map(|attempt| attempt.epoch.0).max().unwrap_or_default();
                Attempt { epoch: Epoch(highest + 1), id: AttemptId([*name; 16]) }
            }
            Act::Renew { who }
            | Act::Complete { who }
            | Act::Release { who }
            | Act::Doubt { who }
            | Act::Happened { who }
            | Act::Multiple { who }
            | Act::Absent { who }
            | Act::Unknown { who } => self.granted.iter().rev().nth(*who).copied().unwrap_or(stranger),
            Act::HolderGone | Act::Cancel | Act::Erase | Act::Sweep => stranger,
        }
    }

    fn step(&mut self, act: &Act, pause_ms: u64) {
        self.now += pause_ms;
        let (by, now) = (self.sender(act), Timestamp::from_ms(self.now));
        let terms = self.oracle.terms;
        let before = self.record.clone();
        let swept = before.clone().on(Event::Swept, now).0;
        let (after, decision) = before.clone().on(event_of(act, by, terms), now);
        assert_eq!(
            told(&decision, act),
            self.oracle.step(act, by, self.now),
            "{act:?} by {by:?} on {before:?}"
        );
        self.record = after;
        self.check_effects(act, &decision, by, &swept);
        self.check_records(act, &decision, &before, &swept);
    }

    /// At most one effect a key, and none anew without proof, a verdict, or a route that says so.
    fn check_effects(&mut self, act: &Act, decision: &Decision, by: Attempt, swept: &Record) {
        let terms = self.oracle.terms;
        let expired = matches!(swept.state, State::Tombstone { .. });
        if swept.is_blank() || expired && terms.after_retention == AfterRetention::Execute {
            self.effects.clear();
        }
        match (decision, act) {
            (Decision::Execute(attempt), _) if !self.granted.contains(attempt) => {
                let highest = self.granted.iter().map(|earlier| earlier.epoch).max();
                assert!(highest < Some(attempt.epoch), "epoch {:?} after {highest:?}", attempt.epoch);
                assert!(
                    self.effects.is_empty() || terms.on_lapse == OnLapse::Execute,
                    "{attempt:?} may run, and so may have {:?}",
                    self.effects
                );
                self.granted.push(*attempt);
                self.effects.push(*attempt);
            }
            (Decision::Settled, Act::Release { .. } | Act::Absent { .. }) => {
                self.effects.retain(|attempt| *attempt != by);
            }
            _ => {}
        }
    }

    fn check_records(&self, act: &Act, decision: &Decision, before: &Record, swept: &Record) {
        let after = &self.record;
        let open = |record: &Record| matches!(record.state, State::Claimed { .. } | State::InDoubt { .. });
        assert!(!open(before) || open(swept), "a sweep took {before:?}");
        assert!(after.epoch >= before.epoch || swept.is_blank(), "the epoch went back: {after:?}");
        if let (
            State::Done { attempt: first, outcome: stored, how, .. },
            State::Done { attempt, outcome, how: how_now, .. },
        ) = (&before.state, &after.state)
        {
            let kept = if matches!(act, Act::Erase) { &None } else { stored };
            assert_eq!((attempt, outcome, how_now), (first, kept, how), "an outcome changed");
        }
        let told_only =
            matches!(decision, Decision::Stale(_) | Decision::Wait { .. } | Decision::Replay { .. })
                || matches!(decision, Decision::Refuse(_)) && !matches!(act, Act::Cancel);
        if told_only {
            // Time may have done its part.
            assert!(after == before || after == swept, "{decision:?} changed {before:?} to {after:?}");
        }
    }
}

// covers: L1, L2, L4, L5, L7, L11, L13, L14, D3, D5, T1, T2, F6
#[test]
fn random_lives_follow_the_protocol() {
    let mut config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(RandomState::new().hash_one("seed"));
    }
    eprintln!("PROPTEST_RNG_SEED={}", config.rng_seed);
    let lives = (terms(), prop::collection::vec((acts(), pauses_ms()), 1..STEPS_MAX));
    let result = TestRunner::new(config).run(&lives, |(terms, steps)| {
        let mut world = World::new(terms);
        for (act, pause_ms) in &steps {
            world.step(act, *pause_ms);
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
