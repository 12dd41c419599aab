//! Where a call stands, told to whoever wants to stop the world there.

use std::fmt;

/// A step in a call's life after which a crash means something else than before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before the claim: nothing is remembered.
    Arriving,
    /// The claim is durable, nothing is sent.
    Claimed,
    /// The effect is over, nothing of it is stored.
    Ran,
    /// The outcome is durable, the caller has not got it.
    Settled,
}

/// Is told of every stage that a call reaches. Crash tests kill the process here; production has none.
pub trait Probe: fmt::Debug + Send + Sync + 'static {
    /// A call reached `stage`.
    fn reached(&self, stage: Stage);
}
