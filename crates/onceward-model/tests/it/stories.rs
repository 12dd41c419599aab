//! The checker finds what is wrong: in what others ship, in mistakes that were planted, and beyond the protocol's limits.

use onceward_model::{Broken, LIMITS, PLANTED, Promise, SHIPPED, Story, find, limits, planted, shipped};

use crate::page::page;

/// Each world's name and the length of the shortest way.
fn lengths(told: &[(Broken, Story)]) -> Vec<(&'static str, usize)> {
    told.iter().map(|(broken, story)| (broken.world.name, story.lines.len())).collect()
}

fn assert_on_page(section: &str) {
    assert!(page().contains(section), "stale: run `cargo run -p onceward-model > docs/model.md`");
}

// covers: L1, L4, L5, L7, O1, D3
#[test]
fn each_rule_that_others_ship_allows_a_second_effect() {
    let (told, section) = shipped();
    assert!(SHIPPED.iter().all(|broken| broken.promise == Promise::OneEffect));
    assert_eq!(
        lengths(&told),
        [
            ("a lock with a time to live", 9),
            ("a fence that is checked on completion", 9),
            ("reconciliation by query", 10),
            ("purge and forget", 10),
            ("release on any error", 8),
            ("check, then lock", 8),
            ("an answer that is stored after it was sent", 7),
        ]
    );
    assert_on_page(&section);
}

// covers: L2, L10, L12, L14, D3, T5
#[test]
fn each_planted_mistake_is_found() {
    let (told, section) = planted();
    assert_eq!(told.len(), PLANTED.len());
    assert_eq!(
        lengths(&told),
        [
            ("one name for every round of asking", 19),
            ("the epoch is ignored at the end of a claim", 14),
            ("a look from before the settling time", 11),
            ("a verdict for whoever is in doubt", 16),
            ("a holder without a deadline of its own", 13),
            ("a deadline that begins with the repeated claim", 14),
            ("epochs from the row", 18),
            ("a process that is gone frees what it held", 8),
            ("a free record counts as known", 11),
            ("a key that was freed behind the barrier counts as known", 17),
            ("a former holder's own answer", 13),
            ("a foreign word that changes what is held", 10),
            ("a sweep that takes what is unfinished", 7),
            ("a doubt that nobody may end", 4),
        ]
    );
    assert_on_page(&section);
}

// covers: L13, D3, T5
#[test]
fn the_limits_are_where_the_page_says() {
    let (told, section) = limits();
    assert_eq!(told.len(), LIMITS.len());
    assert_eq!(
        lengths(&told),
        [("a wrong verdict", 9), ("two wrong verdicts", 13), ("a loss that nobody notices", 7),]
    );
    assert_on_page(&section);
}

#[test]
fn the_shortest_way_to_two_effects_under_a_checked_lock_is_told_step_by_step() {
    let check_then_lock = SHIPPED.iter().find(|broken| broken.world.name == "check, then lock");
    let story = check_then_lock.and_then(find).expect("it breaks");
    assert_eq!(
        story.lines,
        [
            "The agent sends its order through gateway A, which finds the key free.",
            "The agent repeats its order through gateway B, which finds the key free.",
            "Gateway A takes the key, as it saw it free (epoch 1).",
            "Gateway A sends the order to the shop.",
            "The order arrives at the shop, which carries it out: effect number 1.",
            "Gateway B takes the key, as it saw it free (epoch 2).",
            "Gateway B sends the repeat to the shop.",
            "The repeat arrives at the shop, which carries it out: effect number 2.",
        ]
    );
    assert_eq!(story.end, "One wish, and the shop carried it out twice.");
}
