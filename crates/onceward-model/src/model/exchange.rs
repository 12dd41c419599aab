//! One request: claimed, sent, answered, settled, and what breaks in between.

use onceward_core::record::{Decision, Event, Sealed, State};

use super::{Fate, Onceward};
use crate::{
    scene::{Call, Conclusion, Letter, Operation, Phase, Round, Scene, Told, Wire, holder},
    world::{
        Deadline, Former, HolderGone, LEASE_MS, Naming, OnBreak, Origin, RENEWAL_MS, SETTLING_MS, Storing,
        Tier, USABLE_MS,
    },
};

impl Onceward {
    pub(super) fn check(&self, scene: &mut Scene, call: u8) {
        if scene.record.state == State::Absent {
            set(scene, call, |state| state.phase = Phase::Checked);
        } else {
            self.claim(scene, call, Fate::Answered);
        }
    }

    pub(super) fn claim(&self, scene: &mut Scene, call: u8, fate: Fate) {
        let now_ms = scene.now_ms;
        let Some(state) = scene.calls.get_mut(usize::from(call)) else { return };
        let asked_as = state.phase;
        // Begun before the claim is sent, and not begun anew where it is repeated (L12).
        let is_first = asked_as == Phase::Idle || asked_as == Phase::Checked || state.deadline_ms == 0;
        if is_first || self.world.rules.deadline == Deadline::OfRepetition {
            state.deadline_ms = now_ms + USABLE_MS;
        }
        if asked_as == Phase::Checked {
            // It was free when this gateway looked, and is written as if it still were.
            scene.record.state = State::Absent;
        }
        if asked_as != Phase::Disowning {
            state.phase = Phase::Claiming;
        }
        let Some(answer) = self.ask(scene, call, Operation::Claim, fate) else { return };
        let waits = matches!(answer, Some(Decision::Wait { .. }));
        if let (true, Some(letter)) = (waits, &mut scene.letter)
            && letter.call == call
            && self.world.rules.naming == Naming::EachRound
        {
            letter.round = Round::Past;
        }
        set(scene, call, |state| match answer {
            Some(Decision::Execute(attempt)) => {
                state.epoch = attempt.epoch.0;
                let is_late = now_ms >= state.deadline_ms;
                let is_unwanted = asked_as == Phase::Disowning || is_late;
                state.phase =
                    if is_unwanted { Phase::Concluding(Conclusion::Release) } else { Phase::Holding };
            }
            // The next time it asks is a new round.
            Some(Decision::Wait { .. }) if asked_as != Phase::Disowning => state.deadline_ms = 0,
            Some(Decision::Replay { outcome: Some(Sealed(answer)), .. }) => {
                end(state, answer.first().map_or(Told::Refusal, |answer| Told::Replay(*answer)));
            }
            _ => end(state, Told::Refusal),
        });
    }

    pub(super) fn is_renewal_due(&self, scene: &Scene, call: u8) -> bool {
        let state = scene.calls.get(usize::from(call));
        state.is_some_and(|state| scene.now_ms + RENEWAL_MS >= state.deadline_ms)
    }

    pub(super) fn renew(&self, scene: &mut Scene, call: u8, fate: Fate) {
        let deadline_ms = scene.now_ms + USABLE_MS;
        match self.ask(scene, call, Operation::Renew, fate) {
            Some(Some(Decision::Renewed(_))) => {
                set(scene, call, |state| state.deadline_ms = deadline_ms);
            }
            Some(_) => conclude(scene, call, Conclusion::Doubt),
            None => {}
        }
    }

    pub(super) fn send(&self, scene: &mut Scene, call: u8) {
        let wire = match self.world.origin {
            Origin::Opaque | Origin::Keyed => Wire::Flying { until_ms: None },
            Origin::Transactional => Wire::Unused,
        };
        set(scene, call, |state| (state.phase, state.wire) = (Phase::Sent, wire));
    }

    pub(super) fn act(&self, scene: &mut Scene, call: u8) {
        let known = match self.world.origin {
            Origin::Keyed => scene.effected(),
            Origin::Opaque | Origin::Transactional => None,
        };
        let is_served = self.is_served(scene, call);
        set(scene, call, |state| {
            if known.is_none() {
                state.effects += 1;
            }
            let is_open = state.wire == Wire::Flying { until_ms: None };
            let is_read = is_open && state.phase == Phase::Sent && is_served;
            state.wire = if is_read { Wire::Acted { answer: known.unwrap_or(call) } } else { Wire::Gone };
        });
    }

    pub(super) fn break_off(&self, scene: &mut Scene, call: u8) {
        let is_rolled_back = self.world.origin == Origin::Transactional;
        let is_taken_for_nothing = self.world.rules.on_break == OnBreak::Release;
        let conclusion =
            if is_rolled_back || is_taken_for_nothing { Conclusion::Release } else { Conclusion::Doubt };
        conclude(scene, call, conclusion);
    }

    pub(super) fn answer(&self, scene: &mut Scene, call: u8) {
        let is_stored_later = self.world.rules.storing == Storing::AfterAnswer;
        set(scene, call, |state| {
            let answer = match state.wire {
                Wire::Acted { answer } => answer,
                Wire::Unused | Wire::Flying { .. } | Wire::Gone => call,
            };
            state.phase = Phase::Concluding(Conclusion::Complete(answer));
            state.wire = Wire::Gone;
            if is_stored_later {
                state.told = Told::Answer(answer);
            }
        });
        let epoch = scene.calls.get(usize::from(call)).map(|state| state.epoch);
        if let (true, Some(epoch)) = (is_stored_later, epoch) {
            self.operate(scene, call, epoch, Operation::Settle(Conclusion::Release));
        }
    }

