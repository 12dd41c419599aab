//! The transfer of money, once: tonic.
//!
//! `cargo run -p onceward --example tonic -- serve 8080` starts the service, and
//! `cargo run -p onceward --example tonic -- transfer http://127.0.0.1:8080 KEY AMOUNT` calls it; see examples/README.md.
//!
//! Messages and service are written by hand, for want of `protoc`; what `tonic-prost-build` makes of a `.proto` file goes in the same
//! places.

use std::{
    convert::Infallible,
    env,
    error::Error,
    future::ready,
    net::Ipv4Addr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::uri::PathAndQuery;
use onceward::{Fence, Guarding, OriginSettings, Profile, Route, Setup};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client, server,
    server::NamedService,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

/// The method's path.
const TRANSFER: &str = "/bank.v1.Bank/Transfer";

/// How long effects may go on after the last connection is gone.
const DRAIN_PATIENCE: Duration = Duration::from_secs(25);

/// What the client wants.
#[derive(Clone, PartialEq, prost::Message)]
struct Wanted {
    #[prost(string, tag = "1")]
    to: String,
    #[prost(string, tag = "2")]
    amount: String,
    #[prost(string, tag = "3")]
    currency: String,
}

/// What came of it.
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {
    #[prost(string, tag = "1")]
    transfer_id: String,
    #[prost(uint64, tag = "2")]
    epoch: u64,
}

/// The service, which counts its transfers.
#[derive(Clone, Default)]
struct Bank {
    transfers: Arc<AtomicU64>,
}

impl Bank {
    fn transfer(&self, request: &Request<Wanted>) -> Result<Response<Transfer>, Status> {
        let Some(fence) = request.extensions().get::<Fence>() else {
            return Err(Status::internal("the route is not guarded"));
        };
        let number = self.transfers.fetch_add(1, Ordering::SeqCst) + 1;
        let transfer_id = format!("tr_{number}");
        Ok(Response::new(Transfer { transfer_id, epoch: fence.epoch().0 }))
    }
}

impl NamedService for Bank {
    const NAME: &'static str = "bank.v1.Bank";
}

impl Service<http::Request<Body>> for Bank {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != TRANSFER {
            return Box::pin(ready(Ok(Status::unimplemented("there is no such method").into_http())));
        }
        let bank = self.clone();
        Box::pin(async move {
            let method = service_fn(move |request| ready(bank.transfer(&request)));
            Ok(server::Grpc::new(ProstCodec::default()).unary(method, request).await)
        })
    }
}

/// Serves until `stop` ends, then lets what is under way end.
pub(crate) async fn serve(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    // The bank forgets at the end, and so does the guard; with `sqlite:PATH` it would not.
    let once = Setup::at("memory:")?.start().await?;
    let profile = Profile::onceward();
    let required = Guarding { is_key_required: true, ..Guarding::of(&profile) };
    let settings = OriginSettings {
        routes: vec![Route::guarded(&["POST"], TRANSFER, required)?],
        ..OriginSettings::of(profile)
    };
    Server::builder()
        .layer(once.layer_with(settings))
        .add_service(Bank::default())
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop)
        .await?;
    let drained = once.close(DRAIN_PATIENCE).await;
    eprintln!("drained: {} finished, {} in doubt", drained.finished, drained.stopped);
    Ok(())
}

async fn listen(port: u16) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async move {
        terminated.recv().await;
    };
    serve(listener, stop).await
}

/// Calls the service under a key, and says what came back.
///
/// Whoever retries sends the same key again: after a lost connection, a deadline, or a new start of this very program.
async fn transfer(url: String, amount: String, key: Option<String>) -> Result<(), Box<dyn Error>> {
    let wanted = Wanted { to: "acct_abc".to_owned(), amount, currency: "USD".to_owned() };
    let mut request = Request::new(wanted);
    if let Some(key) = key {
        request.metadata_mut().insert("idempotency-key", key.parse()?);
    }
    let mut bank = client::Grpc::new(Channel::from_shared(url)?.connect().await?);
    bank.ready().await?;
    let codec: ProstCodec<Wanted, Transfer> = ProstCodec::default();
    let (metadata, code, transfer) =
        match bank.unary(request, PathAndQuery::from_static(TRANSFER), codec).await {
            Ok(response) => (response.metadata().clone(), Code::Ok, Some(response.into_inner())),
            Err(status) => (status.metadata().clone(), status.code(), None),
        };
    println!("grpc-status: {} ({code:?})", i32::from(code));
    for name in ["intent-status", "onceward-problem"] {
        if let Some(value) = metadata.get(name) {
            println!("{name}: {}", value.to_str()?);
        }
    }
    if let Some(Transfer { transfer_id, epoch }) = transfer {
        println!("transfer_id: {transfer_id}\nepoch: {epoch}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    match (words.next().as_deref(), words.next(), words.next(), words.next()) {
        (Some("serve"), port, None, None) => listen(port.map_or(Ok(0), |port| port.parse())?).await,
        (Some("transfer"), Some(url), Some(amount), key) => transfer(url, amount, key).await,
        _ => Err("usage: tonic serve [PORT] | tonic transfer URL AMOUNT [KEY]".into()),
    }
}
