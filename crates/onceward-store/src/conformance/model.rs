//! Random histories of a few keys, against the model.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use onceward_core::record::{
    Alarm, Attempt, AttemptId, Decision, Denial, DoubtReason, Epoch, OnLapse, Sealed, Verdict,
};
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestRunner},
};

use super::{
    Subject,
    kit::{self, LEASE, REMEMBER, RETENTION, claim, id, resolution},
    oracle::{Found, Oracle, Said},
};
use crate::{
    clock::ManualClock,
    port::{Claim, Clock, Reply, ResolutionChange, Settle, Store},
};

/// Keys of one history: two routes that doubt, and one that is safe to run again.
const KEYS: u64 = 3;

/// Histories that one run plays, of up to [`STEPS_MAX`] steps each.
const HISTORIES: u32 = 96;

const STEPS_MAX: usize = 48;

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim {
        attempt: u8,
        asked: u8,
    },
    /// These name one of the attempts that were granted on the key, counted back from the latest.
    Renew {
        granted: usize,
    },
    Complete {
        granted: usize,
        body: u8,
    },
    Release {
        granted: usize,
    },
    Doubt {
        granted: usize,
    },
    Found {
        found: Found,
        granted: usize,
    },
    Cancel,
    Sweep,
    Advance {
        ms: u64,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    let ms = |duration: std::time::Duration| duration.as_millis() as u64;
    let body = proptest::option::of(0..3_u8);
    let found = prop_oneof![body.prop_map(Found::Happened), Just(Found::Absent), Just(Found::Unknown)];
    let spans = prop_oneof![
        3 => 1..ms(LEASE),
        3 => Just(ms(LEASE)),
        2 => Just(ms(RETENTION)),
        1 => Just(ms(REMEMBER)),
    ];
    // The latest attempt matters most, and former ones must not.
    let granted = || prop_oneof![4 => Just(0_usize), 1 => 1..3_usize];
    prop_oneof![
        6 => (0..3_u8, prop_oneof![5 => Just(0_u8), 1 => Just(1)])
            .prop_map(|(attempt, asked)| Step::Claim { attempt, asked }),
        2 => granted().prop_map(|granted| Step::Renew { granted }),
        3 => (granted(), 0..3_u8).prop_map(|(granted, body)| Step::Complete { granted, body }),
        2 => granted().prop_map(|granted| Step::Release { granted }),
        2 => granted().prop_map(|granted| Step::Doubt { granted }),
        3 => (found, granted()).prop_map(|(found, granted)| Step::Found { found, granted }),
        1 => Just(Step::Cancel),
        2 => Just(Step::Sweep),
        5 => spans.prop_map(|ms| Step::Advance { ms }),
    ]
}

/// Every answer of the store is the model's. A failing history is shrunk and printed, with its seed.
// covers: L1, L2, L3, L4, L5, L7, L11, L13, F6, D3, D5, T1, T2
pub async fn random_histories_agree_with_the_model<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let runtime = tokio::runtime::Handle::current();
    let played = tokio::task::spawn_blocking(move || {
        let config =
            ProptestConfig { cases: HISTORIES, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new(config);
        let keys_used = AtomicU64::new(0);
        let history = proptest::collection::vec((0..KEYS, steps()), 1..STEPS_MAX);
        runner.run(&history, |history| {
            let first_key = keys_used.fetch_add(KEYS, Ordering::Relaxed);
            let mut play = Play::new(Arc::clone(&store), Arc::clone(&clock), first_key);
            runtime.block_on(play.all(&history))
        })
    });
    if let Err(failure) = played.await.expect("the histories end") {
        panic!("{failure}");
    }
}

/// One history under way.
struct Play {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    first_key: u64,
    oracles: Vec<Oracle>,
    granted: Vec<Vec<Attempt>>,
}

