//! Several threads at one memory store: shuttle chooses, at each lock and each atomic, who goes on (probabilistic concurrency testing,
//! Burckhardt and others, 2010, and a random scheduler). A schedule in which nobody can go on is found as well.
//!
//! A failure prints the schedule that leads to it, which `shuttle::replay` lives again.

#![cfg(test)]
#![cfg(shuttle)]

mod kit;
mod memory;
