//! A way through a world, in plain English.

use onceward_core::record::{Record, State, TombstoneKind};

use crate::{
    model::{Fate, Finding, Onceward, Step},
    promise::Promise,
    scene::{Call, Conclusion, Operation, Phase, Scene, Told, Wire},
    world::{Barrier, Storing, Tier},
};

/// One sentence a step.
pub(crate) fn lines(model: &Onceward, path: Vec<(Scene, Option<Step>)>) -> Vec<String> {
    let after = path.iter().skip(1);
    let pairs = path.iter().zip(after);
    pairs
        .filter_map(|((before, step), (after, _))| Some(Teller { model, before, after }.line((*step)?)))
        .collect()
}

/// What came of it.
pub(crate) fn end(promise: Promise, scene: &Scene) -> String {
    match promise {
        Promise::OneEffect => format!("One wish, and the shop carried it out {}.", times(scene.effects())),
        Promise::OneAnswer => "One wish, and two callers were told two different answers.".to_owned(),
        Promise::AlarmsRing => {
            "An effect came to light that a verdict had denied, and no alarm rang.".to_owned()
        }
        Promise::NothingFreedAlive
        | Promise::NothingUnfinishedSwept
        | Promise::OnlyTheHoldersWord
        | Promise::OutcomesStay
        | Promise::NoWedge => format!("What does not hold any more: {}.", promise.as_str()),
    }
}

fn times(count: u8) -> &'static str {
    match count {
        0 => "never",
        1 => "once",
        2 => "twice",
        _ => "three times",
    }
}

/// Tells one step, by what was before it and what is after.
struct Teller<'a> {
    model: &'a Onceward,
    before: &'a Scene,
    after: &'a Scene,
}

