//! What a failed inner service proves about the effect.

use std::convert::Infallible;

use onceward_core::{outcome::Evidence, record::DoubtReason};

/// An error that says whether the effect may have happened.
///
/// Anything but proof is doubt (L5): implement this only with [`Evidence::Untouched`] where the request provably never left.
pub trait Testimony {
    /// What is known about the effect.
    fn evidence(&self) -> Evidence;

    /// What went wrong, in words that help its caller to mend it and give nothing away; `None` to say no more than the evidence.
    fn cause(&self) -> Option<String> {
        None
    }
}

impl Testimony for Infallible {
    fn evidence(&self) -> Evidence {
        match *self {}
    }
}

/// A handler that returns an error has thrown: what it did before is not known (O5).
impl Testimony for Box<dyn std::error::Error + Send + Sync> {
    fn evidence(&self) -> Evidence {
        Evidence::Unknown(DoubtReason::NoAnswer)
    }
}
