//! Where marks and jitter come from: one source, which a test can seed.

#[cfg(feature = "conformance")]
use std::sync::{Mutex, PoisonError};

use super::backend::Mark;
use crate::port::StoreError;

/// A source of random bytes.
#[derive(Debug)]
pub(crate) enum Entropy {
    /// The operating system's.
    System,
    /// The same bytes for the same seed. Stores on one table need different seeds, or their marks would be the same.
    #[cfg(feature = "conformance")]
    Seeded(Mutex<u64>),
}

impl Entropy {
    #[cfg(feature = "conformance")]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Mutex::new(seed))
    }

    /// A name that no version of any row has. Of 2^64 marks two are equal with a chance of one in three (the birthday bound of 128 bits),
    /// and they would have to be of one row.
    pub(crate) fn mark(&self) -> Result<Mark, StoreError> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes).map_err(|source| StoreError::Unavailable {
            reason: "no random bytes to name a row with",
            source: Some(Box::new(source)),
        })?;
        Ok(Mark(bytes))
    }

    /// A number from 0 to below 1. Without a source it is near 1: jitter then delays by all that it may.
    pub(crate) fn fraction(&self) -> f64 {
        let mut bytes = [u8::MAX; 4];
        if let Err(error) = self.fill(&mut bytes) {
            tracing::warn!(error = &error as &dyn std::error::Error, "no random bytes for jitter");
        }
        f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::System => getrandom::fill(bytes),
            #[cfg(feature = "conformance")]
            Self::Seeded(state) => {
                // A number is whole at every instant, so a poisoned lock is still good.
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                for part in bytes.chunks_mut(8) {
                    let random = crate::faulty::split_mix(&mut state).to_be_bytes();
                    part.copy_from_slice(random.get(..part.len()).unwrap_or_default());
                }
                Ok(())
            }
        }
    }
}
