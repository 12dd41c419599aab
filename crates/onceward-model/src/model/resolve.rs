//! What ends a doubt: a look at the shop, a verdict, a guess; and the fail-over that makes both old.

use onceward_core::record::{Decision, Epoch, Event, Sealed, State, Verdict};

use super::{Finding, Onceward};
use crate::{
    scene::{Look, Scene, call_of, holder},
    world::{Absence, Barrier, Judged, Origin},
};

impl Onceward {
    /// What may be said after this look.
    pub(super) fn findings(&self, scene: &Scene, look: &Look) -> Vec<Finding> {
        match look.effects {
            0 => {
                let is_proof = match self.world.rules.absence {
                    Absence::Settled => look.is_settled,
                    Absence::SettledMeanwhile => {
                        scene.settled_at_ms().is_none_or(|at_ms| scene.now_ms >= at_ms)
                    }
                    Absence::AtOnce => true,
                    Absence::Never => false,
                };
                vec![if is_proof { Finding::Absent } else { Finding::Unknown }]
            }
            1 => vec![Finding::HappenedWithAnswer, Finding::Happened],
            _ => vec![Finding::Multiple],
        }
    }

    pub(super) fn judge(&self, scene: &mut Scene, finding: Finding) {
        let Some(look) = scene.look else { return };
        let seen = Some(Sealed(vec![look.answer]));
        let verdict = match finding {
            Finding::HappenedWithAnswer => Verdict::Happened(seen),
            Finding::Happened => Verdict::Happened(None),
            Finding::Absent => Verdict::Absent,
            Finding::Multiple => Verdict::Multiple(seen),
            Finding::Unknown => Verdict::Unknown,
        };
        let judged = match (self.world.rules.judged, holder(&scene.record)) {
            (Judged::Latest, Some(attempt)) => attempt.epoch,
            (Judged::Latest | Judged::AsSeen, _) => look.judged,
        };
        self.resolve(scene, verdict, judged);
    }

    pub(super) fn guess(&self, scene: &mut Scene) {
        let Some(attempt) = holder(&scene.record) else { return };
        scene.spent.guesses += 1;
        self.resolve(scene, Verdict::Absent, attempt.epoch);
    }

    fn resolve(&self, scene: &mut Scene, verdict: Verdict, judged: Epoch) {
        let held = holder(&scene.record);
        let is_absence = verdict == Verdict::Absent;
        let decision = self.on(scene, Event::Resolved { verdict, judged });
        if let Some(attempt) = held
            && is_absence
            // A commit that comes late is rolled back, so that there is no effect to be alarmed about.
            && self.world.origin != Origin::Transactional
            && attempt.epoch == judged
            && decision == Decision::Settled
            && let Some(overruled) = scene.overruled.get_mut(usize::from(call_of(attempt)))
        {
            *overruled = attempt.epoch.0;
        }
    }

    /// The replica takes over, with what it had; epochs rise all the same, since they start at the clock (L14).
    pub(super) fn fail_over(&self, scene: &mut Scene) {
        let Some(replica) = scene.replica.take() else { return };
        scene.spent.fail_overs += 1;
        scene.record = replica;
        // Nothing that the lost writes knew can be promised.
        scene.overruled = Default::default();
        if self.world.rules.barrier != Barrier::Unnoticed {
            scene.barrier_ms = Some(scene.now_ms);
        }
    }
}

/// A resolver asks the shop for the order of the attempt that is in doubt, and notes what a verdict will rest on.
pub(super) fn look(scene: &mut Scene) {
    let Some(attempt) = holder(&scene.record) else { return };
    scene.look = Some(Look {
        judged: attempt.epoch,
        effects: scene.effects(),
        answer: scene.effected().unwrap_or_default(),
        is_settled: scene.settled_at_ms().is_some_and(|at_ms| scene.now_ms >= at_ms),
    });
}

/// Whether the record says how the wish ended.
pub(crate) fn is_settled(scene: &Scene) -> bool {
    match super::swept(scene).state {
        State::Absent | State::Done { .. } | State::Tombstone { .. } => true,
        State::Claimed { .. } | State::InDoubt { .. } => false,
    }
}
