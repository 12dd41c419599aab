//! Judges any HTTP server by its address: does a repeated request take effect once?
//!
//! A [`Suite`] is a list of [`Case`]s, one promise each; [`suite::run`] holds a [`Subject`] against them and makes a [`Report`]. It
//! knows nothing of what is judged but what HTTP shows, so that one suite serves a middleware, a gateway and a stranger's server.
//!
//! With the feature `origin` there is the reference origin, which does what a case tells it and counts its effects. With it
//! behind a guard, every case can be judged; without it those that a server's own answers decide.

mod case;
mod expect;
#[cfg(feature = "origin")]
pub mod origin;
mod report;
mod subject;
pub mod suite;
mod talk;
mod target;
mod wire;

pub use case::{Case, Finding, Need};
pub use report::{CaseResult, Exchange, Report, Sight};
pub use subject::{Backing, Guarding, Heads, Subject, Verdict};
pub use suite::{Suite, Unfit};
pub use target::{Target, TargetInvalid, Trust};
