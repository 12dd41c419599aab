//! The model: what may happen next in a scene, and what becomes of it.
//!
//! Every step that concerns the key goes through [`Record::on`], in `store`; so the model cannot drift from the code.

mod exchange;
pub(crate) mod resolve;
mod store;
mod time;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use onceward_core::record::{Event, Record, State};
use stateright::{Model, Property};

use crate::{
    promise::Promise,
    scene::{Conclusion, Phase, Scene, Told, Wire},
    sights::Sights,
    world::{Claiming, Deadline, Origin, Tier, World},
};

/// A world, with what is watched in it.
#[derive(Clone, Debug)]
pub struct Onceward {
    pub(crate) world: World,
    promises: Vec<Promise>,
    sights: Arc<Sights>,
    /// Scenes from which the way out is known, by their hash.
    pub(crate) ways_out: Arc<Mutex<HashSet<u64>>>,
}

/// Something that happens. Requests are named by their number, gateways too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A gateway looks whether the key is free; only where claiming is two steps.
    Check(u8),
    /// A gateway asks the store for the key; the first time, this is also when the request arrives.
    Claim(u8, Fate),
    /// It gives up asking, and makes sure, for as long as a lease, that nothing is left of it.
    Disown(u8),
    /// It renews its lease.
    Renew(u8, Fate),
    /// It sends the request to the shop.
    Send(u8),
    /// No byte of the request could be sent, and the gateway can prove that.
    SendFails(u8),
    /// The request reaches the shop, which acts.
    Act(u8),
    /// The request reaches the shop, which says that it does nothing.
    Decline(u8),
    /// The connection breaks.
    Break(u8),
    /// The shop's answer arrives.
    Answer(u8),
    /// The holder's own deadline has passed.
    GiveUp(u8),
    /// It tells the store how its claim ends.
    Settle(u8, Fate),
    /// It gives up telling the store, and gives its caller the answer, marked (O6).
    AnswerUnrecorded(u8),
    /// A gateway dies.
    Crash(u8),
    /// It comes back.
    Restart(u8),
    /// A late message reaches the store.
    Deliver,
    /// The next moment comes at which time changes something.
    Pass,
    /// The sweep comes by.
    Sweep,
    /// A resolver asks the shop.
    Look,
    /// It gives its verdict.
    Judge(Finding),
    /// A person says "absent" without having looked.
    Guess,
    /// The owner cancels the key.
    Cancel,
    /// The store's replica catches up.
    CatchUp,
    /// The store's replica takes over.
    FailOver,
}

/// What becomes of an operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is done, and its sender is told.
    Answered,
    /// It is done, and its sender does not get to know.
    AnswerLost,
    /// It will be done later, or never.
    Delayed,
}

/// What a resolver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// It happened, with this answer.
    HappenedWithAnswer,
    /// It happened.
    Happened,
    /// It did not happen and never will.
    Absent,
    /// It happened more than once.
    Multiple,
    /// It cannot be told.
    Unknown,
}

impl Onceward {
    /// A world in which these promises are watched.
    #[must_use]
    pub fn new(world: World, promises: &[Promise]) -> Self {
        Self { world, promises: promises.to_vec(), sights: Arc::default(), ways_out: Arc::default() }
    }

    /// The same, with its decisions counted in `sights`.
    #[must_use]
    pub fn counting(self, sights: Arc<Sights>) -> Self {
        Self { sights, ..self }
    }

    fn calls(&self) -> impl Iterator<Item = u8> + use<> {
        0..self.world.calls
    }

    /// The gateway that serves a request.
    pub(crate) fn gateway(&self, call: u8) -> u8 {
        call % self.world.gateways
    }

    pub(crate) fn is_served(&self, scene: &Scene, call: u8) -> bool {
        scene.is_up.get(usize::from(self.gateway(call))).is_some_and(|is_up| *is_up)
    }

    /// Whether the store can be asked by somebody who is no gateway.
    fn is_store_up(&self, scene: &Scene) -> bool {
        self.world.tier != Tier::OneProcess || scene.is_up.first().is_some_and(|is_up| *is_up)
    }

