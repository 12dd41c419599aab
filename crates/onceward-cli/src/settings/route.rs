//! `[[route]]`: what the gateway does with requests of one path.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use http::HeaderName;
use onceward_core::{
    canonical::Volatile,
    fingerprint::Equality,
    header::{Cookies, is_kept},
    key::KeyPath,
    outcome::{Policy, StatusSet, WhenStoreDown},
    profile::{Namespace, Profile},
    record::{AfterRetention, OnLapse},
    twin::TwinRule,
};
use onceward_proxy::gateway::guarding_of;
use onceward_tower::origin::{Demand, Guarding, Route};

use super::{
    lease,
    value::{bytes, duration, list, truth},
    when_store_down,
};

/// What may stand in a table, in the order of the documentation.
pub(super) const NAMES: &[&str] = &[
    "path",
    "methods",
    "guard",
    "profile",
    "required",
    "key_member",
    "scope",
    "equality",
    "wait",
    "lease",
    "run_time_max",
    "retention",
    "remember",
    "after_retention",
    "on_lapse",
    "when_store_down",
    "final",
    "released",
    "cookies",
    "keep_headers",
    "intent",
    "precondition",
    "twin_fields",
    "twin_window",
    "outcome_bytes_max",
    "request_bytes_max",
];

/// How long an effect stands in the way of its twins where a route does not say: a client that lost its key comes back within minutes, and
/// who orders the same once more seldom does.
const TWIN_WINDOW: Duration = Duration::from_secs(10 * 60);

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
        let policy = self.policy(&base.policy)?;
        let kept_fields = match self.parsed("keep_headers", field_names)? {
            Some(names) => Some(kept(names, policy.cookies)),
            None => base.kept_fields,
        };
        let twins = self.twins(base.twins.as_ref())?;
        Ok(Guarding {
            twins,
            body_member: self.parsed("key_member", key_path)?.or(base.body_member),
            is_key_required: self.parsed("required", truth)?.unwrap_or(base.is_key_required),
            namespace: self.parsed("scope", namespace)?.unwrap_or(base.namespace),
            equality: self.parsed("equality", equality)?.map_or(base.equality, Arc::new),
            intent: self.parsed("intent", demand)?.unwrap_or(base.intent),
            precondition: self.parsed("precondition", demand)?.unwrap_or(base.precondition),
            policy: Arc::new(policy),
            kept_fields,
            ..base
        })
    }

    fn policy(&self, base: &Policy) -> anyhow::Result<Policy> {
        let time = |name, base: Duration| anyhow::Ok(self.parsed(name, duration)?.unwrap_or(base));
        let size = |name, base: usize| anyhow::Ok(self.parsed(name, bytes)?.unwrap_or(base));
        Ok(Policy {
            wait: time("wait", base.wait)?,
            lease: self.parsed("lease", lease)?.unwrap_or(base.lease),
            run_time_max: time("run_time_max", base.run_time_max)?,
            retention: time("retention", base.retention)?,
            remember: time("remember", base.remember)?,
            on_lapse: self.parsed("on_lapse", on_lapse)?.unwrap_or(base.on_lapse),
            when_store_down: self.when_store_down()?.unwrap_or(base.when_store_down),
            after_retention: self.parsed("after_retention", after_retention)?.unwrap_or(base.after_retention),
            final_statuses: self.parsed("final", statuses)?.unwrap_or(base.final_statuses),
            released_statuses: self.parsed("released", statuses)?.unwrap_or(base.released_statuses),
            cookies: self.parsed("cookies", cookies)?.unwrap_or(base.cookies),
            outcome_bytes_max: size("outcome_bytes_max", base.outcome_bytes_max)?,
            request_bytes_max: size("request_bytes_max", base.request_bytes_max)?,
            ..base.clone()
        })
    }

    /// How twins are told, where the table says so or `base` does.
    fn twins(&self, base: Option<&TwinRule>) -> anyhow::Result<Option<TwinRule>> {
        let window = self.parsed("twin_window", duration)?;
        let Some(paths) = self.values.get("twin_fields") else {
            return match window {
                Some(_) => bail!("{}: `twin_window` needs `twin_fields`", self.place),
                None => Ok(base.cloned()),
            };
        };
        let rule = TwinRule::new(list(paths), window.unwrap_or(TWIN_WINDOW));
        let context = || format!("{}: twin_fields = {paths:?}", self.place);
        rule.map(Some).with_context(context)
    }

    /// What the table itself says of a store that is down.
    pub(super) fn when_store_down(&self) -> anyhow::Result<Option<WhenStoreDown>> {
        self.parsed("when_store_down", when_store_down)
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

fn after_retention(text: &str) -> anyhow::Result<AfterRetention> {
    match text {
        "refuse" => Ok(AfterRetention::Refuse),
        "execute" => Ok(AfterRetention::Execute),
        _ => bail!("expected `refuse` or `execute`"),
    }
}

fn key_path(text: &str) -> anyhow::Result<KeyPath> {
    KeyPath::parse(text).context("expected one member by names and indexes, such as `$.params.key`")
}

/// Names of fields that an answer may keep beside its framing.
fn field_names(text: &str) -> anyhow::Result<Vec<HeaderName>> {
    let name = |text: &str| {
        let name: HeaderName = text.parse().with_context(|| format!("{text:?} is no field name"))?;
        if name == http::header::SET_COOKIE {
            bail!("`cookies` says what becomes of `set-cookie`");
        }
        if !is_kept(name.as_str(), Cookies::Keep) {
            bail!("`{name}` belongs to one answer and is never kept");
        }
        Ok(name)
    };
    list(text).map(name).collect()
}

/// What is kept: the fields that are named, and cookies where they are kept.
fn kept(mut names: Vec<HeaderName>, cookies: Cookies) -> Arc<[HeaderName]> {
    if cookies == Cookies::Keep {
        names.push(http::header::SET_COOKIE);
    }
    names.into()
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
