//! The model of the protocol.
//!
//! A checker visits every scene that a small world can come to: up to three requests with one key, two gateways, a store that may
//! lose what it acknowledged, and a shop whose effects are counted. Gateways die at every step, messages are late or lost, leases
//! lapse, answers get lost after the effect, and resolvers judge by what they saw a while ago.
//!
//! What happens to the key is decided by [`onceward_core::record::Record::on`] itself. `docs/model.md` is what this crate prints.

mod atlas;
mod model;
mod page;
mod promise;
mod recovery;
mod scene;
mod sights;
mod story;
mod visit;
mod world;

use std::{sync::Arc, thread};

pub use self::{
    atlas::{Broken, LIMITS, PLANTED, SHIPPED, WORLDS},
    model::{Fate, Finding, Onceward, Step},
    page::HEAD,
    promise::Promise,
    scene::Scene,
    sights::{DECISIONS, EVENTS, Met, Sights},
    visit::{Story, Visited, find, visit},
    world::{
        Absence, Barrier, CALLS_MAX, Claiming, Deadline, Epochs, Faults, Former, HolderGone, Judged, Naming,
        OnBreak, Origin, Rules, Settling, Storing, Sweeping, Tier, World,
    },
};

/// The worlds where everything holds, visited at the same time, and the page's section about them.
#[must_use]
pub fn worlds() -> (Vec<Visited>, Arc<Sights>, String) {
    let sights = Arc::new(Sights::default());
    let visited: Vec<Visited> = thread::scope(|scope| {
        let visits = WORLDS.map(|(world, promises)| {
            let sights = &sights;
            scope.spawn(move || visit(world, promises, sights))
        });
        // A visit that panicked is missing, as is its row on the page.
        visits.into_iter().filter_map(|visit| visit.join().ok()).collect()
    });
    let section = page::worlds(&visited, &sights);
    (visited, sights, section)
}

/// What others ship, and the page's section about it. A world in which nothing broke is left out.
#[must_use]
pub fn shipped() -> (Vec<(Broken, Story)>, String) {
    let about = "Each changes one thing about the protocol's rules. What follows is the shortest way to a second effect.";
    tell("What others ship", about, &SHIPPED)
}

/// Mistakes in the use of the record machine, and the page's section about them. A world in which nothing broke is left out.
#[must_use]
pub fn planted() -> (Vec<(Broken, Story)>, String) {
    let about =
        "Mistakes that one could make around the record machine, planted to see that the checker finds them.";
    tell("Planted mistakes", about, &PLANTED)
}

/// What the protocol does not withstand, and the page's section about it. A world in which nothing broke is left out.
#[must_use]
pub fn limits() -> (Vec<(Broken, Story)>, String) {
    let about = "Where an assumption fails, so does its promise.";
    tell("Where the limits are", about, &LIMITS)
}

fn tell(title: &str, about: &str, all: &[Broken]) -> (Vec<(Broken, Story)>, String) {
    let told: Vec<(Broken, Story)> = all.iter().filter_map(|broken| Some((*broken, find(broken)?))).collect();
    let section = page::stories(title, about, &told);
    (told, section)
}
