//! The forward proxy: what a browser or an agent is pointed at.
//!
//! [`server`] accepts connections, reads them strictly, opens `CONNECT` tunnels, terminates TLS with certificates of
//! [`ca`] and hands each request to an [`server::Exchange`].

pub mod ca;
mod connect;
pub mod guarded;
pub mod intercept;
pub mod leaf;
pub mod limits;
pub mod operation;
pub mod pages;
pub mod pass_through;
mod random;
pub mod rules;
pub mod server;
pub mod session;
pub mod target;
pub mod upstream;
