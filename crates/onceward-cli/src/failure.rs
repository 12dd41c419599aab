//! How the program ends when it cannot do what it was asked.

use std::process::ExitCode;

/// Exit codes, as documented in `docs/operations.md`.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const STORE: u8 = 3;

/// A failed command, by what the caller can do about it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed, or found what it was to look for.
    Failed(anyhow::Error),
    /// The command line, the configuration or a file that it names is not right.
    Usage(anyhow::Error),
    /// The store is not there, not ours, or not sound.
    Store(anyhow::Error),
}

impl Failure {
    pub(crate) fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }

    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    pub(crate) fn store(error: impl Into<anyhow::Error>) -> Self {
        Self::Store(error.into())
    }

    /// The error itself, for who adds to it.
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Failed(error) | Self::Usage(error) | Self::Store(error) => error,
        }
    }

    /// Says what went wrong on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let (error, code) = match self {
            Self::Failed(error) => (error, FAILED),
            Self::Usage(error) => (error, USAGE),
            Self::Store(error) => (error, STORE),
        };
        anstream::eprintln!("onceward: {error:#}");
        ExitCode::from(code)
    }
}
