//! One moment of a world: the record, the gateways at work, what is on its way, and what happened at the shop.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use onceward_core::{
    record::{Attempt, AttemptId, Epoch, Interest, Record, State, TombstoneKind},
    time::Timestamp,
};

use crate::world::{CALLS_MAX, FAR_MS, LEASE_MS, REMEMBER_MS, RETENTION_MS, SETTLING_MS};

/// A state of the model.
///
/// The clock runs, and every time in it is a time. Two scenes that differ in nothing but when they take place hash alike, since
/// the rules compare times and nothing else; the checker tells scenes apart by their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    pub(crate) now_ms: u64,
    /// What the store holds under the key; a blank record stands for no row.
    pub(crate) record: Record,
    /// What its replica holds, where one could take over.
    pub(crate) replica: Option<Record>,
    /// When a fail-over raised the history barrier.
    pub(crate) barrier_ms: Option<u64>,
    /// The highest epoch that the store gave out.
    pub(crate) epoch: u64,
    pub(crate) calls: [Call; CALLS_MAX],
    pub(crate) is_up: [bool; 2],
    /// A message to the store that is on its way although its sender does not wait for it any more.
    pub(crate) letter: Option<Letter>,
    pub(crate) look: Option<Look>,
    pub(crate) spent: Spent,
    /// The epoch of each call's attempt that a verdict of absence released; 0 where none did.
    pub(crate) overruled: [u64; CALLS_MAX],
    pub(crate) is_alarmed: bool,
    /// Whether the key was forgotten, and with it the wish is over.
    pub(crate) is_forgotten: bool,
    pub(crate) breach: Option<Breach>,
}

/// One request with the key, and the gateway's task that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) phase: Phase,
    /// Its exchange with the shop.
    pub(crate) wire: Wire,
    /// The epoch under which it executes or did.
    pub(crate) epoch: u64,
    /// When it has to assume that it does not hold its claim any more (L12).
    pub(crate) deadline_ms: u64,
    /// How many effects its requests had.
    pub(crate) effects: u8,
    pub(crate) told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Not yet made.
    Idle,
    /// Found the key free, and is about to claim it without looking again; only where the two are two steps.
    Checked,
    /// Asks the store.
    Claiming,
    /// Gave up asking, and makes sure that nothing is left of it.
    Disowning,
    /// Holds the claim, and has sent nothing.
    Holding,
    /// Sent its request.
    Sent,
    /// Knows what to tell the store.
    Concluding(Conclusion),
    /// Is over, by an answer, a refusal, or the death of its gateway.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Conclusion {
    /// The answer, by the call whose effect it describes.
    Complete(u8),
    Release,
    Doubt,
}

/// A request's way to the shop and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Unused,
    /// On its way; `until_ms` is the last moment at which it can arrive, known once its socket is closed.
    Flying {
        until_ms: Option<u64>,
    },
    /// The shop acted, and its answer is on the way back.
    Acted {
        answer: u8,
    },
    /// Nothing is on its way any more.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    Nothing,
    /// The answer of its own execution, which the record has, too.
    Answer(u8),
    /// The answer of its own execution, marked as not recorded (O6).
    Unrecorded(u8),
    /// The answer that the record has.
    Replay(u8),
    /// No.
    Refusal,
}

/// An operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Claim,
    Renew,
    Settle(Conclusion),
}

/// Which round of asking a claim belongs to. Of the rounds before the present one, no more than one can have left something behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Round {
    Present = 0,
    Past = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Letter {
    pub(crate) call: u8,
    pub(crate) round: Round,
    /// The epoch that it speaks for, where it is no claim.
    pub(crate) epoch: u64,
    pub(crate) operation: Operation,
}

/// What a resolver found when it asked the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Look {
    pub(crate) judged: Epoch,
    /// Orders seen.
    pub(crate) effects: u8,
    /// The answer of one of them.
    pub(crate) answer: u8,
    /// Whether the holder was gone and the settling time over before the shop was asked.
    pub(crate) is_settled: bool,
}

/// How often what is limited has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Spent {
    pub(crate) crashes: u8,
    pub(crate) delays: u8,
    pub(crate) fail_overs: u8,
    pub(crate) guesses: u8,
    pub(crate) cancellations: u8,
}

/// A step that did what none may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Breach {
    /// A key was freed while a request under it could still act.
    FreedAlive,
    /// Something unfinished went away by ageing.
    UnfinishedSwept,
    /// Somebody who is not the holder changed the record.
    ForeignWord,
    /// A stored outcome was replaced, or went before its time.
    OutcomeLost,
    /// An answer came after a verdict of absence, and nobody was alarmed.
    AlarmMissed,
}

