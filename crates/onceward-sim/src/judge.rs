//! What must hold after each step, whatever anybody believes.

mod summary;

use onceward_core::{
    record::{AfterRetention, Alarm, Attempt, Decision, Denial, Settlement, State, TombstoneKind},
    refusal::{Effect, Refusal},
    time::Timestamp,
};

use self::summary::Kind;
pub(crate) use self::summary::{Heard, Summary};
use crate::{
    call::{Phase, Tell},
    census::{Happened, Met, Rare},
    setting::{Dating, Origin},
    store::holder,
    trace::note,
    world::{World, number_of},
};

/// Something that may never happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Whose.
    pub key: Option<u8>,
    /// When, in milliseconds since the world began.
    pub at_ms: u64,
    /// What.
    pub what: String,
}

/// What really happened under a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// Counts its wishes: a key that was forgotten, or whose route lets it run again after retention, stands for a new one.
    pub(crate) generation: u32,
    /// What an origin that honours keys answers, with the wish that it answered so.
    honoured: Vec<(u32, u32)>,
    /// What an origin with a fence refuses to fall behind.
    pub(crate) fence: u64,
    /// Whether anybody made it yet.
    pub(crate) is_made: bool,
    /// When it was, where it says so.
    pub(crate) issued_at: Option<Timestamp>,
    /// The answer that callers were told to be recorded.
    told: Option<u32>,
    /// The answers that the record held.
    stored: Vec<u32>,
    /// The highest epoch that was granted.
    epoch: u64,
    /// How often acknowledged writes about it were lost.
    pub(crate) losses: u32,
    /// The attempt that the latest verdict of absence overruled.
    overruled: Option<Attempt>,
    /// Whether somebody was told that it will never run.
    is_cancelled: bool,
    /// Whether an origin that honours the key was asked by others than the record's holder, when a lapsed claim was run again or a resolver
    /// asked: what was done is then known to the origin alone, and a release says nothing of it.
    pub(crate) is_left_to_origin: bool,
}

impl World {
    /// Judges one step of a record.
    pub(crate) fn judge_step(
        &mut self,
        key: u8,
        step: (&Summary, &Summary),
        heard: &Heard,
        decision: &Decision,
    ) {
        let (before, after) = step;
        self.judge_generation(key, before, decision);
        self.judge_grant(key, before, heard, decision);
        self.judge_holding(key, step, heard);
        self.judge_word(key, step, heard);
        self.judge_outcome(key, step, heard, decision);
        self.judge_alarm(key, step, heard, decision);
        self.note_rare(key, step, heard, decision);
        if after.kind == Kind::InDoubt
            && before.kind != Kind::InDoubt
            && let Some(reason) = after.reason
        {
            self.census.doubted(reason);
        }
    }

    /// A key that is forgotten, or that its route lets run again, stands for a new wish.
    fn judge_generation(&mut self, key: u8, before: &Summary, decision: &Decision) {
        let is_granted = matches!(decision, Decision::Execute(_));
        let runs_again = is_granted && before.met == Met::Expired;
        let is_chosen =
            self.policy(key).is_some_and(|policy| policy.after_retention == AfterRetention::Execute);
        if runs_again && !is_chosen {
            self.broken(Some(key), "a key whose answer expired runs again (T2)".to_owned());
        }
        if runs_again {
            self.saw(Rare::RanAfterRetention);
        }
        if before.is_forgotten() && is_granted {
            self.saw(Rare::ForgottenRan);
        }
        let Some(truth) =
            self.truths.get_mut(usize::from(key)).filter(|_| runs_again || before.is_forgotten())
        else {
            return;
        };
        truth.generation += 1;
        truth.told = None;
        truth.stored.clear();
        (truth.overruled, truth.is_cancelled, truth.is_left_to_origin) = (None, false, false);
    }

