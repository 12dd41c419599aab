//! The store: each operation one event of the record machine; what it loses, and what it says of that.

use std::{collections::VecDeque, mem, time::Duration};

use onceward_core::{
    fingerprint::{Fingerprint, Version},
    record::{
        AfterRetention, Alarm, Attempt, AttemptId, Decision, Epoch, Event as RecordEvent, OnLapse, Record,
        Sealed, State, Terms, TombstoneKind, Verdict,
    },
    time::Timestamp,
};

use crate::{
    census::{Happened, Met, Rare},
    chance::Chance,
    clock::{Clock, DRIFT_MAX_PPM},
    fault::Fault,
    flaw::Flaw,
    gateway::BACK_MS_MIN,
    judge::{Heard, Summary},
    queue::{Address, Ask, Event, News, Reply, Task, Word},
    setting::{BEGIN_MS, Dating, Setting, Tier, WAY_MS_MAX},
    trace::note,
    world::World,
};

/// Bits of an epoch below the clock's seconds (`onceward-store`'s `epoch.rs`).
const EPOCH_BLOCK_BITS: u32 = 20;

/// How old an unfinished record is when a sweep that spares nothing takes it.
const PURGE_MS: u64 = 15_000;

/// What holds the records.
#[derive(Debug)]
pub(crate) struct Store {
    /// Whether its process runs, where it has no other than a gateway's.
    pub(crate) is_up: bool,
    down_until_ms: u64,
    clock: Clock,
    records: Vec<Record>,
    barrier: Option<Timestamp>,
    /// The latest acknowledged writes, as what they replaced: those that may go.
    unsafe_writes: VecDeque<(u8, Record)>,
    unsafe_writes_max: usize,
    has_lost: bool,
    epoch: u64,
}

impl Store {
    pub(crate) fn new(setting: &Setting, chance: &mut Chance) -> Self {
        let drift = chance.below(2 * DRIFT_MAX_PPM);
        Self {
            is_up: true,
            down_until_ms: 0,
            clock: Clock::drifting(BEGIN_MS, drift),
            records: setting.keys.iter().map(|_| Record::absent()).collect(),
            barrier: (setting.tier == Tier::ForgetsWithProcess).then_some(Timestamp::from_ms(BEGIN_MS)),
            unsafe_writes: VecDeque::new(),
            unsafe_writes_max: usize::try_from(chance.between(1, 8)).unwrap_or(1),
            has_lost: false,
            epoch: 0,
        }
    }

    pub(crate) fn record(&self, key: u8) -> Option<&Record> {
        self.records.get(usize::from(key))
    }
}

impl World {
    pub(crate) fn is_store_up(&self) -> bool {
        self.store.is_up && self.store.down_until_ms <= self.now_ms
    }

    /// The store's present, as a process knows it: never ahead, and behind by as much as its latest reading took.
    pub(crate) fn store_now(&self, gateway: u8) -> Timestamp {
        let lag_ms = self.gateways.get(usize::from(gateway)).map_or(0, |gateway| gateway.lag_ms);
        Timestamp::from_ms(self.store.clock.at(self.now_ms) - lag_ms)
    }

    pub(crate) fn send_question(&mut self, from: Address, key: u8, ask: Ask) {
        let life = self.gateways.get(usize::from(from.gateway)).map_or(0, |gateway| gateway.life);
        let (is_lost, is_noticed) = (self.goes_wrong(Fault::LostQuestion), self.chance.per_mille(500));
        let (is_held_up, is_slow) =
            (self.goes_wrong(Fault::HeldUpQuestion), self.goes_wrong(Fault::SlowStore));
        let is_repeated = self.goes_wrong(Fault::RepeatedQuestion);
        let way_ms = self.chance.between(0, 20);
        let late_ms = self.chance.between(500, WAY_MS_MAX);
        if is_repeated {
            self.after(late_ms, Event::Question { from, key, ask, life });
        }
        if is_lost || is_held_up {
            if is_held_up {
                self.after(late_ms, Event::Question { from, key, ask, life });
            }
            // The connection to the store breaks, and the sender sees it; otherwise it waits for its time-out.
            if is_noticed {
                self.after(way_ms, Event::Reaches { task: from, what: News::Reply(Reply::Unknown) });
            }
            return;
        }
        let slow_ms = if is_slow { late_ms / 3 } else { 0 };
        self.after(way_ms + slow_ms, Event::Question { from, key, ask, life });
    }

