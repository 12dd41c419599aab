//! What a run is configured with: flag over variable over file over default, resolved here and nowhere else.

mod file;
mod gateway;
mod resolver;
mod route;
mod spec;
mod value;

use std::{
    borrow::Cow,
    env, fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use onceward::StoreUrl;
use onceward_control::Reach;
use onceward_core::outcome::{Policy, WhenStoreDown};
use onceward_proxy::{
    intercept::{HostPattern, Intercept, Interception},
    upstream::{NoProxy, PrivateTargets, Roots, UpstreamProxy, read_roots},
};
use onceward_store::Durability;

use self::{
    file::File,
    route::RouteTable,
    spec::{SPECS, Spec},
    value::{bytes, duration, list, truth},
};
pub(crate) use self::{
    gateway::GatewaySettings,
    resolver::{ResolveSettings, ResolverTable, recipe_named},
    spec::TakenBy,
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(&'static str),
    Variable(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One resolved setting, as text.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) flag: &'static str,
    pub(crate) text: String,
    pub(crate) source: Source,
}

impl Setting {
    /// The text as it may be shown: what stands before the `@` of an address is a user and a password.
    pub(crate) fn shown(&self) -> Cow<'_, str> {
        match self.text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
            Some((scheme, (_, host))) => format!("{scheme}://…@{host}").into(),
            None => self.text.as_str().into(),
        }
    }
}

/// All settings of a run, as text with where each came from.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    settings: Vec<Setting>,
    /// What the file says of single routes, in its order.
    routes: Vec<RouteTable>,
    /// What the file says of resolvers, in its order.
    resolvers: Vec<ResolverTable>,
}

/// Adds the settings that a command takes to its flags, and `--config` and `--state-dir`.
pub(crate) fn with_flags(command: Command, takes: &[TakenBy]) -> Command {
    let command = command
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .env("ONCEWARD_CONFIG")
                .value_parser(clap::value_parser!(PathBuf))
                .help("The configuration file [default: ./onceward.toml, the user's, /etc/onceward/config.toml]"),
        )
        .arg(
            Arg::new("state-dir")
                .long("state-dir")
                .value_name("DIR")
                .env("ONCEWARD_STATE_DIR")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Where the secret, the authority and the default store live [default: the user's state directory]"),
        );
    SPECS.iter().filter(|spec| takes.contains(&spec.taken_by)).fold(command, |command, spec| {
        // Both servers listen, each at a place of its own; a command for both has one flag for the two.
        if command.get_arguments().any(|arg| arg.get_id() == spec.flag) {
            return command;
        }
        let arg = Arg::new(spec.flag)
            .long(spec.flag)
            .value_name(spec.value_name)
            .env(variable(spec))
            .help(spec.help);
        // A switch may stand alone; `--allow-private` means `--allow-private=true`.
        let arg = if spec.value_name == "true|false" {
            arg.num_args(0..=1).default_missing_value("true").require_equals(true)
        } else if spec.value_name.ends_with(",…") {
            arg.action(ArgAction::Append)
        } else {
            arg
        };
        command.arg(arg)
    })
}

/// clap wants names that live as long as the program; there is one a setting.
fn variable(spec: &Spec) -> &'static str {
    Box::leak(format!("ONCEWARD_{}", spec.flag.to_ascii_uppercase().replace('-', "_")).into_boxed_str())
}

impl Settings {
    /// Resolves every setting for a command line.
    pub(crate) fn resolve(matches: &ArgMatches) -> anyhow::Result<Self> {
        let file = File::find(matches.get_one::<PathBuf>("config").map(PathBuf::as_path))?;
        let state_dir = match matches.get_one::<PathBuf>("state-dir") {
            // What is printed from it (an `export …` line) has to be right in every folder.
            Some(folder) => std::path::absolute(folder).context("--state-dir")?,
            None => default_state_dir()?,
        };
        let settings = SPECS
            .iter()
            .map(|spec| {
                let (text, source) = match given(matches, spec) {
                    Some(given) => given,
                    None => match file.as_ref().and_then(|file| Some((file, file.values.get(spec.key)?))) {
                        Some((file, text)) => (text.clone(), Source::File(file.path.clone())),
                        None => (default(spec, &state_dir), Source::Default),
                    },
                };
                Setting { key: spec.key, flag: spec.flag, text, source }
            })
            .collect();
        let (routes, resolvers) = file.map_or_else(Default::default, |file| (file.routes, file.resolvers));
        Ok(Self { settings, routes, resolvers })
    }

    /// The settings in the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter()
    }

    /// What the file says of single routes, in its order.
    pub(crate) fn routes(&self) -> &[RouteTable] {
        &self.routes
    }

    /// What the file says of resolvers, in its order.
    pub(crate) fn resolvers(&self) -> &[ResolverTable] {
        &self.resolvers
    }

    fn get(&self, key: &'static str) -> anyhow::Result<&Setting> {
        self.settings.iter().find(|setting| setting.key == key).with_context(|| format!("no setting {key}"))
    }

    /// Parses one setting; a refusal names the setting, its value without passwords, and where it came from.
    fn parse<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let setting = self.get(key)?;
        parse(&setting.text)
            .with_context(|| format!("{key} = {:?} (from {})", setting.shown(), setting.source))
    }

    /// Parses one setting that may be left empty.
    fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        self.parse(key, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }
}

