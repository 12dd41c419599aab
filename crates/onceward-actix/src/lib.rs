//! Actix Web middleware that runs each keyed request once.
//!
//! [`Once`] wraps an application, a scope or a resource. [`onceward_tower::OriginRules`] say which requests are guarded and how; a handler
//! needs no change, and can ask for its [`IdempotencyKey`], [`Fence`] and [`Intent`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use actix_web::{App, HttpResponse, test, web};
//! use onceward_actix::{IdempotencyKey, Once};
//! use onceward_core::{profile::Profile, secret::Secret, time::Timestamp};
//! use onceward_engine::{Engine, Limits, Parts, SystemEntropy};
//! use onceward_store::{Clock, Memory, MemoryLimits, SystemClock};
//! use onceward_tower::{OriginRules, origin::OriginSettings};
//!
//! async fn order(key: IdempotencyKey, item: String) -> HttpResponse {
//!     let IdempotencyKey(key) = key;
//!     HttpResponse::Created().body(format!("{item}, by {} characters of key", key.expose().len()))
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
//!     let store = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock)));
//!     let engine = Engine::start(Parts {
//!         store: store.clone(),
//!         audit_log: store,
//!         secret: Secret::new([7; 32]), // 32 random bytes that stay the same
//!         clock,
//!         entropy: Arc::new(SystemEntropy),
//!         limits: Limits::default(),
//!     })
//!     .await?;
//!     let rules = OriginRules::new(engine.clone(), OriginSettings::of(Profile::onceward()));
//!     let surface = rules.surface();
//!     let once = Once::new(engine, rules, surface);
//!
//!     // A server: HttpServer::new(move || App::new().wrap(once.clone()).route(..)), and engine.drain(..) when it has stopped.
//!     let app = test::init_service(App::new().wrap(once).route("/orders", web::post().to(order))).await;
//!     for status in ["committed", "replayed"] {
//!         let request = test::TestRequest::post().uri("/orders").insert_header(("idempotency-key", "order-1"));
//!         let answer = test::call_service(&app, request.set_payload("a book").to_request()).await;
//!         assert_eq!(answer.headers().get("intent-status").unwrap(), status);
//!         assert_eq!(test::read_body(answer).await, "a book, by 7 characters of key");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What a handler may count on
//!
//! A guarded handler runs in a task of its worker's that belongs to no connection: a client that leaves does not stop it, and its answer is
//! recorded (L6). It is dropped when the engine gives it up, which leaves doubt: its time was over, its lease lost (L12), or the program
//! drains. A panic leaves doubt or a 500, as the route says (O5). A worker that stops under it leaves doubt at once.
//!
//! An `Err(actix_web::Error)`, from the handler, an extractor or a middleware inside, is the handler's own verdict: it is rendered as actix
//! would render it, and that answer is recorded like any other. A handler that knows better says so in its response's extensions:
//!
//! ```
//! # use actix_web::HttpResponse;
//! use onceward_actix::effect;
//!
//! let mut response = HttpResponse::Conflict().body("sold out");
//! response.extensions_mut().insert(effect::none()); // nothing happened: the key is free again
//! ```
//!
//! In the same way it says what is current at its resource, which the answer then has as `ETag`, `Last-Modified` and `Snapshot`:
//!
//! ```
//! # use actix_web::HttpResponse;
//! use onceward_actix::Versioned;
//! use onceward_core::precondition::{Current, ETag, Snapshot};
//!
//! let current = Current { etag: ETag::strong("v7").ok(), snapshot: Some(Snapshot::Version(7)), ..Current::default() };
//! let mut response = HttpResponse::Ok().body("{}");
//! response.extensions_mut().insert(Versioned(current));
//! ```
//!
//! An unguarded request runs on its own connection with its own bodies, as if the middleware were not there.
//!
//! # The order of middleware
//!
//! Actix runs what was registered last first, so `.wrap(once).wrap(Compress::default())` compresses **outside** of the guard: outcomes are kept
//! as the handler wrote them, and each caller gets the encoding that it accepts. This is the order to take. With `Compress` inside, the encoded
//! bytes are the outcome, and a retry gets them whatever it accepts.
//!
//! Outside belongs what must see or may refuse every request, replays too: authentication, rate limits, logs, CORS. What such a middleware
//! leaves in the request's extensions reaches the rules by [`Once::carry`]. One that rewrites the target, as `NormalizePath`, decides what
//! counts as the same request from outside, and does not from inside.
//!
//! Where a handler panicked, was given up or returned an error from a middleware, the answer comes to the middleware outside as an
//! `Err` that renders it, for actix has no response without a request, and the handler took that along.
//!
//! # What actix does not carry
//!
//! Trailers, in either direction; the order of fields with different names (lines of one name keep theirs); and, for a guarded answer, a reason
//! phrase of its own and camel-case names.

mod body;
mod carried;
mod extract;
mod head;
mod service;
mod transform;
mod worker;

pub use carried::PeerAddr;
pub use extract::{Expected, Fence, IdempotencyKey, Intent};
pub use onceward_tower::{Signal, Versioned, effect};
pub use service::OnceMiddleware;
pub use transform::Once;
