//! `[[resolver]]`: who finds out what became of effects in doubt (D2).

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use http::{HeaderName, StatusCode};
use onceward::secret_file;
use onceward_core::{header::name::IDEMPOTENCY_KEY, outcome::Policy};
use onceward_engine::Pace;
use onceward_resolve::{
    Command, Effects, Fetch, Finder, OriginKey, Passthrough, Probe, Recipe, Resolvers, builtin, builtin_named,
};
use onceward_tower::{Webhook, WebhookSecret, Webhooks};

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
    "key_json",
    "key_lifetime",
    "undecided",
    "command",
    "webhook",
    "secret_files",
    "methods",
    "paths",
    "host",
    "settle",
];

/// What is only a passthrough's.
const PASSTHROUGH_NAMES: [&str; 4] = ["key_header", "key_json", "key_lifetime", "undecided"];

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
    Passthrough(PassthroughSettings),
    Command { name: String, effects: Effects, program: Vec<String>, settle: Duration },
    Webhook(WebhookSettings),
}

/// What an origin promises of its keys.
#[derive(Clone, Debug)]
pub(crate) struct PassthroughSettings {
    name: String,
    effects: Effects,
    key: OriginKey,
    key_lifetime: Option<Duration>,
    undecided: Vec<StatusCode>,
}

impl PassthroughSettings {
    fn passthrough(self, policy: &Policy, fetch: Arc<dyn Fetch>) -> Passthrough {
        let passthrough = Passthrough::new(self.name, self.effects, self.key, policy, fetch);
        let passthrough = passthrough.undecided_at(self.undecided);
        match self.key_lifetime {
            Some(lifetime) => passthrough.knowing_keys_for(lifetime),
            None => passthrough,
        }
    }
}

/// A resolver that is told, and does not look.
#[derive(Clone, Debug)]
pub(crate) struct WebhookSettings {
    /// File and line.
    place: String,
    name: String,
    effects: Effects,
    secrets: Vec<WebhookSecret>,
}

