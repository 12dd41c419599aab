//! `[[route]]`: what the gateway does with requests of one path.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use onceward_core::{
    canonical::Volatile,
    fingerprint::Equality,
    header::Cookies,
    outcome::{Policy, StatusSet},
    profile::{Namespace, Profile},
    record::OnLapse,
};
use onceward_proxy::gateway::guarding_of;
use onceward_tower::origin::{Demand, Guarding, Route};

use super::value::{bytes, duration, list, truth};

/// What may stand in a table, in the order of the documentation.
pub(super) const NAMES: &[&str] = &[
    "path",
    "methods",
    "guard",
    "profile",
    "required",
    "scope",
    "equality",
    "wait",
    "run_time_max",
    "retention",
    "remember",
    "on_lapse",
    "final",
    "released",
    "cookies",
    "intent",
    "precondition",
    "outcome_bytes_max",
    "request_bytes_max",
];

/// One table, as text.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable {
    /// File and line.
    pub(crate) place: String,
    pub(crate) values: BTreeMap<&'static str, String>,
}

impl RouteTable {
    /// The route; what the table does not say is as `others` has it, or as the table's own profile has it.
    pub(super) fn route(&self, others: &Guarding) -> anyhow::Result<Route> {
        let path =
            self.values.get("path").with_context(|| format!("{}: a route needs a `path`", self.place))?;
        let methods: Vec<&str> =
            self.values.get("methods").map_or_else(Vec::new, |text| list(text).collect());
        let is_guarded = self.parsed("guard", truth)?.unwrap_or(true);
        let route = if is_guarded {
            Route::guarded(&methods, path, self.guarding(others)?)
        } else {
            Route::passed(&methods, path)
        };
        route.with_context(|| self.place.clone())
    }

    fn guarding(&self, others: &Guarding) -> anyhow::Result<Guarding> {
        let base = match self.parsed("profile", profile)? {
            Some(profile) => guarding_of(&profile),
            None => others.clone(),
        };
        Ok(Guarding {
            is_key_required: self.parsed("required", truth)?.unwrap_or(base.is_key_required),
            namespace: self.parsed("scope", namespace)?.unwrap_or(base.namespace),
            equality: self.parsed("equality", equality)?.map_or(base.equality, Arc::new),
            intent: self.parsed("intent", demand)?.unwrap_or(base.intent),
            precondition: self.parsed("precondition", demand)?.unwrap_or(base.precondition),
            policy: Arc::new(self.policy(&base.policy)?),
            ..base
        })
    }

    fn policy(&self, base: &Policy) -> anyhow::Result<Policy> {
        let time = |name, base: Duration| anyhow::Ok(self.parsed(name, duration)?.unwrap_or(base));
        let size = |name, base: usize| anyhow::Ok(self.parsed(name, bytes)?.unwrap_or(base));
        Ok(Policy {
            wait: time("wait", base.wait)?,
            run_time_max: time("run_time_max", base.run_time_max)?,
            retention: time("retention", base.retention)?,
            remember: time("remember", base.remember)?,
            on_lapse: self.parsed("on_lapse", on_lapse)?.unwrap_or(base.on_lapse),
            final_statuses: self.parsed("final", statuses)?.unwrap_or(base.final_statuses),
            released_statuses: self.parsed("released", statuses)?.unwrap_or(base.released_statuses),
            cookies: self.parsed("cookies", cookies)?.unwrap_or(base.cookies),
            outcome_bytes_max: size("outcome_bytes_max", base.outcome_bytes_max)?,
            request_bytes_max: size("request_bytes_max", base.request_bytes_max)?,
            ..base.clone()
        })
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let Some(text) = self.values.get(name) else { return Ok(None) };
        parse(text).map(Some).with_context(|| format!("{}: {name} = {text:?}", self.place))
    }
}

pub(super) fn profile(name: &str) -> anyhow::Result<Profile> {
    Profile::named(name).with_context(|| format!("expected one of: {}", Profile::NAMES.join(", ")))
}

fn namespace(text: &str) -> anyhow::Result<Namespace> {
    match text {
        "actor" => Ok(Namespace::Actor),
        "route" => Ok(Namespace::Route),
        _ => bail!("expected `actor` or `route`"),
    }
}

fn equality(text: &str) -> anyhow::Result<Equality> {
    match text {
        "bytes" => Ok(Equality::Bytes),
        "canonical" => Ok(Equality::Canonical(Volatile::common())),
        _ => bail!("expected `bytes` or `canonical`"),
    }
}

fn on_lapse(text: &str) -> anyhow::Result<OnLapse> {
    match text {
        "doubt" => Ok(OnLapse::Doubt),
        "execute" => Ok(OnLapse::Execute),
        _ => bail!("expected `doubt` or `execute`"),
    }
}

fn cookies(text: &str) -> anyhow::Result<Cookies> {
    match text {
        "drop" => Ok(Cookies::Drop),
        "keep" => Ok(Cookies::Keep),
        _ => bail!("expected `drop` or `keep`"),
    }
}

fn demand(text: &str) -> anyhow::Result<Demand> {
    match text {
        "optional" => Ok(Demand::Optional),
        "required" => Ok(Demand::Required),
        _ => bail!("expected `optional` or `required`"),
    }
}

/// `404,500-599`.
fn statuses(text: &str) -> anyhow::Result<StatusSet> {
    let status = |text: &str| {
        let status = text.trim().parse().ok().filter(|status| (100..=599).contains(status));
        status.with_context(|| format!("{text:?} is no status from 100 to 599"))
    };
    list(text).try_fold(StatusSet::NONE, |set, item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Ok(set.with(status(first)?, status(last)?))
    })
}
