//! What both servers do from their start to their end.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use onceward_proxy::{server::Report, workers::Workers};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinError,
};

use crate::failure::Failure;

/// How much longer than the engine's patience connections are kept: what is stopped then still has to be settled and told (B3).
pub(super) const TELLING_TIME: Duration = Duration::from_secs(10);

/// The exit code after a second signal: 128 and SIGINT, as shells count.
pub(super) const INTERRUPTED: u8 = 130;

/// A server without its listener looks alive and serves nobody.
pub(super) fn listener_ended(ended: Result<io::Result<Report>, JoinError>) -> Failure {
    match ended {
        Ok(Ok(_)) => Failure::failed(anyhow::anyhow!("the listener ended by itself")),
        Ok(Err(error)) => Failure::failed(error),
        Err(error) => Failure::failed(error),
    }
}

/// A thread for each processor that this program may use.
pub(super) fn workers() -> io::Result<Arc<Workers>> {
    Workers::start(thread::available_parallelism()?.get()).map(Arc::new)
}

/// Where somebody on this machine finds a listener: all addresses (`0.0.0.0`) are none to go to.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

/// The signals that end the program.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
