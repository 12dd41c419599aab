//! The control API over real sockets, in front of a real engine over the memory store.

#![cfg(test)]

mod changes;
mod effects;
mod flaky;
mod hostile;
mod pages;
mod probes;
mod raw;
mod stage;
mod tcp_door;
mod unix_door;
