//! One call from its arrival to its answer, as the engine's `drive.rs` and `records.rs` have it.

use std::time::Duration;

use onceward_core::{
    fingerprint::Version,
    record::{Attempt, Decision, DoubtReason, Drift, Record, Sealed, State, TombstoneKind},
    refusal::{Doubt, Effect, Refusal, Told},
};

use crate::{
    census::Rare,
    flaw::Flaw,
    gateway::Moment,
    queue::{Address, Ask, Event, News, Reply, Task},
    setting::STORE_TIME_MS,
    store::answer_of,
    trace::note,
    world::World,
};

/// The first and the longest pause before a store operation is repeated.
const REPEAT_PAUSE_MS: [u64; 2] = [10, 500];

/// How long a waiting duplicate sleeps at the most before it looks again (W1).
const WAIT_LOOK_MS_MAX: u64 = 1_000;

/// How many fingerprint versions a call tries.
const COMPARES_MAX: u8 = 2;

/// When a refused caller may try again; told, and not kept to.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One request, and the task that serves it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) client: u32,
    pub(crate) key: u8,
    pub(crate) gateway: u8,
    pub(crate) life: u32,
    pub(crate) phase: Phase,
    /// Counts its waits: what comes for an earlier one is not heard.
    pub(crate) token: u32,
    pub(crate) lease_token: u32,
    pub(crate) renewal_token: u32,
    pub(crate) is_renewing: bool,
    pub(crate) renewal_sent: Moment,
    /// The run of this round of asking, which names the attempt.
    pub(crate) run: u32,
    pub(crate) attempt: Option<Attempt>,
    /// When its claim was sent or earlier (L12).
    pub(crate) held_since: Moment,
    /// When its lease was last renewed, counted from before the renewal was sent.
    pub(crate) renewed: Moment,
    /// How often writes about its key had been lost when it was asked for.
    pub(crate) losses: u32,
    pub(crate) body: u8,
    version: Version,
    compares: u8,
    began: Moment,
    has_place: bool,
    operation: Operation,
    /// What is told once the store has taken how it ended.
    pub(crate) tell: Option<Tell>,
    pub(crate) is_told: bool,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Asks whether anything is remembered of a key that is older than all memory (K7).
    Remembering,
    Claiming,
    Waiting,
    /// Asks again for a claim whose answer was lost, to give it back.
    Disowning,
    /// Gives it back.
    Disowned,
    /// Holds the claim, and has sent nothing.
    Dialling,
    /// Has sent its request.
    Exchanging,
    /// Tells the store how its claim ended.
    Settling,
    /// Goes on telling it, though its caller was answered.
    SettlingLate,
    /// Asks what the record says, since its own word did not count (L2).
    Reading,
    Over,
}

/// An operation of the store, repeated until it is answered.
#[derive(Clone, Copy, Debug)]
struct Operation {
    ask: Ask,
    began: Moment,
    patience_ms: u64,
    pause_ms: u64,
    is_unknown: bool,
}

/// How an operation ended that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It did not happen.
    Unavailable,
    /// It may have.
    Unknown,
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// The answer of its own execution, which the record has, too.
    Recorded(u32),
    /// The same, marked as not recorded (O6).
    Unrecorded(u32),
    /// The origin's answer, which proves that nothing happened.
    Released,
    /// The record's answer.
    Stored(u32),
    /// A no.
    Refused(Refusal),
}

impl Call {
    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Dialling | Phase::Exchanging)
    }

    pub(crate) const fn address(&self) -> Address {
        Address { gateway: self.gateway, life: self.life, task: Task::Call(self.number), token: self.token }
    }
}

impl World {
    pub(crate) fn call_mut(&mut self, number: u32) -> Option<&mut Call> {
        self.calls.get_mut(number as usize)
    }

    pub(crate) fn moment(&self, gateway: u8) -> Moment {
        self.gateways.get(usize::from(gateway)).map(|gateway| gateway.moment(self.now_ms)).unwrap_or_default()
    }