impl Play {
    fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>, first_key: u64) -> Self {
        let oracles = (0..KEYS).map(|key| Oracle::new(key == 0)).collect();
        Self { store, clock, first_key, oracles, granted: vec![Vec::new(); KEYS as usize] }
    }

    async fn all(&mut self, history: &[(u64, Step)]) -> Result<(), TestCaseError> {
        for (place, (key, step)) in history.iter().enumerate() {
            let (expected, said) = self.one(*key, *step).await;
            prop_assert_eq!(said, expected, "at step {} of {:?}", place, history);
        }
        Ok(())
    }

    /// What the model and the store say to one step.
    async fn one(&mut self, key: u64, step: Step) -> (Option<Said>, Option<Said>) {
        let (now, number, index) = (self.clock.now().as_ms(), self.first_key + key, key as usize);
        let oracle = &mut self.oracles[index];
        let granted = |back: usize| {
            // Epoch 0 is that of a key that was never claimed, and no store grants it.
            let stranger = Attempt { epoch: Epoch(1), id: AttemptId([99; 16]) };
            self.granted[index].iter().rev().nth(back).copied().unwrap_or(stranger)
        };
        let store = &*self.store;
        let (expected, reply) = match step {
            Step::Advance { ms } => {
                self.clock.advance(std::time::Duration::from_millis(ms));
                return (None, None);
            }
            Step::Sweep => {
                kit::sweep_all(store).await;
                self.oracles.iter_mut().for_each(|oracle| oracle.sweep(now));
                return (None, None);
            }
            Step::Claim { attempt, asked } => {
                let claimed = store.claim(asking(number, attempt, asked, key == 0)).await;
                let mut expected = oracle.claim(now, [attempt; 16], asked);
                if let (Said::Run, Ok(Reply::Decided { decision: Decision::Execute(attempt), .. })) =
                    (expected, &claimed)
                {
                    oracle.runs(now, *attempt, asked);
                    // A new attempt must differ from all before, by its epoch alone if need be (L14).
                    let rises = self.granted[index].iter().all(|former| former.epoch < attempt.epoch);
                    expected = if rises { Said::RunAs(*attempt) } else { Said::Run };
                    self.granted[index].push(*attempt);
                }
                (expected, claimed)
            }
            Step::Renew { granted: back } => {
                let attempt = granted(back);
                (oracle.renew(now, attempt), store.renew(id(number), attempt).await)
            }
            Step::Complete { granted: back, body } => {
                let attempt = granted(back);
                let end = Settle::Complete(Sealed(vec![body]));
                (oracle.complete(now, attempt, body), store.settle(id(number), attempt, end).await)
            }
            Step::Release { granted: back } => {
                let attempt = granted(back);
                (oracle.release(now, attempt), store.settle(id(number), attempt, Settle::Release).await)
            }
            Step::Doubt { granted: back } => {
                let attempt = granted(back);
                let end = Settle::Doubt(DoubtReason::NoAnswer);
                (oracle.doubt(now, attempt), store.settle(id(number), attempt, end).await)
            }
            Step::Found { found, granted: back } => {
                let judged = granted(back).epoch;
                let change = ResolutionChange::Verdict { verdict: verdict(found), judged };
                (oracle.found(now, found, judged), store.resolve(resolution(number, change)).await)
            }
            Step::Cancel => {
                let change = ResolutionChange::Cancel { remember: REMEMBER };
                (oracle.cancel(now), store.resolve(resolution(number, change)).await)
            }
        };
        (Some(expected), Some(said(kit::decision(reply))))
    }
}

fn asking(number: u64, attempt: u8, asked: u8, safe: bool) -> Claim {
    let mut claim = Claim { fingerprint: kit::fingerprint(1, asked), ..claim(number, attempt) };
    if safe {
        claim.terms.on_lapse = OnLapse::Execute;
    }
    claim
}

fn verdict(found: Found) -> Verdict {
    match found {
        Found::Happened(body) => Verdict::Happened(body.map(|body| Sealed(vec![body]))),
        Found::Absent => Verdict::Absent,
        Found::Unknown => Verdict::Unknown,
    }
}

fn said(decision: Decision) -> Said {
    match decision {
        Decision::Execute(attempt) => Said::RunAs(attempt),
        Decision::Replay { outcome, .. } => Said::Replay(outcome.map(|Sealed(bytes)| bytes[0])),
        Decision::Wait { .. } => Said::Wait,
        Decision::Refuse(denial) => match denial {
            Denial::KeyReused => Said::KeyReused,
            Denial::InDoubt { .. } => Said::InDoubt,
            Denial::InProgress => Said::InProgress,
            Denial::Expired => Said::Expired,
            Denial::Cancelled => Said::Cancelled,
            Denial::NotInDoubt => Said::NotInDoubt,
        },
        Decision::Compare(version) => panic!("one version was used, and the store asks for {version:?}"),
        Decision::Renewed(_) => Said::Renewed,
        Decision::Settled => Said::Settled,
        Decision::Stale(Alarm::None) => Said::Stale,
        Decision::Stale(Alarm::EffectAfterRelease) => Said::Alarm,
        Decision::Unchanged => Said::Unchanged,
    }
}