fn given(matches: &ArgMatches, spec: &Spec) -> Option<(String, Source)> {
    let texts: Vec<&str> = matches.try_get_many::<String>(spec.flag).ok()??.map(String::as_str).collect();
    let text = texts.join(",");
    match matches.value_source(spec.flag)? {
        ValueSource::EnvVariable => Some((text, Source::Variable(variable(spec).to_owned()))),
        ValueSource::CommandLine => Some((text, Source::Flag(spec.flag))),
        _ => None,
    }
}

fn default(spec: &Spec, state_dir: &Path) -> String {
    let in_state_dir = |name: &str| state_dir.join(name).display().to_string();
    match (spec.key, spec.default) {
        (_, Some(text)) => text.to_owned(),
        ("store.url", None) => format!("sqlite:{}", in_state_dir("onceward.db")),
        ("store.secret_file", None) => in_state_dir("secret"),
        ("proxy.ca_dir", None) => in_state_dir("ca"),
        ("control.token_file", None) => in_state_dir("control-token"),
        (_, None) => String::new(),
    }
}

/// `$XDG_STATE_HOME/onceward`, else `~/.local/state/onceward` (XDG Base Directory Specification 0.8).
fn default_state_dir() -> anyhow::Result<PathBuf> {
    if let Some(folder) =
        env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute())
    {
        return Ok(folder.join("onceward"));
    }
    match env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) {
        Some(home) => Ok(home.join(".local/state/onceward")),
        None => bail!("no home directory; name one with --state-dir"),
    }
}

/// What every command that touches a store needs.
#[derive(Clone, Debug)]
pub(crate) struct StoreSettings {
    pub(crate) url: StoreUrl,
    pub(crate) durability: Durability,
    pub(crate) secret_file: PathBuf,
    /// Whether a database that can lose what it acknowledged is refused.
    pub(crate) is_strict: bool,
    pub(crate) promotion_keeps_all: bool,
    pub(crate) replicas_to_wait: u32,
}

/// What the forward proxy needs beside its store.
#[derive(Clone, Debug)]
pub(crate) struct ProxySettings {
    pub(crate) listen: SocketAddr,
    pub(crate) interception: Interception,
    pub(crate) ca_dir: PathBuf,
    pub(crate) upstream_proxy: Option<UpstreamProxy>,
    pub(crate) no_proxy: NoProxy,
    pub(crate) roots: Roots,
    pub(crate) private_targets: PrivateTargets,
    pub(crate) control: ControlSettings,
    pub(crate) policy: Policy,
    pub(crate) resolve: ResolveSettings,
    pub(crate) drain_patience: Duration,
}

/// Where a server's control API is, beside its socket.
#[derive(Clone, Debug)]
pub(crate) struct ControlSettings {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) token_file: PathBuf,
    pub(crate) reach: Reach,
}

impl Settings {
    /// The settings of the store.
    pub(crate) fn store(&self) -> anyhow::Result<StoreSettings> {
        Ok(StoreSettings {
            url: self.parse("store.url", |text| Ok(text.parse::<StoreUrl>()?))?,
            durability: self.parse("store.durability", |text| match text {
                "power" => Ok(Durability::Power),
                "process" => Ok(Durability::Process),
                _ => bail!("expected `power` or `process`"),
            })?,
            secret_file: self.parse("store.secret_file", |text| Ok(PathBuf::from(text)))?,
            is_strict: self.parse("store.strict", truth)?,
            promotion_keeps_all: self.parse("store.promotion_keeps_all", truth)?,
            replicas_to_wait: self.parse("store.replicas_to_wait", |text| {
                text.parse().context("expected a number of replicas")
            })?,
        })
    }

    /// Where the certificate authority lives.
    pub(crate) fn ca_dir(&self) -> anyhow::Result<PathBuf> {
        self.parse("proxy.ca_dir", |text| Ok(PathBuf::from(text)))
    }