    pub(crate) fn is_ago(&self, gateway: u8, moment: Moment, ms: u64) -> bool {
        self.gateways.get(usize::from(gateway)).is_some_and(|gateway| gateway.is_ago(moment, ms, self.now_ms))
    }

    pub(crate) fn usable_ms(&self, key: u8) -> u64 {
        self.setting.keys.get(usize::from(key)).map_or(0, |key| ms(key.policy.lease_usable()))
    }

    /// A request comes in.
    pub(crate) fn start_call(&mut self, client: u32, gateway: u8, key: u8, body: u8) -> Option<u32> {
        let of_gateway = self.gateways.get(usize::from(gateway))?;
        let (life, version) = (of_gateway.life, of_gateway.version);
        let number = u32::try_from(self.calls.len()).ok()?;
        let began = self.moment(gateway);
        self.calls.push(Call {
            number,
            client,
            key,
            gateway,
            life,
            phase: Phase::Claiming,
            token: 0,
            lease_token: 0,
            renewal_token: 0,
            is_renewing: false,
            renewal_sent: began,
            run: u32::MAX,
            attempt: None,
            held_since: began,
            renewed: began,
            losses: 0,
            body,
            version,
            compares: 0,
            began,
            has_place: false,
            operation: Operation { ask: Ask::Get, began, patience_ms: 0, pause_ms: 0, is_unknown: false },
            tell: None,
            is_told: false,
        });
        if self.is_too_old(gateway, key) {
            self.operate(number, Phase::Remembering, Ask::Get, STORE_TIME_MS);
        } else {
            self.ask_anew(number);
        }
        Some(number)
    }

    /// Whether the key says that it was issued before anything that the store still remembers (K7).
    fn is_too_old(&self, gateway: u8, key: u8) -> bool {
        let (Some(of_key), Some(truth)) =
            (self.setting.keys.get(usize::from(key)), self.truths.get(usize::from(key)))
        else {
            return false;
        };
        let memory = of_key.policy.retention.saturating_add(of_key.policy.remember);
        let now = self.gateways.get(usize::from(gateway)).map(|gateway| gateway.clock.timestamp(self.now_ms));
        truth.issued_at.is_some_and(|issued_at| now.is_some_and(|now| issued_at.after(memory) < now))
    }

    /// Begins a round of asking, under a name of its own: a late copy of an earlier round's claim must not be taken for this one.
    fn ask_anew(&mut self, number: u32) {
        let is_named_once = self.has(Flaw::OneNameForAllRounds);
        let Some(call) = self.calls.get(number as usize) else { return };
        let (gateway, key, run, body, version) = (call.gateway, call.key, call.run, call.body, call.version);
        let run = if is_named_once && run != u32::MAX { run } else { self.new_run(number, key) };
        let held_since = self.moment(gateway);
        let losses = self.truths.get(usize::from(key)).map_or(0, |truth| truth.losses);
        if let Some(call) = self.call_mut(number) {
            call.losses = losses;
            call.run = run;
            call.held_since = held_since;
        }
        let patience_ms = self.usable_ms(key).min(STORE_TIME_MS);
        self.operate(number, Phase::Claiming, Ask::Claim { run, body, version }, patience_ms);
        self.dies_here(gateway);
    }

    /// Begins an operation of the store that is repeated until it is answered, or for `patience_ms`.
    pub(crate) fn operate(&mut self, number: u32, phase: Phase, ask: Ask, patience_ms: u64) {
        let Some(gateway) = self.calls.get(number as usize).map(|call| call.gateway) else { return };
        let began = self.moment(gateway);
        let [pause_ms, _] = REPEAT_PAUSE_MS;
        if let Some(call) = self.call_mut(number) {
            call.phase = phase;
            call.operation = Operation { ask, began, patience_ms, pause_ms, is_unknown: false };
        }
        self.try_operation(number);
    }

