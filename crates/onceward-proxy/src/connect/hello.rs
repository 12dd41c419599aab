//! Reads a ClientHello without answering it, so that the tunnel can still pass unseen.

use std::io;

use bytes::BytesMut;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::leaf::ALPN;
use crate::target::{Host, TargetFault};

/// A ClientHello with post-quantum keys takes 2 KiB; TLS allows 64 KiB of handshake message.
const HELLO_BYTES_MAX: usize = 64 * 1024;

/// What a client says of the connection that it wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Whom it wants to talk to, if it says so.
    pub(super) server_name: Option<Host>,
    /// Whether it would speak HTTP/1.1 or HTTP/2. A client that names no protocol counts as one that would.
    pub(super) speaks_http: bool,
}

impl Hello {
    /// Reads on from what is `ahead` already; what is read is appended there.
    ///
    /// # Errors
    /// When the client closes, sends no valid ClientHello (it gets the TLS alert), or names an invalid host.
    pub(super) async fn read<C>(client: &mut C, ahead: &mut BytesMut) -> Result<Self, HelloError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let mut acceptor = Acceptor::default();
        let mut fed = 0;
        loop {
            let mut unread = ahead.get(fed..).unwrap_or_default();
            while !unread.is_empty() {
                acceptor.read_tls(&mut unread)?;
            }
            fed = ahead.len();
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Self::of(&accepted.client_hello())?),
                Ok(None) if fed > HELLO_BYTES_MAX => {
                    return Err(io::Error::from(io::ErrorKind::InvalidData).into());
                }
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    alert.write_all(&mut bytes)?;
                    client.write_all(&bytes).await?;
                    client.shutdown().await?;
                    return Err(error.into());
                }
            }
            if client.read_buf(ahead).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    fn of(hello: &rustls::server::ClientHello<'_>) -> Result<Self, TargetFault> {
        let server_name = hello.server_name().map(Host::parse).transpose()?;
        let speaks_http =
            hello.alpn().is_none_or(|mut offered| offered.any(|protocol| ALPN.contains(&protocol)));
        Ok(Self { server_name, speaks_http })
    }
}

/// Why there is no ClientHello.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("the client broke off")]
    Io(#[from] io::Error),
    #[error("the client sent no valid tls handshake")]
    Tls(#[from] rustls::Error),
    #[error("the client named an invalid host")]
    ServerName(#[from] TargetFault),
}
