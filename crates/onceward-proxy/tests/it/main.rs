//! The crate against real sockets: one binary, one module a subject.

#![cfg(test)]

mod ca;
mod server;
mod upstream;
