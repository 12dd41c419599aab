//! Gateways: processes with clocks of their own, that die, freeze, sleep and are shut down.

use crate::{
    call::Phase,
    census::Rare,
    chance::Chance,
    clock::{Clock, DRIFT_MAX_PPM},
    errand::Stage,
    fault::Fault,
    flaw::Flaw,
    queue::{Address, Event, News, Task},
    setting::{BEGIN_MS, Setting, Tier},
    trace::note,
    world::World,
};
use onceward_core::{fingerprint::Version, record::DoubtReason};

/// How far a process's word about the store's time is behind at the most: the round trip of its latest reading.
const LAG_MS_MAX: u64 = 300;

/// The least time from a process's end, or a primary's, to work under the next one. Epochs start at the clock's second, so that they
/// rise across what a store forgot only where this is over a second.
pub(crate) const BACK_MS_MIN: u64 = 2_000;

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) is_up: bool,
    /// Counts its starts.
    pub(crate) life: u32,
    /// What timers go by: it stops while the machine sleeps.
    pub(crate) timer: Clock,
    /// What goes on while the machine sleeps, and may jump.
    pub(crate) clock: Clock,
    pub(crate) frozen_until_ms: u64,
    /// Takes no new calls (L6).
    pub(crate) is_closing: bool,
    /// Calls under way give up.
    pub(crate) is_stopped: bool,
    /// How far behind its word about the store's time is.
    pub(crate) lag_ms: u64,
    /// The latest epoch that it gave out.
    pub(crate) epoch: u64,
    /// How it fingerprints: during a roll-out, not all processes do it alike.
    pub(crate) version: Version,
}

/// A moment as both clocks of a process tell it (L12).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    timer_ms: u64,
    clock_ms: u64,
}

impl Gateway {
    pub(crate) fn new(setting: &Setting, chance: &mut Chance) -> Self {
        let drift = chance.below(2 * DRIFT_MAX_PPM);
        let clock = Clock::drifting(BEGIN_MS, drift);
        let mut gateway = Self {
            is_up: true,
            life: 0,
            timer: clock,
            clock,
            frozen_until_ms: 0,
            is_closing: false,
            is_stopped: false,
            lag_ms: 0,
            epoch: 0,
            version: Version::C1,
        };
        gateway.start(setting, chance);
        gateway
    }

    fn start(&mut self, setting: &Setting, chance: &mut Chance) {
        let (lag_ms, is_other) = (chance.below(LAG_MS_MAX + 1), chance.per_mille(300));
        self.is_up = true;
        self.is_closing = false;
        self.is_stopped = false;
        self.frozen_until_ms = 0;
        self.epoch = 0;
        // A store of the process's own is asked at its own present.
        self.lag_ms = if setting.tier.is_shared() { lag_ms } else { 0 };
        let is_other = is_other && setting.faults.has(Fault::OtherVersion);
        self.version = if is_other { Version::Bytes } else { Version::C1 };
    }

    pub(crate) const fn moment(&self, now_ms: u64) -> Moment {
        Moment { timer_ms: self.timer.at(now_ms), clock_ms: self.clock.at(now_ms) }
    }

    /// Whether `ms` have passed since: as soon as one of the clocks says so.
    pub(crate) const fn is_ago(&self, moment: Moment, ms: u64, now_ms: u64) -> bool {
        self.timer.at(now_ms) >= moment.timer_ms.saturating_add(ms)
            || self.clock.at(now_ms) >= moment.clock_ms.saturating_add(ms)
    }

    /// The true time at which `ms` will have passed since, if no clock jumps.
    pub(crate) fn when(&self, moment: Moment, ms: u64, now_ms: u64) -> u64 {
        let timer_left = moment.timer_ms.saturating_add(ms).saturating_sub(self.timer.at(now_ms));
        let clock_left = moment.clock_ms.saturating_add(ms).saturating_sub(self.clock.at(now_ms));
        self.timer.true_after(now_ms, timer_left).min(self.clock.true_after(now_ms, clock_left))
    }
}

impl World {
    /// Whether the process dies at this very step of its work.
    pub(crate) fn dies_here(&mut self, gateway: u8) -> bool {
        let dies = self.goes_wrong(Fault::Crash) && self.chance.per_mille(150);
        if dies {
            self.crash(gateway, "dies");
        }
        dies
    }

