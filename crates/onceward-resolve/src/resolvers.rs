//! The resolvers of a deployment: what they need of a request is kept, and they look in their order (D2).

mod command;
mod passthrough;
mod probe;

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, Method, Uri, request::Parts};
use onceward_engine::{Doubtful, Resolver};
use zeroize::Zeroizing;

pub use self::{command::Command, passthrough::Passthrough, probe::Probe};
use crate::request::EffectRequest;

/// A resolver that says beforehand what it will need.
pub trait Finder: Resolver {
    /// What it needs of such a request; `None` where it does not look for its effects.
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

    /// What is kept of a request: what all resolvers that look for its effect need; `None` where none does.
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
        let effect = effect(&head.method, uri, &head.headers, body)?;
        let needs = self.0.iter().filter_map(|finder| finder.needs(&effect)).reduce(Needs::and)?;
        Some(Zeroizing::new(needs.of(effect).encode()))
    }

    /// The same resolvers, for [`onceward_engine::Engine::resolve_by`].
    #[must_use]
    pub fn for_engine(&self) -> Vec<Arc<dyn Resolver>> {
        self.0.iter().map(|finder| Arc::clone(finder) as Arc<dyn Resolver>).collect()
    }
}

fn effect(method: &Method, uri: Uri, headers: &HeaderMap, body: &[u8]) -> Option<EffectRequest> {
    // When it was claimed is not known before it is; the record says it to whoever looks.
    EffectRequest::new(method.clone(), uri, headers.clone(), body.to_vec(), 0).ok()
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
