//! Stores that share one table in memory: the suite, and what it takes for many processes to agree.

mod clock;
mod faults;
mod history;
mod kit;
mod marks;
mod processes;
mod resilience;
mod suite;
