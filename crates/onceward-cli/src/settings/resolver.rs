//! `[[resolver]]`: who finds out what became of effects in doubt (D2).

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use http::HeaderName;
use onceward_core::{header::name::IDEMPOTENCY_KEY, outcome::Policy};
use onceward_engine::Pace;
use onceward_resolve::{
    Command, Effects, Fetch, Finder, Passthrough, Probe, Recipe, Resolvers, builtin, builtin_named,
};

use super::{
    Settings,
    value::{duration, list, truth},
};

/// What may stand in a table, in the order of the documentation.
pub(super) const NAMES: &[&str] = &[
    "name",
    "recipe",
    "parameters",
    "passthrough",
    "key_header",
    "command",
    "methods",
    "paths",
    "host",
    "settle",
];

/// One table, as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResolverTable {
    /// File and line.
    pub(crate) place: String,
    pub(crate) values: BTreeMap<&'static str, String>,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// What the recipe's parameters are.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// What one table comes to, before anybody can send a look.
#[derive(Clone, Debug)]
pub(crate) enum ResolverSettings {
    Probe(Box<Recipe>),
    Passthrough { name: String, effects: Effects, key: HeaderName },
    Command { name: String, effects: Effects, program: Vec<String>, settle: Duration },
}

/// Who finds out, and how often.
#[derive(Clone, Debug)]
pub(crate) struct ResolveSettings {
    pub(crate) resolvers: Vec<ResolverSettings>,
    pub(crate) pace: Pace,
}

impl ResolveSettings {
    /// The resolvers, which look by `fetch`; of an answer to a repeated request is kept what `policy` keeps of every outcome.
    pub(crate) fn resolvers(&self, fetch: &Arc<dyn Fetch>, policy: &Policy) -> Resolvers {
        let finder = |settings: &ResolverSettings| -> Arc<dyn Finder> {
            match settings.clone() {
                ResolverSettings::Probe(recipe) => Arc::new(Probe::new(*recipe, Arc::clone(fetch))),
                ResolverSettings::Passthrough { name, effects, key } => {
                    Arc::new(Passthrough::new(name, effects, key, policy, Arc::clone(fetch)))
                }
                ResolverSettings::Command { name, effects, program, settle } => {
                    let mut words = program.into_iter().map(Into::into);
                    let program = words.next().unwrap_or_default();
                    Arc::new(Command::new(name, effects, program, words.collect(), settle))
                }
            }
        };
        Resolvers::new(self.resolvers.iter().map(finder).collect())
    }
}

impl Settings {
    /// Who finds out what became of effects in doubt, and how often.
    pub(crate) fn resolving(&self) -> anyhow::Result<ResolveSettings> {
        let resolvers = self.resolvers.iter().map(ResolverTable::resolver).collect::<anyhow::Result<_>>()?;
        let pace = Pace {
            look_time_max: self.parse("resolve.look_time_max", duration)?,
            age_max: self.parse("resolve.age_max", duration)?,
            alert_age: self.parse("resolve.alert_age", duration)?,
            ..Pace::default()
        };
        Ok(ResolveSettings { resolvers, pace })
    }
}

impl ResolverTable {
    fn resolver(&self) -> anyhow::Result<ResolverSettings> {
        self.kind().with_context(|| self.place.clone())
    }

    fn kind(&self) -> anyhow::Result<ResolverSettings> {
        let is_passthrough =
            self.values.get("passthrough").map(|text| truth(text)).transpose()?.unwrap_or(false);
        match (self.values.get("recipe"), is_passthrough, self.command.as_slice()) {
            (Some(recipe), false, []) => self.probe(recipe),
            (None, true, []) => self.passthrough(),
            (None, false, program @ [_, ..]) => self.command(program),
            (None, false, []) => bail!("a resolver needs a `recipe`, a `command`, or `passthrough = true`"),
            _ => {
                bail!("a resolver is one of `recipe`, `command` and `passthrough`; write one table for each")
            }
        }
    }

    fn passthrough(&self) -> anyhow::Result<ResolverSettings> {
        self.refuse(&["settle"], "a passthrough")?;
        let key = match self.values.get("key_header") {
            Some(text) => text.parse().with_context(|| format!("key_header = {text:?}"))?,
            None => HeaderName::from_static(IDEMPOTENCY_KEY),
        };
        Ok(ResolverSettings::Passthrough { name: self.name("passthrough"), effects: self.effects()?, key })
    }

    fn command(&self, program: &[String]) -> anyhow::Result<ResolverSettings> {
        self.refuse(&["key_header"], "a command")?;
        let Some(settle) = self.values.get("settle") else {
            bail!(
                "how long may a request be on its way once nobody sends it any more? Say it with `settle = \"2m\"`"
            );
        };
        Ok(ResolverSettings::Command {
            name: self.name("command"),
            effects: self.effects()?,
            program: program.to_vec(),
            settle: duration(settle).context("settle")?,
        })
    }

    /// Which effects a recipe looks for, and how long they settle, stands in it.
    fn probe(&self, recipe: &str) -> anyhow::Result<ResolverSettings> {
        self.refuse(&["name", "key_header", "methods", "paths", "host", "settle"], "a recipe")?;
        let parameters: Vec<_> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        recipe_named(recipe, &parameters).map(|recipe| ResolverSettings::Probe(Box::new(recipe)))
    }

    fn effects(&self) -> anyhow::Result<Effects> {
        if !self.parameters.is_empty() {
            bail!("`parameters` are a recipe's");
        }
        let listed = |name| self.values.get(name).map_or_else(Vec::new, |text| list(text).collect());
        let (methods, paths) = (listed("methods"), listed("paths"));
        if paths.is_empty() {
            bail!("whose effects are looked for? Say it with `paths = [\"/orders\"]`");
        }
        let methods = if methods.is_empty() { vec!["POST"] } else { methods };
        Effects::new(&methods, &paths, self.values.get("host").map(String::as_str))
            .map_err(anyhow::Error::msg)
    }

    fn name(&self, kind: &str) -> String {
        self.values.get("name").cloned().unwrap_or_else(|| kind.to_owned())
    }

    fn refuse(&self, names: &[&str], whose: &str) -> anyhow::Result<()> {
        match names.iter().find(|name| self.values.contains_key(**name)) {
            Some(name) => bail!("`{name}` has no meaning for {whose}"),
            None => Ok(()),
        }
    }
}

/// A recipe that comes with the program, or one from a file.
pub(crate) fn recipe_named(named: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Recipe> {
    match builtin_named(named) {
        Some(builtin) => Ok(builtin.recipe(parameters)?),
        None if !named.contains(['/', '.']) => {
            let known: Vec<_> = builtin().iter().map(|builtin| builtin.name()).collect();
            bail!("there is no recipe `{named}`; there are {}, or name a file", known.join(", "));
        }
        None => {
            let text = fs::read_to_string(named).with_context(|| format!("cannot read {named}"))?;
            Recipe::parse_with(&text, parameters).with_context(|| named.to_owned())
        }
    }
}
