//! The guard around services in memory, on a clock that is moved and never waited for.

#![cfg(test)]

mod answers;
mod budget;
mod callers;
mod equality;
mod json_rpc;
mod kit;
mod quiet;
mod refusals;
mod requests;
mod streams;
mod wire;
