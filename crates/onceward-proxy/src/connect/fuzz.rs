//! The look at a ClientHello, for the targets of `fuzz/`.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use super::hello::Hello;
use crate::target::Host;

/// What a ClientHello said, and what was read of the connection for it.
#[derive(Debug, PartialEq, Eq)]
pub struct PeekedHello {
    /// Whom the client wants to talk to.
    pub server_name: Option<Host>,
    /// Whether it would speak HTTP.
    pub speaks_http: bool,
    /// Everything that was read: the tunnel goes on with it.
    pub ahead: Bytes,
}

/// Looks at the ClientHello that a connection begins with; `None` where there is none.
pub async fn peek_hello<C: AsyncRead + AsyncWrite + Unpin>(client: &mut C) -> Option<PeekedHello> {
    let mut ahead = BytesMut::new();
    let Hello { server_name, speaks_http } = Hello::read(client, &mut ahead).await.ok()?;
    Some(PeekedHello { server_name, speaks_http, ahead: ahead.freeze() })
}
