//! Liveness: in every scene, what is done in a good hour ends every doubt and answers every request.
//!
//! In that hour gateways come back, messages arrive, nobody is lost any more, and a resolver asks the shop once time has settled it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::PoisonError,
};

use stateright::Model;

use crate::{
    model::{Fate, Finding, Onceward, Step, resolve::is_settled},
    scene::Scene,
};

/// Steps of a good hour, several times what any scene has needed.
const STEPS_MAX: usize = 64;

/// Whether the good hour leads from this scene to one where nothing is open.
pub(crate) fn is_possible(model: &Onceward, scene: &Scene) -> bool {
    // A checker's thread that panicked has failed the visit; what it knew is still true.
    let mut ways_out = model.ways_out.lock().unwrap_or_else(PoisonError::into_inner);
    let mut scene = scene.clone();
    let mut way = Vec::new();
    let mut steps = Vec::new();
    for _ in 0..STEPS_MAX {
        let hash = hash(&scene);
        if ways_out.contains(&hash) || is_over(&scene) {
            ways_out.extend(way);
            return true;
        }
        way.push(hash);
        steps.clear();
        model.actions(&scene, &mut steps);
        steps.retain(|step| turn(&scene, *step).is_some());
        steps.sort_by_key(|step| turn(&scene, *step));
        let next = steps.iter().filter_map(|step| model.next_state(&scene, *step));
        let Some(next) = next.into_iter().find(|next| *next != scene) else { return false };
        scene = next;
    }
    false
}

fn hash(scene: &Scene) -> u64 {
    let mut hasher = DefaultHasher::new();
    scene.hash(&mut hasher);
    hasher.finish()
}

fn is_over(scene: &Scene) -> bool {
    let is_at_rest = scene.letter.is_none() && scene.calls.iter().all(|call| !call.is_under_way());
    is_at_rest && is_settled(scene)
}

/// What is done first in the good hour; `None` for what does not happen in it.
fn turn(scene: &Scene, step: Step) -> Option<u8> {
    match step {
        Step::Restart(_) => Some(0),
        Step::Deliver => Some(1),
        Step::Settle(_, Fate::Answered) => Some(2),
        Step::Answer(_) => Some(3),
        Step::Act(_) => Some(4),
        Step::Send(_) => Some(5),
        Step::GiveUp(_) => Some(6),
        Step::Claim(call, Fate::Answered) => {
            let state = scene.calls.get(usize::from(call))?;
            state.is_under_way().then_some(7)
        }
        Step::Disown(_) => Some(7),
        // What rests on an old look changes nothing, and then the shop is asked again.
        Step::Judge(Finding::HappenedWithAnswer | Finding::Absent | Finding::Multiple) => Some(8),
        Step::Look => Some(9),
        Step::Pass => Some(10),
        Step::Check(_)
        | Step::Claim(..)
        | Step::Renew(..)
        | Step::SendFails(_)
        | Step::Decline(_)
        | Step::Break(_)
        | Step::Settle(..)
        | Step::AnswerUnrecorded(_)
        | Step::Crash(_)
        | Step::Sweep
        | Step::Judge(_)
        | Step::Guess
        | Step::Cancel
        | Step::CatchUp
        | Step::FailOver => None,
    }
}