impl Teller<'_> {
    fn line(&self, step: Step) -> String {
        match step {
            Step::Check(call) => format!("{}, which finds the key free.", self.arrival(call)),
            Step::Claim(call, fate) => self.claim(call, fate),
            Step::Disown(call) => self.disown(call),
            Step::Renew(call, fate) => self.renew(call, fate),
            Step::Send(call) => format!("{} sends {} to the shop.", self.gateway(call), what(call)),
            Step::SendFails(call) => {
                format!("{} cannot reach the shop: no byte was sent.", self.gateway(call))
            }
            Step::Act(call) => format!(
                "{} arrives at the shop, which carries it out: effect number {}.",
                capital(what(call)),
                self.after.effects()
            ),
            Step::Decline(call) => format!("The shop refuses {}: it did nothing.", what(call)),
            Step::Break(call) => self.break_off(call),
            Step::Answer(call) => self.answer(call),
            Step::GiveUp(call) => {
                format!("{} sees that its own deadline has passed, and stops.", self.gateway(call))
            }
            Step::Settle(call, fate) => self.settle(call, fate),
            Step::AnswerUnrecorded(call) => format!(
                "{} cannot store the answer; the agent gets it, marked as not recorded.",
                self.gateway(call)
            ),
            Step::Crash(gateway) => format!("{} dies.", self.gateway(gateway)),
            Step::Restart(gateway) => self.restart(gateway),
            Step::Deliver => self.deliver(),
            Step::Pass => self.pass(),
            Step::Sweep => self.sweep(),
            Step::Look => self.look(),
            Step::Judge(finding) => self.judge(finding),
            Step::Guess => {
                format!("A person says, without having looked, that nothing happened{}.", self.key_now())
            }
            Step::Cancel => format!("The owner cancels the key{}.", self.key_now()),
            Step::CatchUp => "The store's replica catches up.".to_owned(),
            Step::FailOver => self.fail_over(),
        }
    }

    fn gateway(&self, call: u8) -> &'static str {
        match (self.model.world.gateways, self.model.gateway(call)) {
            (1, _) => "The gateway",
            (_, 0) => "Gateway A",
            (_, _) => "Gateway B",
        }
    }

    fn arrival(&self, call: u8) -> String {
        let verb = match call {
            0 => "sends its order",
            1 => "repeats its order",
            _ => "repeats its order once more",
        };
        format!("The agent {verb} through {}", uncapital(self.gateway(call)))
    }

    fn claim(&self, call: u8, fate: Fate) -> String {
        let phase = self.call(call).map(|(before, _)| before.phase);
        let (who, came) = match phase {
            Some(Phase::Idle) => (self.arrival(call), ", which"),
            Some(Phase::Checked) => {
                let epoch = self.after.record.epoch.0;
                return format!("{} takes the key, as it saw it free (epoch {epoch}).", self.gateway(call));
            }
            _ => (format!("{} asks the store again", self.gateway(call)), " and"),
        };
        let is_written = self.before.record != self.after.record;
        match (fate, is_written) {
            (Fate::Delayed, _) => format!("{who}{came} claims the key; the claim is held up on its way."),
            (Fate::AnswerLost, true) => {
                format!("{who}{came} claims the key (epoch {}); the store's answer is lost.", self.epoch())
            }
            (Fate::AnswerLost, false) => format!("{who}; the store's answer is lost."),
            (Fate::Answered, _) => format!("{who}{}", self.claimed(call, came)),
        }
    }

    fn claimed(&self, call: u8, came: &str) -> String {
        let Some((_, after)) = self.call(call) else { return ".".to_owned() };
        match (after.phase, after.told) {
            (Phase::Holding, _) => format!("{came} claims the key (epoch {}).", after.epoch),
            (Phase::Concluding(_), _) => {
                format!("{came} gets the key too late to use it (epoch {}).", after.epoch)
            }
            (_, Told::Replay(_)) => format!("{came} answers from the record."),
            (_, Told::Refusal) => format!("{came} refuses: {}.", self.reason()),
            (_, _) => format!("{came} is told to wait."),
        }
    }

    fn reason(&self) -> &'static str {
        match self.after.record.state {
            State::InDoubt { .. } | State::Claimed { .. } => "the outcome is unknown",
            State::Done { .. } => "the answer is not known",
            State::Absent => "the history was lost",
            State::Tombstone { kind: TombstoneKind::Cancelled, .. } => "the key is cancelled",
            State::Tombstone { kind: TombstoneKind::Expired, .. } => "the key has expired",
        }
    }

    fn disown(&self, call: u8) -> String {
        let who = self.gateway(call);
        match self.call(call).map(|(_, after)| after.phase) {
            Some(Phase::Disowning) => {
                format!("{who} gives up its claim, and tries to free what it may have got.")
            }
            _ => format!("{who} gives up trying."),
        }
    }

    fn renew(&self, call: u8, fate: Fate) -> String {
        let who = self.gateway(call);
        match fate {
            Fate::Answered => format!("{who} renews its lease."),
            Fate::AnswerLost => format!("{who} renews its lease; the store's answer is lost."),
            Fate::Delayed => format!("{who} renews its lease; the message is held up on its way."),
        }
    }

    fn break_off(&self, call: u8) -> String {
        let who = uncapital(self.gateway(call));
        let left = match self.call(call).map(|(before, _)| before.wire) {
            Some(Wire::Flying { .. }) => format!("; {} is still on its way", what(call)),
            Some(Wire::Acted { .. }) => "; the shop's answer is lost".to_owned(),
            _ => String::new(),
        };
        format!("The connection between {who} and the shop breaks{left}.")
    }

    fn answer(&self, call: u8) -> String {
        let who = uncapital(self.gateway(call));
        let then = match self.model.world.rules.storing {
            Storing::BeforeAnswer => "",
            Storing::AfterAnswer => {
                ", which passes it on and lets the key go; it will store the answer later"
            }
        };
        format!("The shop's answer reaches {who}{then}.")
    }

    fn settle(&self, call: u8, fate: Fate) -> String {
        let Some((before, after)) = self.call(call) else { return String::new() };
        let who = self.gateway(call);
        let deed = match before.phase {
            Phase::Concluding(Conclusion::Complete(_)) => "stores the answer",
            Phase::Concluding(Conclusion::Release) => "tells the store that nothing happened",
            _ => "notes that the outcome is unknown",
        };
        let is_completion = matches!(before.phase, Phase::Concluding(Conclusion::Complete(_)));
        match (fate, after.told) {
            (Fate::Delayed, _) => format!("{who} {deed}; the message is held up on its way."),
            (Fate::AnswerLost, _) => format!("{who} {deed}{}; the store's answer is lost.", self.key_now()),
            (Fate::Answered, Told::Answer(_)) if self.before.record == self.after.record => {
                format!(
                    "{who} wants to store its answer, is refused, and gives it to the agent all the same."
                )
            }
            (Fate::Answered, Told::Answer(_)) => format!("{who} {deed} and gives it to the agent."),
            (Fate::Answered, _) if is_completion => {
                format!(
                    "{who} wants to store its answer and is refused; the agent is told what the record says."
                )
            }
            (Fate::Answered, _) => format!("{who} {deed}{}.", self.key_now()),
        }
    }

    fn restart(&self, gateway: u8) -> String {
        let then = match self.model.world.tier {
            Tier::OneProcess => self.key_now(),
            Tier::Keeps | Tier::LosesLastWrites => "",
        };
        format!("{} starts again{then}.", self.gateway(gateway))
    }

    fn deliver(&self) -> String {
        let what = match self.before.letter.map(|letter| letter.operation) {
            Some(Operation::Claim) => "claim",
            Some(Operation::Renew) => "renewal",
            Some(Operation::Settle(_)) | None => "message",
        };
        format!("The {what} that was held up arrives at the store{}.", self.key_now())
    }

    fn pass(&self) -> String {
        let (from, to) = (self.before.now_ms, self.after.now_ms);
        let comes = |at_ms: u64| from < at_ms && at_ms <= to;
        let record = &self.before.record;
        let lapses = matches!(record.state, State::Claimed { lease_until, .. } if comes(lease_until.as_ms()));
        let is_due = record.due_at().is_some_and(|due_at| comes(due_at.as_ms()));
        let is_deadline = self.before.calls.iter().any(|call| {
            matches!(call.phase, Phase::Holding | Phase::Sent | Phase::Claiming) && comes(call.deadline_ms)
        });
        let is_gone =
            self.before.calls.iter().zip(&self.after.calls).any(|(before, after)| {
                matches!(before.wire, Wire::Flying { .. }) && after.wire == Wire::Gone
            });
        if lapses {
            return format!("Time passes, and the lease of epoch {} lapses.", record.epoch.0);
        }
        if is_due {
            return format!("Time passes, until the key's time is over ({}).", state_of(record));
        }
        let comes = match (is_deadline, is_gone, self.before.settled_at_ms().is_some_and(comes)) {
            (true, _, _) => ", and the holder's own deadline with it",
            (false, true, _) => "; what was still on its way is lost",
            (false, false, true) => ", and with it the settling time",
            (false, false, false) => "",
        };
        format!("Time passes{comes}.")
    }

    fn sweep(&self) -> String {
        if self.after.record == Record::absent() {
            return format!("The sweep deletes the key, which was {}.", state_of(&self.before.record));
        }
        format!("The sweep comes by{}.", self.key_now())
    }

    fn look(&self) -> String {
        let found = match self.before.effects() {
            0 => "has no such order",
            1 => "has the order",
            _ => "has the order more than once",
        };
        format!("A resolver asks the shop, which {found}.")
    }

    fn judge(&self, finding: Finding) -> String {
        let verdict = match finding {
            Finding::HappenedWithAnswer => "it happened, with this answer",
            Finding::Happened => "it happened",
            Finding::Absent => "it did not happen and never will",
            Finding::Multiple => "it happened more than once",
            Finding::Unknown => "it cannot be told",
        };
        format!("The resolver's verdict: {verdict}{}.", self.key_now())
    }

    fn fail_over(&self) -> String {
        let lost =
            if self.before.record == self.after.record { "" } else { ", and the last writes are lost" };
        let noticed = match self.model.world.rules.barrier {
            Barrier::UnknownAndFree | Barrier::UnknownAndFreedBefore | Barrier::Unknown => {
                "the history barrier is raised"
            }
            Barrier::Unnoticed => "nobody notices",
        };
        format!(
            "The store's replica takes over{lost}; {noticed}; the key is {}.",
            state_of(&self.after.record)
        )
    }

    /// What became of the key, where something did.
    fn key_now(&self) -> &'static str {
        if self.before.record.state == self.after.record.state {
            return "";
        }
        match self.after.record.state {
            State::Absent => "; the key is free",
            State::Claimed { .. } => "; the key is claimed",
            State::Done { .. } => "; the key is done",
            State::InDoubt { .. } => "; the key is in doubt",
            State::Tombstone { kind: TombstoneKind::Cancelled, .. } => "; the key is cancelled",
            State::Tombstone { kind: TombstoneKind::Expired, .. } => "; the key has expired",
        }
    }

    fn epoch(&self) -> u64 {
        self.after.record.epoch.0
    }

    fn call(&self, call: u8) -> Option<(&Call, &Call)> {
        let at = usize::from(call);
        self.before.calls.get(at).zip(self.after.calls.get(at))
    }
}

fn state_of(record: &Record) -> &'static str {
    match record.state {
        State::Absent => "free",
        State::Claimed { .. } => "claimed",
        State::Done { .. } => "done",
        State::InDoubt { .. } => "in doubt",
        State::Tombstone { kind: TombstoneKind::Cancelled, .. } => "cancelled",
        State::Tombstone { kind: TombstoneKind::Expired, .. } => "expired",
    }
}

fn what(call: u8) -> &'static str {
    match call {
        0 => "the order",
        1 => "the repeat",
        _ => "the second repeat",
    }
}

fn capital(text: &str) -> String {
    text.replacen("the ", "The ", 1)
}

fn uncapital(gateway: &'static str) -> &'static str {
    match gateway {
        "Gateway A" => "gateway A",
        "Gateway B" => "gateway B",
        _ => "the gateway",
    }
}