    pub(super) fn give_up(&self, scene: &mut Scene, call: u8) {
        let conclusion = match self.world.origin {
            Origin::Transactional => Conclusion::Release,
            Origin::Opaque | Origin::Keyed => Conclusion::Doubt,
        };
        conclude(scene, call, conclusion);
    }

    pub(super) fn settle(&self, scene: &mut Scene, call: u8, fate: Fate) {
        let Some(Phase::Concluding(conclusion)) = scene.calls.get(usize::from(call)).map(|state| state.phase)
        else {
            return;
        };
        let Some(answer) = self.ask(scene, call, Operation::Settle(conclusion), fate) else { return };
        let stored = match &scene.record.state {
            State::Done { outcome: Some(Sealed(outcome)), .. } => outcome.first().copied(),
            State::Done { outcome: None, .. }
            | State::Absent
            | State::Claimed { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => None,
        };
        let former = self.world.rules.former;
        set(scene, call, |state| {
            let told = match (conclusion, answer) {
                (Conclusion::Complete(own), Some(Decision::Settled)) => Told::Answer(own),
                (Conclusion::Complete(own), _) if former == Former::OwnAnswer => Told::Answer(own),
                // The caller of a former holder gets what the record says (L2).
                (Conclusion::Complete(_), _) => stored.map_or(Told::Refusal, Told::Replay),
                (Conclusion::Release | Conclusion::Doubt, _) => Told::Refusal,
            };
            end(state, if state.told == Told::Nothing { told } else { state.told });
        });
    }

    pub(super) fn crash(&self, scene: &mut Scene, gateway: u8) {
        scene.spent.crashes += 1;
        if let Some(is_up) = scene.is_up.get_mut(usize::from(gateway)) {
            *is_up = false;
        }
        for call in self.calls().filter(|call| self.gateway(*call) == gateway) {
            close(scene, call);
            set(scene, call, |state| {
                if state.is_under_way() {
                    end(state, state.told);
                }
            });
        }
    }

    pub(super) fn restart(&self, scene: &mut Scene, gateway: u8) {
        if let Some(is_up) = scene.is_up.get_mut(usize::from(gateway)) {
            *is_up = true;
        }
        if self.world.tier == Tier::OneProcess {
            let event = match (self.world.rules.holder_gone, holder(&scene.record)) {
                (HolderGone::Free, Some(attempt)) => Event::Released { attempt },
                (HolderGone::Free | HolderGone::Doubt, _) => Event::HolderGone,
            };
            self.on(scene, event);
        }
    }

    pub(super) fn deliver(&self, scene: &mut Scene) {
        match scene.letter.take() {
            Some(Letter { call, round, epoch: _, operation: Operation::Claim }) => {
                self.grant(scene, call, round);
            }
            Some(Letter { call, round: _, epoch, operation }) => {
                self.operate(scene, call, epoch, operation);
            }
            None => {}
        }
    }

    /// An operation as its sender sees it: `None` where it hears nothing.
    fn ask(&self, scene: &mut Scene, call: u8, operation: Operation, fate: Fate) -> Option<Option<Decision>> {
        let epoch = scene.calls.get(usize::from(call))?.epoch;
        match fate {
            Fate::Answered => Some(self.operate(scene, call, epoch, operation)),
            Fate::AnswerLost => {
                self.operate(scene, call, epoch, operation);
                None
            }
            Fate::Delayed => {
                scene.spent.delays += 1;
                scene.letter = Some(Letter { call, round: Round::Present, epoch, operation });
                None
            }
        }
    }
}

/// A claim is given up: for a while its sender tries to free what may have been granted, and then goes away.
pub(super) fn disown(scene: &mut Scene, call: u8) {
    let deadline_ms = scene.now_ms + LEASE_MS;
    set(scene, call, |state| match state.phase {
        Phase::Claiming => (state.phase, state.deadline_ms) = (Phase::Disowning, deadline_ms),
        _ => end(state, Told::Refusal),
    });
}

/// The shop says that it does nothing.
pub(super) fn decline(scene: &mut Scene, call: u8) {
    set(scene, call, |state| {
        (state.phase, state.wire) = (Phase::Concluding(Conclusion::Release), Wire::Gone);
    });
}

/// The caller gets its answer though nothing was stored (O6).
pub(super) fn answer_unrecorded(scene: &mut Scene, call: u8) {
    set(scene, call, |state| {
        if let Phase::Concluding(Conclusion::Complete(answer)) = state.phase {
            end(state, Told::Unrecorded(answer));
        }
    });
}

/// Ends the exchange, and with it closes its socket.
pub(super) fn conclude(scene: &mut Scene, call: u8, conclusion: Conclusion) {
    close(scene, call);
    set(scene, call, |state| state.phase = Phase::Concluding(conclusion));
}

/// A socket closes: its answer is lost, and what it sent arrives within the settling time or never.
pub(super) fn close(scene: &mut Scene, call: u8) {
    let until_ms = Some(scene.now_ms + SETTLING_MS);
    set(scene, call, |state| {
        state.wire = match state.wire {
            Wire::Flying { until_ms: None } => Wire::Flying { until_ms },
            Wire::Acted { .. } => Wire::Gone,
            wire @ (Wire::Unused | Wire::Flying { until_ms: Some(_) } | Wire::Gone) => wire,
        };
    });
}

pub(super) fn set(scene: &mut Scene, call: u8, change: impl FnOnce(&mut Call)) {
    if let Some(state) = scene.calls.get_mut(usize::from(call)) {
        change(state);
    }
}

fn end(state: &mut Call, told: Told) {
    (state.phase, state.told, state.deadline_ms) = (Phase::Over, told, 0);
}