    /// The settings of the forward proxy.
    pub(crate) fn proxy(&self) -> anyhow::Result<ProxySettings> {
        let listen: SocketAddr = self.parse("proxy.listen", |text| {
            text.parse().context("expected an address and a port, such as 127.0.0.1:8473")
        })?;
        let allow_private = match self.optional("proxy.allow_private", truth)? {
            Some(allowed) => allowed,
            None => listen.ip().is_loopback(),
        };
        let private_targets = if allow_private { PrivateTargets::Allow } else { PrivateTargets::Refuse };
        Ok(ProxySettings {
            listen,
            interception: Interception {
                intercept: self.parse("proxy.intercept", |text| match text {
                    "all" => Ok(Intercept::All),
                    "none" => Ok(Intercept::None),
                    hosts => Ok(Intercept::Hosts(patterns(hosts)?)),
                })?,
                tunnel: self.parse("proxy.tunnel", patterns)?,
            },
            ca_dir: self.ca_dir()?,
            upstream_proxy: self.optional("proxy.upstream_proxy", |text| Ok(UpstreamProxy::parse(text)?))?,
            no_proxy: self.parse("proxy.no_proxy", |text| Ok(NoProxy::parse(text)?))?,
            roots: self.roots("proxy.upstream_ca", "proxy.upstream_insecure")?,
            private_targets,
            control: self.control()?,
            policy: self.policy(Policy::forward_proxy())?,
            resolve: self.resolving()?,
            drain_patience: self.parse("drain.patience", duration)?,
        })
    }

    fn control(&self) -> anyhow::Result<ControlSettings> {
        Ok(ControlSettings {
            listen: self
                .optional("control.listen", |text| text.parse().context("expected an address and a port"))?,
            token_file: self.parse("control.token_file", |text| Ok(PathBuf::from(text)))?,
            reach: if self.parse("control.network", truth)? { Reach::Network } else { Reach::Loopback },
        })
    }

    fn roots(&self, extra: &'static str, insecure: &'static str) -> anyhow::Result<Roots> {
        let extra = self.optional(extra, |text| Ok(read_roots(Path::new(text))?))?;
        match (self.parse(insecure, truth)?, extra) {
            (true, _) => Ok(Roots::Insecure),
            (false, Some(extra)) => Ok(Roots::PlatformAnd(extra)),
            (false, None) => Ok(Roots::Platform),
        }
    }

    /// `base`, with what was set beside the defaults; what stays at its default is the base's to say.
    fn policy(&self, base: Policy) -> anyhow::Result<Policy> {
        Ok(Policy {
            wait: self.chosen("policy.wait", duration)?.unwrap_or(base.wait),
            lease: self.chosen("policy.lease", lease)?.unwrap_or(base.lease),
            run_time_max: self.chosen("policy.run_time_max", duration)?.unwrap_or(base.run_time_max),
            retention: self.chosen("policy.retention", duration)?.unwrap_or(base.retention),
            remember: self.chosen("policy.remember", duration)?.unwrap_or(base.remember),
            outcome_bytes_max: self
                .chosen("policy.outcome_bytes_max", bytes)?
                .unwrap_or(base.outcome_bytes_max),
            request_bytes_max: self
                .chosen("policy.request_bytes_max", bytes)?
                .unwrap_or(base.request_bytes_max),
            when_store_down: self
                .chosen("policy.when_store_down", when_store_down)?
                .unwrap_or(base.when_store_down),
            ..base
        })
    }

    /// Parses one setting that somebody has set; `None` where it is at its default.
    fn chosen<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        match self.get(key)?.source {
            Source::Default => Ok(None),
            Source::Flag(_) | Source::Variable(_) | Source::File(_) => self.parse(key, parse).map(Some),
        }
    }

    /// Parses everything, for `config check`; says what is right and has a price.
    pub(crate) fn check(&self) -> anyhow::Result<Vec<String>> {
        self.store()?;
        self.proxy()?;
        // Whom it is in front of may be said when it starts; what its routes are stands in the file.
        if self.get("gateway.upstream")?.text.is_empty() {
            self.rules().map(drop)?;
        } else {
            self.gateway().map(drop)?;
        }
        let mut warnings = Vec::new();
        if self.parse("policy.when_store_down", when_store_down)? == WhenStoreDown::Open {
            let source = &self.get("policy.when_store_down")?.source;
            warnings.push(format!("policy.when_store_down = \"open\" (from {source}): {OPEN_COSTS}"));
        }
        for route in &self.routes {
            if route.when_store_down()? == Some(WhenStoreDown::Open) {
                warnings.push(format!("{}: when_store_down = \"open\": {OPEN_COSTS}", route.place));
            }
        }
        Ok(warnings)
    }
}

/// What an open route gives up.
const OPEN_COSTS: &str = "while the store is down, a request that is repeated runs again, and nothing of it is recorded or replayed";

fn when_store_down(text: &str) -> anyhow::Result<WhenStoreDown> {
    match text {
        "closed" => Ok(WhenStoreDown::Closed),
        "open" => Ok(WhenStoreDown::Open),
        _ => bail!("expected `closed` or `open`"),
    }
}

/// Renewed every third of it: below a second, one slow sync would lose it.
const LEASE_MIN: Duration = Duration::from_secs(1);

fn lease(text: &str) -> anyhow::Result<Duration> {
    match duration(text)? {
        lease if lease >= LEASE_MIN => Ok(lease),
        _ => bail!("a lease of less than a second lapses while a busy machine looks away"),
    }
}

fn patterns(text: &str) -> anyhow::Result<Vec<HostPattern>> {
    list(text).map(|host| host.parse().with_context(|| format!("{host:?} is no host"))).collect()
}
