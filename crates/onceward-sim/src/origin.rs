//! Origins: what happens there, whatever anybody was told.

use onceward_core::{
    outcome::Statuses,
    record::{Attempt, DoubtReason},
};

use crate::{
    call::Phase,
    census::Rare,
    fault::Fault,
    flaw::Flaw,
    queue::{Address, Event, News, Sight, Task},
    setting::{Origin, WAY_MS_MAX},
    trace::note,
    world::World,
};

/// One try at the effect: an attempt's name, and the exchange that goes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) key: u8,
    pub(crate) call: u32,
    pub(crate) generation: u32,
    /// The epoch that its holder was told; 0 where it was not.
    pub(crate) epoch: u64,
    pub(crate) flight: Flight,
    /// The last moment at which it can have its effect.
    until_ms: u64,
    pub(crate) is_closed: bool,
    pub(crate) effects: u32,
    /// The answer of its effect.
    effect_answer: Option<u32>,
    /// Whether somebody was told that it had no effect.
    pub(crate) is_denied: bool,
    reply_to: Option<Address>,
}

/// A request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flight {
    Unsent,
    Flying,
    /// It arrived, and the origin is at work.
    Working,
    Ended,
}

/// An answer of an origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) key: u8,
    pub(crate) run: u32,
    pub(crate) generation: u32,
}

impl World {
    pub(crate) fn origin(&self, key: u8) -> Origin {
        self.setting.keys.get(usize::from(key)).map_or(Origin::Opaque, |key| key.origin)
    }

