//! The forward proxy, which a browser or an agent is pointed at, and the gateway, which stands in front of a service.
//!
//! [`server`] accepts connections, reads them strictly, opens `CONNECT` tunnels, terminates TLS with certificates of
//! [`ca`] and hands each request to an [`server::Exchange`]. [`gateway`] is the other exchange behind the same server.

pub mod ca;
mod connect;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod gateway;
pub mod guarded;
mod hop;
pub mod intercept;
pub mod leaf;
pub mod limits;
pub mod look;
pub mod operation;
pub mod pages;
pub mod pass_through;
mod random;
pub mod rules;
pub mod server;
pub mod session;
pub mod target;
pub mod upstream;
pub mod workers;
