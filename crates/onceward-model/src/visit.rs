//! Visits worlds: every scene of those where all holds, and the shortest way to where something breaks.

use std::sync::Arc;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{atlas::Broken, model::Onceward, promise::Promise, sights::Sights, story, world::World};

/// Scenes of one world beyond which a visit ends; no world has so many, so that an end there is a failure.
const SCENES_MAX: usize = 30_000_000;

/// What a visit of every scene found.
#[derive(Clone, Debug)]
pub struct Visited {
    /// The world's name.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// Scenes that differ.
    pub scenes: usize,
    /// Steps that were taken.
    pub steps: usize,
    /// The most steps that it takes to a scene.
    pub depth: usize,
    /// What broke, with the way there.
    pub broken: Vec<(&'static str, Vec<String>)>,
}

/// The shortest way to where a promise breaks.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its lines, in order.
    pub lines: Vec<String>,
    /// What came of it.
    pub end: String,
    /// Scenes that were looked at before it was found.
    pub scenes: usize,
}

/// Visits every scene of a world, counting in `sights` what was decided.
#[must_use]
pub fn visit(world: World, promises: &[Promise], sights: &Arc<Sights>) -> Visited {
    let model = Onceward::new(world, promises).counting(Arc::clone(sights));
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(SCENES_MAX)
        .spawn_bfs()
        .join();
    let discoveries = checker.discoveries().into_iter();
    let broken = discoveries.map(|(name, path)| (name, story::lines(checker.model(), path.into_vec())));
    let broken = broken.collect();
    Visited {
        name: world.name,
        about: world.about,
        scenes: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        broken,
    }
}

/// Looks for the shortest way to where the promise breaks; one promise at a time, which is what makes it the shortest.
#[must_use]
pub fn find(broken: &Broken) -> Option<Story> {
    let model = Onceward::new(broken.world, &[broken.promise]);
    let checker = model.checker().target_state_count(SCENES_MAX).spawn_bfs().join();
    let path = checker.discoveries().into_values().next()?;
    let end = story::end(broken.promise, path.last_state());
    let lines = story::lines(checker.model(), path.into_vec());
    Some(Story { lines, end, scenes: checker.unique_state_count() })
}
