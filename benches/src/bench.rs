//! The benchmarks.

mod gateway;
mod middleware;
mod store;

use std::time::Duration;

use anyhow::Result;

use crate::{figures::Sample, plan::Plan, rounds::Case, server::Server, stand::Stand, wrk::Answered};

/// One benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bench {
    Layer,
    Actix,
    Gateway,
    Store,
    Shared,
}

impl Bench {
    pub(crate) const ALL: [Self; 5] = [Self::Layer, Self::Actix, Self::Gateway, Self::Store, Self::Shared];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Actix => "actix",
            Self::Gateway => "gateway",
            Self::Store => "store",
            Self::Shared => "shared",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bench| bench.name() == name)
    }

    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// What is measured, and what shares which core.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Layer => middleware::AXUM.about,
            Self::Actix => middleware::ACTIX.about,
            Self::Gateway => gateway::ABOUT,
            Self::Store => store::ABOUT,
            Self::Shared => store::ABOUT_SHARED,
        }
    }

    pub(crate) fn cases<'a>(self, stand: &'a Stand, plan: &'a Plan) -> Result<Vec<Case<'a>>> {
        match self {
            Self::Layer => Ok(vec![middleware::AXUM.case(stand, plan)]),
            Self::Actix => Ok(vec![middleware::ACTIX.case(stand, plan)]),
            Self::Gateway => gateway::cases(stand, plan),
            Self::Store => Ok(store::cases(stand, plan)),
            Self::Shared => Ok(store::shared_cases(stand, plan)),
        }
    }
}

/// A stretch of load.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    seconds: u64,
    /// What its keys begin with, so that those of the warm-up are others.
    key_prefix: &'static str,
}

/// What a server did.
#[derive(Debug)]
struct Driven {
    /// While it was measured.
    answered: Answered,
    cpu: Duration,
    growth_bytes: u64,
    /// With the warm-up.
    requests_in_all: u64,
}

/// Warms a server up, then measures it.
fn drive(server: &Server, plan: &Plan, load: impl Fn(Stretch) -> Result<Answered>) -> Result<Driven> {
    let warm_up = match plan.warm_up_seconds {
        0 => 0,
        seconds => load(Stretch { seconds, key_prefix: "warm" })?.requests,
    };
    let memory_bytes = server.begin_peak()?;
    let cpu = server.cpu()?;
    let answered = load(Stretch { seconds: plan.seconds, key_prefix: "run" })?;
    Ok(Driven {
        cpu: server.cpu()?.saturating_sub(cpu),
        growth_bytes: server.peak_bytes()?.saturating_sub(memory_bytes),
        requests_in_all: warm_up + answered.requests,
        answered,
    })
}

impl Driven {
    fn sample(self) -> Sample {
        Sample {
            count: self.answered.requests as f64,
            span: self.answered.span,
            cpu: self.cpu,
            latency: self.answered.latency,
            growth_bytes: Some(self.growth_bytes),
        }
    }
}
