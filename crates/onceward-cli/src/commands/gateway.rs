//! `onceward gateway`: the reverse proxy in front of one's own service.

mod listening;
mod starts;
mod supervisor;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use onceward_control::Control;
use onceward_engine::{Engine, Limits as EngineLimits};
use onceward_proxy::{
    gateway::{Certificate, Gateway, GatewayConfig, Service},
    limits::Limits,
    server::Report,
    upstream::OwnAddresses,
    workers::Workers,
};
use onceward_resolve::Fetch;
use onceward_store::OpenError;
use onceward_tower::{OriginRules, origin::OriginSettings};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{
    listening::Inherited,
    starts::Starts,
    supervisor::{Notice, Supervisor},
};
use crate::{
    commands::{
        doors::Doors,
        print, print_json, runtime,
        serving::{INTERRUPTED, Signals, TELLING_TIME, listener_ended, reachable, workers},
    },
    failure::Failure,
    settings::{GatewaySettings, Settings, StoreSettings},
    wiring::{self, OpenStore},
};

/// Between two looks at a store that another gateway is about to leave.
const STORE_LOOK_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) fn run(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let store = settings.store().map_err(Failure::usage)?;
    let gateway = settings.gateway().map_err(Failure::usage)?;
    // Before anything else opens a descriptor.
    let inherited = Inherited::take().map_err(Failure::usage)?;
    let supervisor = Supervisor::from_environment().map_err(Failure::usage)?;
    // Calls whose clients have gone run there to their end, after the last connection.
    let workers = workers().map_err(Failure::failed)?;
    runtime().map_err(Failure::failed)?.block_on(async {
        tokio::select! {
            served = serve(store, gateway, inherited, &supervisor, &workers, json) => served,
            never = supervisor.beat(async || workers.answer().await) => match never {},
        }
    })
}

async fn serve(
    store: StoreSettings,
    settings: GatewaySettings,
    inherited: Inherited,
    supervisor: &Supervisor,
    workers: &Arc<Workers>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let listener = inherited.or_bind(settings.listen, settings.shares_port).map_err(Failure::usage)?;
    let open = open_when_free(&store, &settings).await?;
    let engine = wiring::engine(open, EngineLimits::default()).await?;
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
    let address = listener.local_addr().map_err(Failure::failed)?;
    let own = [Some(address), doors.address].into_iter().flatten().collect();
    let gateway = gateway(engine.clone(), &settings, own)?.on(Arc::clone(workers));
    let shutdown = CancellationToken::new();
    let mut running = Running {
        engine,
        doors,
        shutdown: shutdown.clone(),
        serving: tokio::spawn(gateway.run(listener, shutdown)),
    };
    // Before anybody is told that it listens: a supervisor may signal at once.
    let mut signals = Signals::new().map_err(Failure::failed)?;
    let renewals = Renewals::new(settings.certificate.clone()).map_err(Failure::failed)?;
    let starts = Starts::new(reachable(address), &settings, &store, running.doors.address);
    if json {
        print_json(&starts.json())?;
    } else {
        print(&starts.text())?;
    }
    supervisor.tell(Notice::Ready);
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "draining"),
        ended = &mut running.serving => return Err(listener_ended(ended)),
        never = renewals.follow(supervisor) => match never {},
    }
    supervisor.tell(Notice::Stopping);
    // A second signal does not wait for anything.
    tokio::select! {
        stopped = running.stop(settings.drain_patience) => stopped,
        _ = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Opens the store, as soon as a gateway that shares the port has left it.
///
/// Until then connections to this one wait in its listen queue.
async fn open_when_free(store: &StoreSettings, settings: &GatewaySettings) -> Result<OpenStore, Failure> {
    let deadline = Instant::now() + settings.drain_patience + TELLING_TIME;
    loop {
        match wiring::open(store).await {
            Err(Failure::Store(error))
                if settings.shares_port && is_in_use(&error) && Instant::now() < deadline =>
            {
                sleep(STORE_LOOK_INTERVAL).await;
            }
            opened => return opened,
        }
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::InUse { .. }))
}

fn gateway(
    engine: Engine,
    settings: &GatewaySettings,
    own: Vec<SocketAddr>,
) -> Result<Gateway<OriginRules>, Failure> {
    let own_addresses = OwnAddresses::default();
    for address in own {
        own_addresses.add(address);
    }
    let config = GatewayConfig {
        upstreams: settings.upstreams.clone(),
        upstream_host: settings.upstream_host.clone(),
        roots: settings.roots.clone(),
        health: settings.health.clone(),
        trusted_proxies: settings.trusted_proxies.clone(),
        certificate: settings.certificate.clone(),
        own_addresses,
        times: settings.times,
        limits: Limits { drain_time: settings.drain_patience + TELLING_TIME, ..Limits::default() },
    };
    let service = Service::of(&config).map_err(Failure::usage)?;
    let fetch: Arc<dyn Fetch> = Arc::new(service.clone());
    let keeper = wiring::resolvers(&engine, &settings.resolve, &fetch, &settings.policy);
    let webhooks = settings.resolve.webhooks(&settings.policy);
    let rules = OriginSettings { keeper, webhooks, ..settings.rules.clone() };
    let rules = OriginRules::new(engine.clone(), rules);
    let surface = rules.surface();
    Gateway::over(service, config, engine, rules, surface).map_err(Failure::usage)
}

/// A gateway that listens.
struct Running {
    engine: Engine,
    doors: Doors,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<Report>>,
}

impl Running {
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

/// SIGHUP: the files of the certificate are to be read again.
struct Renewals {
    hangup: Signal,
    certificate: Option<Arc<Certificate>>,
}

impl Renewals {
    fn new(certificate: Option<Arc<Certificate>>) -> std::io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, certificate })
    }

    async fn follow(mut self, supervisor: &Supervisor) -> std::convert::Infallible {
        loop {
            self.hangup.recv().await;
            supervisor.tell(Notice::Reloading);
            match self.certificate.as_ref().map(|certificate| certificate.reload()) {
                Some(Ok(())) => tracing::warn!("the certificate was read again; all else needs a restart"),
                Some(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the new certificate is not taken; the old one stays");
                }
                None => tracing::warn!("nothing was read again: without a certificate all needs a restart"),
            }
            supervisor.tell(Notice::Ready);
        }
    }
}
