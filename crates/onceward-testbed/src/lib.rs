//! Real database servers for tests and benchmarks: each on a free port, in a temporary folder of its own, gone when it is dropped.
//!
//! A server is a process that can be killed, paused and started again on what it left behind. Nothing here is part of the product.

pub mod mysql;
pub mod postgres;
pub mod redis;
mod server;
mod wire;

pub use server::{Server, ServerError};
pub use wire::Wire;
