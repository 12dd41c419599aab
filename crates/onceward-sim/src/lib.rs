//! A simulation of the protocol: [`Record::on`](onceward_core::record::Record::on) among gateways, stores, origins and clients that all fail.
//!
//! A seed makes a world: one to five gateways with clocks of their own, a store of some kind, keys whose origins are of some class, clients.
//! For a while everything goes wrong that the world's faults allow; then it heals. After each step the judge looks for what may never happen,
//! and in the end whether everybody was answered. The same seed lives the same world, step by step.
//!
//! What the model of `onceward-model` shows for every order of events in small worlds, this shows for chance ones in larger worlds, over
//! longer times, with more kinds of origins, stores and faults. What happens to a key is decided by the record machine that runs in
//! production; what gateways do about it follows the engine's `drive.rs`, `execution.rs`, `records.rs` and `resolve/job.rs`.

mod call;
mod census;
mod chance;
mod client;
mod clock;
mod errand;
mod execute;
mod fault;
mod flaw;
mod gateway;
mod judge;
mod name;
mod origin;
mod page;
mod queue;
mod setting;
mod store;
mod torture;
mod trace;
mod world;

/// Worlds that the tests live: enough to meet everything, and few enough for seconds.
pub const CI_SEEDS: u64 = 20_000;

pub use self::{
    census::{Census, Decided, Happened, Met, Rare},
    chance::Chance,
    fault::{Fault, Faults},
    flaw::Flaw,
    judge::Breach,
    page::{mistakes, worlds},
    setting::{Dating, Origin, Rules, Tier},
    torture::{CONTROL_SEEDS_MAX, Caught, Failure, Plan, controls, shrink, torture},
    world::{Lived, live, tell},
};
