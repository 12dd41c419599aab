//! The transfer of money, once: Actix Web.
//!
//! Start it with `cargo run -p onceward --example actix -- 8080`; examples/README.md says what to send it.

use std::{
    collections::HashMap,
    env,
    error::Error,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::LOCATION,
    web::{self, Data, Json},
};
use onceward::{
    Epoch, Guarding, OriginSettings, Profile, Route, Setup,
    actix::{Fence, IdempotencyKey, Intent},
    effect,
};
use serde::{Deserialize, Serialize};

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

type Shared = Data<Mutex<Ledger>>;

async fn transfer(
    ledger: Shared,
    key: IdempotencyKey,
    fence: Fence,
    intent: Option<Intent>,
    wanted: Json<Wanted>,
) -> HttpResponse {
    let IdempotencyKey(key) = key;
    let epoch = fence.epoch();
    let booked = ledger.lock().unwrap_or_else(PoisonError::into_inner).book(key.expose(), epoch);
    let Some(number) = booked else {
        let mut late = HttpResponse::Conflict().finish();
        late.extensions_mut().insert(effect::none());
        return late;
    };
    let transfer_id = format!("tr_{number}");
    let location = (LOCATION, format!("/transfers/{transfer_id}"));
    let intent_sha256 = intent.map(|Intent(digest)| digest.to_text());
    let wanted = wanted.into_inner();
    let transfer = Transfer { transfer_id, wanted, epoch: epoch.0.to_string(), intent_sha256 };
    HttpResponse::Created().insert_header(location).json(transfer)
}

async fn count(ledger: Shared) -> String {
    let transfers = ledger.lock().unwrap_or_else(PoisonError::into_inner).transfers;
    format!("{{\"count\":{transfers}}}\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The ledger forgets at the end, and so does the guard; with `sqlite:PATH` it would not.
    let once = Setup::at("memory:")?.start().await?;
    let profile = Profile::onceward();
    let required = Guarding { is_key_required: true, ..Guarding::of(&profile) };
    let guard = once.actix_with(OriginSettings {
        routes: vec![Route::guarded(&["POST"], "/transfer", required)?],
        ..OriginSettings::of(profile)
    });
    let ledger = Shared::default();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(ledger.clone())
            .route("/transfer", web::post().to(transfer))
            .route("/transfers", web::get().to(count))
            .wrap(guard.clone())
    });

    let port = env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    // It ends at SIGTERM by itself, with the last connection.
    let serving = server.listen(listener)?.run();
    println!("listening on http://{address}");
    serving.await?;
    let drained = once.close(DRAIN_PATIENCE).await;
    eprintln!("drained: {} finished, {} in doubt", drained.finished, drained.stopped);
    Ok(())
}
