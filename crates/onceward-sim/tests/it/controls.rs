//! The simulation sees: each planted mistake breaks a world.

use onceward_sim::{Fault, Flaw, Rules, controls, live, mistakes, shrink};

use crate::page::{assert_on_page, threads};

// covers: L2, L4, L5, L7, L10, L12, L13, L14, O1, O5, W1, D2, D3, D5, T2, T5
#[test]
fn each_planted_mistake_is_caught_and_the_page_says_how_soon() {
    let caught = controls(threads());
    let missed: Vec<Flaw> =
        caught.iter().filter(|caught| caught.by.is_none()).map(|caught| caught.flaw).collect();
    assert_eq!(missed, []);
    assert_eq!(caught.len(), Flaw::ALL.len());
    assert_on_page(&mistakes(&caught));
}

#[test]
fn a_failure_is_told_with_the_faults_that_it_needs_and_no_more() {
    let rules = Rules { flaw: Some(Flaw::ReleaseOnBreak), ..Rules::default() };
    let seed = (0..).find(|seed| live(*seed, &rules).breach.is_some()).unwrap();
    let failure = shrink(seed, rules);
    assert_eq!(failure.seed, seed);
    let left: Vec<Fault> =
        Fault::ALL.iter().copied().filter(|fault| !failure.rules.without.has(*fault)).collect();
    assert!(left.len() <= 6, "it needs {left:?}");
    let last = failure.lines.last().unwrap();
    assert!(last.contains("BROKEN"), "{last}");
    for fault in left {
        let fewer = Rules { without: failure.rules.without.with(fault), ..failure.rules };
        assert_eq!(live(seed, &fewer).breach, None, "it does not need {fault}");
    }
}