    /// Whether a holder may go on by its own clock (L12).
    fn is_in_time(&self, scene: &Scene, deadline_ms: u64) -> bool {
        scene.now_ms < deadline_ms || self.world.rules.deadline == Deadline::Ignored
    }

    fn call_steps(&self, scene: &Scene, call: u8, steps: &mut Vec<Step>) {
        let Some(state) = scene.calls.get(usize::from(call)) else { return };
        if !self.is_served(scene, call) {
            return;
        }
        let is_in_time = self.is_in_time(scene, state.deadline_ms);
        match state.phase {
            Phase::Idle => {
                if self.may_start(scene, call) {
                    match self.world.rules.claiming {
                        Claiming::CheckThenLock => steps.push(Step::Check(call)),
                        Claiming::OneStep => self.fates(scene, |fate| Step::Claim(call, fate), steps),
                    }
                }
            }
            Phase::Checked => steps.push(Step::Claim(call, Fate::Answered)),
            Phase::Claiming => {
                let is_over = state.deadline_ms != 0 && scene.now_ms >= state.deadline_ms;
                if !is_over {
                    self.fates(scene, |fate| Step::Claim(call, fate), steps);
                }
                if is_over || self.world.faults.lost_answers {
                    steps.push(Step::Disown(call));
                }
            }
            Phase::Disowning if scene.now_ms < state.deadline_ms => {
                self.fates(scene, |fate| Step::Claim(call, fate), steps);
            }
            Phase::Disowning => steps.push(Step::Disown(call)),
            Phase::Holding | Phase::Sent if !is_in_time => steps.push(Step::GiveUp(call)),
            Phase::Holding => {
                steps.push(Step::Send(call));
                if self.world.faults.proofs {
                    steps.push(Step::SendFails(call));
                }
                self.renewals(scene, call, steps);
            }
            Phase::Sent => {
                if matches!(state.wire, Wire::Acted { .. }) || self.world.origin == Origin::Transactional {
                    steps.push(Step::Answer(call));
                }
                steps.push(Step::Break(call));
                self.renewals(scene, call, steps);
            }
            Phase::Concluding(conclusion) => {
                self.fates(scene, |fate| Step::Settle(call, fate), steps);
                let is_completion = matches!(conclusion, Conclusion::Complete(_));
                if is_completion && state.told == Told::Nothing && self.world.faults.lost_answers {
                    steps.push(Step::AnswerUnrecorded(call));
                }
            }
            Phase::Over => {}
        }
    }

    /// Requests are made in the order of their numbers, which loses nothing: they differ in nothing else.
    fn may_start(&self, scene: &Scene, call: u8) -> bool {
        let earlier = scene.calls.iter().take(usize::from(call));
        !scene.is_forgotten && earlier.into_iter().all(|earlier| earlier.phase != Phase::Idle)
    }

    fn fates(&self, scene: &Scene, step: impl Fn(Fate) -> Step, steps: &mut Vec<Step>) {
        steps.push(step(Fate::Answered));
        if self.world.faults.lost_answers {
            steps.push(step(Fate::AnswerLost));
        }
        if self.may_be_held_up(scene) {
            steps.push(step(Fate::Delayed));
        }
    }

    fn may_be_held_up(&self, scene: &Scene) -> bool {
        scene.letter.is_none() && scene.spent.delays < self.world.faults.delays
    }

    fn renewals(&self, scene: &Scene, call: u8, steps: &mut Vec<Step>) {
        if self.is_renewal_due(scene, call) {
            steps.push(Step::Renew(call, Fate::Answered));
            // Where the answer is lost, the holder goes on with the shorter lease that it knows of; so is it where the message is held up.
            if self.may_be_held_up(scene) {
                steps.push(Step::Renew(call, Fate::Delayed));
            }
        }
    }

    fn wire_steps(&self, scene: &Scene, call: u8, steps: &mut Vec<Step>) {
        let Some(state) = scene.calls.get(usize::from(call)) else { return };
        if matches!(state.wire, Wire::Flying { .. }) {
            steps.push(Step::Act(call));
            if self.world.faults.proofs && state.phase == Phase::Sent && self.is_served(scene, call) {
                steps.push(Step::Decline(call));
            }
        }
    }