    fn try_operation(&mut self, number: u32) {
        let now_ms = self.now_ms;
        let is_counted_anew = self.has(Flaw::DeadlineOfRepetition);
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        let Some(gateway) = self.gateways.get(usize::from(call.gateway)) else { return };
        call.token += 1;
        let operation = call.operation;
        if is_counted_anew && call.phase == Phase::Claiming {
            call.held_since = gateway.moment(now_ms);
        }
        let gives_up_ms = gateway.when(operation.began, operation.patience_ms, now_ms);
        let times_out_ms = gateway.timer.true_after(now_ms, STORE_TIME_MS);
        let (from, key) = (call.address(), call.key);
        self.send_question(from, key, operation.ask);
        self.at(gives_up_ms.min(times_out_ms), Event::Reaches { task: from, what: News::NoReply });
    }

    pub(crate) fn call_gets(&mut self, number: u32, token: u32, what: News) {
        let Some(call) = self.calls.get(number as usize).filter(|call| call.token == token) else { return };
        match what {
            News::Reply(Reply::Unavailable) => self.operation_failed(number, Failed::Unavailable),
            News::Reply(Reply::Unknown) | News::NoReply => self.operation_failed(number, Failed::Unknown),
            News::Reply(reply) => self.operation_ended(number, Ok(reply)),
            News::Due | News::Woken if call.phase == Phase::Waiting => self.ask_anew(number),
            News::Due => self.try_operation(number),
            News::Woken | News::Sight(_) => {}
            News::Dialled | News::Answer { .. } | News::Broken(_) | News::Unreachable | News::Panicked => {
                self.exchange_gets(number, &what);
            }
        }
    }

    /// Repeats an operation under the same name, which says the same again (L11), until its patience ends.
    fn operation_failed(&mut self, number: u32, failed: Failed) {
        let now_ms = self.now_ms;
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        let Some(gateway) = self.gateways.get(usize::from(call.gateway)) else { return };
        let operation = &mut call.operation;
        let is_asked_once = matches!(operation.ask, Ask::Get);
        let pause_ms = operation.pause_ms;
        let is_over = is_asked_once
            || gateway.is_ago(operation.began, operation.patience_ms.saturating_sub(pause_ms), now_ms);
        if is_over {
            // An earlier try that may have happened is not undone by a later one that did not.
            let failed = if operation.is_unknown { Failed::Unknown } else { failed };
            self.operation_ended(number, Err(failed));
            return;
        }
        operation.is_unknown |= failed == Failed::Unknown;
        let [_, longest_ms] = REPEAT_PAUSE_MS;
        operation.pause_ms = (pause_ms * 2).min(longest_ms);
        call.token += 1;
        let task = call.address();
        self.after(pause_ms, Event::Reaches { task, what: News::Due });
    }

    fn operation_ended(&mut self, number: u32, ended: Result<Reply, Failed>) {
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        call.token += 1;
        match call.phase {
            Phase::Remembering if matches!(ended, Ok(Reply::Stored(None))) => {
                self.saw(Rare::TooOldToRun);
                self.tell(number, Tell::Refused(Refusal::KeyExpired { effect: Effect::Unknown }));
                self.over(number);
            }
            // What cannot be read now is decided by the claim.
            Phase::Remembering => self.ask_anew(number),
            Phase::Claiming => self.claim_ended(number, ended),
            Phase::Disowning => self.disowning_ended(number, &ended),
            Phase::Disowned => {
                if matches!(ended, Ok(Reply::Decided { decision: Decision::Settled, .. })) {
                    self.saw(Rare::ClaimDisowned);
                }
                self.over(number);
            }
            Phase::Settling | Phase::SettlingLate => self.settling_ended(number, &ended),
            Phase::Reading => self.reading_ended(number, ended),
            Phase::Waiting | Phase::Dialling | Phase::Exchanging | Phase::Over => {}
        }
    }

