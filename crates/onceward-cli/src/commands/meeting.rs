//! Where commands speak to whoever has the store open.
//!
//! They ask the server. Where none runs, the store is opened here and asked in the same way.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::anyhow;
use onceward::StoreUrl;
use onceward_control::{
    Control, UnixDoor,
    client::{ClientError, ControlClient},
    serve_unix,
};
use onceward_engine::{Engine, Limits};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::runtime,
    failure::Failure,
    settings::{Settings, StoreSettings},
    wiring,
};

/// Asks whoever has the store open; `act` runs once more where that is this command itself.
pub(super) fn ask(
    settings: &Settings,
    act: impl AsyncFn(&ControlClient) -> Acted,
) -> Result<ExitCode, Failure> {
    let store = settings.store().map_err(Failure::usage)?;
    let meeting = Meeting::of(&store)?;
    let socket = meeting.socket();
    runtime().map_err(Failure::failed)?.block_on(async {
        let client = ControlClient::unix(&socket);
        match act(&client).await {
            Err(ClientError::NotRunning { .. }) => {
                let own = Own::open(&store, &socket).await?;
                let acted = act(&client).await;
                own.close().await;
                acted
            }
            acted => acted,
        }
        .map_err(failure)?
        .map_err(Failure::failed)
    })
}

/// Where this command and whoever has the store open speak to each other.
enum Meeting {
    /// The socket beside the store's file.
    Server(PathBuf),
    /// One of this command's own: any number of processes have a database open.
    Own(TempDir),
}

impl Meeting {
    fn of(store: &StoreSettings) -> Result<Self, Failure> {
        if let StoreUrl::Database(_) = store.url {
            return TempDir::new().map(Self::Own).map_err(Failure::failed);
        }
        // Says so where there is no file to ask about.
        wiring::sqlite_path(store)?;
        wiring::control_socket(store)
            .map(Self::Server)
            .ok_or_else(|| Failure::usage(anyhow!("the store's path has no file name")))
    }

    fn socket(&self) -> PathBuf {
        match self {
            Self::Server(socket) => socket.clone(),
            Self::Own(folder) => folder.path().join("control").join("socket"),
        }
    }
}

/// A refusal by the record is a plain no; anything else is a store that could not be asked.
fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { .. } => Failure::failed(error),
        ClientError::NotRunning { .. } | ClientError::Broken { .. } => Failure::store(error),
    }
}

/// What a command came to, once there was somebody to ask.
pub(super) type Acted = Result<anyhow::Result<ExitCode>, ClientError>;

/// What printing an answer came to.
pub(super) fn written(printed: Result<(), Failure>) -> anyhow::Result<ExitCode> {
    match printed {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(failure.into_error()),
    }
}

/// The store opened by this very command, and asked through its control socket like any other.
struct Own {
    engine: Engine,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Own {
    async fn open(settings: &StoreSettings, socket: &Path) -> Result<Self, Failure> {
        if let StoreUrl::Sqlite(path) = &settings.url
            && !path.exists()
        {
            return Err(Failure::store(anyhow!("there is no store at {}", path.display())));
        }
        let engine = wiring::engine(wiring::open(settings).await?, Limits::default()).await?;
        let door = UnixDoor::open(socket).await.map_err(Failure::store)?;
        let shutdown = CancellationToken::new();
        let control = Control::new(engine.clone(), Ok(()));
        let serving = tokio::spawn(serve_unix(door, control, shutdown.clone()));
        Ok(Self { engine, shutdown, serving })
    }

    async fn close(self) {
        self.shutdown.cancel();
        if let Err(error) = self.serving.await {
            tracing::error!(error = &error as &dyn std::error::Error, "the control API failed");
        }
        self.engine.close().await;
    }
}
