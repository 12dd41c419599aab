//! A TCP listener whose callers show a token.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use tokio::net::{TcpListener, TcpStream};

use super::{Door, DoorError};
use crate::{
    gate::{Entrance, TcpTerms},
    token::Token,
};

/// How far a TCP door may be reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine: any address but loopback is refused.
    Loopback,
    /// Wherever the listener is bound. The token then travels unencrypted unless something in front terminates TLS.
    Network,
}

/// A TCP listener of the control API.
#[derive(Debug)]
pub struct TcpDoor {
    listener: TcpListener,
    local: SocketAddr,
    terms: Arc<TcpTerms>,
}

impl TcpDoor {
    /// Takes a bound listener. It answers requests for loopback's names and the address that they reached, with its port, and for `names`,
    /// host names without a port.
    ///
    /// # Errors
    /// [`DoorError::NotLoopback`] for any other address without [`Reach::Network`].
    pub fn new(
        listener: TcpListener,
        token: Token,
        names: &[String],
        reach: Reach,
    ) -> Result<Self, DoorError> {
        let local = listener.local_addr().map_err(DoorError::io("inspect", Path::new("the listener")))?;
        if reach == Reach::Loopback && !local.ip().to_canonical().is_loopback() {
            return Err(DoorError::NotLoopback { address: local });
        }
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { listener, local, terms: Arc::new(TcpTerms { token, names }) })
    }

    /// Where it listens: what the program's own proxies must not dial (S5).
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Door for TcpDoor {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Entrance)> {
        let (stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok((stream, Entrance::Tcp { local, terms: Arc::clone(&self.terms) }))
    }
}