    /// Epochs rise, and tombstones of cancelled keys refuse.
    fn judge_grant(&mut self, key: u8, before: &Summary, heard: &Heard, decision: &Decision) {
        let Decision::Execute(attempt) = decision else { return };
        let may_run_anew = self.dating(key) == Some(Dating::UndatedRuns);
        let is_repeated = before.attempt == Some(*attempt) && before.met == Met::Claimed;
        let Some(truth) = self.truths.get_mut(usize::from(key)) else { return };
        let is_higher = attempt.epoch.0 > truth.epoch;
        truth.epoch = truth.epoch.max(attempt.epoch.0);
        truth.is_left_to_origin |= before.met == Met::Lapsed;
        // A late copy of a claim may be granted once more; what its run did, it did for the wish of then.
        if let Some(run) = self.runs.get_mut(number_of(*attempt) as usize).filter(|run| run.epoch == 0) {
            run.generation = truth.generation;
        }
        let (is_cancelled, has_lost) = (truth.is_cancelled, truth.losses > 0);
        if !is_higher && !is_repeated {
            self.broken(
                Some(key),
                format!("epoch {} was granted, which is not higher than all before (L14)", attempt.epoch.0),
            );
        }
        if heard.happened != Happened::Arrived {
            self.broken(Some(key), format!("{} was allowed to execute", heard.happened));
        }
        if is_cancelled && !(has_lost && may_run_anew) {
            self.broken(Some(key), "a key runs of which was said that it never will (D5)".to_owned());
        }
        if has_lost && may_run_anew {
            self.saw(Rare::UndatedRunsAnew);
        }
    }

    /// What is held is let go only by its end, and only when its request cannot act any more.
    fn judge_holding(&mut self, key: u8, step: (&Summary, &Summary), heard: &Heard) {
        let (before, after) = step;
        let Some(held) = before.holder() else { return };
        if after.attempt == Some(held) {
            return;
        }
        if heard.happened == Happened::Swept || heard.is_unknown {
            self.broken(Some(key), format!("{} ended what is not finished (L7, D3)", heard.happened));
        } else if !self.setting.may_guess() && self.can_act(key, held) {
            self.broken(
                Some(key),
                format!("epoch {} was let go though its request acted or still can (L5, D3)", held.epoch.0),
            );
        }
    }

    /// Whether an attempt's request had its effect, or still can, at an origin that would not know it for a repeat.
    fn can_act(&self, key: u8, attempt: Attempt) -> bool {
        let Some(run) = self.run_of(attempt).filter(|run| run.epoch == attempt.epoch.0) else { return false };
        let is_guarded = match self.origin(key) {
            Origin::Keyed | Origin::Transactional => true,
            Origin::Fenced => {
                self.truths.get(usize::from(key)).is_some_and(|truth| attempt.epoch.0 < truth.fence)
                    && run.effects == 0
            }
            Origin::Opaque | Origin::Queryable => false,
        };
        !is_guarded && (run.effects > 0 || self.is_alive(run))
    }

    /// Only the holder's word changes what is held or done.
    fn judge_word(&mut self, key: u8, step: (&Summary, &Summary), heard: &Heard) {
        let (before, after) = step;
        let is_alive = matches!(before.met, Met::Claimed | Met::Lapsed | Met::InDoubt | Met::Done);
        let is_foreign = heard.is_holders() && heard.speaker != before.attempt;
        if is_alive && is_foreign && before != after {
            self.broken(
                Some(key),
                format!("{} by somebody who is not the holder changed the record (L2)", heard.happened),
            );
        }
    }

    /// What is done stays as it is, and holds the answer of its own effect.
    fn judge_outcome(&mut self, key: u8, step: (&Summary, &Summary), heard: &Heard, decision: &Decision) {
        let (before, after) = step;
        if before.met == Met::Done
            && (before.kind, before.attempt, before.answer, before.until)
                != (after.kind, after.attempt, after.answer, after.until)
        {
            self.broken(Some(key), format!("{} changed a stored outcome (O1)", heard.happened));
        }
        if after.kind != Kind::Done || before.kind == Kind::Done && before.met == Met::Done {
            return;
        }
        if let (Some(answer), Some(attempt)) = (after.answer, after.attempt) {
            let is_own = self.answers.get(answer as usize).is_some_and(|answered| {
                let wish_of = |run: u32| self.runs.get(run as usize).map(|run| run.generation);
                let is_found = heard.happened == Happened::Resolved
                    && wish_of(answered.run) == wish_of(number_of(attempt));
                let is_honoured = self.honoured(key, number_of(attempt)) == Some(answer);
                let is_told_apart = answered.run == number_of(attempt) || is_found || is_honoured;
                answered.key == key && (is_told_apart || self.setting.may_guess())
            });
            if !is_own {
                self.broken(Some(key), format!("answer {answer} was stored, which is another's (O1)"));
            }
            if let Some(truth) = self.truths.get_mut(usize::from(key)) {
                truth.stored.push(answer);
            }
            let commits = heard.happened == Happened::Completed && *decision == Decision::Settled;
            if commits && self.origin(key) == Origin::Transactional {
                self.has_effect(number_of(attempt), answer);
            }
        }
    }