    pub(crate) fn gateway_fault(&mut self, number: u8) {
        let next_ms = self.chance.between(3_000, 45_000);
        let kind = self.chance.one_of([
            Fault::Crash,
            Fault::Freeze,
            Fault::Sleep,
            Fault::ClockJump,
            Fault::ShutDown,
        ]);
        let (long_ms, is_back) = (self.chance.between(500, 40_000), self.chance.per_mille(300));
        if self.is_healed {
            return;
        }
        self.after(next_ms, Event::GatewayFault(number));
        let now_ms = self.now_ms;
        let may_fall_behind = !self.setting.faults.has(Fault::Sleep);
        let has_fault = self.setting.faults.has(kind);
        let Some(gateway) = self.gateways.get_mut(usize::from(number)) else { return };
        if !has_fault || !gateway.is_up || gateway.frozen_until_ms > now_ms {
            return;
        }
        let life = gateway.life;
        match kind {
            Fault::Freeze | Fault::Sleep => self.stand_still(number, long_ms, kind),
            Fault::ClockJump => {
                // A clock that is set back while its machine sleeps would hide the sleep: clocks of this kind are not set (L9).
                if is_back && may_fall_behind {
                    gateway.clock.fall_behind(now_ms, long_ms);
                } else {
                    gateway.clock.jump_ahead(now_ms, long_ms);
                }
                note!(self, None, "gateway {number}'s clock jumps by {long_ms} ms");
                self.look_at_leases(number);
            }
            Fault::ShutDown => {
                gateway.is_closing = true;
                note!(self, None, "gateway {number} is shut down");
                let patience_ms = self.chance.between(100, 4_000);
                self.after(patience_ms, Event::GatewayStops { gateway: number, life });
            }
            _ => self.crash(number, "dies"),
        }
    }

    /// Whether the process stands still at this very step of its work, for long.
    pub(crate) fn stands_still_here(&mut self, gateway: u8) {
        let (is_frozen, sleeps) = (self.goes_wrong(Fault::Freeze), self.goes_wrong(Fault::Sleep));
        let long_ms = self.chance.between(2_000, 40_000);
        if sleeps || is_frozen {
            self.stand_still(gateway, long_ms, if sleeps { Fault::Sleep } else { Fault::Freeze });
        }
    }

    fn stand_still(&mut self, number: u8, long_ms: u64, kind: Fault) {
        let now_ms = self.now_ms;
        let is_still = |gateway: &&mut Gateway| !gateway.is_up || gateway.frozen_until_ms > now_ms;
        let Some(gateway) = self.gateways.get_mut(usize::from(number)).filter(|gateway| !is_still(gateway))
        else {
            return;
        };
        gateway.frozen_until_ms = now_ms + long_ms;
        let life = gateway.life;
        let slept_ms = if kind == Fault::Sleep { long_ms } else { 0 };
        note!(self, None, "gateway {number} stands still for {long_ms} ms ({kind})");
        self.after(long_ms, Event::GatewayWakes { gateway: number, life, slept_ms });
        self.note_deadlines(number);
    }

    /// The process is gone, and with it its sockets; a store of its own goes with it.
    pub(crate) fn crash(&mut self, number: u8, how: &str) {
        let Some(gateway) = self.gateways.get_mut(usize::from(number)).filter(|gateway| gateway.is_up) else {
            return;
        };
        gateway.is_up = false;
        gateway.life += 1;
        let life = gateway.life;
        note!(self, None, "gateway {number} {how}");
        for call in 0..self.calls.len() {
            self.lose_call(call, number);
        }
        for place in 0..self.errands.len() {
            let Some(errand) = self.errands.get_mut(place) else { break };
            if errand.gateway != number || errand.stage == Stage::Over {
                continue;
            }
            let rare = match errand.stage {
                Stage::Judging => Rare::VerdictLost,
                Stage::Asking | Stage::Reading | Stage::Looking | Stage::Weighing | Stage::Over => {
                    Rare::LookerDied
                }
            };
            errand.stage = Stage::Over;
            self.saw(rare);
        }
        let back_ms = self.chance.between(BACK_MS_MIN, 8_000);
        if !self.setting.tier.is_shared() {
            self.store.is_up = false;
        }
        self.after(back_ms, Event::GatewayStarts { gateway: number, life });
    }

    fn lose_call(&mut self, place: usize, gateway: u8) {
        let Some(call) = self.calls.get_mut(place).filter(|call| call.gateway == gateway) else { return };
        let rare = match call.phase {
            Phase::Over => return,
            Phase::Claiming | Phase::Disowning | Phase::Disowned => Some(Rare::CrashedClaiming),
            Phase::Dialling => Some(Rare::CrashedHolding),
            Phase::Exchanging => Some(Rare::CrashedSent),
            Phase::Settling | Phase::SettlingLate => Some(Rare::CrashedSettling),
            Phase::Remembering | Phase::Waiting | Phase::Reading => None,
        };
        call.phase = Phase::Over;
        let (run, client) = (call.run, call.client);
        if let Some(rare) = rare {
            self.saw(rare);
        }
        self.close(run);
        let call = u32::try_from(place).unwrap_or(u32::MAX);
        self.connection_lost(client, call);
    }

