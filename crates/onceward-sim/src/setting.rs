//! What a world consists of, as its seed has it.

use std::time::Duration;

use onceward_core::{
    outcome::{OnPanic, Policy, Statuses},
    record::{AfterRetention, OnLapse, OnMismatch},
};

use crate::{
    chance::Chance,
    fault::{Fault, Faults},
    flaw::Flaw,
    name::named,
};

named! {
    /// What a store keeps of what it acknowledged, and whom it serves.
    Tier {
        Keeps = "keeps all, for many processes",
        OneProcess = "keeps all, for the one process that opened it",
        ForgetsWithPower = "loses its last writes when the power goes",
        ForgetsWithProcess = "lives as long as its process",
        LosesLastWrites = "loses its last writes when a replica takes over",
    }
}

named! {
    /// What an origin does with a request, which decides what doubt may become (D0).
    Origin {
        Opaque = "opaque",
        Keyed = "keyed",
        Fenced = "fenced",
        Queryable = "queryable",
        Transactional = "tx",
    }
}

named! {
    /// What a key says of its age, and what is done about one that says nothing once history was lost (T5).
    Dating {
        Dated = "dated",
        UndatedRefused = "undated, refused",
        UndatedRuns = "undated, runs",
    }
}

/// How a world differs from one in which everything may happen: for controls, and to find out what a failure needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The mistake that is planted in it.
    pub flaw: Option<Flaw>,
    /// What does not go wrong in it.
    pub without: Faults,
}

/// One key: all its requests name the same wish.
#[derive(Clone, Debug)]
pub(crate) struct KeySetting {
    pub(crate) origin: Origin,
    pub(crate) dating: Dating,
    pub(crate) policy: Policy,
    /// How long after its socket closed a request may still take effect, as the route declares it; `None` where no resolver looks.
    pub(crate) settling_ms: Option<u64>,
}

/// A world before its first step.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) tier: Tier,
    pub(crate) gateways: u8,
    pub(crate) keys: Vec<KeySetting>,
    pub(crate) clients: u32,
    pub(crate) flaw: Option<Flaw>,
    /// Which faults there are.
    pub(crate) faults: Faults,
    /// How often those are met, in thousandths of the occasions.
    pub(crate) fault_per_mille: u64,
    /// How long the bad time lasts.
    pub(crate) bad_time_ms: u64,
    /// Whether outcomes and keys are forgotten within the world's time.
    pub(crate) is_forgetful: bool,
    pub(crate) sweep_ms: u64,
    pub(crate) round_ms: u64,
    pub(crate) pause_ms: u64,
}

/// True milliseconds at which a world begins: far from 0, so that epochs are not small.
pub(crate) const BEGIN_MS: u64 = 1_800_000_000_000;

/// The longest time that anything is on its way: a message to the store, a request to an opaque origin.
pub(crate) const WAY_MS_MAX: u64 = 25_000;

/// How much of the declared settling time a request uses at the most, beside [`SETTLING_SPARED_MS`]: what clocks drift is the rest.
const SETTLING_USED_PER_MILLE: u64 = 900;

/// What of the settling time a process's word about the store's time may be behind.
const SETTLING_SPARED_MS: u64 = 350;

/// How long an outcome is tried to be stored behind its caller's back (`Limits::settle_time_max`, shortened).
pub(crate) const SETTLE_TIME_MS: u64 = 40_000;

/// How long a store operation may take (`Limits::store_time_max`), and how long an answer waits to be stored (`Limits::settle_patience`).
pub(crate) const STORE_TIME_MS: u64 = 5_000;

/// How often a fault is met in worlds that are staged for a mistake.
const STAGE_PER_MILLE: u64 = 250;

