//! The store: each operation is one event of the record machine, and is judged by what may never happen.

use core::time::Duration;
use std::sync::LazyLock;

use onceward_core::{
    fingerprint::Fingerprint,
    record::{Alarm, Attempt, Decision, DoubtReason, Epoch, Event, Record, Sealed, State},
};

use super::Onceward;
use crate::{
    scene::{Breach, Conclusion, Operation, Phase, Round, Scene, Wire, attempt_id, call_of, holder},
    sights::{Met, event_of},
    world::{Barrier, Deadline, Epochs, Origin, REMEMBER_MS, Settling},
};

/// All requests of a world ask for the same.
static FINGERPRINT: LazyLock<Option<Fingerprint>> =
    LazyLock::new(|| Fingerprint::from_bytes(&[0; Fingerprint::LEN]).ok());

impl Onceward {
    /// An operation arrives at the store. `None` where it answers that history was lost (T5).
    pub(super) fn operate(
        &self,
        scene: &mut Scene,
        call: u8,
        epoch: u64,
        operation: Operation,
    ) -> Option<Decision> {
        let attempt = Attempt { epoch: Epoch(epoch), id: attempt_id(call, Round::Present) };
        let event = match operation {
            Operation::Claim => return self.grant(scene, call, Round::Present),
            Operation::Renew => Event::Renewed { attempt },
            Operation::Settle(Conclusion::Complete(answer)) => {
                Event::Completed { attempt, outcome: Sealed(vec![answer]) }
            }
            Operation::Settle(Conclusion::Release) => Event::Released { attempt },
            Operation::Settle(Conclusion::Doubt) => Event::Doubted { attempt, reason: DoubtReason::NoAnswer },
        };
        let was_done = matches!(scene.record.state, State::Done { .. });
        let is_completion = matches!(event, Event::Completed { .. });
        let decision = self.on(scene, event);
        let commits = is_completion && !was_done && decision == Decision::Settled;
        if self.world.origin == Origin::Transactional
            && commits
            && let Some(state) = scene.calls.get_mut(usize::from(call))
        {
            state.effects += 1;
        }
        Some(decision)
    }

    pub(super) fn grant(&self, scene: &mut Scene, call: u8, round: Round) -> Option<Decision> {
        if self.is_history_lost(scene) {
            return None;
        }
        let epoch = match self.world.rules.epochs {
            Epochs::Rising => scene.epoch + 1,
            Epochs::FromRow => scene.record.epoch.0 + 1,
        };
        let attempt = Attempt { epoch: Epoch(epoch), id: attempt_id(call, round) };
        let (fingerprint, terms) = ((*FINGERPRINT)?, self.world.rules.terms());
        let decision = self.on(scene, Event::Arrived { attempt, fingerprint, terms, request: None });
        if decision == Decision::Execute(attempt) {
            scene.epoch = scene.epoch.max(epoch);
        }
        Some(decision)
    }

    /// Whether a claim of this key may be the retry of one that a fail-over forgot. The wish is older than the world.
    fn is_history_lost(&self, scene: &Scene) -> bool {
        let Some(barrier_ms) = scene.barrier_ms else { return false };
        let known = super::swept(scene);
        match self.world.rules.barrier {
            Barrier::UnknownAndFree => known.state == State::Absent && known.claimed_at.as_ms() <= barrier_ms,
            Barrier::UnknownAndFreedBefore => {
                known.state == State::Absent && known.since.as_ms() <= barrier_ms
            }
            Barrier::Unknown => known.is_blank(),
            Barrier::Unnoticed => false,
        }
    }

    /// One event of the record machine, in one atomic step.
    pub(super) fn on(&self, scene: &mut Scene, event: Event) -> Decision {
        let before = scene.record.clone();
        let met = Met::of(&before, scene.now());
        let (after, decision) = before.clone().on(self.as_heard(&before, &event), scene.now());
        if let Some(place) = event_of(&event) {
            self.sights.note(met, place, &decision);
        }
        if scene.breach.is_none() {
            scene.breach = self
                .breach_of_holding(scene, &before, &after, &event)
                .or_else(|| breach_of_word(met, &before, &after, &event))
                .or_else(|| breach_of_alarm(scene, &event, &decision));
        }
        scene.is_alarmed |= decision == Decision::Stale(Alarm::EffectAfterRelease);
        scene.record = after;
        decision
    }

