//! Tower middleware that runs each keyed request once.
//!
//! [`OnceLayer`] wraps any HTTP service: a handler of axum or hyper, or an upstream client, which makes a proxy of it. [`Rules`] says
//! which requests are guarded and how; the engine does the rest; [`Testimony`] says what a failed inner service proves.

mod body;
mod budget;
mod coding;
mod contract;
mod execute;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod grpc;
mod handler;
mod intent;
mod json_rpc;
mod layer;
mod member;
pub mod origin;
mod original;
pub mod precondition;
mod request;
mod respond;
mod rules;
mod service;
mod testimony;
mod twin;
mod webhook;

pub use body::{BodyError, RequestBody, ResponseBody};
pub use contract::{KeyedEffect, Page};
pub use handler::{Fence, IdempotencyKey, Intent, Signal, effect};
pub use layer::OnceLayer;
pub use onceward_engine::{Consent, Undated};
pub use origin::OriginRules;
pub use precondition::{Expected, Versioned};
pub use respond::{Cors, Surface};
pub use rules::{Judgement, Keeper, Origin, Plan, Rules, SeekKey, TwinPlan, Unreadable};
pub use service::{Guarded, Once};
pub use testimony::Testimony;
pub use webhook::{Webhook, WebhookSecret, WebhookSecretInvalid, Webhooks};