    /// An answer under a claim that a verdict of absence released raises the alarm (L13).
    fn judge_alarm(&mut self, key: u8, step: (&Summary, &Summary), heard: &Heard, decision: &Decision) {
        let (before, after) = step;
        let Some(truth) = self.truths.get_mut(usize::from(key)) else { return };
        if heard.is_absence
            && *decision == Decision::Settled
            && before.holder().is_some()
            && after.holder().is_none()
        {
            truth.overruled = before.holder();
        }
        // A released key is forgotten after a while, and with it who was overruled.
        if before.is_aged_out {
            truth.overruled = None;
        }
        let is_due = heard.happened == Happened::Completed
            && truth.overruled.is_some()
            && truth.overruled == heard.speaker;
        if is_due && *decision != Decision::Stale(Alarm::EffectAfterRelease) {
            self.broken(
                Some(key),
                "an answer came after a verdict of absence, and nobody was alarmed (L13)".to_owned(),
            );
        }
    }

    fn note_rare(&mut self, key: u8, step: (&Summary, &Summary), heard: &Heard, decision: &Decision) {
        let (before, after) = step;
        let is_same = before == after;
        let is_settled = *decision == Decision::Settled;
        let rare = match (heard.happened, before.met, decision) {
            (Happened::Arrived, Met::Claimed, Decision::Execute(_)) => Some(Rare::ClaimFoundAgain),
            (Happened::Arrived, Met::Lapsed, Decision::Execute(_)) => Some(Rare::TakenOver),
            (Happened::Completed, Met::InDoubt, Decision::Settled) => Some(Rare::LateAnswerEndsDoubt),
            (Happened::Completed, Met::Lapsed, Decision::Settled) => Some(Rare::LapsedCompleted),
            (Happened::Completed, _, Decision::Stale(Alarm::EffectAfterRelease)) => {
                Some(Rare::LateAnswerAfterVerdict)
            }
            (Happened::Completed, _, Decision::Stale(_)) if self.origin(key) == Origin::Transactional => {
                Some(Rare::RolledBack)
            }
            (Happened::Completed | Happened::Released | Happened::Doubted, _, Decision::Settled)
                if is_same =>
            {
                Some(Rare::SettlementFoundAgain)
            }
            (Happened::Resolved, _, Decision::Settled) if is_same => Some(Rare::VerdictFoundAgain),
            (Happened::Resolved, _, Decision::Refuse(Denial::NotInDoubt)) => Some(Rare::VerdictTooLate),
            (Happened::Inquired, _, Decision::Settled) if is_same => Some(Rare::LookFoundAgain),
            (Happened::Inquired, _, Decision::Wait { .. }) => Some(Rare::LookWaits),
            _ => None,
        };
        if let Some(rare) = rare {
            self.saw(rare);
        }
        if before.is_abandoned && after.kind == Kind::Cancelled {
            self.saw(Rare::AbandonedThenAbsent);
        }
        if before.is_abandoned && after.kind == Kind::Done {
            self.saw(Rare::AbandonedThenDone);
        }
        let is_vouched = heard.happened == Happened::Resolved && is_settled && !is_same;
        if is_vouched && after.how == Some(Settlement::Diverged) {
            self.saw(Rare::Diverged);
        }
        if is_vouched && after.how == Some(Settlement::Vouched) && after.answer.is_none() {
            self.saw(Rare::Vouched);
        }
        let is_doubted = before.kind == Kind::Claimed && after.kind == Kind::InDoubt;
        let is_ghost = after
            .attempt
            .is_some_and(|attempt| self.run_of(attempt).is_some_and(|run| run.epoch != attempt.epoch.0));
        if is_doubted && is_ghost {
            self.saw(Rare::GhostDoubted);
        }
    }

    /// What an origin that honours keys answers to a run.
    pub(crate) fn honoured(&self, key: u8, run: u32) -> Option<u32> {
        let wish = self.runs.get(run as usize)?.generation;
        let honoured = self.truths.get(usize::from(key))?.honoured.iter();
        honoured.rev().find_map(|(of_wish, answer)| (*of_wish == wish).then_some(*answer))
    }

    /// Such an origin remembers an answer.
    pub(crate) fn honour(&mut self, key: u8, run: u32, answer: u32) {
        let Some(wish) = self.runs.get(run as usize).map(|run| run.generation) else { return };
        if let Some(truth) = self.truths.get_mut(usize::from(key)) {
            truth.honoured.push((wish, answer));
        }
    }