    /// What the store hears: it may not ask whose word it is.
    fn as_heard(&self, before: &Record, event: &Event) -> Event {
        let (Settling::Anybody, Some(attempt)) = (self.world.rules.settling, holder(before)) else {
            return event.clone();
        };
        match event {
            Event::Completed { outcome, .. } => Event::Completed { attempt, outcome: outcome.clone() },
            Event::Released { .. } => Event::Released { attempt },
            Event::Doubted { reason, .. } => Event::Doubted { attempt, reason: *reason },
            other => other.clone(),
        }
    }

    /// What is held is let go only by its end, and only when its request cannot act any more.
    fn breach_of_holding(
        &self,
        scene: &Scene,
        before: &Record,
        after: &Record,
        event: &Event,
    ) -> Option<Breach> {
        let held = holder(before).filter(|held| concerned(after) != Some(*held))?;
        if *event == Event::Swept {
            Some(Breach::UnfinishedSwept)
        } else {
            // A guess may free anything; what holds all the same is to be seen behind it.
            let is_guessed = self.world.faults.guesses > 0;
            (!is_guessed && self.can_act(scene, held)).then_some(Breach::FreedAlive)
        }
    }

    /// Whether an attempt's request had its effect, or still can.
    fn can_act(&self, scene: &Scene, attempt: Attempt) -> bool {
        let Some(call) = scene.calls.get(usize::from(call_of(attempt))) else { return false };
        let may_send = scene.now_ms < call.deadline_ms || self.world.rules.deadline == Deadline::Ignored;
        let is_acting = call.effects > 0
            || matches!(call.wire, Wire::Flying { .. })
            || call.phase == Phase::Holding && may_send;
        self.world.origin == Origin::Opaque && call.epoch == attempt.epoch.0 && is_acting
    }

    /// The owner does not want it any more (D5).
    pub(super) fn cancel(&self, scene: &mut Scene) {
        scene.spent.cancellations += 1;
        self.on(scene, Event::Cancelled { remember: Duration::from_millis(REMEMBER_MS) });
    }
}

/// Only the holder's word changes what is held or done, and nothing changes what is done.
fn breach_of_word(met: Met, before: &Record, after: &Record, event: &Event) -> Option<Breach> {
    let is_alive = matches!(met, Met::Claimed | Met::Lapsed | Met::InDoubt | Met::Done);
    let is_foreign = speaker(event).is_some_and(|speaker| concerned(before) != Some(speaker));
    if is_alive && is_foreign && before != after {
        Some(Breach::ForeignWord)
    } else {
        (met == Met::Done && before.state != after.state).then_some(Breach::OutcomeLost)
    }
}

/// An answer under a claim that a verdict of absence released raises the alarm (L13).
fn breach_of_alarm(scene: &Scene, event: &Event, decision: &Decision) -> Option<Breach> {
    let Event::Completed { attempt, .. } = event else { return None };
    let overruled = scene.overruled.get(usize::from(call_of(*attempt))).copied();
    let is_due = overruled == Some(attempt.epoch.0);
    (is_due && *decision != Decision::Stale(Alarm::EffectAfterRelease)).then_some(Breach::AlarmMissed)
}

/// The attempt that a record is about.
fn concerned(record: &Record) -> Option<Attempt> {
    match record.state {
        State::Done { attempt, .. } => Some(attempt),
        State::Absent | State::Claimed { .. } | State::InDoubt { .. } | State::Tombstone { .. } => {
            holder(record)
        }
    }
}

/// Whose word an event is.
fn speaker(event: &Event) -> Option<Attempt> {
    match event {
        Event::Renewed { attempt }
        | Event::Completed { attempt, .. }
        | Event::Released { attempt }
        | Event::Doubted { attempt, .. } => Some(*attempt),
        Event::Arrived { .. }
        | Event::Inquired { .. }
        | Event::HolderGone
        | Event::Resolved { .. }
        | Event::Cancelled { .. }
        | Event::Erased
        | Event::Swept => None,
    }
}
