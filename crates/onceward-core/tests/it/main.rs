//! The crate's tests: one binary, one module a subject.

#![cfg(test)]

mod canonical;
mod fingerprint;
mod intent;
mod properties;
mod suites;
mod vectors;
