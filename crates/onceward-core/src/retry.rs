//! When and after how long a client tries again (R1).

use core::time::Duration;

/// Full-jitter exponential backoff within a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPlan {
    /// The first bound on a pause; it doubles with each try.
    pub base: Duration,
    /// The largest bound on a pause.
    pub cap: Duration,
    /// How many tries there are in all.
    pub tries_max: u32,
    /// How long all tries and pauses may take together.
    pub budget: Duration,
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(250),
            cap: Duration::from_secs(30),
            tries_max: 8,
            budget: Duration::from_secs(30),
        }
    }
}

/// How one try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try<'a> {
    /// No answer came.
    NoAnswer,
    /// An answer came.
    Answered {
        /// Its status.
        status: u16,
        /// The slug of its problem type, where it has one.
        problem: Option<&'a str>,
        /// Its `Retry-After`, in delta seconds or already made relative.
        retry_after: Option<Duration>,
    },
}

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send the same request with the same key after this pause.
    RetryAfter(Duration),
    /// Take the answer as it is.
    Stop,
    /// Give up: the tries or the budget are used up.
    Exhausted,
}

/// Whether a request may be sent more than once at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeatable {
    /// It carries a key, or its method is idempotent by RFC 9110 (9.2.2).
    Yes,
    /// It is neither.
    No,
}

impl RetryPlan {
    /// Decides after the `tries`-th try (counted from 1), `elapsed` after the first began.
    ///
    /// `jitter` is a random number; only its uniformity matters. The pause is drawn from zero to the bound, and never shorter than the
    /// server's `Retry-After`. A pause that would overrun the budget ends the plan instead of being cut short.
    #[must_use]
    pub fn next(
        &self,
        tries: u32,
        elapsed: Duration,
        ended: Try<'_>,
        repeatable: Repeatable,
        jitter: u32,
    ) -> Next {
        let retry_after = match ended {
            Try::NoAnswer => None,
            Try::Answered { status, problem, retry_after } if is_retryable(status, problem) => retry_after,
            Try::Answered { .. } => return Next::Stop,
        };
        if repeatable == Repeatable::No {
            return Next::Stop;
        }
        let pause = self.pause(tries, jitter).max(retry_after.unwrap_or(Duration::ZERO));
        if tries >= self.tries_max || elapsed.saturating_add(pause) > self.budget {
            return Next::Exhausted;
        }
        Next::RetryAfter(pause)
    }

    /// A pause drawn uniformly from zero to `min(cap, base * 2^(tries - 1))`.
    fn pause(&self, tries: u32, jitter: u32) -> Duration {
        let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = self.base.saturating_mul(doubled).min(self.cap);
        let ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        let drawn = u128::from(ms) * u128::from(jitter) / u128::from(u32::MAX);
        Duration::from_millis(u64::try_from(drawn).unwrap_or(ms))
    }
}

/// Transport errors apart, what is worth another try: 5xx, 425, 429, and 409 only while the first one runs.
fn is_retryable(status: u16, problem: Option<&str>) -> bool {
    match status {
        425 | 429 | 500..=599 => true,
        409 => problem == Some("in-progress"),
        _ => false,
    }
}
