//! The crate against real sockets: one binary, one module a subject.

#![cfg(test)]

mod ca;
mod guarded;
mod server;
mod upstream;
