//! Twins: requests of one actor that ask for the same under different keys (P5).
//!
//! A key says that two requests are one action. Where a client forgets its key and mints another one, only the meaning is left: the
//! fields that a route chose. The effect that was last let through for such a meaning holds its *mark* for a window; who comes with another
//! key meets that mark, and runs only where the earlier effect is known not to have happened, or with a [`Confirmation`].

mod confirmation;
mod fields;
mod mark;

use alloc::boxed::Box;
use core::{error::Error, fmt, time::Duration};

pub use self::{
    confirmation::{Confirmation, Confirmed},
    fields::{FIELDS_MAX, TwinFields},
    mark::{Bid, Holder, Mark, Placed},
};
use crate::{
    actor::{Actor, Tenant},
    canonical::PathInvalid,
    fingerprint::Request,
    secret::Secret,
};

/// The longest window: beyond a month the same order is more likely a new one, and each mark is kept for as long.
pub const WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// How long a confirmation is taken: a person has the time to look the earlier effect up, and no page left open confirms tomorrow.
pub const CONFIRMATION_TIME: Duration = Duration::from_secs(10 * 60);

/// How a route tells twins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinRule {
    fields: TwinFields,
    window: Duration,
}

impl TwinRule {
    /// By these fields of the body, a JSONPath each, for this long after an effect was let through.
    ///
    /// # Errors
    /// [`TwinRuleInvalid`] for fields that [`TwinFields::parse`] refuses, and a window of no time or more than [`WINDOW_MAX`].
    ///
    /// ```
    /// use core::time::Duration;
    /// use onceward_core::twin::TwinRule;
    ///
    /// let rule = TwinRule::new(["$.cart", "$.amount"], Duration::from_secs(600))?;
    /// assert_eq!(rule.fields().paths().collect::<Vec<_>>(), ["$.amount", "$.cart"]);
    /// # Ok::<(), onceward_core::twin::TwinRuleInvalid>(())
    /// ```
    pub fn new<'t>(
        paths: impl IntoIterator<Item = &'t str>,
        window: Duration,
    ) -> Result<Self, TwinRuleInvalid> {
        if window.is_zero() || window > WINDOW_MAX {
            return Err(TwinRuleInvalid::Window);
        }
        Ok(Self { fields: TwinFields::parse(paths)?, window })
    }

    /// What says what a request means.
    #[must_use]
    pub const fn fields(&self) -> &TwinFields {
        &self.fields
    }

    /// How long an effect stands in the way of others.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }
}

/// Why twins cannot be told so; a mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TwinRuleInvalid {
    /// No field is named.
    NoField,
    /// There are more than [`FIELDS_MAX`].
    TooMany,
    /// A path that does not lead to one value.
    Path {
        /// The path as it was written.
        path: Box<str>,
        /// What is wrong with it.
        invalid: PathInvalid,
    },
    /// The window is no time, or longer than [`WINDOW_MAX`].
    Window,
}

impl fmt::Display for TwinRuleInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoField => f.write_str("no field is named"),
            Self::TooMany => write!(f, "more than {FIELDS_MAX} fields are named"),
            Self::Path { path, .. } => {
                write!(f, "`{path}` does not lead to one value by names and indexes, such as `$.cart`")
            }
            Self::Window => f.write_str("a window lasts some time, and 31 days at the most"),
        }
    }
}

impl Error for TwinRuleInvalid {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoField | Self::TooMany | Self::Window => None,
            Self::Path { invalid, .. } => Some(invalid),
        }
    }
}

/// What the requests of one meaning share: HMAC-SHA-256 of tenant, actor, method, target and chosen fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TwinId([u8; 32]);

impl TwinId {
    /// Derives the id of a request by the fields that its route chose; `None` where its body lacks one of them, or cannot be read so.
    ///
    /// The target counts with its query, as in a fingerprint (F3). Values count by their canonical form: `1.0` is `1`, and `"1"` is another.
    #[must_use]
    pub fn of(
        secret: &Secret,
        tenant: &Tenant,
        actor: &Actor,
        request: &Request<'_>,
        fields: &TwinFields,
    ) -> Option<Self> {
        let digest = actor
            .within(tenant, secret.digest("twin-id"))
            .field(request.scheme.unwrap_or_default().to_ascii_lowercase().as_bytes())
            .field(request.authority.unwrap_or_default().to_ascii_lowercase().as_bytes())
            .field(request.method.as_bytes())
            .field(request.path_and_query.as_bytes());
        fields.digested(request, digest).map(|digest| Self(digest.finish()))
    }

    /// An id read back from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The stored bytes. Not secret: without the deployment's secret they say nothing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TwinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TwinId(")?;
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}