impl WebhookSettings {
    fn webhook(&self, policy: &Policy) -> Webhook {
        let effects = self.effects.clone();
        let webhook = Webhook::new(&self.name, self.secrets.clone()).keeping(policy);
        webhook.about(move |method, uri| effects.are_of(method, uri))
    }
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
        let finder = |settings: &ResolverSettings| -> Option<Arc<dyn Finder>> {
            Some(match settings.clone() {
                ResolverSettings::Probe(recipe) => Arc::new(Probe::new(*recipe, Arc::clone(fetch))),
                ResolverSettings::Passthrough(settings) => {
                    Arc::new(settings.passthrough(policy, Arc::clone(fetch)))
                }
                ResolverSettings::Command { name, effects, program, settle } => {
                    let mut words = program.into_iter().map(Into::into);
                    let program = words.next().unwrap_or_default();
                    Arc::new(Command::new(name, effects, program, words.collect(), settle))
                }
                ResolverSettings::Webhook(_) => return None,
            })
        };
        Resolvers::new(self.resolvers.iter().filter_map(finder).collect())
    }

    /// Who may post verdicts; of a posted answer is kept what `policy` keeps of every outcome.
    pub(crate) fn webhooks(&self, policy: &Policy) -> Webhooks {
        Webhooks::new(self.told().map(|settings| settings.webhook(policy)).collect())
    }

    /// The same where effects are those of many sites, whose word counts for none but their own.
    pub(crate) fn webhooks_of_sites(&self, policy: &Policy) -> anyhow::Result<Webhooks> {
        match self.told().find(|settings| !settings.effects.name_host()) {
            Some(WebhookSettings { place, .. }) => bail!(
                "{place}: at the forward proxy a webhook is one site's; say which with `host = \"shop.example\"`"
            ),
            None => Ok(self.webhooks(policy)),
        }
    }

    fn told(&self) -> impl Iterator<Item = &WebhookSettings> {
        self.resolvers.iter().filter_map(|settings| match settings {
            ResolverSettings::Webhook(settings) => Some(settings),
            ResolverSettings::Probe(_)
            | ResolverSettings::Passthrough(_)
            | ResolverSettings::Command { .. } => None,
        })
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
        let is_so = |name| self.values.get(name).map_or(Ok(false), |text| truth(text));
        let (is_passthrough, is_webhook) = (is_so("passthrough")?, is_so("webhook")?);
        match (self.values.get("recipe"), is_passthrough, self.command.as_slice(), is_webhook) {
            (Some(recipe), false, [], false) => self.probe(recipe),
            (None, true, [], false) => self.passthrough(),
            (None, false, program @ [_, ..], false) => self.command(program),
            (None, false, [], true) => self.webhook(),
            (None, false, [], false) => {
                bail!("a resolver needs a `recipe`, a `command`, `passthrough = true` or `webhook = true`")
            }
            _ => bail!(
                "a resolver is one of `recipe`, `command`, `passthrough` and `webhook`; write one table for each"
            ),
        }
    }

    fn webhook(&self) -> anyhow::Result<ResolverSettings> {
        self.refuse(&PASSTHROUGH_NAMES, "a webhook")?;
        self.refuse(&["settle"], "a webhook")?;
        let Some(name) = self.values.get("name") else {
            bail!("what does the audit log call this webhook? Say it with `name = \"shop\"`");
        };
        let files = self.values.get("secret_files").map_or_else(Vec::new, |text| list(text).collect());
        if files.is_empty() {
            bail!(
                "with which secret is it signed? Name its file: `secret_files = [\"/etc/onceward/shop.whsec\"]`"
            );
        }
        let secret = |file: &str| -> anyhow::Result<WebhookSecret> {
            let text = secret_file::text(Path::new(file))?;
            text.parse().with_context(|| file.to_owned())
        };
        Ok(ResolverSettings::Webhook(WebhookSettings {
            place: self.place.clone(),
            name: name.clone(),
            effects: self.effects()?,
            secrets: files.into_iter().map(secret).collect::<anyhow::Result<_>>()?,
        }))
    }

    fn passthrough(&self) -> anyhow::Result<ResolverSettings> {
        self.refuse(&["settle", "secret_files"], "a passthrough")?;
        let key_lifetime = self.values.get("key_lifetime").map(|text| duration(text)).transpose();
        let key_lifetime = key_lifetime.context("key_lifetime")?;
        if key_lifetime.is_some_and(|lifetime| lifetime <= Passthrough::LIFETIME_LEFT_MIN) {
            bail!("key_lifetime: of five minutes or less, nothing is left to send a request again in");
        }
        let statuses = self.values.get("undecided").map_or_else(Vec::new, |text| list(text).collect());
        let undecided = statuses.into_iter().map(|text| {
            text.parse::<StatusCode>()
                .with_context(|| format!("undecided = [{text}]: a status is 100 to 999"))
        });
        Ok(ResolverSettings::Passthrough(PassthroughSettings {
            name: self.name("passthrough"),
            effects: self.effects()?,
            key: self.origin_key()?,
            key_lifetime,
            undecided: undecided.collect::<anyhow::Result<_>>()?,
        }))
    }

    fn origin_key(&self) -> anyhow::Result<OriginKey> {
        match (self.values.get("key_header"), self.values.get("key_json")) {
            (Some(_), Some(_)) => {
                bail!("a key is in a header or in the body: give `key_header` or `key_json`")
            }
            (Some(name), None) => {
                let name = name.parse().with_context(|| format!("key_header = {name:?}"))?;
                Ok(OriginKey::header(name))
            }
            (None, Some(path)) => OriginKey::member(path).map_err(anyhow::Error::msg).context("key_json"),
            (None, None) => Ok(OriginKey::header(HeaderName::from_static(IDEMPOTENCY_KEY))),
        }
    }

    fn command(&self, program: &[String]) -> anyhow::Result<ResolverSettings> {
        self.refuse(&PASSTHROUGH_NAMES, "a command")?;
        self.refuse(&["secret_files"], "a command")?;
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
        self.refuse(&PASSTHROUGH_NAMES, "a recipe")?;
        self.refuse(&["name", "methods", "paths", "host", "settle", "secret_files"], "a recipe")?;
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
            bail!("whose effects are found out? Say it with `paths = [\"/orders\"]`");
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