    pub(crate) fn question(&mut self, from: Address, key: u8, ask: Ask, life: u32) {
        if !self.setting.tier.is_shared() {
            let Some(gateway) = self.gateways.get(usize::from(from.gateway)) else { return };
            // What is within a process dies and stands still with it.
            if gateway.life != life {
                return;
            }
            if gateway.frozen_until_ms > self.now_ms {
                let until_ms = gateway.frozen_until_ms;
                self.at(until_ms, Event::Question { from, key, ask, life });
                return;
            }
        }
        let reply = if self.is_store_up() { self.answer(from, key, ask) } else { Reply::Unavailable };
        let (is_lost, is_noticed) = (self.goes_wrong(Fault::LostAnswer), self.chance.per_mille(500));
        let way_ms = self.chance.between(0, 20);
        let reply = if is_lost { Reply::Unknown } else { reply };
        if !is_lost || is_noticed {
            self.after(way_ms, Event::Reaches { task: from, what: News::Reply(reply) });
        }
    }

    fn answer(&mut self, from: Address, key: u8, ask: Ask) -> Reply {
        let now = self.store_now(from.gateway);
        let event = match ask {
            Ask::Claim { run, body, version } => {
                return self.claim(from.gateway, key, (run, body, version), now);
            }
            Ask::Get => {
                let stored = self.store.record(key).filter(|record| !record.is_blank());
                return Reply::Stored(stored.map(|record| Box::new(record.clone())));
            }
            Ask::Health => {
                let barrier = self.store.barrier;
                self.judge_weighing(from.task, barrier);
                return Reply::Health { barrier };
            }
            Ask::Renew(attempt) => RecordEvent::Renewed { attempt },
            Ask::Complete(attempt, answer) => RecordEvent::Completed { attempt, outcome: sealed(answer) },
            Ask::Release(attempt) => RecordEvent::Released { attempt },
            Ask::Doubt(attempt, reason) => RecordEvent::Doubted { attempt, reason },
            Ask::Inquire { judged, looker, pause_ms } => RecordEvent::Inquired {
                judged,
                looker: attempt_id(looker),
                pause: Duration::from_millis(pause_ms),
            },
            Ask::Verdict { word, judged } => {
                RecordEvent::Resolved { verdict: verdict(word), judged: self.as_judged(key, judged) }
            }
            Ask::Cancel => {
                let remember = self.policy(key).map_or(Duration::MAX, |policy| policy.remember);
                RecordEvent::Cancelled { remember }
            }
        };
        Reply::Decided { decision: self.decide(key, event, now), at: now }
    }

    fn claim(&mut self, gateway: u8, key: u8, asked: (u32, u8, Version), now: Timestamp) -> Reply {
        let (run, body, version) = asked;
        let Some(terms) = self.terms(key) else { return Reply::Unavailable };
        if self.is_history_lost(key, terms, now) {
            return Reply::HistoryLost;
        }
        let epoch = self.grant(gateway, key, now);
        let Some(fingerprint) = fingerprint(body, version) else { return Reply::Unavailable };
        let request = self
            .setting
            .keys
            .get(usize::from(key))
            .and_then(|key| key.settling_ms)
            .map(|_| Sealed(Vec::new()));
        let attempt = Attempt { epoch: Epoch(epoch), id: attempt_id(run) };
        self.forget_as_flawed(key);
        let decision = self.decide(key, RecordEvent::Arrived { attempt, fingerprint, terms, request }, now);
        if matches!(decision, Decision::Execute(_)) {
            self.strike_behind_claim();
        }
        Reply::Decided { decision, at: now }
    }

    /// The worst moment for a store to go is the one behind a claim.
    fn strike_behind_claim(&mut self) {
        let (goes_away, dies) = (self.goes_wrong(Fault::Outage), self.goes_wrong(Fault::FailOver));
        let (away_ms, over_ms) = (self.chance.between(300, 3_000), self.chance.between(BACK_MS_MIN, 6_000));
        let lost = self.chance.between(1, 8);
        if dies && self.setting.tier == Tier::LosesLastWrites {
            self.fail_over(over_ms, lost);
        } else if goes_away {
            self.go_away(away_ms);
        }
    }

    fn fail_over(&mut self, over_ms: u64, lost: u64) {
        note!(self, None, "the store's primary dies");
        // Until the replica has taken over, whatever else happens at that moment.
        self.store.down_until_ms = u64::MAX;
        self.after(over_ms, Event::StoreIsBack { lost });
    }

