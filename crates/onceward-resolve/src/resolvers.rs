//! The resolvers of a deployment: what they need of a request is kept, and they look in their order (D2).

mod command;
mod passthrough;
mod probe;

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, Uri, request::Parts};
use onceward_engine::{Doubtful, Resolver};
use zeroize::Zeroizing;

pub use self::{
    command::Command,
    passthrough::{OriginKey, Passthrough},
    probe::Probe,
};
use crate::request::EffectRequest;

/// Bytes of a body that are kept at the most: the store holds them for as long as the effect runs, like an outcome of the same limit.
pub const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of address and headers beside it; servers take no longer heads.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// A resolver that says beforehand what it will need.
pub trait Finder: Resolver {
    /// What it needs of a request with this method and address; `None` where it does not look for the effects of such.
    fn needs(&self, effect: &EffectRequest) -> Option<Needs>;
}

/// What of a request is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// All of it.
    Everything,
    /// Method and address, these headers, and perhaps the body.
    Parts {
        /// Their names.
        headers: Vec<HeaderName>,
        /// Whether the body is needed.
        body: bool,
    },
}

impl Needs {
    /// What both need.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Parts { mut headers, body }, Self::Parts { headers: others, body: also }) => {
                headers.extend(others);
                Self::Parts { headers, body: body || also }
            }
        }
    }

    fn body(&self) -> bool {
        matches!(self, Self::Everything | Self::Parts { body: true, .. })
    }

    fn of(self, effect: EffectRequest) -> EffectRequest {
        match self {
            Self::Everything => effect,
            Self::Parts { headers, body } => effect.only(&headers, body),
        }
    }
}

/// All resolvers of a deployment, in their order.
#[derive(Clone, Default)]
pub struct Resolvers(Arc<[Arc<dyn Finder>]>);

impl fmt::Debug for Resolvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|finder| finder.name())).finish()
    }
}

impl Resolvers {
    /// These, in this order.
    #[must_use]
    pub fn new(finders: Vec<Arc<dyn Finder>>) -> Self {
        Self(finders.into())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is kept of a request: what all resolvers that look for its effect need; `None` where none does, or where that is more than
    /// [`KEPT_BYTES_MAX`].
    ///
    /// `origin` is scheme and authority, for a request that does not carry them in its address; the body is as it came.
    #[must_use]
    pub fn keep(
        &self,
        head: &Parts,
        origin: Option<(&str, &str)>,
        body: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let uri = absolute(&head.uri, origin)?;
        // When it was claimed is not known before it is; the record says it to whoever looks.
        let asked =
            |headers, body| EffectRequest::new(head.method.clone(), uri.clone(), headers, body, 0).ok();
        let bare = asked(HeaderMap::new(), Vec::new())?;
        let needs = self.0.iter().filter_map(|finder| finder.needs(&bare)).reduce(Needs::and)?;
        if needs.body() && body.len() > KEPT_BYTES_MAX {
            tracing::warn!(
                body_bytes = body.len(),
                "a request is too large to be kept for its resolvers: should it be in doubt, a person has to find out"
            );
            return None;
        }
        let whole = asked(head.headers.clone(), if needs.body() { body.to_vec() } else { Vec::new() })?;
        let kept = needs.of(whole).encode();
        (kept.len() <= KEPT_BYTES_MAX + HEAD_BYTES_MAX).then(|| Zeroizing::new(kept))
    }

    /// The same resolvers, for [`onceward_engine::Engine::resolve_by`].
    #[must_use]
    pub fn for_engine(&self) -> Vec<Arc<dyn Resolver>> {
        self.0.iter().map(|finder| Arc::clone(finder) as Arc<dyn Resolver>).collect()
    }
}

fn absolute(uri: &Uri, origin: Option<(&str, &str)>) -> Option<Uri> {
    if uri.authority().is_some() && uri.scheme().is_some() {
        return Some(uri.clone());
    }
    let (scheme, authority) = origin?;
    let path_and_query = uri.path_and_query()?.clone();
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path_and_query).build().ok()
}

/// The request that an effect in doubt was asked for by.
fn remembered(doubt: &Doubtful) -> Result<EffectRequest, String> {
    let effect = EffectRequest::decode(&doubt.request).map_err(|error| error.to_string())?;
    Ok(effect.claimed_at_ms_is(doubt.claimed_at.as_ms()))
}