    fn claim_ended(&mut self, number: u32, ended: Result<Reply, Failed>) {
        let Some(call) = self.calls.get(number as usize) else { return };
        let (gateway, key, held_since) = (call.gateway, call.key, call.held_since);
        let is_deadline_kept = !self.has(Flaw::NoDeadline) && !self.has(Flaw::LockWithTimeToLive);
        let is_late = is_deadline_kept && self.is_ago(gateway, held_since, self.usable_ms(key));
        match ended {
            Ok(Reply::Decided { decision: Decision::Execute(_), .. }) if is_late => self.disown(number),
            Ok(Reply::Decided { decision, .. }) => self.decided(number, decision),
            Ok(Reply::HistoryLost) => self.refuse(number, Refusal::HistoryLost),
            Err(Failed::Unknown) => self.disown(number),
            Err(Failed::Unavailable) | Ok(_) => self.refuse(number, store_unavailable(Effect::None)),
        }
    }

    fn decided(&mut self, number: u32, decision: Decision) {
        match decision {
            Decision::Execute(attempt) => self.execute(number, attempt),
            Decision::Replay { outcome, drift, .. } => {
                if self.calls.get(number as usize).is_some_and(|call| call.has_place) {
                    self.saw(Rare::WaiterReplayed);
                }
                if drift == Drift::Drifted {
                    self.saw(Rare::DriftReplayed);
                }
                self.tell_stored(number, outcome.as_ref());
                self.over(number);
            }
            Decision::Compare(version) => {
                self.saw(Rare::ComparedAgain);
                let Some(call) = self.call_mut(number) else { return };
                call.compares += 1;
                call.version = version;
                if call.compares > COMPARES_MAX {
                    self.refuse(number, Refusal::RecordCorrupt);
                } else {
                    self.ask_anew(number);
                }
            }
            Decision::Wait { lease_left, .. } => self.wait(number, ms(lease_left)),
            Decision::Refuse(denial) => self.refuse(number, Refusal::of_denial(denial, RETRY_AFTER)),
            Decision::Renewed(_) | Decision::Settled | Decision::Stale(_) | Decision::Unchanged => {
                self.broken(None, format!("a claim was answered {decision:?}"));
            }
        }
    }

    fn wait(&mut self, number: u32, lease_left_ms: u64) {
        let now_ms = self.now_ms;
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        let wait_ms = self.setting.keys.get(usize::from(call.key)).map_or(0, |key| ms(key.policy.wait));
        let Some(gateway) = self.gateways.get(usize::from(call.gateway)) else { return };
        if gateway.is_ago(call.began, wait_ms, now_ms) || gateway.is_stopped {
            self.tell_in_progress(number);
            return;
        }
        if !call.has_place {
            call.has_place = true;
            self.ask_anew(number);
            return;
        }
        call.phase = Phase::Waiting;
        let look_ms = gateway.timer.true_after(now_ms, lease_left_ms.min(WAIT_LOOK_MS_MAX));
        let at_ms = look_ms.min(gateway.when(call.began, wait_ms, now_ms));
        let task = call.address();
        if !self.has(Flaw::WaitersForgotten) {
            self.at(at_ms, Event::Reaches { task, what: News::Due });
        }
    }

    /// Wakes the duplicates that wait for a key, in every process that a store of many tells.
    pub(crate) fn wake(&mut self, key: u8) {
        if self.has(Flaw::WaitersForgotten) {
            return;
        }
        for place in 0..self.calls.len() {
            let Some(call) =
                self.calls.get(place).filter(|call| call.key == key && call.phase == Phase::Waiting)
            else {
                continue;
            };
            let task = call.address();
            // The word may get lost; who waits looks by itself, too.
            if self.chance.per_mille(900) {
                let ms = self.chance.between(0, 30);
                self.after(ms, Event::Reaches { task, what: News::Woken });
            }
        }
    }

    pub(crate) fn tell_in_progress(&mut self, number: u32) {
        self.refuse(number, Refusal::InProgress { retry_after: RETRY_AFTER });
    }

    fn refuse(&mut self, number: u32, refusal: Refusal) {
        self.tell(number, Tell::Refused(refusal));
        self.over(number);
    }