impl Setting {
    pub(crate) fn of(seed: u64, rules: &Rules) -> Self {
        // Apart from what happens in the world, so that a fault that is left out leaves everything here as it is.
        let chance = &mut Chance::of(seed ^ 0x5e77_1e5e_77e1);
        let stage = rules.flaw.and_then(Flaw::stage);
        let drawn_tier = chance.one_of([
            Tier::Keeps,
            Tier::Keeps,
            Tier::OneProcess,
            Tier::ForgetsWithPower,
            Tier::ForgetsWithProcess,
            Tier::LosesLastWrites,
            Tier::LosesLastWrites,
        ]);
        let tier = stage.map_or(drawn_tier, |stage| stage.tier);
        let drawn_gateways = u8::try_from(chance.between(2, 5)).unwrap_or(2);
        let gateways = if tier.is_shared() { drawn_gateways } else { 1 };
        let is_forgetful = chance.per_mille(300);
        let origin = stage.map(|stage| stage.origin);
        let keys =
            (0..chance.between(1, 3)).map(|_| KeySetting::draw(chance, tier, origin, is_forgetful)).collect();
        let drawn_faults = Faults::draw(chance);
        let faults = stage.map_or(drawn_faults, |stage| stage.faults);
        let drawn_per_mille = chance.one_of([20, 60, 120, 250]);
        let clients = u32::try_from(chance.between(2, 7)).unwrap_or(2);
        Self {
            tier,
            gateways,
            keys,
            clients,
            flaw: rules.flaw,
            faults: faults.without(rules.without),
            fault_per_mille: stage.map_or(drawn_per_mille, |_| STAGE_PER_MILLE),
            bad_time_ms: chance.between(20_000, 90_000),
            is_forgetful,
            sweep_ms: chance.between(4_000, 15_000),
            round_ms: chance.between(1_500, 6_000),
            pause_ms: chance.between(500, 4_000),
        }
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Whether a verdict may be wrong in this world: then its promises are those of the assumption H7.
    pub(crate) fn may_guess(&self) -> bool {
        self.faults.has(Fault::WrongVerdict)
    }
}

impl Tier {
    /// Whether several processes work on it at once.
    pub(crate) const fn is_shared(self) -> bool {
        matches!(self, Self::Keeps | Self::LosesLastWrites)
    }

    /// Whether acknowledged writes may go.
    pub(crate) const fn is_lossy(self) -> bool {
        matches!(self, Self::ForgetsWithPower | Self::ForgetsWithProcess | Self::LosesLastWrites)
    }
}

impl KeySetting {
    fn draw(chance: &mut Chance, tier: Tier, staged: Option<Origin>, is_forgetful: bool) -> Self {
        let any = [Origin::Opaque, Origin::Queryable, Origin::Keyed, Origin::Fenced];
        let drawn = if chance.per_mille(150) { Origin::Transactional } else { chance.one_of(any) };
        // What a store loses of one transaction it loses of both, so that there is nothing to be seen.
        let is_unseen = drawn == Origin::Transactional && tier.is_lossy();
        let origin = staged.unwrap_or(if is_unseen { Origin::Opaque } else { drawn });
        let may_run_again = match origin {
            Origin::Transactional => true,
            Origin::Keyed => chance.per_mille(500),
            Origin::Opaque | Origin::Fenced | Origin::Queryable => false,
        };
        let seconds = |chance: &mut Chance, first: u64, last: u64| {
            Duration::from_millis(chance.between(first * 1_000, last * 1_000))
        };
        let long = Policy::middleware();
        let policy = Policy {
            wait: if chance.per_mille(200) { Duration::ZERO } else { seconds(chance, 1, 12) },
            lease: seconds(chance, 3, 15),
            run_time_max: seconds(chance, 6, 40),
            retention: if is_forgetful { seconds(chance, 5, 30) } else { long.retention },
            remember: if is_forgetful { seconds(chance, 130, 180) } else { long.remember },
            on_lapse: if may_run_again { OnLapse::Execute } else { OnLapse::Doubt },
            after_retention: chance.one_of([
                AfterRetention::Refuse,
                AfterRetention::Refuse,
                AfterRetention::Execute,
            ]),
            on_mismatch: chance.one_of([OnMismatch::Refuse, OnMismatch::Replay]),
            on_panic: chance.one_of([OnPanic::Doubt, OnPanic::Final]),
            statuses: chance.one_of([Statuses::Handler, Statuses::Upstream]),
            ..long
        };
        let settling_ms = chance.between(2_000, 15_000);
        Self {
            origin,
            dating: chance.one_of([
                Dating::Dated,
                Dating::Dated,
                Dating::UndatedRefused,
                Dating::UndatedRuns,
            ]),
            policy,
            settling_ms: (origin != Origin::Opaque).then_some(settling_ms),
        }
    }

    /// The last moment at which a request can still have its effect once its socket closed at `closed_ms`.
    pub(crate) fn arrives_until(&self, closed_ms: u64) -> u64 {
        self.settling_ms.map_or(u64::MAX, |settling_ms| {
            closed_ms + settling_ms * SETTLING_USED_PER_MILLE / 1_000 - SETTLING_SPARED_MS
        })
    }
}
