//! The crate against real sockets: one binary, one module a subject.

#![cfg(test)]

mod ca;
mod gateway;
mod guarded;
mod server;
mod upstream;