    pub(crate) fn new_run(&mut self, call: u32, key: u8) -> u32 {
        let generation = self.truths.get(usize::from(key)).map_or(0, |truth| truth.generation);
        self.runs.push(Run {
            key,
            call,
            generation,
            epoch: 0,
            flight: Flight::Unsent,
            until_ms: u64::MAX,
            is_closed: false,
            effects: 0,
            effect_answer: None,
            is_denied: false,
            reply_to: None,
        });
        u32::try_from(self.runs.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn new_answer(&mut self, run: u32) -> u32 {
        let of_run = self.runs.get(run as usize);
        let (key, generation) = of_run.map_or((0, 0), |of_run| (of_run.key, of_run.generation));
        self.answers.push(Answered { key, run, generation });
        u32::try_from(self.answers.len() - 1).unwrap_or(u32::MAX)
    }

    /// The holder sends its request.
    pub(crate) fn send_request(&mut self, number: u32) {
        let Some(call) = self.calls.get_mut(number as usize) else { return };
        call.phase = Phase::Exchanging;
        let (run, key, gateway, reply_to) = (call.run, call.key, call.gateway, call.address());
        if let Some(run) = self.runs.get_mut(run as usize) {
            run.reply_to = Some(reply_to);
        }
        let (breaks, panics) = (self.goes_wrong(Fault::BrokenConnection), self.goes_wrong(Fault::Panic));
        let break_ms = self.chance.between(1, 4_000);
        if self.origin(key) == Origin::Transactional {
            self.work_in_transaction(number, run, breaks, panics);
        } else {
            note!(self, Some(key), "call {number} sends its request");
            self.judge_sending(number);
            self.fly(run);
            if breaks {
                self.tell_call(number, break_ms, News::Broken(DoubtReason::NoAnswer));
            }
            if panics {
                self.tell_call(number, break_ms, News::Panicked);
            }
        }
        if !self.dies_here(gateway) {
            self.stands_still_here(gateway);
        }
    }

    /// The effect commits together with its record, or not at all: there is nothing on any way.
    fn work_in_transaction(&mut self, number: u32, run: u32, breaks: bool, panics: bool) {
        let is_slow = self.goes_wrong(Fault::SlowOrigin);
        let work_ms =
            if is_slow { self.chance.between(500, WAY_MS_MAX) } else { self.chance.between(5, 200) };
        let what = if panics {
            News::Panicked
        } else if breaks {
            News::Broken(DoubtReason::NoAnswer)
        } else {
            let answer = self.new_answer(run);
            News::Answer { status: 201, consumed: None, answer }
        };
        self.tell_call(number, work_ms, what);
    }

    fn fly(&mut self, run: u32) {
        let (is_lost, is_slow) = (self.goes_wrong(Fault::LostRequest), self.goes_wrong(Fault::SlowRequest));
        let slow_ms_max = self.chance.one_of([4_000, WAY_MS_MAX]);
        let way_ms = if is_slow { self.chance.between(200, slow_ms_max) } else { self.chance.between(1, 60) };
        let Some(of_run) = self.runs.get_mut(run as usize) else { return };
        if is_lost {
            of_run.flight = Flight::Ended;
        } else {
            of_run.flight = Flight::Flying;
            self.after(way_ms, Event::OriginGets(run));
        }
    }

    pub(crate) fn origin_gets(&mut self, run: u32) {
        if let Some(wakes_ms) = self.held_until_ms(run) {
            self.at(wakes_ms, Event::OriginGets(run));
            return;
        }
        let (is_declined, is_final) =
            (self.goes_wrong(Fault::Declined), self.goes_wrong(Fault::FinalRefusal));
        let (is_slow, is_ambiguous) =
            (self.goes_wrong(Fault::SlowOrigin), self.goes_wrong(Fault::AmbiguousStatus));
        let work_ms =
            if is_slow { self.chance.between(300, WAY_MS_MAX) } else { self.chance.between(1, 150) };
        let is_between = self.chance.per_mille(500);
        let Some(of_run) = self.runs.get(run as usize).filter(|of_run| of_run.flight == Flight::Flying)
        else {
            return;
        };
        let (key, epoch, until_ms) = (of_run.key, of_run.epoch, of_run.until_ms);
        // An origin that honours keys says again what it said before, also a no.
        let is_known = self.origin(key) == Origin::Keyed && self.honoured(key, run).is_some();
        if self.now_ms > until_ms {
            self.end_flight(run);
        } else if self.is_fenced_off(key, epoch) {
            self.refuse_by_fence(run, key);
        } else if is_declined && !is_known {
            note!(self, Some(key), "the origin declines run {run}");
            self.end_flight(run);
            let (status, consumed) =
                self.chance.one_of([(401, None), (403, None), (429, None), (503, Some(false))]);
            self.reply(run, status, consumed);
        } else if is_final && !is_known {
            note!(self, Some(key), "the origin says no to run {run}, for good");
            self.end_flight(run);
            let status = self.chance.one_of([400, 404, 409, 422, 500]);
            let answer = self.reply(run, status, None);
            if let Some(answer) = answer {
                self.honour(key, run, answer);
            }
        } else {
            if let Some(of_run) = self.runs.get_mut(run as usize) {
                of_run.flight = Flight::Working;
            }
            self.after(work_ms, Event::OriginActs(run));
            // Something in between gives up waiting, and the origin works on.
            if is_ambiguous && is_between {
                self.reply_ambiguously(run, key);
            }
        }
    }

    /// Until when the machine of a run's gateway holds back what it has to send, where it does (against H10).
    fn held_until_ms(&self, run: u32) -> Option<u64> {
        let task = self.runs.get(run as usize)?.reply_to.filter(|_| self.has(Flaw::KernelSendsLate))?;
        let gateway = self.gateways.get(usize::from(task.gateway))?;
        let stands_still = gateway.life == task.life && gateway.frozen_until_ms > self.now_ms;
        stands_still.then_some(gateway.frozen_until_ms)
    }

    pub(crate) fn origin_acts(&mut self, run: u32) {
        let (is_cut, is_ambiguous, panics) = (
            self.goes_wrong(Fault::CutAnswer),
            self.goes_wrong(Fault::AmbiguousStatus),
            self.goes_wrong(Fault::Panic),
        );
        let (says_so, way_ms) = (self.chance.per_mille(200), self.chance.between(1, 60));
        let Some(of_run) = self.runs.get(run as usize).filter(|of_run| of_run.flight == Flight::Working)
        else {
            return;
        };
        let (key, epoch, until_ms, reply_to) = (of_run.key, of_run.epoch, of_run.until_ms, of_run.reply_to);
        if self.now_ms > until_ms {
            self.end_flight(run);
            return;
        }
        if self.is_fenced_off(key, epoch) {
            self.refuse_by_fence(run, key);
            return;
        }
        if of_run.is_closed {
            self.saw(Rare::ConnectionLateCommit);
        }
        self.end_flight(run);
        let answer = self.act(run, epoch);
        if is_ambiguous {
            self.reply_ambiguously(run, key);
            return;
        }
        let Some(task) = reply_to else { return };
        let what = if is_cut {
            News::Broken(DoubtReason::AnswerCut)
        } else if panics {
            News::Panicked
        } else {
            News::Answer { status: 201, consumed: says_so.then_some(true), answer }
        };
        self.after(way_ms, Event::Reaches { task, what });
    }

    /// The effect happens, unless the origin knows the key and its answer.
    fn act(&mut self, run: u32, epoch: u64) -> u32 {
        let Some(key) = self.runs.get(run as usize).map(|run| run.key) else { return 0 };
        if let (Origin::Keyed, Some(answer)) = (self.origin(key), self.honoured(key, run)) {
            note!(
                self,
                Some(key),
                "the origin knows the key of run {run}, and gives its answer {answer} again"
            );
            if self.answers.get(answer as usize).is_some_and(|first| first.run != run) {
                self.saw(Rare::Repeated);
            }
            return answer;
        }
        let answer = self.new_answer(run);
        self.has_effect(run, answer);
        self.honour(key, run, answer);
        if let Some(truth) = self.truths.get_mut(usize::from(key)) {
            truth.fence = truth.fence.max(epoch);
        }
        answer
    }

    /// Counts an effect and judges it.
    pub(crate) fn has_effect(&mut self, run: u32, answer: u32) {
        let Some(of_run) = self.runs.get_mut(run as usize) else { return };
        of_run.effects += 1;
        of_run.effect_answer = Some(answer);
        let (key, is_denied, generation) = (of_run.key, of_run.is_denied, of_run.generation);
        note!(self, Some(key), "THE EFFECT HAPPENS, by run {run}, answer {answer}");
        self.judge_effect(key, run, (is_denied, generation));
    }

    /// The request again, with its key, at an origin that has not acted on it: what was in doubt happens now, by a run of the resolver's own.
    fn pass_through(&mut self, key: u8, judged: Attempt) -> u32 {
        self.saw(Rare::PassthroughActed);
        if let Some(truth) = self.truths.get_mut(usize::from(key)) {
            truth.is_left_to_origin = true;
        }
        // A claim was left behind whose request had no effect, and its caller was told so: what it wished happens all the same.
        if self.run_of(judged).is_some_and(|run| run.is_denied) {
            self.saw(Rare::PassthroughActedUnasked);
        }
        let wish = self.run_of(judged).map_or(0, |run| run.generation);
        let run = self.new_run(u32::MAX, key);
        if let Some(run) = self.runs.get_mut(run as usize) {
            run.generation = wish;
        }
        self.act(run, judged.epoch.0)
    }

    /// The effects of the wish that an attempt belongs to, and the answer of the first: what is to be seen of it at the origin.
    pub(crate) fn seen_of(&self, key: u8, judged: Attempt) -> (u32, Option<u32>) {
        let generation = self.run_of(judged).map_or(0, |run| run.generation);
        let is_wishes = |run: &Run| run.key == key && run.generation == generation;
        let effects = self.runs.iter().filter(|run| is_wishes(run)).map(|run| run.effects).sum();
        (
            effects,
            self.runs.iter().find(|run| is_wishes(run) && run.effects > 0).and_then(|run| run.effect_answer),
        )
    }

    fn is_fenced_off(&self, key: u8, epoch: u64) -> bool {
        self.origin(key) == Origin::Fenced
            && self.truths.get(usize::from(key)).is_some_and(|truth| epoch < truth.fence)
    }

    fn refuse_by_fence(&mut self, run: u32, key: u8) {
        note!(self, Some(key), "the origin's fence refuses run {run}");
        self.saw(Rare::FenceRefused);
        self.end_flight(run);
        self.reply(run, 412, Some(false));
    }

    fn reply_ambiguously(&mut self, run: u32, key: u8) {
        let status = match self.policy(key).map(|policy| policy.statuses) {
            Some(Statuses::Upstream) => self.chance.one_of([408, 421, 502, 503, 504]),
            // A handler's own word, and final.
            Some(Statuses::Handler) | None => self.chance.one_of([502, 503, 504]),
        };
        self.reply(run, status, None);
    }

    fn reply(&mut self, run: u32, status: u16, consumed: Option<bool>) -> Option<u32> {
        let task = self.runs.get(run as usize).and_then(|run| run.reply_to)?;
        let (answer, way_ms) = (self.new_answer(run), self.chance.between(1, 60));
        self.after(way_ms, Event::Reaches { task, what: News::Answer { status, consumed, answer } });
        Some(answer)
    }

    fn end_flight(&mut self, run: u32) {
        if let Some(run) = self.runs.get_mut(run as usize) {
            run.flight = Flight::Ended;
        }
    }

    /// A socket closes: what it sent arrives within the settling time or never.
    pub(crate) fn close(&mut self, run: u32) {
        self.limit_flight(run);
        if let Some(run) = self.runs.get_mut(run as usize) {
            run.is_closed = true;
        }
    }

    /// A holder that stands still reaches the deadline past which it sends nothing.
    pub(crate) fn deadline_passes(&mut self, run: u32) {
        if self.runs.get(run as usize).is_some_and(|run| !run.is_closed) {
            self.limit_flight(run);
        }
    }

    fn limit_flight(&mut self, run: u32) {
        let (is_last_moment, spare_ms) = (self.chance.per_mille(600), self.chance.between(160, 900));
        let Some(of_run) = self.runs.get_mut(run as usize) else { return };
        if of_run.flight == Flight::Unsent {
            of_run.flight = Flight::Ended;
        }
        let Some(key) = self.setting.keys.get(usize::from(of_run.key)) else { return };
        let until_ms = of_run.until_ms.min(key.arrives_until(self.now_ms));
        let event = match of_run.flight {
            Flight::Flying => Event::OriginGets(run),
            Flight::Working => Event::OriginActs(run),
            Flight::Unsent | Flight::Ended => return,
        };
        // Late ones come late enough to be missed by whoever looks too early.
        let is_shortened = until_ms < of_run.until_ms;
        of_run.until_ms = until_ms;
        if is_shortened && is_last_moment {
            self.at(until_ms - spare_ms, event);
        }
    }

    /// Whether a run's request can still have an effect, its origin's own guard aside.
    pub(crate) fn is_alive(&self, run: &Run) -> bool {
        let is_flying = matches!(run.flight, Flight::Flying | Flight::Working) && run.until_ms >= self.now_ms;
        let is_held = self.calls.get(run.call as usize).is_some_and(|call| {
            let is_holder = self.runs.get(call.run as usize).is_some_and(|own| std::ptr::eq(own, run));
            is_holder && call.phase == Phase::Dialling && self.must_give_up(call.number).is_none()
        });
        is_flying || is_held
    }

    /// A look reaches the origin.
    pub(crate) fn origin_is_asked(&mut self, errand: Address) {
        let (fails, is_answer_seen) = (self.goes_wrong(Fault::FailedLook), self.chance.per_mille(700));
        let way_ms_max = if self.goes_wrong(Fault::SlowOrigin) { 1_900 } else { 200 };
        let way_ms = self.chance.between(1, way_ms_max);
        let Task::Errand(number) = errand.task else { return };
        let Some((key, judged)) =
            self.errands.get(number as usize).and_then(|errand| Some((errand.key, errand.judged?)))
        else {
            return;
        };
        let origin = self.origin(key);
        let (effects, answer) = self.seen_of(key, judged);
        let Some(truth) = self.truths.get_mut(usize::from(key)) else { return };
        if fails {
            self.after(way_ms, Event::Reaches { task: errand, what: News::Sight(Sight::Unclear) });
            return;
        }
        if origin == Origin::Fenced {
            truth.fence = truth.fence.max(judged.epoch.0 + 1);
        }
        let seen = answer.filter(|_| is_answer_seen);
        let sight = match (origin, effects) {
            (Origin::Keyed, 0) => Sight::Happened(Some(self.pass_through(key, judged))),
            (Origin::Fenced | Origin::Transactional, 0) => Sight::Never,
            (Origin::Queryable | Origin::Opaque, 0) => Sight::Nothing,
            (_, 1) => Sight::Happened(seen),
            (_, _) => Sight::Multiple(seen),
        };
        note!(self, Some(key), "a look shows {sight:?}");
        self.after(way_ms, Event::Reaches { task: errand, what: News::Sight(sight) });
    }
}