impl Scene {
    pub(crate) fn first(has_replica: bool) -> Self {
        let idle = Call {
            phase: Phase::Idle,
            wire: Wire::Unused,
            epoch: 0,
            deadline_ms: 0,
            effects: 0,
            told: Told::Nothing,
        };
        Self {
            now_ms: FAR_MS,
            record: Record::absent(),
            replica: has_replica.then(Record::absent),
            barrier_ms: None,
            epoch: 0,
            calls: [idle; CALLS_MAX],
            is_up: [true; 2],
            letter: None,
            look: None,
            spent: Spent::default(),
            overruled: [0; CALLS_MAX],
            is_alarmed: false,
            is_forgotten: false,
            breach: None,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    /// How many effects the shop counts for this wish.
    pub(crate) fn effects(&self) -> u8 {
        self.calls.iter().map(|call| call.effects).sum()
    }

    /// The call whose effect came first in the calls' order.
    pub(crate) fn effected(&self) -> Option<u8> {
        (0_u8..).zip(&self.calls).find_map(|(call, state)| (state.effects > 0).then_some(call))
    }

    /// The earliest moment at which "no such order" is a proof, by the rule of the core.
    pub(crate) fn settled_at_ms(&self) -> Option<u64> {
        let barrier = self.barrier_ms.map(Timestamp::from_ms);
        let settling = Duration::from_millis(SETTLING_MS);
        self.record.absence_shows_from(barrier, settling).map(Timestamp::as_ms)
    }
}

/// The name under which a call claims, the same at each repetition (L11). Each round of asking has its own: whoever was told to wait
/// and asks again is not to inherit what a late copy of its earlier claim was granted, for its deadline begins anew (L12).
pub(crate) fn attempt_id(call: u8, round: Round) -> AttemptId {
    AttemptId([call, round as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// The call that claims under this name.
pub(crate) fn call_of(attempt: Attempt) -> u8 {
    let AttemptId([call, ..]) = attempt.id;
    call
}

/// The attempt that a record is about, as long as its effect is not known.
pub(crate) fn holder(record: &Record) -> Option<Attempt> {
    match record.state {
        State::Claimed { attempt, .. } | State::InDoubt { attempt, .. } => Some(attempt),
        State::Absent | State::Done { .. } | State::Tombstone { .. } => None,
    }
}

impl Call {
    /// Whether its gateway still works on it.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Over)
    }
}

impl Hash for Scene {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let now_ms = self.now_ms;
        hash_record(&self.record, now_ms, hasher);
        if let Some(replica) = &self.replica {
            hash_record(replica, now_ms, hasher);
        }
        // What counts of the barrier is whether the record was last claimed and freed before it, and whether a holder from then may still live.
        let is_behind = self.barrier_ms.map(|barrier_ms| {
            let settled_ms = barrier_ms + LEASE_MS + SETTLING_MS;
            let record = &self.record;
            let ages = [record.claimed_at, record.since].map(|at| at.as_ms() <= barrier_ms);
            (ages, settled_ms.saturating_sub(now_ms))
        });
        (is_behind, self.replica.is_some(), self.epoch).hash(hasher);
        for call in &self.calls {
            hash_call(call, now_ms, hasher);
        }
        (self.is_up, self.letter, self.look, self.spent).hash(hasher);
        (self.overruled, self.is_alarmed, self.is_forgotten, self.breach).hash(hasher);
    }
}

fn hash_call(call: &Call, now_ms: u64, hasher: &mut impl Hasher) {
    // A claim that was answered with "wait" has no deadline, which is not the same as one that has passed.
    let deadline_ms = (call.deadline_ms != 0).then(|| call.deadline_ms.saturating_sub(now_ms));
    let is_concluding = matches!(call.phase, Phase::Concluding(_));
    (call.phase, call.epoch, call.effects, deadline_ms.filter(|_| !is_concluding)).hash(hasher);
    match call.wire {
        Wire::Unused | Wire::Gone => 0_u8.hash(hasher),
        Wire::Flying { until_ms } => {
            (1_u8, until_ms.map(|until_ms| until_ms.saturating_sub(now_ms))).hash(hasher);
        }
        Wire::Acted { answer } => (2_u8, answer).hash(hasher),
    }
    // What is compared later is a recorded answer.
    match call.told {
        Told::Answer(answer) | Told::Replay(answer) => Some(answer).hash(hasher),
        Told::Nothing | Told::Unrecorded(_) | Told::Refusal => None::<u8>.hash(hasher),
    }
}

fn hash_record(record: &Record, now_ms: u64, hasher: &mut impl Hasher) {
    // The past counts for as long as something follows from it, and what is far away is as far as anything that is.
    let left = |at_ms: u64| at_ms.saturating_sub(now_ms).min(FAR_MS);
    match &record.state {
        State::Absent => (0_u8, record.due_at().map(|due_at| left(due_at.as_ms()))).hash(hasher),
        State::Claimed { attempt, lease_until } => {
            let until_ms = lease_until.as_ms();
            (1_u8, attempt, left(until_ms), left(until_ms + SETTLING_MS)).hash(hasher);
        }
        State::Done { attempt, outcome, how, expires_at } => {
            let answer = outcome.as_ref().map(|outcome| &outcome.0);
            let expires_at_ms = expires_at.as_ms();
            (2_u8, attempt, answer, *how as u8, left(expires_at_ms)).hash(hasher);
            left(expires_at_ms.saturating_add(REMEMBER_MS)).hash(hasher);
        }
        // Why it is in doubt is told, and changes nothing.
        State::InDoubt { attempt, reason: _, interest } => {
            let is_wanted = *interest == Interest::Wanted;
            (3_u8, attempt, is_wanted, left(record.since.as_ms() + SETTLING_MS)).hash(hasher);
        }
        State::Tombstone { kind, forget_at } => {
            (4_u8, *kind == TombstoneKind::Cancelled, left(forget_at.as_ms())).hash(hasher);
        }
    }
    // Only where everything is swept does anything else age.
    (holder(record).is_some() && now_ms >= record.since.as_ms() + RETENTION_MS).hash(hasher);
    (record.fingerprint.is_some(), record.terms.is_some(), record.epoch, record.overruled).hash(hasher);
}
