//! The rules of onceward: what is a key, when are two requests the same, what may run, and what is told.
//!
//! Everything here is a pure function or a value. The crate is `no_std`: it cannot read a clock, a socket, the environment or a
//! random source, so whatever depends on those is handed in. [`record::Record::on`] decides what happens to a key; nothing else does.

#![no_std]

extern crate alloc;

pub mod actor;
pub mod canonical;
pub mod fingerprint;
pub mod header;
pub mod intent;
pub mod key;
pub mod outcome;
pub mod precondition;
pub mod problem;
pub mod profile;
pub mod record;
pub mod refusal;
pub mod retry;
pub mod secret;
pub mod time;
pub mod twin;
