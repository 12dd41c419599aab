//! The face as a service uses it.

#![cfg(test)]

#[expect(dead_code, reason = "its client and its command line are for people")]
#[path = "../../../../examples/tonic.rs"]
mod bank;
mod grpc;
mod lifetime;
