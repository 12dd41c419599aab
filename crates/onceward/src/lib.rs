//! Every web effect once, for those who own the service.
//!
//! A client that retries a request with the same `Idempotency-Key` gets the answer of the first one, and the handler runs once: also when
//! the client went away in between, when two of them come at the same time, and when the process is killed at any moment. What happened
//! then is not guessed: such an effect is *in doubt*, and its repeats are told so until somebody has looked.
//!
//! # axum
//!
//! With the feature `axum`, which adds the extractors [`IdempotencyKey`], [`Fence`] and [`Intent`]:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use axum::{Router, routing::post};
//! # use onceward::{Profile, Setup};
//! # async fn transfer() {}
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let once = Setup::at("sqlite:onceward.db")?.start().await?;
//! let app = Router::new().route("/transfer", post(transfer)).layer(once.layer(Profile::onceward()));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap() }).await?;
//! once.close(Duration::from_secs(25)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Put the layer outside of what changes requests and inside of what names callers; `Router::layer` covers the routes that were added
//! before it. The layer also answers `GET /.well-known/idempotency`, the contract of these routes as JSON, and the pages under it.
//!
//! A retry, and what comes of it:
//!
//! ```
//! use axum::{Router, body::Body, http::{Request, StatusCode}, routing::post};
//! use onceward::{Fence, Profile, Setup};
//! use tower::ServiceExt;
//!
//! async fn transfer(fence: Fence) -> (StatusCode, String) {
//!     (StatusCode::CREATED, format!("moved under epoch {}", fence.epoch().0))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let once = Setup::at("memory:")?.start().await?;
//! let app = Router::new().route("/transfer", post(transfer)).layer(once.layer(Profile::onceward()));
//! let ask = || Request::post("/transfer").header("idempotency-key", "t-17").body(Body::from("25.00"));
//!
//! let first = app.clone().oneshot(ask()?).await?;
//! assert_eq!((first.status(), &first.headers()["intent-status"]), (StatusCode::CREATED, &"committed".parse()?));
//! let retry = app.oneshot(ask()?).await?;
//! assert_eq!((retry.status(), &retry.headers()["intent-status"]), (StatusCode::CREATED, &"replayed".parse()?));
//! # once.close(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # hyper
//!
//! Any [`tower::Service`](https://docs.rs/tower/latest/tower/trait.Service.html) over [`http::Request`](https://docs.rs/http) can be
//! wrapped; hyper-util makes a hyper service of it. An inner service whose error says nothing ([`Infallible`](std::convert::Infallible),
//! a boxed error) needs no more; others implement [`Testimony`], which says what a failure proves.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use hyper::body::Incoming;
//! use hyper_util::{rt::TokioIo, service::TowerToHyperService};
//! use onceward::{BodyError, Profile, RequestBody, Setup};
//! use tower::ServiceBuilder;
//!
//! async fn transfer(request: Request<RequestBody<Incoming>>) -> Result<Response<Full<Bytes>>, BodyError> {
//!     let wanted = request.into_body().collect().await?.to_bytes();
//!     Ok(Response::new(Full::new(wanted)))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let once = Setup::at("memory:")?.start().await?;
//! let service = ServiceBuilder::new().layer(once.layer(Profile::onceward())).service_fn(transfer);
//!
//! let (client, server) = tokio::io::duplex(1024);
//! let connection = hyper::server::conn::http1::Builder::new()
//!     .serve_connection(TokioIo::new(server), TowerToHyperService::new(service));
//! # tokio::spawn(connection);
//! # let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await?;
//! # tokio::spawn(connection);
//! # let mut seen = Vec::new();
//! # for _ in 0..2 {
//! #     let ask = Request::post("/transfer").header("host", "bank.example").header("idempotency-key", "t-17");
//! #     let answer = sender.send_request(ask.body(Full::new(Bytes::from("25.00")))?).await?;
//! #     let replayed = answer.headers().contains_key("idempotent-replayed");
//! #     seen.push((replayed, answer.into_body().collect().await?.to_bytes()));
//! # }
//! # assert_eq!(seen, [(false, Bytes::from("25.00")), (true, Bytes::from("25.00"))]);
//! # once.close(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # tonic
//!
//! The layer goes around the whole server, `Server::builder().layer(once.layer(Profile::onceward()))`, and a client sends its key as
//! metadata, `request.metadata_mut().insert("idempotency-key", key)`. A replay repeats message and trailers, `grpc-status` among them.
//! `examples/tonic.rs` is such a server with its client.
//!
//! A `Status` that a handler returns is its verdict like any other answer, `UNAVAILABLE` as much as a 503: it is kept, and a client that
//! calls again by itself gets it again. A handler that did nothing frees the key by the status's metadata,
//! `status.metadata_mut().insert("idempotency-key-consumed", "false".parse()?)`, before its first message.
//!
//! # Actix Web
//!
//! With the feature `actix`, [`Onceward::actix`] makes a middleware for `App::wrap`, and its module has the extractors of that framework.
//! Make it outside of the application's factory and clone it in, as `examples/actix.rs` does, for all workers share one.
//!
//! # What is guarded
//!
//! A [`Profile`] is a published contract: [`Profile::onceward`] is this project's own, others are those of payment services and drafts.
//! As it stands it guards each POST, PATCH, PUT and DELETE that carries a key, and takes the caller from `Authorization`.
//! [`OriginSettings`] says the rest: routes that refuse requests without a key, cookies, anonymous callers.
//!
//! ```
//! # use onceward::{ActorSource, Anonymous, Guarding, OriginSettings, Profile, Route};
//! let profile = Profile::onceward();
//! let required = Guarding { is_key_required: true, ..Guarding::of(&profile) };
//! let settings = OriginSettings {
//!     actors: vec![ActorSource::Authorization, ActorSource::Cookie("sid".into())],
//!     anonymous: Anonymous::Refuse,
//!     routes: vec![Route::guarded(&["POST"], "/transfer", required)?],
//!     ..OriginSettings::of(profile)
//! };
//! # async fn start(settings: OriginSettings) -> Result<(), Box<dyn std::error::Error>> {
//! let once = onceward::Setup::at("memory:")?.start().await?;
//! let layer = once.layer_with(settings);
//! # Ok(())
//! # }
//! # Ok::<(), onceward::RouteInvalid>(())
//! ```
//!
//! # The same under another key
//!
//! A client that lost its key mints another one. A route may name the fields of a body that say what a request means: for a while the same
//! under another key is refused with 409 `possible-duplicate`, and runs only with the `Effect-Confirm` that the refusal offers.
//!
//! ```
//! # use std::time::Duration;
//! # use onceward::{Guarding, Profile, Route, TwinRule};
//! let twins = TwinRule::new(["$.cart", "$.amount"], Duration::from_secs(600))?;
//! let orders = Guarding { twins: Some(twins), ..Guarding::of(&Profile::onceward()) };
//! let route = Route::guarded(&["POST"], "/orders", orders)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a handler says
//!
//! Its answer is the outcome, the 5xx too, except 401, 403, 407, 408, 421, 425 and 429, which say that it did not act and free the key.
//! A panic leaves the effect in doubt. A handler that knows better adds [`effect::none()`] (nothing happened, the key is free) or
//! [`effect::done()`] (it is over, whatever the status) to its answer.
//!
//! # When nobody knows
//!
//! A handler that panicked, a process that was killed: what became of the effect is in doubt, and its repeats are refused until somebody
//! finds out. Best, that is a [`Resolver`](resolve::Resolver), which looks where the effect would be. It gets what a
//! [`Keeper`](resolve::Keeper) kept of the request, sealed in the store until the effect is known to be over.
//!
//! ```
//! use std::{sync::{Arc, Mutex}, time::Duration};
//! use axum::{Router, body::Body, http::Request, routing::post};
//! use onceward::{OriginSettings, Profile, Setup, resolve::{Doubtful, Keeper, Look, LookFuture, Pace, Resolver, Sight}};
//! use tower::ServiceExt;
//!
//! #[derive(Debug, Default)]
//! struct Ledger(Mutex<Vec<String>>);
//!
//! impl Resolver for Ledger {
//!     fn name(&self) -> &str {
//!         "ledger"
//!     }
//!
//!     fn look<'a>(&'a self, doubt: &'a Doubtful) -> LookFuture<'a> {
//!         let wanted = String::from_utf8_lossy(&doubt.request).into_owned();
//!         let is_booked = self.0.lock().unwrap().contains(&wanted);
//!         // That it is not there counts only once nothing can be on its way any more.
//!         let settling = Duration::from_secs(30);
//!         let sight = if is_booked { Sight::Happened(None) } else { Sight::Nothing { settling } };
//!         Box::pin(async { Look { sight, evidence: "looked into the ledger".into() } })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = Arc::new(Ledger::default());
//! let once = Setup::at("memory:")?.start().await?;
//! once.resolve_by(vec![ledger.clone()], Pace::default());
//! let keeper = Keeper::new(|_, _, body| Some(body.to_vec().into()));
//! let settings = OriginSettings { keeper: Some(keeper), ..OriginSettings::of(Profile::onceward()) };
//!
//! let transfer = async move |amount: String| -> String {
//!     ledger.0.lock().unwrap().push(amount);
//!     panic!("after the effect");
//! };
//! let app = Router::new().route("/transfer", post(transfer)).layer(once.layer_with(settings));
//! let ask = || Request::post("/transfer").header("idempotency-key", "t-17").body(Body::from("25.00"));
//!
//! let first = app.clone().oneshot(ask()?).await?;
//! assert_eq!(first.headers()["intent-status"], "unknown");
//! # tokio::time::sleep(Duration::from_millis(200)).await;
//! let retry = app.oneshot(ask()?).await?;
//! assert_eq!(retry.headers()["idempotency-key-consumed"], "true"); // it happened, once
//! # once.close(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Or whoever knows says so in a post that is signed as [Standard Webhooks](https://www.standardwebhooks.com) has it. With
//! [`OriginSettings::webhooks`] the layer takes such posts at `/.well-known/idempotency/verdicts`; `docs/webhooks.md` says what stands in
//! one, and what somebody promises who calls an effect absent. [`Webhooks::hear`](resolve::Webhooks::hear) is the same for a route of
//! your own.
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::post};
//! # use base64::{Engine as _, engine::general_purpose::STANDARD};
//! # use hmac::{Hmac, KeyInit, Mac};
//! # use sha2::Sha256;
//! use onceward::{Fence, OriginSettings, Profile, Setup, resolve::{Webhook, WebhookSecret, Webhooks}};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
//! let ledger = Webhook::new("ledger", vec![secret]).about(|_, uri| uri.path() == "/transfer");
//! let settings =
//!     OriginSettings { webhooks: Webhooks::new(vec![ledger]), ..OriginSettings::of(Profile::onceward()) };
//!
//! # let (tell, mut epochs) = tokio::sync::mpsc::unbounded_channel();
//! let transfer = async move |fence: Fence| -> String {
//! #   tell.send(fence.epoch().0).unwrap();
//!     panic!("after the effect, under {fence:?}");
//! };
//! let once = Setup::at("memory:")?.start().await?;
//! let app = Router::new().route("/transfer", post(transfer)).layer(once.layer_with(settings));
//! let ask = || Request::post("/transfer").header("idempotency-key", "t-17").body(Body::from("25.00"));
//! let first = app.clone().oneshot(ask()?).await?;
//! assert_eq!(first.headers()["intent-status"], "unknown");
//!
//! // The transfer was written down with the epoch of its `Fence`, and so is found again.
//! # let epoch = epochs.recv().await.unwrap();
//! # let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
//! let verdict = format!(
//!     r#"{{"key": "t-17", "epoch": {epoch}, "verdict": "happened", "evidence": "it is in the ledger",
//!         "answer": {{"status": 201, "body": "moved"}}}}"#
//! );
//! # let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
//! # let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
//! # mac.update(format!("msg_1.{now}.{verdict}").as_bytes());
//! # let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
//! let told = Request::post("/.well-known/idempotency/verdicts")
//!     .header("webhook-id", "msg_1")
//!     .header("webhook-timestamp", now)
//!     .header("webhook-signature", signature)
//!     .body(Body::from(verdict))?;
//! assert_eq!(app.clone().oneshot(told).await?.status(), 200);
//! let retry = app.oneshot(ask()?).await?;
//! assert_eq!((retry.status().as_u16(), &retry.headers()["intent-status"]), (201, &"replayed".parse()?));
//! # once.close(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Stopping
//!
//! First the server, then [`Onceward::close`]: effects run in tasks of their own, and those of clients that went away are waited for.
//!
//! # Features
//!
//! `sqlite` and `tower` are on by default; `axum` and `actix` are for those frameworks. Without `tower`, the [`Engine`] alone is left.