    fn world_steps(&self, scene: &Scene, steps: &mut Vec<Step>) {
        let (faults, spent) = (&self.world.faults, &scene.spent);
        for (gateway, is_up) in (0..self.world.gateways).zip(scene.is_up) {
            if !is_up {
                steps.push(Step::Restart(gateway));
            } else if spent.crashes < faults.crashes {
                steps.push(Step::Crash(gateway));
            }
        }
        if scene.letter.is_some() {
            steps.push(Step::Deliver);
        }
        if self.next_moment_ms(scene).is_some() {
            steps.push(Step::Pass);
        }
        if let Some(replica) = &scene.replica
            && spent.fail_overs < faults.fail_overs
        {
            if *replica != scene.record {
                steps.push(Step::CatchUp);
            }
            steps.push(Step::FailOver);
        }
    }

    fn owner_steps(&self, scene: &Scene, steps: &mut Vec<Step>) {
        if !self.is_store_up(scene) {
            return;
        }
        steps.push(Step::Sweep);
        if self.is_doubtful(scene) {
            steps.push(Step::Look);
            if scene.spent.guesses < self.world.faults.guesses {
                steps.push(Step::Guess);
            }
        }
        if let Some(look) = &scene.look {
            steps.extend(self.findings(scene, look).into_iter().map(Step::Judge));
        }
        if scene.spent.cancellations < self.world.faults.cancellations {
            steps.push(Step::Cancel);
        }
    }

    /// Whether there is something to resolve: a doubt, or a claim that nobody can hold any more.
    fn is_doubtful(&self, scene: &Scene) -> bool {
        match scene.record.state {
            State::InDoubt { .. } => true,
            State::Claimed { lease_until, .. } => scene.now() >= lease_until,
            State::Absent | State::Done { .. } | State::Tombstone { .. } => false,
        }
    }
}

impl Model for Onceward {
    type State = Scene;
    type Action = Step;

    fn init_states(&self) -> Vec<Scene> {
        vec![Scene::first(self.world.tier == Tier::LosesLastWrites)]
    }

    fn actions(&self, scene: &Scene, steps: &mut Vec<Step>) {
        for call in self.calls() {
            self.call_steps(scene, call, steps);
            self.wire_steps(scene, call, steps);
        }
        self.world_steps(scene, steps);
        self.owner_steps(scene, steps);
    }

    fn next_state(&self, scene: &Scene, step: Step) -> Option<Scene> {
        let mut next = scene.clone();
        match step {
            Step::Check(call) => self.check(&mut next, call),
            Step::Claim(call, fate) => self.claim(&mut next, call, fate),
            Step::Disown(call) => exchange::disown(&mut next, call),
            Step::Renew(call, fate) => self.renew(&mut next, call, fate),
            Step::Send(call) => self.send(&mut next, call),
            Step::SendFails(call) => {
                next.calls.get_mut(usize::from(call))?.phase = Phase::Concluding(Conclusion::Release);
            }
            Step::Act(call) => self.act(&mut next, call),
            Step::Decline(call) => exchange::decline(&mut next, call),
            Step::Break(call) => self.break_off(&mut next, call),
            Step::Answer(call) => self.answer(&mut next, call),
            Step::GiveUp(call) => self.give_up(&mut next, call),
            Step::Settle(call, fate) => self.settle(&mut next, call, fate),
            Step::AnswerUnrecorded(call) => exchange::answer_unrecorded(&mut next, call),
            Step::Crash(gateway) => self.crash(&mut next, gateway),
            Step::Restart(gateway) => self.restart(&mut next, gateway),
            Step::Deliver => self.deliver(&mut next),
            Step::Pass => self.pass(&mut next),
            Step::Sweep => self.sweep(&mut next),
            Step::Look => resolve::look(&mut next),
            Step::Judge(finding) => self.judge(&mut next, finding),
            Step::Guess => self.guess(&mut next),
            Step::Cancel => self.cancel(&mut next),
            Step::CatchUp => next.replica = Some(next.record.clone()),
            Step::FailOver => self.fail_over(&mut next),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.promises.iter().map(|promise| promise.property()).collect()
    }
}

/// What a sweep would make of a record.
fn swept(scene: &Scene) -> Record {
    scene.record.clone().on(Event::Swept, scene.now()).0
}
