//! An axum service of one route, bare or guarded: `bench-axum bare|guarded ADDRESS`.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use onceward::{Profile, Setup};
use tokio::net::TcpListener;

/// What an order is answered with.
const ANSWER: &str = r#"{"order":"0d9c1c8e-0f5f-4a44-8d0e-6a3f3b0d7c11","state":"accepted"}"#;

type Executions = Arc<AtomicU64>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let guard = arguments.next().context("bare or guarded?")?;
    let address = arguments.next().context("the address is missing")?;
    let listener = TcpListener::bind(&address).await.with_context(|| address.clone())?;
    let service = Router::new()
        .route("/orders", post(order))
        .route("/executions", get(executions))
        .with_state(Executions::default());
    let service = match guard.as_str() {
        "bare" => service,
        "guarded" => service.layer(Setup::at("memory:")?.start().await?.layer(Profile::onceward())),
        _ => bail!("a service is bare or guarded, not {guard}"),
    };
    axum::serve(listener, service).await?;
    Ok(())
}

async fn order(State(executions): State<Executions>, _body: Bytes) -> impl IntoResponse {
    executions.fetch_add(1, Ordering::Relaxed);
    (StatusCode::CREATED, [(CONTENT_TYPE, "application/json")], ANSWER)
}

async fn executions(State(executions): State<Executions>) -> String {
    executions.load(Ordering::Relaxed).to_string()
}
