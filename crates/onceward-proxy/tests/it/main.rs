//! The proxy crate against real sockets.

mod upstream;
