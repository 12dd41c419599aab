#![doc = "The rules of onceward."]
#![no_std]

extern crate alloc;

pub mod actor;
pub mod fingerprint;
pub mod key;
pub mod record;
pub mod secret;
pub mod time;
