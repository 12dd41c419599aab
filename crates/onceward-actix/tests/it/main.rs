//! The middleware in a real server on the loopback address, spoken to by bytes.

#![cfg(test)]

mod answers;
mod callers;
mod kit;
mod origin;
mod refusals;
mod requests;
mod streams;
mod suite;
mod wire;
