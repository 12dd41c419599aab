//! The crate's tests: one binary, one module a subject.

#![cfg(test)]

mod actor;
mod canonical;
mod fingerprint;
mod header;
mod intent;
mod key;
mod key_path;
mod outcome;
mod precondition;
mod problem;
mod profile;
mod profile_body;
mod profile_rules;
mod properties;
mod record;
mod record_model;
mod refusal;
mod retry;
mod suites;
mod time;
mod twin;
mod vectors;
