//! Worlds hold, reach what is rare, and come again with their seed.

use onceward_sim::{CI_SEEDS, Fault, Faults, Plan, Rules, live, tell, torture, worlds};

use crate::page::{assert_on_page, threads};

/// Seeds that once showed something, each with what it was.
const REGRESSIONS: &str = include_str!("../../seeds/regressions.txt");

/// Breaks the test with all that is needed to see why.
fn assert_holds(seed: u64, rules: &Rules) {
    let lived = live(seed, rules);
    if let Some(breach) = lived.breach {
        let lines = tell(seed, rules).lines.join("\n");
        panic!("seed {seed}: {breach}\n{lines}\nagain: cargo xtask torture --from {seed} --seeds 1");
    }
}

// covers: L1, L2, L3, L4, L5, L6, L7, L9, L10, L11, L12, L13, L14, W1, O1, O6, D0, D1, D2, D3, D5, T1, T2, T5, K7
#[test]
fn every_world_holds_and_between_them_they_meet_everything() {
    let plan = Plan { from: 0, seeds: CI_SEEDS, threads: threads(), rules: Rules::default() };
    let (census, failure) = torture(&plan, |_| true);
    if let Some(failure) = failure {
        panic!("seed {}: {}\n{}", failure.seed, failure.breach, failure.lines.join("\n"));
    }
    assert_eq!(census.worlds, CI_SEEDS);
    assert_eq!(census.missing(), Vec::<String>::new(), "worlds do not come by everywhere any more");
    assert_on_page(&worlds(&census));
}

#[test]
fn seeds_that_once_showed_something_hold() {
    let lines = REGRESSIONS.lines().filter(|line| !line.starts_with('#'));
    let seeds: Vec<u64> =
        lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        assert_holds(seed, &Rules::default());
    }
}

#[test]
fn a_seed_lives_the_same_world_each_time_on_any_number_of_threads() {
    let rules = Rules::default();
    for seed in [1, 2, 3] {
        let (first, second) = (tell(seed, &rules), tell(seed, &rules));
        assert_eq!(first, second);
        assert_eq!(live(seed, &rules).census, first.census, "a world is another one when it is told");
        assert!(first.lines.iter().any(|line| line.contains("the bad time is over")), "seed {seed}");
    }
    let plan = |threads| Plan { from: 100, seeds: 300, threads, rules };
    assert_eq!(torture(&plan(1), |_| true), torture(&plan(3), |_| true));
}

#[test]
fn a_world_without_faults_is_quiet() {
    let none = Fault::ALL.iter().fold(Faults::default(), |faults, fault| faults.with(*fault));
    let rules = Rules { without: none, ..Rules::default() };
    let plan = Plan { from: 0, seeds: 200, threads: 1, rules };
    let (census, failure) = torture(&plan, |_| true);
    assert_eq!(failure, None);
    let missing = census.missing();
    for quiet in [
        "the doubt `no-answer`",
        "the doubt `lease-lapsed`",
        "the doubt `holder-gone`",
        "the decision `alarm`",
    ] {
        assert!(missing.iter().any(|missing| missing == quiet), "{quiet} in a quiet world");
    }
}

#[test]
fn a_run_ends_when_it_is_told_to() {
    let plan = Plan { from: 0, seeds: u64::MAX / 2, threads: 2, rules: Rules::default() };
    let mut asked = 0;
    let (census, failure) = torture(&plan, |_| {
        asked += 1;
        asked < 3
    });
    assert_eq!(failure, None);
    assert!((100..10_000).contains(&census.worlds), "{} worlds", census.worlds);
}
