//! The crate's tests: one binary, one module a subject.

#![cfg(test)]

mod controls;
mod page;
mod worlds;
