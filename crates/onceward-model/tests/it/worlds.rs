//! Every scene of every world of the protocol.

use onceward_model::{EVENTS, Met, Sights, WORLDS, worlds};

use crate::page::page;

/// What no world comes to, with the reason.
const UNMET: [(Met, &str, &str); 1] =
    [(Met::Expired, "renewed", "no message is on its way for as long as an answer is kept")];

fn unmet(sights: &Sights) -> Vec<(Met, &'static str)> {
    let pairs = Met::ALL.into_iter().flat_map(|met| (0..EVENTS.len()).map(move |event| (met, event)));
    pairs
        .filter(|(met, event)| sights.decided(*met, *event).is_empty())
        .map(|(met, event)| (met, EVENTS[event]))
        .collect()
}

// One visit for all that is seen on it: it is the longest test of the crate.
// covers: L1, L2, L4, L5, L7, L10, L11, L12, L13, L14, O6, D1, D3, D5, T1, T2, T5
#[test]
fn all_promises_hold_in_every_scene_and_every_pair_of_state_and_event_is_met() {
    let (visited, sights, section) = worlds();
    assert_eq!(visited.len(), WORLDS.len());
    for world in &visited {
        assert!(world.broken.is_empty(), "{}: {:#?}", world.name, world.broken);
    }
    assert_eq!(unmet(&sights), UNMET.map(|(met, event, _)| (met, event)));
    assert!(page().contains(&section), "stale: run `cargo run -p onceward-model > docs/model.md`");
}
