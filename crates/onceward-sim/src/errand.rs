//! Looks at what is in doubt, as the engine's `resolve/job.rs` has them; verdicts of persons; cancellations.

use std::time::Duration;

use onceward_core::{
    record::{Attempt, Decision, Record, State},
    time::Timestamp,
};

use crate::{
    census::{Met, Rare},
    fault::Fault,
    flaw::Flaw,
    origin::Run,
    queue::{Address, Ask, Event, News, Reply, Sight, Task, Word},
    setting::{Origin, STORE_TIME_MS},
    store::{attempt_id, errand_address, holder},
    trace::note,
    world::World,
};

/// How long one look of one resolver may take (`Pace::look_time_max`, shortened).
const LOOK_MS_MAX: u64 = 2_000;

/// The longest pause between two looks (`Pace::pause_max`, shortened).
const PAUSE_MS_MAX: u64 = 12_000;

/// Names of lookers start here, far from those of attempts.
const LOOKERS_FROM: u32 = 1 << 30;

/// Something that is done beside the traffic.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) gateway: u8,
    life: u32,
    pub(crate) key: u8,
    kind: Kind,
    pub(crate) stage: Stage,
    token: u32,
    /// The attempt that it is about; a cancellation is about the key.
    pub(crate) judged: Option<Attempt>,
    granted_at: Timestamp,
    /// What the record said behind the grant.
    record: Option<Box<Record>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Look,
    Verdict,
    Cancellation,
}

/// Where an errand stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Asks the store whether it may look.
    Asking,
    /// Reads what the look is about.
    Reading,
    /// Asks the origin.
    Looking,
    /// Asks what was lost, to know what nothing seen means.
    Weighing,
    /// Gives its verdict, or cancels.
    Judging,
    Over,
}

impl World {
    /// A gateway lists what is in doubt, and begins a look at each whose turn it is.
    pub(crate) fn round(&mut self, gateway: u8) {
        self.again_after(self.setting.round_ms, Event::Round(gateway));
        let Some(of_gateway) = self.gateways.get(usize::from(gateway)) else { return };
        let is_working =
            of_gateway.is_up && !of_gateway.is_closing && of_gateway.frozen_until_ms <= self.now_ms;
        if !is_working || !self.is_store_up() || self.has(Flaw::NobodyLooks) {
            return;
        }
        let (life, now) = (of_gateway.life, of_gateway.clock.timestamp(self.now_ms));
        for key in 0..u8::try_from(self.setting.keys.len()).unwrap_or_default() {
            let Some(record) = self.store.record(key) else { continue };
            let (State::InDoubt { attempt, .. }, Some(inquiry)) = (&record.state, &record.inquiry) else {
                continue;
            };
            let (attempt, looks) = (*attempt, inquiry.looks);
            if now < inquiry.next_at {
                continue;
            }
            let number = self.new_errand((gateway, life), key, Kind::Look, Some(attempt));
            let pause_ms = self.pause_ms(looks);
            let ask = Ask::Inquire { judged: attempt.epoch, looker: LOOKERS_FROM + number, pause_ms };
            self.ask_for_errand(number, Stage::Asking, ask);
        }
    }

    /// Between half and the whole of what doubling gives, and never so short that two looks overlap.
    fn pause_ms(&mut self, looks: u32) -> u64 {
        let whole_ms = (self.setting.pause_ms << looks.min(10)).min(PAUSE_MS_MAX);
        self.chance.between(whole_ms / 2, whole_ms).max(LOOK_MS_MAX)
    }

    fn new_errand(&mut self, by: (u8, u32), key: u8, kind: Kind, judged: Option<Attempt>) -> u32 {
        let (gateway, life) = by;
        let granted_at = Timestamp::from_ms(0);
        self.errands.push(Errand {
            gateway,
            life,
            key,
            kind,
            stage: Stage::Asking,
            token: 0,
            judged,
            granted_at,
            record: None,
        });
        u32::try_from(self.errands.len() - 1).unwrap_or(u32::MAX)
    }

    fn errand_mut(&mut self, number: u32) -> Option<&mut Errand> {
        self.errands.get_mut(number as usize)
    }

    /// Begins the next wait of an errand; its time is bounded.
    fn expect(&mut self, number: u32, stage: Stage, time_ms: u64) -> Option<(Address, u8)> {
        let errand = self.errand_mut(number)?;
        errand.stage = stage;
        errand.token += 1;
        let (address, key) = (errand_address(errand.gateway, errand.life, number, errand.token), errand.key);
        self.after(time_ms, Event::Reaches { task: address, what: News::NoReply });
        Some((address, key))
    }

    /// Asks the store once, without repetition.
    fn ask_for_errand(&mut self, number: u32, stage: Stage, ask: Ask) {
        if let Some((from, key)) = self.expect(number, stage, STORE_TIME_MS) {
            self.send_question(from, key, ask);
        }
    }

