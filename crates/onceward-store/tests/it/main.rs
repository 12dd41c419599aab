//! What stores promise, put to each of them.

#![cfg(test)]

mod crash;
mod faulty;
mod files;
mod kit;
mod memory;
mod power;
mod sqlite;
