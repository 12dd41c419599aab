//! What stores promise, put to each of them.

mod crash;
mod faulty;
mod files;
mod kit;
mod memory;
mod power;
mod sqlite;
