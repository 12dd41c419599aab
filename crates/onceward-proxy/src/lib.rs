//! The forward proxy: what a browser or an agent is pointed at.
//!
//! [`server`] accepts connections, reads them strictly, opens `CONNECT` tunnels, terminates TLS with certificates of
//! [`ca`] and hands each request to an [`server::Exchange`].

pub mod target;