    pub(crate) fn errand_gets(&mut self, number: u32, token: u32, what: News) {
        let Some(errand) = self.errands.get_mut(number as usize).filter(|errand| errand.token == token)
        else {
            return;
        };
        let (gateway, key) = (errand.gateway, errand.key);
        if self.dies_here(gateway) {
            return;
        }
        let Some(errand) = self.errands.get_mut(number as usize) else { return };
        match (errand.stage, what) {
            (Stage::Asking, News::Reply(Reply::Decided { decision: Decision::Settled, at })) => {
                errand.granted_at = at;
                self.ask_for_errand(number, Stage::Reading, Ask::Get);
            }
            (Stage::Reading, News::Reply(Reply::Stored(Some(record))))
                if is_about(&record, errand.judged) =>
            {
                errand.record = Some(record);
                let way_ms = self.chance.between(1, 300);
                if let Some((address, _)) = self.expect(number, Stage::Looking, LOOK_MS_MAX) {
                    self.after(way_ms, Event::OriginIsAsked(address));
                }
            }
            (Stage::Looking, News::Sight(sight)) => self.saw_at_origin(number, sight),
            (Stage::Looking, _) => self.saw_at_origin(number, Sight::Unclear),
            (Stage::Weighing, News::Reply(Reply::Health { barrier })) => self.weigh_nothing(number, barrier),
            (Stage::Judging, News::Reply(Reply::Decided { decision, .. })) => {
                let is_cancelled = errand.kind == Kind::Cancellation && decision == Decision::Settled;
                errand.stage = Stage::Over;
                if is_cancelled {
                    self.judge_cancellation(key);
                }
            }
            (Stage::Asking | Stage::Reading | Stage::Weighing | Stage::Judging | Stage::Over, _) => {
                errand.stage = Stage::Over
            }
        }
    }

    fn saw_at_origin(&mut self, number: u32, sight: Sight) {
        match sight {
            Sight::Happened(answer) => self.judge_by_look(number, Word::Happened(answer)),
            Sight::Multiple(answer) => self.judge_by_look(number, Word::Multiple(answer)),
            Sight::Never => self.judge_by_look(number, Word::Absent),
            Sight::Nothing if self.has(Flaw::AbsenceAtOnce) => self.judge_by_look(number, Word::Absent),
            // Asked behind the look: a fail-over in between counts, too.
            Sight::Nothing => self.ask_for_errand(number, Stage::Weighing, Ask::Health),
            Sight::Unclear if self.has(Flaw::UnclearIsAbsent) => self.judge_by_look(number, Word::Absent),
            Sight::Unclear => {
                if let Some(errand) = self.errand_mut(number) {
                    errand.stage = Stage::Over;
                }
            }
        }
    }

    fn judge_by_look(&mut self, number: u32, word: Word) {
        let Some((Some(judged), key)) =
            self.errands.get(number as usize).map(|errand| (errand.judged, errand.key))
        else {
            return;
        };
        note!(self, Some(key), "a resolver says {word:?}");
        self.ask_for_errand(number, Stage::Judging, Ask::Verdict { word, judged: judged.epoch });
    }

    /// Whether nothing seen is absence, by the rule of the core, with and without the barrier.
    fn is_absence(&self, errand: &Errand, barrier: Option<Timestamp>) -> (bool, bool) {
        let of_key = self.setting.keys.get(usize::from(errand.key));
        let settling = Duration::from_millis(of_key.and_then(|key| key.settling_ms).unwrap_or(u64::MAX));
        let is_judged_late = self.has(Flaw::AbsenceSettledMeanwhile);
        let looked_at = if is_judged_late { self.store_now(errand.gateway) } else { errand.granted_at };
        let believed = barrier.filter(|_| !self.has(Flaw::AbsenceDespiteBarrier));
        let is_shown = |barrier| {
            let shows_from =
                errand.record.as_ref().and_then(|record| record.absence_shows_from(barrier, settling));
            shows_from.is_some_and(|shows_from| looked_at >= shows_from)
        };
        (is_shown(believed), is_shown(None))
    }

    fn weigh_nothing(&mut self, number: u32, barrier: Option<Timestamp>) {
        let Some(errand) = self.errands.get(number as usize) else { return };
        let (is_shown, is_shown_without) = self.is_absence(errand, barrier);
        if is_shown {
            self.judge_by_look(number, Word::Absent);
            return;
        }
        self.saw(if is_shown_without { Rare::LookHeldBackByBarrier } else { Rare::LookTooEarly });
        if let Some(errand) = self.errand_mut(number) {
            errand.stage = Stage::Over;
        }
    }

    /// Judges what a look will say at the moment at which it is told what was lost; later, the world may have gone on.
    pub(crate) fn judge_weighing(&mut self, task: Task, barrier: Option<Timestamp>) {
        let Task::Errand(number) = task else { return };
        let Some(errand) = self.errands.get(number as usize) else { return };
        let (is_shown, _) = self.is_absence(errand, barrier);
        if let (true, Some(judged), key) = (is_shown, errand.judged, errand.key) {
            self.judge_absence(key, judged);
        }
    }