    /// Gives back a claim whose answer was lost: nothing was sent under it, and only this process can prove that.
    fn disown(&mut self, number: u32) {
        let Some(call) = self.calls.get(number as usize) else { return };
        let (key, run, body, version) = (call.key, call.run, call.body, call.version);
        self.tell(number, Tell::Refused(store_unavailable(Effect::None)));
        let lease_ms = self.setting.keys.get(usize::from(key)).map_or(0, |key| ms(key.policy.lease));
        self.operate(number, Phase::Disowning, Ask::Claim { run, body, version }, lease_ms);
    }

    fn disowning_ended(&mut self, number: u32, ended: &Result<Reply, Failed>) {
        match ended {
            Ok(Reply::Decided { decision: Decision::Execute(attempt), .. }) => {
                let key = self.calls.get(number as usize).map_or(0, |call| call.key);
                let lease_ms = self.setting.keys.get(usize::from(key)).map_or(0, |key| ms(key.policy.lease));
                self.operate(number, Phase::Disowned, Ask::Release(*attempt), lease_ms);
            }
            _ => self.over(number),
        }
    }

    /// What the record says now, for a former holder's own caller (L2).
    fn reading_ended(&mut self, number: u32, ended: Result<Reply, Failed>) {
        let record: Record = match ended {
            Ok(Reply::Stored(Some(record))) => *record,
            _ => {
                self.refuse(number, store_unavailable(Effect::Unknown));
                return;
            }
        };
        let doubt =
            |reason| Refusal::OutcomeUnknown(Doubt { reason, sent_at: record.claimed_at, told: Told::First });
        let refusal = match record.state {
            State::Done { ref outcome, .. } => {
                self.saw(Rare::FormerHolderToldTruth);
                self.tell_stored(number, outcome.as_ref());
                self.over(number);
                return;
            }
            State::InDoubt { reason, .. } => doubt(reason),
            State::Claimed { .. } => Refusal::InProgress { retry_after: RETRY_AFTER },
            // Somebody ruled that this very attempt had no effect, or its claim was lost: nobody may be sent to try again.
            State::Absent | State::Tombstone { kind: TombstoneKind::Cancelled, .. } => {
                doubt(DoubtReason::LeaseLapsed)
            }
            State::Tombstone { kind: TombstoneKind::Expired, .. } => {
                Refusal::KeyExpired { effect: Effect::Done }
            }
        };
        self.refuse(number, refusal);
    }

    pub(crate) fn tell_stored(&mut self, number: u32, outcome: Option<&Sealed>) {
        let tell = match outcome {
            Some(outcome) => Tell::Stored(answer_of(outcome)),
            None => Tell::Refused(Refusal::OutcomeNotKept { status: None }),
        };
        self.tell(number, tell);
    }

    /// Hands the answer over; a caller that is gone does not want it any more, and what it would have been told still has to be true.
    pub(crate) fn tell(&mut self, number: u32, tell: Tell) {
        let Some(call) = self.calls.get_mut(number as usize).filter(|call| !call.is_told) else { return };
        call.is_told = true;
        let (client, key) = (call.client, call.key);
        note!(self, Some(key), "call {number} is told {}", in_words(&tell));
        self.judge_told(number, &tell);
        self.client_hears(client, number, &tell);
    }

    pub(crate) fn over(&mut self, number: u32) {
        if let Some(call) = self.call_mut(number) {
            call.phase = Phase::Over;
        }
    }
}

pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) const fn store_unavailable(effect: Effect) -> Refusal {
    Refusal::StoreUnavailable { retry_after: RETRY_AFTER, effect }
}

fn in_words(tell: &Tell) -> String {
    match tell {
        Tell::Recorded(answer) => format!("its answer {answer}"),
        Tell::Unrecorded(answer) => format!("its answer {answer}, marked as not recorded"),
        Tell::Released => "that nothing happened".to_owned(),
        Tell::Stored(answer) => format!("the stored answer {answer}"),
        Tell::Refused(refusal) => format!("no: {}", refusal.problem_type().slug),
    }
}
