//! The crate's tests: one binary, one module a subject.

#![cfg(test)]

mod page;
mod stories;
mod worlds;
