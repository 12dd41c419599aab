//! What the gateway needs beside its store.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use http::HeaderValue;
use onceward_core::{outcome::Policy, profile::Profile};
use onceward_proxy::{
    gateway::{Certificate, HealthCheck, Times, TrustedProxies, UpstreamUrl, guarding_of},
    upstream::Roots,
};
use onceward_tower::origin::{ActorSource, Guarding, OriginSettings};

use super::{ControlSettings, ResolveSettings, Settings, duration, list, route, truth};

/// What the gateway needs beside its store.
pub(crate) struct GatewaySettings {
    pub(crate) listen: SocketAddr,
    pub(crate) shares_port: bool,
    pub(crate) upstreams: Vec<UpstreamUrl>,
    pub(crate) upstream_host: Option<HeaderValue>,
    pub(crate) roots: Roots,
    pub(crate) health: Option<HealthCheck>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) times: Times,
    pub(crate) rules: OriginSettings,
    /// What holds where no route says otherwise.
    pub(crate) policy: Arc<Policy>,
    pub(crate) resolve: ResolveSettings,
    pub(crate) control: ControlSettings,
    pub(crate) drain_patience: Duration,
}

impl Settings {
    /// The settings of the gateway.
    pub(crate) fn gateway(&self) -> anyhow::Result<GatewaySettings> {
        Ok(GatewaySettings {
            listen: self.parse("gateway.listen", |text| {
                text.parse().context("expected an address and a port, such as 127.0.0.1:8480")
            })?,
            shares_port: self.parse("gateway.reuse_port", truth)?,
            upstreams: self.parse("gateway.upstream", upstreams)?,
            upstream_host: self.optional("gateway.upstream_host", |text| Ok(HeaderValue::from_str(text)?))?,
            roots: self.roots("gateway.upstream_ca", "gateway.upstream_insecure")?,
            health: self.health()?,
            trusted_proxies: self.parse("gateway.trusted_proxy", |text| {
                let networks = list(text).map(|network| network.parse().with_context(|| network.to_owned()));
                Ok(TrustedProxies::new(networks.collect::<Result<_, _>>()?))
            })?,
            certificate: self.certificate()?,
            times: Times {
                connect: self.parse("gateway.connect_time_max", duration)?,
                response_head: self.parse("gateway.response_time_max", duration)?,
                body_idle: self.parse("gateway.idle_time_max", duration)?,
                whole: self.parse("gateway.whole_time_max", duration)?,
                ..Times::default()
            },
            rules: self.rules()?,
            policy: Arc::clone(&self.others(&self.parse("gateway.profile", route::profile)?)?.policy),
            resolve: self.resolving()?,
            control: self.control()?,
            drain_patience: self.parse("drain.patience", duration)?,
        })
    }

    fn health(&self) -> anyhow::Result<Option<HealthCheck>> {
        let interval = self.parse("gateway.health_interval", |text| match duration(text)? {
            Duration::ZERO => bail!("an instance cannot be asked all the time"),
            interval => Ok(interval),
        })?;
        let path = self.optional("gateway.health_path", |text| match text.parse() {
            Ok(path) if text.starts_with('/') => Ok(path),
            Ok(_) | Err(_) => bail!("expected a path, such as /healthz"),
        })?;
        Ok(path.map(|path| HealthCheck { path, interval }))
    }

    fn certificate(&self) -> anyhow::Result<Option<Arc<Certificate>>> {
        let file = |key| self.optional(key, |text| Ok(Path::new(text).to_owned()));
        match (file("gateway.tls_cert")?, file("gateway.tls_key")?) {
            (Some(certificate), Some(key)) => {
                Ok(Some(Certificate::load(&certificate, &key).context("gateway.tls_cert, gateway.tls_key")?))
            }
            (None, None) => Ok(None),
            (Some(_), None) => bail!("gateway.tls_cert needs gateway.tls_key"),
            (None, Some(_)) => bail!("gateway.tls_key needs gateway.tls_cert"),
        }
    }

    /// How requests are guarded that no route matches.
    fn others(&self, profile: &Profile) -> anyhow::Result<Guarding> {
        let base = guarding_of(profile);
        let policy = Arc::new(self.policy((*base.policy).clone())?);
        Ok(Guarding { policy, ..base })
    }

    /// The profile's rules with what was set beside them, and the routes of the file before them.
    pub(super) fn rules(&self) -> anyhow::Result<OriginSettings> {
        let profile = self.parse("gateway.profile", route::profile)?;
        let others = self.others(&profile)?;
        let mut routes = Vec::new();
        for table in self.routes() {
            routes.push(table.route(&others)?);
        }
        let others = match self.parse("gateway.require_key", truth)? {
            // PUT and DELETE say themselves what they come to when they are repeated; POST and PATCH do not.
            true => {
                let required = Guarding { is_key_required: true, ..others.clone() };
                let methods: Vec<&str> = required
                    .methods
                    .iter()
                    .copied()
                    .filter(|method| matches!(*method, "POST" | "PATCH"))
                    .collect();
                routes.push(onceward_tower::origin::Route::guarded(&methods, "/{*rest}", required)?);
                others
            }
            false => others,
        };
        let cookie = self.optional("gateway.actor_cookie", |name| Ok(ActorSource::Cookie(name.into())))?;
        Ok(OriginSettings {
            actors: [Some(ActorSource::Authorization), cookie].into_iter().flatten().collect(),
            routes,
            others: Some(others),
            ..OriginSettings::of(profile)
        })
    }
}

fn upstreams(text: &str) -> anyhow::Result<Vec<UpstreamUrl>> {
    let urls: Vec<_> = list(text)
        .map(|url| url.parse::<UpstreamUrl>().with_context(|| url.to_owned()))
        .collect::<Result<_, _>>()?;
    if urls.is_empty() {
        bail!("where is the service? Name it with --upstream http://127.0.0.1:3000");
    }
    Ok(urls)
}