    /// A person looks at what is in doubt, and knows all that can be known; unless it errs.
    pub(crate) fn person_acts(&mut self) {
        let next_ms = self.chance.between(6_000, 40_000);
        self.again_after(next_ms, Event::PersonActs);
        let (is_wrong, says_more, is_answer_known) =
            (self.errs(), self.chance.per_mille(150), self.chance.per_mille(500));
        let Some((key, by)) = self.pick_key_and_gateway() else { return };
        let Some(record) = self.store.record(key) else { return };
        let is_claimed = Met::of(record, self.store_clock()) == Met::Claimed;
        let Some(judged) = holder(record).filter(|_| !is_claimed || says_more) else {
            if says_more {
                self.speak_of_what_is_over(key, by);
            }
            return;
        };
        let (effects, answer) = self.seen_of(key, judged);
        let answer = answer.filter(|_| is_answer_known);
        let word = match effects {
            _ if is_wrong => Word::Absent,
            1 => Word::Happened(answer),
            0 if self.is_key_alive(key) || says_more => Word::Unknown,
            // What an origin with a key or a fence of its own may still do is for its resolver to say.
            0 if self.origin(key) == Origin::Keyed => Word::Unknown,
            0 => Word::Absent,
            _ => Word::Multiple(answer),
        };
        note!(self, Some(key), "a person says {word:?} about epoch {}", judged.epoch.0);
        let number = self.new_errand(by, key, Kind::Verdict, Some(judged));
        self.ask_for_errand(number, Stage::Judging, Ask::Verdict { word, judged: judged.epoch });
    }

    fn errs(&mut self) -> bool {
        self.goes_wrong(Fault::WrongVerdict) || (self.has(Flaw::WrongVerdict) && !self.is_healed)
    }

    /// Somebody speaks of the latest attempt though the record is settled, and knows what became of it.
    fn speak_of_what_is_over(&mut self, key: u8, by: (u8, u32)) {
        let Some(epoch) = self
            .store
            .record(key)
            .map(|record| record.overruled.map_or(record.epoch, |attempt| attempt.epoch))
        else {
            return;
        };
        let of_epoch = |run: &Run| run.key == key && run.epoch == epoch.0;
        let Some(number) = self.runs.iter().rposition(of_epoch).and_then(|place| u32::try_from(place).ok())
        else {
            return;
        };
        let judged = Attempt { epoch, id: attempt_id(number) };
        let is_told = self.chance.per_mille(500);
        let word = match self.seen_of(key, judged) {
            (1, _) if is_told => Word::Happened(None),
            (0, _) if is_told && !self.is_key_alive(key) && self.origin(key) != Origin::Keyed => Word::Absent,
            (effects, _) if effects > 1 => Word::Multiple(None),
            (_, _) => Word::Unknown,
        };
        note!(self, Some(key), "a person says {word:?} about epoch {}, which is over", epoch.0);
        let number = self.new_errand(by, key, Kind::Verdict, Some(judged));
        self.ask_for_errand(number, Stage::Judging, Ask::Verdict { word, judged: epoch });
    }

    /// The owner does not want it any more (D5).
    pub(crate) fn owner_acts(&mut self) {
        let next_ms = self.chance.between(5_000, 40_000);
        let cancels = self.setting.faults.has(Fault::Cancellation);
        if self.is_healed {
            return;
        }
        self.after(next_ms, Event::OwnerActs);
        let Some((key, by)) = self.pick_key_and_gateway().filter(|_| cancels) else { return };
        if self.truths.get(usize::from(key)).is_none_or(|truth| !truth.is_made) {
            return;
        }
        note!(self, Some(key), "the owner cancels");
        let number = self.new_errand(by, key, Kind::Cancellation, None);
        self.ask_for_errand(number, Stage::Judging, Ask::Cancel);
    }

    /// A key, and a working gateway with its life.
    fn pick_key_and_gateway(&mut self) -> Option<(u8, (u8, u32))> {
        let key = self.chance.below(self.setting.keys.len() as u64);
        let gateway = self.chance.below(self.gateways.len() as u64);
        let (key, gateway) = (u8::try_from(key).ok()?, u8::try_from(gateway).ok()?);
        let of_gateway = self.gateways.get(usize::from(gateway))?;
        (of_gateway.is_up && of_gateway.frozen_until_ms <= self.now_ms)
            .then_some((key, (gateway, of_gateway.life)))
    }

    fn is_key_alive(&self, key: u8) -> bool {
        self.runs.iter().any(|run| run.key == key && self.is_alive(run))
    }
}

fn is_about(record: &Record, judged: Option<Attempt>) -> bool {
    let is_in_doubt = matches!(record.state, State::InDoubt { .. });
    is_in_doubt && record.inquiry.is_some() && holder(record) == judged
}
