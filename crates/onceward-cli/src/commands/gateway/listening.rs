//! Where the gateway's listening socket comes from.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections wait to be accepted, as the standard library has it.
const BACKLOG: u32 = 1024;

/// The socket that a service manager has opened (`LISTEN_FDS`, sd_listen_fds(3)), if it has.
///
/// It stays open while the gateway is exchanged for another, and connections wait in it.
pub(super) struct Inherited(Option<std::net::TcpListener>);

impl Inherited {
    /// Takes it over. Called once, at the start.
    pub(super) fn take() -> anyhow::Result<Self> {
        let mut passed = ListenFd::from_env();
        if passed.len() > 1 {
            bail!("the service manager passes {} sockets; the gateway listens on one", passed.len());
        }
        let listener = passed.take_tcp_listener(0).context("the service manager's socket")?;
        Ok(Self(listener))
    }

    /// The inherited socket, else one bound to `address`; shared with whoever else shares it, if asked for.
    pub(super) fn or_bind(self, address: SocketAddr, shares_port: bool) -> anyhow::Result<TcpListener> {
        if let Some(listener) = self.0 {
            listener.set_nonblocking(true)?;
            return Ok(TcpListener::from_std(listener)?);
        }
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(shares_port)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        bind().with_context(|| format!("cannot listen on {address}"))
    }
}