    /// Judges an effect: the first one of its wish, or one that the assumptions allow for.
    pub(crate) fn judge_effect(&mut self, key: u8, run: u32, of_run: (bool, u32)) {
        let (is_denied, wish) = of_run;
        let (may_guess, may_run_anew) =
            (self.setting.may_guess(), self.dating(key) == Some(Dating::UndatedRuns));
        let effects = self.effects_of(key, wish);
        let Some(truth) = self.truths.get(usize::from(key)) else { return };
        // A key without a time runs anew after each loss, where its route lets it; and a person who errs lets it run, too.
        let losses = if may_run_anew { truth.losses } else { 0 };
        let is_cancelled = truth.is_cancelled && truth.generation == wish;
        if may_guess {
            return;
        }
        if effects > 1 + losses {
            self.broken(Some(key), format!("effect number {effects} of one wish"));
        }
        if is_denied {
            self.broken(
                Some(key),
                format!("run {run} acts after its caller was told that it had no effect (L5)"),
            );
        }
        if is_cancelled && losses == 0 {
            self.broken(
                Some(key),
                "an effect happens under a key of which was said that it never will (D5)".to_owned(),
            );
        }
    }

    /// Judges what a caller is told.
    pub(crate) fn judge_told(&mut self, call: u32, tell: &Tell) {
        let Some(key) = self.calls.get(call as usize).map(|call| call.key) else { return };
        match tell {
            Tell::Recorded(answer) | Tell::Stored(answer) => self.judge_recorded(key, *answer),
            Tell::Released => self.judge_denied(call, key),
            Tell::Refused(refusal) => {
                if refusal.effect() == Effect::None {
                    self.judge_denied(call, key);
                }
                if *refusal == Refusal::Cancelled {
                    self.judge_cancelled(key);
                }
            }
            Tell::Unrecorded(answer) => {
                if self.answers.get(*answer as usize).is_none_or(|answered| answered.key != key) {
                    self.broken(Some(key), format!("answer {answer} was told, which is another's"));
                }
            }
        }
    }

    /// What is told as recorded is, and is the same for all.
    fn judge_recorded(&mut self, key: u8, answer: u32) {
        let generation = self.answers.get(answer as usize).map(|answered| answered.generation);
        let Some(truth) = self.truths.get_mut(usize::from(key)) else { return };
        // An answer may still be on its way when its wish is forgotten.
        if generation != Some(truth.generation) {
            return;
        }
        let told = *truth.told.get_or_insert(answer);
        let (is_stored, has_lost) = (truth.stored.contains(&answer), truth.losses > 0);
        let run_of = |answer: u32| self.answers.get(answer as usize).map(|answered| answered.run);
        // Where an outcome was lost, a resolver may find another answer of the same run, and some keys run again.
        let may_run_again =
            self.origin(key) == Origin::Keyed || self.dating(key) == Some(Dating::UndatedRuns);
        let may_differ = has_lost && (run_of(told) == run_of(answer) || may_run_again);
        let is_same = told == answer || may_differ;
        if !is_stored {
            self.broken(
                Some(key),
                format!("answer {answer} was told as recorded, and the record never held it (O1)"),
            );
        } else if !is_same {
            self.broken(Some(key), format!("answer {answer} was told, and answer {told} before (L2)"));
        }
    }

    /// Who is told that its request had no effect is told the truth, now and later.
    fn judge_denied(&mut self, call: u32, key: u8) {
        let has_acted = self.runs.iter().any(|run| run.call == call && run.effects > 0);
        for run in self.runs.iter_mut().filter(|run| run.call == call) {
            run.is_denied = true;
        }
        if has_acted && !self.setting.may_guess() {
            self.broken(
                Some(key),
                format!("call {call} was told that it had no effect, and it had one (L5)"),
            );
        }
    }

    /// The owner is told that its cancellation stands: the key will not run. Where writes were lost, it may have run before.
    pub(crate) fn judge_cancellation(&mut self, key: u8) {
        if self.truths.get(usize::from(key)).is_some_and(|truth| truth.losses == 0) {
            self.judge_cancelled(key);
        }
    }

    /// A client is told that the key was cancelled before it ran (D5).
    fn judge_cancelled(&mut self, key: u8) {
        let may_run_anew = self.dating(key) == Some(Dating::UndatedRuns);
        let may_guess = self.setting.may_guess();
        let is_cancelled = self.store.record(key).is_some_and(|record| {
            matches!(record.state, State::Tombstone { kind: TombstoneKind::Cancelled, .. })
        });
        let Some(truth) = self.truths.get_mut(usize::from(key)) else { return };
        let is_excused = may_guess || truth.is_left_to_origin || may_run_anew && truth.losses > 0;
        // The word may be older than the record's present life.
        if !is_cancelled || is_excused {
            return;
        }
        truth.is_cancelled = true;
        let wish = truth.generation;
        if self.effects_of(key, wish) > 0 {
            self.broken(
                Some(key),
                "somebody was told that the key was cancelled before it ran, and it ran (D5)".to_owned(),
            );
        }
    }

