//! Finding out, without a person, what became of effects in doubt (D2-D4).
//!
//! Which effects are in doubt, how often somebody looked and who looks now stands in their records, so that the job goes on after a crash and
//! is shared by all processes of one store: each look is granted to one of them, and the next one only after a pause (`Event::Inquired`).

mod job;
mod pace;

use std::{fmt, future::Future, pin::Pin, time::Duration};

use onceward_core::{
    actor::LookupId,
    outcome::Outcome,
    record::{Attempt, DoubtReason},
    time::Timestamp,
};
use zeroize::Zeroizing;

pub(crate) use self::job::Job;
pub use self::pace::Pace;

/// What a look returns; boxed so that a deployment can choose its resolvers at run time.
pub type LookFuture<'a> = Pin<Box<dyn Future<Output = Look> + Send + 'a>>;

/// Finds out what became of effects of its routes.
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// Its stable name, for the audit log and metrics.
    fn name(&self) -> &str;

    /// Looks once what became of an effect in doubt, or says that the effect is none of its routes'.
    ///
    /// # Cancel safety
    /// The future is dropped when [`Pace::look_time_max`] is over; that counts as [`Sight::Unclear`]. A look must therefore not leave anything
    /// behind that acts, unless its origin honours the key.
    fn look<'a>(&'a self, doubt: &'a Doubtful) -> LookFuture<'a>;
}

/// An effect in doubt, as a resolver sees it.
pub struct Doubtful {
    /// Under which its record is found.
    pub id: LookupId,
    /// Whose effect it is.
    pub attempt: Attempt,
    /// Why it is in doubt.
    pub reason: DoubtReason,
    /// When it was claimed: no earlier can it have happened.
    pub claimed_at: Timestamp,
    /// When it fell into doubt.
    pub doubted_at: Timestamp,
    /// When this look was granted. All times are the store's.
    pub now: Timestamp,
    /// How many looks there were, this one included.
    pub looks: u32,
    /// What its adapter kept of the request ([`crate::Call::request`]).
    pub request: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Doubtful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doubtful")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("reason", &self.reason)
            .field("looks", &self.looks)
            .finish_non_exhaustive()
    }
}

/// What a look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What it comes to.
    pub sight: Sight,
    /// What was seen, for the audit log (D4): a short text without credentials or bodies.
    pub evidence: String,
}

impl Look {
    /// The effect is of none of the resolver's routes.
    #[must_use]
    pub const fn not_mine() -> Self {
        Self { sight: Sight::NotMine, evidence: String::new() }
    }

    /// Nothing can be said.
    #[must_use]
    pub fn unclear(why: impl Into<String>) -> Self {
        Self { sight: Sight::Unclear, evidence: why.into() }
    }
}

/// What a look comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Not an effect that this resolver looks for.
    NotMine,
    /// It happened, with this answer where one is known.
    Happened(Option<Box<Outcome>>),
    /// It happened more than once.
    Multiple,
    /// There is nothing to be seen of it. That proves its absence once the holder is gone and what it sent has had the settling time to
    /// arrive (D3); until then it is as good as [`Sight::Unclear`].
    Nothing {
        /// How long after its socket closed a request may still take effect, as the route states it.
        settling: Duration,
    },
    /// It did not happen and never will, whatever is still on its way: the origin refuses it by key or fence, or it was rolled back.
    Never,
    /// Nothing can be said; perhaps later.
    Unclear,
}

impl Sight {
    /// The sight's stable name, for the audit log and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotMine => "not-mine",
            Self::Happened(_) => "happened",
            Self::Multiple => "multiple",
            Self::Nothing { .. } => "nothing",
            Self::Never => "never",
            Self::Unclear => "unclear",
        }
    }
}
