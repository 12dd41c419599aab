//! Where randomness comes from: handed in, so that a simulation can replay it.

use std::fmt;

/// A source of random bytes.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// When the source has none; nothing may then be executed, since attempts could not be told apart.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(bytes).map_err(|source| EntropyError { source: Box::new(source) })
    }
}

/// The random source failed.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes")]
pub struct EntropyError {
    /// What the source says.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