mod running;
pub mod secret_file;
mod setup;
mod store_url;

#[cfg(feature = "tower")]
pub use onceward_core::{
    actor::{Actor, Tenant},
    canonical::Volatile,
    fingerprint::Equality,
    header::Cookies,
    key::{Carriers, Key, KeyForm, KeyPath, KeyRule},
    outcome::{Evidence, OnPanic, Policy, StatusSet, Statuses, Untouched, WhenStoreDown},
    profile::{Manner, Namespace, Profile},
    record::{AfterRetention, DoubtReason, Epoch, OnLapse, OnMismatch},
    secret::Secret,
    twin::{TwinRule, TwinRuleInvalid},
};
pub use onceward_engine::{DrainReport, Engine, Limits, Parts, SelfTestError};
#[cfg(feature = "sqlite")]
pub use onceward_store::Durability;
#[cfg(feature = "tower")]
pub use onceward_tower::{
    BodyError, Expected, Fence, Guarded, IdempotencyKey, Intent, Once, OnceLayer, OriginRules, RequestBody,
    ResponseBody, Signal, Testimony, Undated, Unreadable, Versioned, effect,
    origin::{
        ActorHook, ActorSource, Anonymous, CredentialsUnreadable, Demand, Guarding, OriginSettings, Route,
        RouteInvalid, TlsSubject, TrustedHeader,
    },
    precondition,
};
pub use running::Onceward;
pub use setup::{Setup, SetupError};
pub use store_url::{DatabaseKind, DatabaseUrl, StoreUrl, StoreUrlInvalid};

/// Finding out what became of effects in doubt.
#[cfg(feature = "tower")]
pub mod resolve {
    pub use onceward_core::outcome::{Content, Outcome};
    pub use onceward_engine::{Doubtful, Look, LookFuture, Pace, Resolver, Sight};
    pub use onceward_tower::{Keeper, Origin, Webhook, WebhookSecret, WebhookSecretInvalid, Webhooks};
}

/// The middleware for Actix Web, which [`Onceward::actix`] makes, and what its handlers can ask for.
#[cfg(feature = "actix")]
pub mod actix {
    pub use onceward_actix::{Expected, Fence, IdempotencyKey, Intent, Once, OnceMiddleware, PeerAddr};
}
