//! An effect under its claim: run, renewed, settled, as the engine's `execution.rs` has it.

use onceward_core::{
    outcome::{Finality, OnPanic, Policy},
    record::{Attempt, Decision, DoubtReason},
    refusal::{Doubt, Refusal, Told},
    time::Timestamp,
};

use crate::{
    call::{Failed, Phase, Tell, ms},
    census::Rare,
    fault::Fault,
    flaw::Flaw,
    queue::{Address, Ask, Event, News, Reply, Task},
    setting::{Origin, SETTLE_TIME_MS, STORE_TIME_MS},
    trace::note,
    world::World,
};

/// The pause before a failed renewal is tried again.
const RENEW_PAUSE_MS: u64 = 100;

impl World {
    /// A claim was granted: the work begins.
    pub(crate) fn execute(&mut self, number: u32, attempt: Attempt) {
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        call.attempt = Some(attempt);
        call.renewed = call.held_since;
        call.is_renewing = false;
        call.phase = Phase::Dialling;
        let (gateway, key, run) = (call.gateway, call.key, call.run);
        if let Some(run) = self.runs.get_mut(run as usize) {
            run.epoch = attempt.epoch.0;
        }
        note!(self, Some(key), "call {number} holds the key at gateway {gateway}, epoch {}", attempt.epoch.0);
        self.judge_deadline(number);
        if self.dies_here(gateway) {
            return;
        }
        if self.gateways.get(usize::from(gateway)).is_some_and(|gateway| gateway.is_stopped) {
            self.give_up(number, DoubtReason::ShutDown);
            return;
        }
        self.expect_lease(number);
        let (is_unreachable, panics) = (self.goes_wrong(Fault::Unreachable), self.goes_wrong(Fault::Panic));
        let is_slow = self.goes_wrong(Fault::SlowRequest);
        let dial_ms = if is_slow { self.chance.between(100, 12_000) } else { self.chance.between(1, 40) };
        let is_transaction = self.origin(key) == Origin::Transactional;
        let what = if panics && self.chance.per_mille(500) {
            News::Panicked
        } else if is_unreachable && !is_transaction {
            News::Unreachable
        } else {
            News::Dialled
        };
        self.tell_call(number, dial_ms, what);
    }

    /// Something reaches the call's task while nobody else interrupts it.
    pub(crate) fn tell_call(&mut self, number: u32, after_ms: u64, what: News) {
        if let Some(task) = self.calls.get(number as usize).map(|call| call.address()) {
            self.after(after_ms, Event::Reaches { task, what });
        }
    }

    /// Why the holder has to give up now, by its own clocks (L12).
    pub(crate) fn must_give_up(&self, number: u32) -> Option<DoubtReason> {
        let call = self.calls.get(number as usize)?;
        let is_deadline_kept = !self.has(Flaw::NoDeadline) && !self.has(Flaw::LockWithTimeToLive);
        let run_time_ms = self.policy(call.key).map_or(0, |policy| ms(policy.run_time_max));
        let is_over = is_deadline_kept && self.is_ago(call.gateway, call.renewed, self.usable_ms(call.key))
            || self.is_ago(call.gateway, call.held_since, run_time_ms);
        let is_stopped =
            self.gateways.get(usize::from(call.gateway)).is_some_and(|gateway| gateway.is_stopped);
        if is_over { Some(DoubtReason::DeadlinePassed) } else { is_stopped.then_some(DoubtReason::ShutDown) }
    }

    pub(crate) fn policy(&self, key: u8) -> Option<&Policy> {
        self.setting.keys.get(usize::from(key)).map(|key| &key.policy)
    }

    /// What comes of the exchange. Deadlines are looked at first, so that a process that stood still does not go on (L12).
    pub(crate) fn exchange_gets(&mut self, number: u32, what: &News) {
        let Some(call) = self.calls.get(number as usize).filter(|call| call.is_running()) else { return };
        let (key, is_unsent) = (call.key, call.phase == Phase::Dialling);
        if let Some(reason) = self.must_give_up(number) {
            if is_unsent && reason == DoubtReason::DeadlinePassed {
                self.saw(Rare::WokeTooLate);
            }
            self.give_up(number, reason);
            return;
        }
        match *what {
            News::Dialled => self.send_request(number),
            News::Unreachable => self.released(number, Tell::Released),
            News::Answer { status, consumed, answer } => self.answered(number, status, consumed, answer),
            News::Broken(_) if self.has(Flaw::ReleaseOnBreak) => self.released(number, Tell::Released),
            // What was not committed is rolled back with its connection.
            News::Broken(_) if self.origin(key) == Origin::Transactional => {
                self.released(number, Tell::Released)
            }
            News::Broken(reason) => self.doubt(number, reason),
            News::Panicked => self.panicked(number),
            News::Reply(_) | News::NoReply | News::Due | News::Woken | News::Sight(_) => {}
        }
    }

