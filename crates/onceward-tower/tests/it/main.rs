//! The guard around services in memory, on a clock that is moved and never waited for.

#![cfg(test)]

mod answers;
#[cfg(feature = "axum")]
mod axum_routers;
mod budget;
mod callers;
mod equality;
mod faults;
mod floods;
mod json_rpc;
mod kit;
mod origin;
mod quiet;
mod refusals;
mod requests;
mod store_down;
mod streams;
mod wire;