    pub(crate) fn gateway_starts(&mut self, number: u8, life: u32) {
        let Some(gateway) = self.gateways.get_mut(usize::from(number)).filter(|gateway| gateway.life == life)
        else {
            return;
        };
        gateway.start(&self.setting, &mut self.chance);
        note!(self, None, "gateway {number} is back");
        if !self.setting.tier.is_shared() {
            self.open_store();
        }
    }

    pub(crate) fn gateway_wakes(&mut self, number: u8, life: u32, slept_ms: u64) {
        let now_ms = self.now_ms;
        let Some(gateway) = self.gateways.get_mut(usize::from(number)).filter(|gateway| gateway.life == life)
        else {
            return;
        };
        if slept_ms > 0 {
            gateway.timer.fall_behind(now_ms, slept_ms);
        }
        note!(self, None, "gateway {number} goes on");
        self.look_at_leases(number);
    }

    pub(crate) fn gateway_stops(&mut self, number: u8, life: u32) {
        let now_ms = self.now_ms;
        let Some(gateway) = self
            .gateways
            .get_mut(usize::from(number))
            .filter(|gateway| gateway.life == life && gateway.is_up)
        else {
            return;
        };
        if gateway.frozen_until_ms > now_ms {
            let until_ms = gateway.frozen_until_ms;
            self.at(until_ms, Event::GatewayStops { gateway: number, life });
            return;
        }
        gateway.is_stopped = true;
        note!(self, None, "gateway {number} stops what still runs");
        for place in 0..self.calls.len() {
            let Some(call) = self.calls.get_mut(place).filter(|call| call.gateway == number) else {
                continue;
            };
            let number = u32::try_from(place).unwrap_or(u32::MAX);
            match call.phase {
                Phase::Dialling | Phase::Exchanging => self.give_up(number, DoubtReason::ShutDown),
                Phase::Waiting => self.tell_in_progress(number),
                Phase::Disowning | Phase::Disowned | Phase::SettlingLate => call.phase = Phase::Over,
                Phase::Remembering | Phase::Claiming | Phase::Settling | Phase::Reading | Phase::Over => {}
            }
        }
        let last_ms = self.chance.between(50, 6_000);
        self.after(last_ms, Event::GatewayExits { gateway: number, life });
    }

    pub(crate) fn gateway_exits(&mut self, number: u8, life: u32) {
        let Some(gateway) = self.gateways.get(usize::from(number)) else { return };
        if gateway.life == life {
            self.crash(number, "exits");
        }
    }

    /// The power goes, where that is more than a crash.
    pub(crate) fn power_goes(&mut self) {
        self.lose_writes();
        self.crash(0, "loses its power");
    }

    pub(crate) fn is_power_lossy(&self) -> bool {
        self.setting.tier == Tier::ForgetsWithPower
    }

    /// Whoever holds a lease looks at its clocks, within the second that it sleeps at the most.
    fn look_at_leases(&mut self, gateway: u8) {
        for place in 0..self.calls.len() {
            let Some(call) =
                self.calls.get(place).filter(|call| call.gateway == gateway && call.is_running())
            else {
                continue;
            };
            let task =
                Address { gateway, life: call.life, task: Task::Lease(call.number), token: call.lease_token };
            let look_ms = self.chance.below(1_000);
            self.after(look_ms, Event::Reaches { task, what: News::Due });
        }
    }

    /// A process that stands still cannot close a socket at its deadline. What it sent arrives as if it had: no kernel holds a request
    /// for longer than the settling time past that (H10).
    fn note_deadlines(&mut self, number: u8) {
        for place in 0..self.calls.len() {
            let Some(call) = self
                .calls
                .get(place)
                .filter(|call| call.gateway == number && call.phase == Phase::Exchanging)
            else {
                continue;
            };
            let (run, renewed, usable_ms) = (call.run, call.renewed, self.usable_ms(call.key));
            let Some(gateway) = self.gateways.get(usize::from(number)) else { return };
            let deadline_ms = gateway.when(renewed, usable_ms, self.now_ms);
            if !self.has(Flaw::KernelSendsLate) {
                self.at(deadline_ms, Event::DeadlinePasses(run));
            }
        }
    }
}