    fn answered(&mut self, number: u32, status: u16, consumed: Option<bool>, answer: u32) {
        let Some(key) = self.calls.get(number as usize).map(|call| call.key) else { return };
        note!(self, Some(key), "call {number} gets the answer {answer}, status {status}");
        match self.policy(key).map(|policy| policy.finality(status, consumed)) {
            Some(Finality::Final) => self.complete(number, answer),
            Some(Finality::Released(_)) => self.released(number, Tell::Released),
            Some(Finality::Doubtful(reason)) => self.doubt(number, reason),
            None => {}
        }
    }

    fn panicked(&mut self, number: u32) {
        let Some(call) = self.calls.get(number as usize) else { return };
        let (key, run) = (call.key, call.run);
        let on_panic = self.policy(key).map(|policy| policy.on_panic);
        if self.has(Flaw::PanicReleases) || self.origin(key) == Origin::Transactional {
            self.released(number, Tell::Released);
        } else if on_panic == Some(OnPanic::Final) {
            let answer = self.new_answer(run);
            self.complete(number, answer);
        } else {
            self.doubt(number, DoubtReason::Panicked);
        }
    }

    /// The work is dropped, and its socket with it.
    pub(crate) fn give_up(&mut self, number: u32, reason: DoubtReason) {
        let Some(call) = self.calls.get(number as usize) else { return };
        let (key, gateway, renewed) = (call.key, call.gateway, call.renewed);
        if reason == DoubtReason::DeadlinePassed {
            if self.is_held_by(number) {
                self.saw(Rare::OwnDeadline);
            }
            let usable_ms = self.usable_ms(key);
            let is_slept = self.gateways.get(usize::from(gateway)).is_some_and(|gateway| {
                gateway.clock.at(self.now_ms) > gateway.timer.at(self.now_ms) + 1_000
                    && gateway.is_ago(renewed, usable_ms, self.now_ms)
            });
            if is_slept && self.setting.faults.has(Fault::Sleep) {
                self.saw(Rare::SleepNoticed);
            }
        }
        note!(self, Some(key), "call {number} gives up: {}", reason.as_str());
        if self.origin(key) == Origin::Transactional {
            self.released(number, Tell::Released);
        } else {
            self.doubt(number, reason);
        }
    }

    fn complete(&mut self, number: u32, answer: u32) {
        let Some(attempt) = self.calls.get(number as usize).and_then(|call| call.attempt) else { return };
        if self.has(Flaw::AnswerBeforeStored) {
            self.tell(number, Tell::Recorded(answer));
        }
        self.conclude(number, Ask::Complete(attempt, answer), Tell::Recorded(answer));
    }

    fn released(&mut self, number: u32, tell: Tell) {
        let Some(attempt) = self.calls.get(number as usize).and_then(|call| call.attempt) else { return };
        self.conclude(number, Ask::Release(attempt), tell);
    }

    fn doubt(&mut self, number: u32, reason: DoubtReason) {
        let Some(attempt) = self.calls.get(number as usize).and_then(|call| call.attempt) else { return };
        let doubt = Doubt { reason, sent_at: Timestamp::from_ms(self.now_ms), told: Told::First };
        self.conclude(number, Ask::Doubt(attempt, reason), Tell::Refused(Refusal::OutcomeUnknown(doubt)));
    }

    /// The exchange is over, its socket closed; the store is told, and then the caller.
    fn conclude(&mut self, number: u32, ask: Ask, tell: Tell) {
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        call.tell = Some(tell);
        call.lease_token += 1;
        call.renewal_token += 1;
        let (run, gateway) = (call.run, call.gateway);
        self.close(run);
        self.operate(number, Phase::Settling, ask, STORE_TIME_MS);
        self.dies_here(gateway);
    }

    pub(crate) fn settling_ended(&mut self, number: u32, ended: &Result<Reply, Failed>) {
        let Some(call) = self.calls.get(number as usize) else { return };
        let (key, gateway, tell, is_late) =
            (call.key, call.gateway, call.tell.clone(), call.phase == Phase::SettlingLate);
        let decision = match ended {
            Ok(Reply::Decided { decision, .. }) => Some(decision),
            Ok(_) | Err(_) => None,
        };
        if self.dies_here(gateway) {
            return;
        }
        self.wake(key);
        match (decision, tell) {
            (Some(Decision::Settled), Some(Tell::Recorded(_))) if is_late => {
                self.saw(Rare::StoredLate);
                self.over(number);
            }
            (_, _) if is_late => self.over(number),
            (Some(Decision::Settled), Some(tell)) => {
                self.tell(number, tell);
                self.over(number);
            }
            (Some(Decision::Stale(_)), Some(tell)) if self.has(Flaw::FormerHoldersAnswer) => {
                self.tell(number, tell);
                self.over(number);
            }
            (Some(Decision::Stale(_)), _) => self.operate(number, Phase::Reading, Ask::Get, STORE_TIME_MS),
            (_, tell) => {
                let unrecorded = match tell {
                    Some(Tell::Recorded(answer)) => {
                        self.saw(Rare::Unrecorded);
                        Some(Tell::Unrecorded(answer))
                    }
                    // What was proven or doubted is so whether it could be written down or not.
                    tell => tell,
                };
                if let Some(tell) = unrecorded {
                    self.tell(number, tell);
                }
                self.settle_late(number);
            }
        }
    }

