//! One world: what there is, and what happens next.

use std::fmt;

use onceward_core::record::Attempt;

use crate::{
    call::Call,
    census::{Census, Rare},
    chance::Chance,
    client::Client,
    errand::Errand,
    fault::Fault,
    flaw::Flaw,
    gateway::Gateway,
    judge::{Breach, Truth},
    origin::{Answered, Run},
    queue::{Address, Event, News, Queue, Task},
    setting::{BEGIN_MS, Rules, Setting},
    store::Store,
    trace::{Trace, note},
};

/// After the bad time, how long everything gets to come to its end: a lease, the storing of an outcome, the longest way, and some looks.
const GOOD_TIME_MS: u64 = 180_000;

/// How long the last requests may take.
const LAST_TIME_MS: u64 = 90_000;

/// Steps after which a world is said to go round in circles; a hundred times what one takes.
const STEPS_MAX: u64 = 1_000_000;

/// How one world went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lived {
    /// What was met in it.
    pub census: Census,
    /// What broke first.
    pub breach: Option<Breach>,
    /// What happened, where that was asked for.
    pub lines: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) chance: Chance,
    pub(crate) setting: Setting,
    queue: Queue,
    pub(crate) store: Store,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) calls: Vec<Call>,
    pub(crate) runs: Vec<Run>,
    pub(crate) errands: Vec<Errand>,
    pub(crate) clients: Vec<Client>,
    pub(crate) truths: Vec<Truth>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) census: Census,
    pub(crate) breach: Option<Breach>,
    pub(crate) trace: Trace,
    pub(crate) is_healed: bool,
    /// Nothing that comes round again does so after this.
    end_ms: u64,
}

/// Lives the world of a seed to its end, or to the first thing that breaks.
#[must_use]
pub fn live(seed: u64, rules: &Rules) -> Lived {
    World::new(seed, rules, Trace::default()).live()
}

/// The same, written down.
#[must_use]
pub fn tell(seed: u64, rules: &Rules) -> Lived {
    World::new(seed, rules, Trace::on()).live()
}

impl World {
    fn new(seed: u64, rules: &Rules, trace: Trace) -> Self {
        let setting = Setting::of(seed, rules);
        let mut chance = Chance::of(seed);
        let store = Store::new(&setting, &mut chance);
        let gateways = (0..setting.gateways).map(|_| Gateway::new(&setting, &mut chance)).collect();
        let truths = setting.keys.iter().map(|_| Truth::default()).collect();
        let end_ms = BEGIN_MS + setting.bad_time_ms + GOOD_TIME_MS + LAST_TIME_MS;
        Self {
            now_ms: BEGIN_MS,
            chance,
            queue: Queue::default(),
            store,
            gateways,
            calls: Vec::new(),
            runs: Vec::new(),
            errands: Vec::new(),
            clients: Vec::new(),
            truths,
            answers: Vec::new(),
            census: Census::default(),
            breach: None,
            trace,
            is_healed: false,
            end_ms,
            setting,
        }
    }

    fn live(mut self) -> Lived {
        self.begin();
        while self.breach.is_none() {
            let Some((at_ms, event)) = self.queue.pop() else { break };
            self.now_ms = at_ms;
            self.census.steps += 1;
            if self.census.steps > STEPS_MAX {
                self.broken(None, "the world goes round in circles".to_owned());
            }
            self.happen(event);
        }
        if self.breach.is_none() {
            self.judge_end();
        }
        self.census.worlds = 1;
        Lived { census: self.census, breach: self.breach, lines: self.trace.into_lines() }
    }

