//! The transfer of money, once: axum.
//!
//! Start it with `cargo run -p onceward --example axum -- 8080`; examples/README.md says what to send it.

use std::{
    collections::HashMap,
    env,
    error::Error,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use onceward::{
    Epoch, Fence, Guarding, IdempotencyKey, Intent, OriginSettings, Profile, Route, Setup, effect,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// How long effects may go on after the last connection is gone.
const DRAIN_PATIENCE: Duration = Duration::from_secs(25);

/// What the client wants.
#[derive(Deserialize, Serialize)]
struct Wanted {
    to: String,
    amount: String,
    currency: String,
}

/// What came of it.
#[derive(Serialize)]
struct Transfer {
    transfer_id: String,
    #[serde(flatten)]
    wanted: Wanted,
    /// As text, for not every client's numbers hold it.
    epoch: String,
    /// What the client said that it meant, for the day when somebody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    intent_sha256: Option<String>,
}

/// Where money moves. A database has this as two tables and one transaction.
#[derive(Default)]
struct Ledger {
    transfers: usize,
    /// The greatest epoch that each key came with.
    epochs: HashMap<Box<str>, Epoch>,
}

impl Ledger {
    /// The number of a new transfer; `None` for a holder of the key that another one has replaced.
    fn book(&mut self, key: &str, epoch: Epoch) -> Option<usize> {
        if self.epochs.get(key).is_some_and(|greatest| *greatest > epoch) {
            return None;
        }
        self.epochs.insert(key.into(), epoch);
        self.transfers += 1;
        Some(self.transfers)
    }
}

type Shared = Arc<Mutex<Ledger>>;

async fn transfer(
    State(ledger): State<Shared>,
    IdempotencyKey(key): IdempotencyKey,
    fence: Fence,
    intent: Option<Intent>,
    Json(wanted): Json<Wanted>,
) -> Response {
    let epoch = fence.epoch();
    let booked = ledger.lock().unwrap_or_else(PoisonError::into_inner).book(key.expose(), epoch);
    let Some(number) = booked else {
        return (effect::none(), StatusCode::CONFLICT).into_response();
    };
    let transfer_id = format!("tr_{number}");
    let location = [(header::LOCATION, format!("/transfers/{transfer_id}"))];
    let intent_sha256 = intent.map(|Intent(digest)| digest.to_text());
    let transfer = Transfer { transfer_id, wanted, epoch: epoch.0.to_string(), intent_sha256 };
    (StatusCode::CREATED, location, Json(transfer)).into_response()
}

async fn count(State(ledger): State<Shared>) -> String {
    let transfers = ledger.lock().unwrap_or_else(PoisonError::into_inner).transfers;
    format!("{{\"count\":{transfers}}}\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The ledger forgets at the end, and so does the guard; with `sqlite:PATH` it would not.
    let once = Setup::at("memory:")?.start().await?;
    let profile = Profile::onceward();
    let required = Guarding { is_key_required: true, ..Guarding::of(&profile) };
    let settings = OriginSettings {
        routes: vec![Route::guarded(&["POST"], "/transfer", required)?],
        ..OriginSettings::of(profile)
    };
    let app = Router::new()
        .route("/transfer", post(transfer))
        .route("/transfers", get(count))
        .layer(once.layer_with(settings))
        .with_state(Shared::default());

    let port = env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async move {
        terminated.recv().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    let drained = once.close(DRAIN_PATIENCE).await;
    eprintln!("drained: {} finished, {} in doubt", drained.finished, drained.stopped);
    Ok(())
}
