//! The ways to the control API of a running server.

use std::net::SocketAddr;

use anyhow::Context;
use onceward_control::{Control, TcpDoor, UnixDoor, serve_tcp, serve_unix};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    failure::Failure,
    secret::control_token,
    settings::{ControlSettings, StoreSettings},
    wiring,
};

/// The open doors and who serves them.
pub(crate) struct Doors {
    /// Where the control API listens on TCP, if it does.
    pub(crate) address: Option<SocketAddr>,
    shutdown: CancellationToken,
    serving: JoinSet<()>,
}

impl Doors {
    pub(crate) async fn open(
        store: &StoreSettings,
        settings: &ControlSettings,
        control: &Control,
    ) -> Result<Self, Failure> {
        let mut doors = Self { address: None, shutdown: CancellationToken::new(), serving: JoinSet::new() };
        if let Some(path) = wiring::control_socket(store) {
            let door = UnixDoor::open(&path).await.map_err(Failure::usage)?;
            doors.serving.spawn(serve_unix(door, control.clone(), doors.shutdown.clone()));
        }
        if let Some(address) = settings.listen {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))
                .map_err(Failure::usage)?;
            let token = control_token(&settings.token_file).map_err(Failure::usage)?;
            let door = TcpDoor::new(listener, token, &[], settings.reach).map_err(Failure::usage)?;
            doors.address = Some(door.local_addr());
            doors.serving.spawn(serve_tcp(door, control.clone(), doors.shutdown.clone()));
        }
        Ok(doors)
    }

    pub(crate) async fn close(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.serving.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "the control API failed");
            }
        }
    }
}