    fn go_away(&mut self, away_ms: u64) {
        note!(self, None, "the store is away for {away_ms} ms");
        self.store.down_until_ms = self.now_ms + away_ms;
    }

    fn terms(&self, key: u8) -> Option<Terms> {
        let terms = self.policy(key)?.terms();
        let on_lapse = if self.has(Flaw::LockWithTimeToLive) { OnLapse::Execute } else { terms.on_lapse };
        let after_retention =
            if self.has(Flaw::ExpiredRuns) { AfterRetention::Execute } else { terms.after_retention };
        Some(Terms { on_lapse, after_retention, ..terms })
    }

    /// Whether this claim may be the retry of one that was forgotten by mishap (T5).
    fn is_history_lost(&mut self, key: u8, terms: Terms, now: Timestamp) -> bool {
        let (Some(barrier), Some(record)) = (self.store.barrier, self.store.record(key)) else {
            return false;
        };
        let is_blank = record.clone().on(RecordEvent::Swept, now).0.is_blank();
        let is_forgotten = if self.has(Flaw::FreeCountsAsKnown) {
            is_blank
        } else {
            record.may_lack_claim(barrier, terms.after_retention, now)
        };
        let issued_at = self.truths.get(usize::from(key)).and_then(|truth| truth.issued_at);
        let is_suspect = match (self.setting.keys.get(usize::from(key)).map(|key| key.dating), issued_at) {
            (Some(Dating::Dated), Some(issued_at)) => issued_at < barrier,
            (Some(Dating::UndatedRuns), _) => false,
            _ => true,
        };
        let is_refused = is_forgotten && is_suspect;
        if is_refused {
            note!(self, Some(key), "the barrier refuses a claim");
            self.saw(if is_blank { Rare::BarrierRefusesUnknown } else { Rare::BarrierRefusesFree });
        }
        is_refused
    }

    /// The epoch that a claim would be granted: from the clock's second on, in each process behind those that it gave out itself.
    fn grant(&mut self, gateway: u8, key: u8, now: Timestamp) -> u64 {
        if self.has(Flaw::EpochsFromRow) {
            return self.store.record(key).map_or(0, |record| record.epoch.0) + 1;
        }
        let clocked = (now.as_ms() / 1_000) << EPOCH_BLOCK_BITS;
        let latest = match self.gateways.get_mut(usize::from(gateway)) {
            Some(gateway) if self.setting.tier.is_shared() => &mut gateway.epoch,
            Some(_) | None => &mut self.store.epoch,
        };
        *latest = clocked.max(*latest + 1);
        *latest
    }

    fn as_judged(&self, key: u8, judged: Epoch) -> Epoch {
        let holder = self.store.record(key).and_then(holder).filter(|_| self.has(Flaw::VerdictForLatest));
        holder.map_or(judged, |holder| holder.epoch)
    }

    fn forget_as_flawed(&mut self, key: u8) {
        let is_cancelled =
            |record: &Record| matches!(record.state, State::Tombstone { kind: TombstoneKind::Cancelled, .. });
        if self.has(Flaw::CancelledRuns)
            && let Some(record) =
                self.store.records.get_mut(usize::from(key)).filter(|record| is_cancelled(record))
        {
            record.state = State::Absent;
        }
    }

    /// One event of the record machine, in one atomic step; judged by what may never happen.
    pub(crate) fn decide(&mut self, key: u8, event: RecordEvent, now: Timestamp) -> Decision {
        let event = self.as_heard(key, event);
        let heard = Heard::of(&event);
        let Some(slot) = self.store.records.get_mut(usize::from(key)) else { return Decision::Unchanged };
        let record = mem::replace(slot, Record::absent());
        let before = Summary::of(&record, now);
        let undone = self.setting.tier.is_lossy().then(|| record.clone());
        let (after, decided) = record.on(event, now);
        let decision = match decided {
            Decision::Stale(Alarm::EffectAfterRelease) if self.setting.has(Flaw::AlarmUnheard) => {
                Decision::Stale(Alarm::None)
            }
            decided => decided,
        };
        let summary = Summary::of(&after, now);
        if let Some(undone) = undone.filter(|undone| *undone != after) {
            self.store.unsafe_writes.push_back((key, undone));
            if self.store.unsafe_writes.len() > self.store.unsafe_writes_max {
                self.store.unsafe_writes.pop_front();
            }
        }
        if let Some(slot) = self.store.records.get_mut(usize::from(key)) {
            *slot = after;
        }
        self.census.decided(before.met, heard.happened, &decision);
        if before != summary || heard.happened == Happened::Arrived {
            note!(
                self,
                Some(key),
                "{} where the record is {}: {decision:?}; it is {} now",
                heard.happened,
                before.met,
                summary.met
            );
        }
        self.judge_step(key, (&before, &summary), &heard, &decision);
        if before.met == Met::Claimed && summary.met != Met::Claimed {
            self.wake(key);
        }
        decision
    }