    fn begin(&mut self) {
        if self.trace.is_on() {
            self.describe();
        }
        self.make_clients();
        for gateway in 0..self.setting.gateways {
            let fault_ms = self.chance.between(1_000, 30_000);
            self.after(fault_ms, Event::GatewayFault(gateway));
            let sweep_ms = self.chance.between(1, self.setting.sweep_ms);
            self.after(sweep_ms, Event::Sweep(gateway));
            let round_ms = self.chance.between(1, self.setting.round_ms);
            self.after(round_ms, Event::Round(gateway));
        }
        for event in [Event::StoreFault, Event::PersonActs, Event::OwnerActs] {
            let first_ms = self.chance.between(1_000, 30_000);
            self.after(first_ms, event);
        }
        self.after(self.setting.bad_time_ms, Event::Heals);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ClientActs(client) => self.client_acts(client),
            Event::ClientLeaves { client, call } => self.client_leaves(client, call),
            Event::Reaches { task, what } => self.reach(task, what),
            Event::Question { from, key, ask, life } => self.question(from, key, ask, life),
            Event::OriginGets(run) => self.origin_gets(run),
            Event::OriginActs(run) => self.origin_acts(run),
            Event::OriginIsAsked(errand) => self.origin_is_asked(errand),
            Event::DeadlinePasses(run) => self.deadline_passes(run),
            Event::GatewayFault(gateway) => self.gateway_fault(gateway),
            Event::GatewayStarts { gateway, life } => self.gateway_starts(gateway, life),
            Event::GatewayWakes { gateway, life, slept_ms } => self.gateway_wakes(gateway, life, slept_ms),
            Event::GatewayStops { gateway, life } => self.gateway_stops(gateway, life),
            Event::GatewayExits { gateway, life } => self.gateway_exits(gateway, life),
            Event::StoreFault => self.store_fault(),
            Event::StoreIsBack { lost } => self.store_is_back(lost),
            Event::Sweep(gateway) => self.sweep(gateway),
            Event::Round(gateway) => self.round(gateway),
            Event::PersonActs => self.person_acts(),
            Event::OwnerActs => self.owner_acts(),
            Event::Heals => self.heal(),
            Event::LastRequests => self.last_requests(),
        }
    }

    /// Hands news to the task that waits for it, if its process lives; a frozen process gets it when it goes on.
    fn reach(&mut self, task: Address, what: News) {
        let Some(gateway) = self.gateways.get(usize::from(task.gateway)) else { return };
        if gateway.life != task.life || !gateway.is_up {
            return;
        }
        if gateway.frozen_until_ms > self.now_ms {
            let until_ms = gateway.frozen_until_ms;
            self.at(until_ms, Event::Reaches { task, what });
            return;
        }
        match task.task {
            Task::Call(call) => self.call_gets(call, task.token, what),
            Task::Lease(call) => self.lease_looks(call, task.token),
            Task::Renewal(call) => self.renewal_gets(call, task.token, &what),
            Task::Errand(errand) => self.errand_gets(errand, task.token, what),
        }
    }

    fn heal(&mut self) {
        note!(self, None, "the bad time is over");
        self.is_healed = true;
        self.after(GOOD_TIME_MS, Event::LastRequests);
    }

    fn describe(&mut self) {
        let setting = &self.setting;
        let mut lines = vec![format!("a store that {}; gateways: {}", setting.tier, setting.gateways)];
        for (key, of_key) in setting.keys.iter().enumerate() {
            let policy = &of_key.policy;
            lines.push(format!(
                "key {key}: origin {}, {}, lease {:?}, on lapse {:?}, settling {:?} ms, retention {:?}, {:?} after it",
                of_key.origin,
                of_key.dating,
                policy.lease,
                policy.on_lapse,
                of_key.settling_ms,
                policy.retention,
                policy.after_retention,
            ));
        }
        let faults: Vec<&str> = setting.faults.iter().map(Fault::as_str).collect();
        lines.push(format!("faults: {}, {} in 1000", faults.join(" "), setting.fault_per_mille));
        for line in lines {
            note!(self, None, "{line}");
        }
    }

    pub(crate) fn at(&mut self, at_ms: u64, event: Event) {
        let tie = (self.chance.draw() >> 32) as u32;
        self.queue.push(at_ms.max(self.now_ms), tie, event);
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now_ms + ms, event);
    }

    /// The same for what comes round again: not for ever.
    pub(crate) fn again_after(&mut self, ms: u64, event: Event) {
        if self.now_ms + ms < self.end_ms {
            self.after(ms, event);
        }
    }

    /// Whether something goes wrong on this occasion. Drawn also where it cannot, so that leaving a fault out changes little else.
    pub(crate) fn goes_wrong(&mut self, fault: Fault) -> bool {
        let is_drawn = self.chance.per_mille(self.setting.fault_per_mille);
        is_drawn && !self.is_healed && self.setting.faults.has(fault)
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.setting.has(flaw)
    }

    pub(crate) fn saw(&mut self, rare: Rare) {
        self.census.saw(rare);
    }

    /// The run that claims under an attempt's name.
    pub(crate) fn run_of(&self, attempt: Attempt) -> Option<&Run> {
        self.runs.get(number_of(attempt) as usize)
    }

    pub(crate) fn broken(&mut self, key: Option<u8>, what: String) {
        note!(self, key, "BROKEN: {what}");
        if self.breach.is_none() {
            self.breach = Some(Breach { key, at_ms: self.now_ms - BEGIN_MS, what });
        }
    }
}

/// The number that an attempt's name is made of.
pub(crate) fn number_of(attempt: Attempt) -> u32 {
    let [.., a, b, c, d] = attempt.id.0;
    u32::from_be_bytes([a, b, c, d])
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(key) = self.key {
            write!(f, " (key {key})")?;
        }
        write!(f, ", {:.3} s into the world", self.at_ms as f64 / 1_000.0)
    }
}
