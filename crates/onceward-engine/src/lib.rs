//! Drives the rules against a store: claims, runs, renews, waits, settles, sweeps.
//!
//! The engine decides nothing about a key: [`onceward_core::record::Record::on`] does, inside the store. It owns the tasks in which
//! effects run, so that no connection's end stops or repeats one, and it is the only user of a [`onceward_store::Store`].

mod audit;
mod barrier;
mod call;
mod callers;
mod chain;
mod codec;
mod drive;
mod engine;
mod entropy;
mod erase;
mod execution;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod held;
mod limits;
mod moment;
mod operator;
mod pieces;
mod probe;
mod records;
mod resolve;
mod seal;
mod self_test;
mod telemetry;
mod twin;
mod waiters;

pub use audit::Trace;
pub use call::{Call, Consent, Effected, Ran, Standing, StreamEnd, TwinGuard, Twins};
pub use chain::{ChainBreak, ChainReport, Flaw, LastSeal, verify_chain};
pub use engine::{DrainReport, Engine, Parts};
pub use entropy::{Entropy, EntropyError, SystemEntropy};
pub use erase::Erased;
pub use limits::Limits;
pub use onceward_store::{EntryFilter, StoreError, Stored, Undated};
pub use operator::{Finding, Resolved, state_name};
pub use pieces::{DecodeError, Pieces, put_piece};
pub use probe::{Probe, Stage};
pub use resolve::{Doubtful, Look, LookFuture, Pace, Resolver, Sight};
pub use seal::{OpenError, SealContext, Sealer};
pub use self_test::SelfTestError;
pub use telemetry::{Telemetry, UpstreamSeen};