    /// What the store hears: it may not ask whose word it is.
    fn as_heard(&self, key: u8, event: RecordEvent) -> RecordEvent {
        let holder = self.store.record(key).and_then(holder).filter(|_| self.has(Flaw::AnyonesWord));
        match (event, holder) {
            (RecordEvent::Completed { outcome, .. }, Some(attempt)) => {
                RecordEvent::Completed { attempt, outcome }
            }
            (RecordEvent::Released { .. }, Some(attempt)) => RecordEvent::Released { attempt },
            (RecordEvent::Doubted { reason, .. }, Some(attempt)) => RecordEvent::Doubted { attempt, reason },
            (event, _) => event,
        }
    }

    pub(crate) fn sweep(&mut self, gateway: u8) {
        self.again_after(self.setting.sweep_ms, Event::Sweep(gateway));
        let is_working = self
            .gateways
            .get(usize::from(gateway))
            .is_some_and(|gateway| gateway.is_up && gateway.frozen_until_ms <= self.now_ms);
        // What is due is collected first and visited later: one of the records may have moved on meanwhile.
        let moved = self.chance.below(8);
        if !is_working || !self.is_store_up() {
            return;
        }
        let now = self.store_now(gateway);
        for key in 0..u8::try_from(self.setting.keys.len()).unwrap_or_default() {
            let Some(record) = self.store.record(key) else { continue };
            let is_due = record.due_at().is_some_and(|due_at| due_at <= now);
            if self.has(Flaw::SweepTakesAll)
                && holder(record).is_some()
                && record.since.as_ms() + PURGE_MS <= now.as_ms()
            {
                if let Some(record) = self.store.records.get_mut(usize::from(key)) {
                    *record = Record::absent();
                }
                note!(self, Some(key), "the sweep takes an unfinished record");
            } else if is_due || u64::from(key) == moved {
                self.decide(key, RecordEvent::Swept, now);
            }
        }
    }

    pub(crate) fn store_fault(&mut self) {
        let (next_ms, away_ms) = (self.chance.between(4_000, 40_000), self.chance.between(200, 9_000));
        let kind = self.chance.one_of([Fault::Outage, Fault::FailOver, Fault::PowerLoss]);
        let over_ms = self.chance.between(BACK_MS_MIN, 6_000);
        let lost = self.chance.between(1, 8);
        if self.is_healed {
            return;
        }
        self.after(next_ms, Event::StoreFault);
        if !self.setting.faults.has(kind) || !self.is_store_up() {
            return;
        }
        match kind {
            Fault::FailOver if self.setting.tier == Tier::LosesLastWrites => self.fail_over(over_ms, lost),
            Fault::PowerLoss if self.is_power_lossy() => self.power_goes(),
            Fault::Outage => self.go_away(away_ms),
            _ => {}
        }
    }

    /// A replica has taken over, without what it never got.
    pub(crate) fn store_is_back(&mut self, lost: u64) {
        self.store.down_until_ms = self.now_ms;
        self.lose(usize::try_from(lost).unwrap_or_default());
        note!(self, None, "a replica takes over");
        self.raise_barrier();
    }

    /// The power goes, and with it what was not synced.
    pub(crate) fn lose_writes(&mut self) {
        let lost = self.chance.between(1, 8);
        self.lose(usize::try_from(lost).unwrap_or_default());
        self.store.has_lost = true;
    }

    fn lose(&mut self, writes: usize) {
        let keys = u8::try_from(self.setting.keys.len()).unwrap_or_default();
        let now = self.store_now(0);
        let before: Vec<Option<Summary>> =
            (0..keys).map(|key| self.store.record(key).map(|record| Summary::of(record, now))).collect();
        for _ in 0..writes {
            let Some((key, record)) = self.store.unsafe_writes.pop_back() else { break };
            if let Some(slot) = self.store.records.get_mut(usize::from(key)) {
                *slot = record;
            }
        }
        self.store.unsafe_writes.clear();
        for (key, before) in (0..keys).zip(before) {
            let after = self.store.record(key).map(|record| Summary::of(record, now));
            if let (Some(before), Some(after)) = (before, after) {
                self.judge_loss(key, &before, &after);
            }
        }
    }

