//! Many worlds, on several threads, until one breaks.

use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use crate::{
    census::Census,
    fault::Fault,
    flaw::Flaw,
    judge::Breach,
    setting::Rules,
    world::{live, tell},
};

/// Worlds that a thread lives before it reports.
const CHUNK_SEEDS: u64 = 64;

/// Worlds in which a planted mistake has to show.
pub const CONTROL_SEEDS_MAX: u64 = 20_000;

/// Which worlds.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// On how many threads.
    pub threads: usize,
    /// How they differ from those in which everything may happen.
    pub rules: Rules,
}

/// A world that broke, with as few faults as it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What it does not need.
    pub rules: Rules,
    /// What broke.
    pub breach: Breach,
    /// What happened, as far as it concerns the key.
    pub lines: Vec<String>,
}

/// Lives worlds until all are lived, one breaks, or `goes_on` says that it is enough; that is asked with what was met so far, each time
/// that a few more are lived. Says what was met, and the failure with the lowest seed.
pub fn torture(plan: &Plan, mut goes_on: impl FnMut(&Census) -> bool) -> (Census, Option<Failure>) {
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let mut census = Census::default();
    let mut broken: Option<u64> = None;
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..plan.threads.max(1) {
            let sender = sender.clone();
            let (next, is_over) = (&next, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let first = next.fetch_add(CHUNK_SEEDS, Ordering::Relaxed);
                    if first >= plan.seeds || sender.send(live_some(plan, first)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (met, failed) in receiver {
            census.add(&met);
            broken = match (broken, failed) {
                (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
                (ours, theirs) => ours.or(theirs),
            };
            if broken.is_some() || !goes_on(&census) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    });
    (census, broken.map(|seed| shrink(seed, plan.rules)))
}

fn live_some(plan: &Plan, first: u64) -> (Census, Option<u64>) {
    let mut census = Census::default();
    for seed in first..(first + CHUNK_SEEDS).min(plan.seeds) {
        let seed = plan.from.wrapping_add(seed);
        let lived = live(seed, &plan.rules);
        census.add(&lived.census);
        if lived.breach.is_some() {
            return (census, Some(seed));
        }
    }
    (census, None)
}

/// Leaves out one kind of fault after the other for as long as the world still breaks, and tells what is left.
#[must_use]
pub fn shrink(seed: u64, rules: Rules) -> Failure {
    let mut fewest = rules;
    loop {
        let before = fewest;
        for fault in Fault::ALL {
            let fewer = Rules { without: fewest.without.with(*fault), ..fewest };
            if fewer != fewest && live(seed, &fewer).breach.is_some() {
                fewest = fewer;
            }
        }
        // One that was needed may not be any more where others are gone.
        if fewest == before {
            break;
        }
    }
    let lived = tell(seed, &fewest);
    let unbroken =
        || Breach { key: None, at_ms: 0, what: "the world does not break when it is told".to_owned() };
    Failure { seed, rules: fewest, breach: lived.breach.unwrap_or_else(unbroken), lines: lived.lines }
}

/// How a planted mistake was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// The mistake.
    pub flaw: Flaw,
    /// After how many worlds, and by what; `None` where it was not.
    pub by: Option<(u64, Breach)>,
}

/// Plants each mistake in worlds of its own, from seed 0 on, until one breaks.
#[must_use]
pub fn controls(threads: usize) -> Vec<Caught> {
    let next = AtomicU64::new(0);
    let mut caught: Vec<Caught> = thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let place = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                    let Some(flaw) = Flaw::ALL.get(place) else { return };
                    if sender.send(control(*flaw)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        receiver.into_iter().collect()
    });
    caught.sort_by_key(|caught| caught.flaw);
    caught
}

fn control(flaw: Flaw) -> Caught {
    let rules = Rules { flaw: Some(flaw), ..Rules::default() };
    let by = (0..CONTROL_SEEDS_MAX).find_map(|seed| Some((seed + 1, live(seed, &rules).breach?)));
    Caught { flaw, by }
}
