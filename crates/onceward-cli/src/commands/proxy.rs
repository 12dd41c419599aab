//! `onceward proxy`: the forward proxy.

mod own_pages;
mod starts;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use onceward_control::Control;
use onceward_engine::{Engine, Limits as EngineLimits};
use onceward_proxy::{
    ca::Authority,
    guarded::GuardedExchange,
    leaf::Leaves,
    limits::Limits,
    look::SiteFetch,
    rules::ForwardRules,
    server::{Config, Report, Server},
    session::{Access, Session},
    upstream::{OwnAddresses, Upstream, UpstreamConfig, UpstreamLimits},
    workers::Workers,
};
use onceward_resolve::Fetch;
use onceward_tower::{Cors, Surface};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::starts::Starts;
use crate::{
    commands::{
        doors::Doors,
        print, print_json, runtime,
        serving::{INTERRUPTED, Signals, TELLING_TIME, listener_ended, reachable, workers},
    },
    failure::Failure,
    settings::{ProxySettings, Settings, StoreSettings},
    wiring,
};

/// The session of a listener that no credentials name; user names are never empty, so none of them is this one.
const OWN_SESSION: &str = "";

pub(crate) fn run(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let store = settings.store().map_err(Failure::usage)?;
    let proxy = settings.proxy().map_err(Failure::usage)?;
    runtime().map_err(Failure::failed)?.block_on(serve(store, proxy, json))
}

async fn serve(store: StoreSettings, settings: ProxySettings, json: bool) -> Result<ExitCode, Failure> {
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))
        .map_err(Failure::usage)?;
    let engine = wiring::engine(wiring::open(&store).await?, EngineLimits::default()).await?;
    let self_test = engine.prove_replay().await;
    if let Err(error) = &self_test {
        return Err(Failure::store(anyhow::anyhow!("replay does not work against this store: {error}")));
    }
    #[cfg(feature = "crash-points")]
    if let Some(probe) = crate::crash_point::from_environment().map_err(Failure::usage)? {
        engine.watch(probe);
    }
    let control = Control::new(engine.clone(), self_test);
    let doors = Doors::open(&store, &settings.control, &control).await?;
    let mut running = Running::start(listener, engine, &settings, doors).await?;
    // Before anybody is told that it listens: a supervisor may signal at once.
    let mut signals = Signals::new().map_err(Failure::failed)?;
    let starts = Starts::new(reachable(running.address), running.doors.address, &running.authority);
    if json {
        print_json(&starts.json())?;
    } else {
        print(&starts.text())?;
    }
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "draining"),
        ended = &mut running.serving => return Err(listener_ended(ended)),
    }
    // A second signal does not wait for anything.
    tokio::select! {
        stopped = running.stop(settings.drain_patience) => stopped,
        _ = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// A proxy that listens.
struct Running {
    address: SocketAddr,
    authority: Arc<Authority>,
    engine: Engine,
    doors: Doors,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<Report>>,
    /// Calls whose clients have gone run there to their end, after the last connection.
    _workers: Arc<Workers>,
}

impl Running {
    async fn start(
        listener: TcpListener,
        engine: Engine,
        settings: &ProxySettings,
        doors: Doors,
    ) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(Failure::failed)?;
        let authority = Authority::load_or_create(&settings.ca_dir).map(Arc::new).map_err(Failure::usage)?;
        let own_addresses = OwnAddresses::default();
        for own in [Some(address), doors.address].into_iter().flatten() {
            own_addresses.add(own);
        }
        let upstream = Upstream::new(UpstreamConfig {
            roots: settings.roots.clone(),
            upstream_proxy: settings.upstream_proxy.clone(),
            no_proxy: settings.no_proxy.clone(),
            cleartext_http2: Vec::new(),
            private_targets: settings.private_targets,
            own_addresses,
            limits: UpstreamLimits::default(),
        })
        .map_err(Failure::usage)?;
        let reachable = reachable(address);
        let surface = Surface {
            type_base: format!("http://{reachable}/problems/"),
            status_base: Some(format!("http://{reachable}/effects/")),
            cors: Cors::Mirrored,
        };
        let fetch: Arc<dyn Fetch> = Arc::new(SiteFetch::new(upstream.clone()));
        let keeper = wiring::resolvers(&engine, &settings.resolve, &fetch, &settings.policy);
        let rules = ForwardRules::new(settings.policy.clone());
        let rules = match keeper {
            Some(keeper) => rules.keeping(keeper),
            None => rules,
        };
        let exchange = GuardedExchange::new(engine.clone(), rules, surface, upstream);
        let limits = Limits { drain_time: settings.drain_patience + TELLING_TIME, ..Limits::default() };
        let webhooks = settings.resolve.webhooks_of_sites(&settings.policy).map_err(Failure::usage)?;
        let server = Server::new(Config {
            limits,
            leaves: Arc::new(Leaves::new(Arc::clone(&authority), limits.leaves_max)),
            interception: settings.interception.clone(),
            access: Access::Open,
            own_page: own_pages::of(engine.clone(), webhooks),
        });
        let workers = workers().map_err(Failure::failed)?;
        let server = server.on(Arc::clone(&workers));
        let shutdown = CancellationToken::new();
        let serving = {
            let shutdown = shutdown.clone();
            tokio::spawn(
                async move { server.run(listener, Session::new(OWN_SESSION), exchange, shutdown).await },
            )
        };
        Ok(Self { address, authority, engine, doors, shutdown, serving, _workers: workers })
    }

    /// Takes no new connections, lets what is under way end, and says what could not (L6).
    async fn stop(self, patience: Duration) -> Result<ExitCode, Failure> {
        self.shutdown.cancel();
        let drained = self.engine.drain(patience).await;
        let report = self.serving.await.map_err(Failure::failed)?.map_err(Failure::failed)?;
        // The control API answers for as long as there is something to ask about.
        self.doors.close().await;
        self.engine.close().await;
        anstream::eprintln!(
            "drained: {} requests finished, {} stopped and now in doubt, {} connections and {} tunnels cut",
            drained.finished,
            drained.stopped,
            report.connections_cut,
            report.tunnels_cut,
        );
        Ok(if drained.stopped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