    /// A process opens the store that is its own: what it held before is nobody's any more (L10).
    pub(crate) fn open_store(&mut self) {
        self.store.is_up = true;
        self.store.epoch = 0;
        if self.setting.tier == Tier::ForgetsWithProcess {
            self.forget_all();
        }
        if mem::take(&mut self.store.has_lost) || self.setting.tier == Tier::ForgetsWithProcess {
            self.raise_barrier();
        }
        let now = self.store_now(0);
        for key in 0..u8::try_from(self.setting.keys.len()).unwrap_or_default() {
            let held = self.store.record(key).and_then(holder).filter(|_| self.has(Flaw::HolderGoneFrees));
            let event = held.map_or(RecordEvent::HolderGone, |attempt| RecordEvent::Released { attempt });
            self.decide(key, event, now);
        }
    }

    fn forget_all(&mut self) {
        let now = self.store_now(0);
        for key in 0..u8::try_from(self.setting.keys.len()).unwrap_or_default() {
            let Some(slot) = self.store.records.get_mut(usize::from(key)) else { continue };
            let before = Summary::of(slot, now);
            *slot = Record::absent();
            let after = Summary::of(slot, now);
            self.judge_loss(key, &before, &after);
        }
        self.store.unsafe_writes.clear();
    }

    fn raise_barrier(&mut self) {
        if !self.has(Flaw::LossUnnoticed) {
            self.store.barrier = Some(self.store_now(0));
            note!(self, None, "the history barrier is raised");
        }
    }

    /// The store's own present, by which the maker of a key stamps it.
    pub(crate) fn store_clock(&self) -> Timestamp {
        self.store.clock.timestamp(self.now_ms)
    }

    /// The true time at which a call's lease is over, by the record; `None` where it holds none.
    pub(crate) fn lease_ends_ms(&self, number: u32) -> Option<u64> {
        let call = self.calls.get(number as usize)?;
        match self.store.record(call.key)?.state {
            State::Claimed { attempt, lease_until } if Some(attempt) == call.attempt => {
                let left_ms = lease_until.as_ms().saturating_sub(self.store.clock.at(self.now_ms));
                Some(self.store.clock.true_after(self.now_ms, left_ms))
            }
            _ => None,
        }
    }

    /// Whether a call holds its key by the record, its lease still running.
    pub(crate) fn is_held_by(&self, number: u32) -> bool {
        let Some(call) = self.calls.get(number as usize) else { return false };
        self.store.record(call.key).is_some_and(|record| {
            let is_live = Met::of(record, self.store_clock()) == Met::Claimed;
            is_live && holder(record) == call.attempt
        })
    }
}

/// The attempt that a record is about, as long as its effect is not known.
pub(crate) fn holder(record: &Record) -> Option<Attempt> {
    match record.state {
        State::Claimed { attempt, .. } | State::InDoubt { attempt, .. } => Some(attempt),
        State::Absent | State::Done { .. } | State::Tombstone { .. } => None,
    }
}

/// The name that is made of a number.
pub(crate) fn attempt_id(number: u32) -> AttemptId {
    AttemptId(u128::from(number).to_be_bytes())
}

fn sealed(answer: u32) -> Sealed {
    Sealed(answer.to_be_bytes().to_vec())
}

/// The answer that was sealed; one that cannot be read is none that anybody gave.
pub(crate) fn answer_of(outcome: &Sealed) -> u32 {
    outcome.0.as_slice().try_into().map_or(u32::MAX, u32::from_be_bytes)
}

fn fingerprint(body: u8, version: Version) -> Option<Fingerprint> {
    let mut bytes = [body; Fingerprint::LEN];
    let [first, ..] = &mut bytes;
    *first = version as u8;
    Fingerprint::from_bytes(&bytes).ok()
}

fn verdict(word: Word) -> Verdict {
    match word {
        Word::Happened(answer) => Verdict::Happened(answer.map(sealed)),
        Word::Absent => Verdict::Absent,
        Word::Multiple(answer) => Verdict::Multiple(answer.map(sealed)),
        Word::Unknown => Verdict::Unknown,
    }
}

/// Where an errand waits.
pub(crate) const fn errand_address(gateway: u8, life: u32, errand: u32, token: u32) -> Address {
    Address { gateway, life, task: Task::Errand(errand), token }
}