    /// A late answer still completes its record, also once that is in doubt (L13).
    fn settle_late(&mut self, number: u32) {
        let Some(call) = self.calls.get(number as usize) else { return };
        let (Some(attempt), gateway) = (call.attempt, call.gateway) else { return };
        if self.gateways.get(usize::from(gateway)).is_some_and(|gateway| gateway.is_stopped) {
            self.over(number);
            return;
        }
        let ask = match call.tell {
            Some(Tell::Recorded(answer)) => Ask::Complete(attempt, answer),
            Some(Tell::Refused(Refusal::OutcomeUnknown(Doubt { reason, .. }))) => Ask::Doubt(attempt, reason),
            _ => Ask::Release(attempt),
        };
        self.operate(number, Phase::SettlingLate, ask, SETTLE_TIME_MS);
    }

    /// Waits for the next moment at which the lease asks for something.
    fn expect_lease(&mut self, number: u32) {
        let now_ms = self.now_ms;
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        call.lease_token += 1;
        let task = Address {
            gateway: call.gateway,
            life: call.life,
            task: Task::Lease(number),
            token: call.lease_token,
        };
        let (renewed, held_since, is_renewing, key) =
            (call.renewed, call.held_since, call.is_renewing, call.key);
        let (Some(policy), Some(gateway)) = (self.policy(key), self.gateways.get(usize::from(task.gateway)))
        else {
            return;
        };
        let deadline_ms = gateway.when(renewed, ms(policy.lease_usable()), now_ms);
        let run_over_ms = gateway.when(held_since, ms(policy.run_time_max), now_ms);
        let renewal_ms = gateway.when(renewed, ms(policy.lease / 3), now_ms);
        let first_ms = if is_renewing { deadline_ms } else { renewal_ms.min(deadline_ms) };
        // Who does not keep a deadline that has passed need not look at it all the time.
        let pause_ms = if deadline_ms.min(run_over_ms) <= now_ms + 1 { 1_000 } else { 1 };
        self.at(first_ms.min(run_over_ms).max(now_ms + pause_ms), Event::Reaches { task, what: News::Due });
    }

    pub(crate) fn lease_looks(&mut self, number: u32, token: u32) {
        let Some(call) = self.calls.get(number as usize) else { return };
        if call.lease_token != token || !call.is_running() {
            return;
        }
        if let Some(reason) = self.must_give_up(number) {
            self.give_up(number, reason);
            return;
        }
        let lease_ms = self.policy(call.key).map_or(0, |policy| ms(policy.lease));
        if !call.is_renewing && self.is_ago(call.gateway, call.renewed, lease_ms / 3) {
            self.renew(number);
        }
        self.expect_lease(number);
    }

    fn renew(&mut self, number: u32) {
        let Some((key, gateway)) = self.calls.get(number as usize).map(|call| (call.key, call.gateway))
        else {
            return;
        };
        let sent = self.moment(gateway);
        let Some(call) = self.call_mut(number) else { return };
        let Some(attempt) = call.attempt else { return };
        call.is_renewing = true;
        call.renewal_sent = sent;
        call.renewal_token += 1;
        let from =
            Address { gateway, life: call.life, task: Task::Renewal(number), token: call.renewal_token };
        self.send_question(from, key, Ask::Renew(attempt));
        self.after(STORE_TIME_MS, Event::Reaches { task: from, what: News::NoReply });
    }

    pub(crate) fn renewal_gets(&mut self, number: u32, token: u32, what: &News) {
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        if call.renewal_token != token || !call.is_running() {
            return;
        }
        call.renewal_token += 1;
        match what {
            // Counted from when it was sent, however late this task gets to see it.
            News::Reply(Reply::Decided { decision: Decision::Renewed(_), .. }) => {
                call.renewed = call.renewal_sent;
                call.is_renewing = false;
                self.judge_deadline(number);
                self.expect_lease(number);
            }
            News::Reply(Reply::Unavailable | Reply::Unknown) | News::NoReply => {
                let task = Address {
                    gateway: call.gateway,
                    life: call.life,
                    task: Task::Renewal(number),
                    token: call.renewal_token,
                };
                self.after(RENEW_PAUSE_MS, Event::Reaches { task, what: News::Due });
            }
            News::Due => match self.must_give_up(number) {
                Some(reason) => self.give_up(number, reason),
                None => self.renew(number),
            },
            _ if self.has(Flaw::NoDeadline) || self.has(Flaw::LockWithTimeToLive) => {}
            _ => self.give_up(number, DoubtReason::LeaseLapsed),
        }
    }
}