    /// Acknowledged writes are gone.
    pub(crate) fn judge_loss(&mut self, key: u8, before: &Summary, after: &Summary) {
        if before == after {
            return;
        }
        note!(self, Some(key), "the record was {} and is {} by what was lost", before.met, after.met);
        if before.kind == Kind::Claimed && after.attempt != before.attempt {
            self.saw(Rare::LossTookClaim);
        }
        if before.kind == Kind::Done && after.kind != Kind::Done {
            self.saw(Rare::LossTookOutcome);
        }
        let may_run_anew = self.dating(key) == Some(Dating::UndatedRuns);
        let Some(truth) = self.truths.get_mut(usize::from(key)) else { return };
        truth.losses += 1;
        truth.overruled = None;
        // A cancellation that went with the last writes stops no resolver that asks the origin again.
        truth.is_cancelled &= before.kind != Kind::Cancelled || after.kind == Kind::Cancelled;
        if may_run_anew {
            (truth.told, truth.is_cancelled) = (None, false);
        }
    }

    /// In the end everybody was answered, and every doubt is over that somebody can end.
    pub(crate) fn judge_end(&mut self) {
        let open = self.calls.iter().find(|call| call.phase != Phase::Over);
        if let Some((number, key, phase)) = open.map(|call| (call.number, call.key, call.phase)) {
            self.broken(Some(key), format!("call {number} is never answered ({phase:?})"));
        }
        if let Some(key) = self.unanswered() {
            self.broken(Some(key), "nobody is told how it ended".to_owned());
        }
        for key in 0..u8::try_from(self.setting.keys.len()).unwrap_or_default() {
            let is_resolvable =
                self.setting.keys.get(usize::from(key)).is_some_and(|key| key.settling_ms.is_some());
            let is_open =
                self.store.record(key).is_some_and(|record| matches!(record.state, State::InDoubt { .. }));
            if is_open && is_resolvable {
                self.broken(Some(key), "it is in doubt for ever (D2)".to_owned());
            }
        }
    }

    /// A holder that sends holds its claim, by the store's own clock; unless the store has lost it meanwhile (L12).
    pub(crate) fn judge_sending(&mut self, number: u32) {
        let Some((key, losses)) = self.calls.get(number as usize).map(|call| (call.key, call.losses)) else {
            return;
        };
        let has_lost = self.truths.get(usize::from(key)).is_none_or(|truth| truth.losses != losses);
        if !has_lost && !self.is_held_by(number) {
            self.broken(Some(key), format!("call {number} sends a request under a lease that is over (L12)"));
        }
    }

    /// A holder believes to hold its lease for no longer than it does (L12); where the store has not lost it meanwhile.
    pub(crate) fn judge_deadline(&mut self, number: u32) {
        let Some(call) = self.calls.get(number as usize) else { return };
        let (key, losses, renewed) = (call.key, call.losses, call.renewed);
        let Some(gateway) = self.gateways.get(usize::from(call.gateway)) else { return };
        let deadline_ms = gateway.when(renewed, self.usable_ms(key), self.now_ms);
        let has_lost = self.truths.get(usize::from(key)).is_none_or(|truth| truth.losses != losses);
        let is_over = self.lease_ends_ms(number).is_some_and(|ends_ms| deadline_ms > ends_ms);
        if is_over && !has_lost {
            self.broken(
                Some(key),
                format!("call {number} believes in its lease for longer than it has it (L12)"),
            );
        }
    }

    /// A look that takes nothing seen for absence is right: no request under the key can act any more (D3).
    pub(crate) fn judge_absence(&mut self, key: u8, judged: Attempt) {
        let is_open = self.store.record(key).is_some_and(|record| holder(record) == Some(judged));
        let is_alive = self.runs.iter().any(|run| run.key == key && self.is_alive(run));
        if is_open && is_alive && !self.setting.may_guess() {
            let what = "nothing seen is taken for absence while a request can still act (D3)";
            self.broken(Some(key), what.to_owned());
        }
    }

    /// How often a wish was carried out.
    fn effects_of(&self, key: u8, wish: u32) -> u32 {
        let runs = self.runs.iter().filter(|run| run.key == key && run.generation == wish);
        runs.map(|run| run.effects).sum()
    }

    fn dating(&self, key: u8) -> Option<Dating> {
        self.setting.keys.get(usize::from(key)).map(|key| key.dating)
    }
}
