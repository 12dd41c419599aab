//! Which requests of a browser the forward proxy guards, and how (B1, B2).

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName, Method, header, request::Parts};
use onceward_core::{
    actor::{Actor, Scope, Tenant},
    canonical::Volatile,
    fingerprint::Equality,
    key::{Carriers, Key},
    outcome::Policy,
    profile::Manner,
    refusal::Refusal,
};
use onceward_tower::{Judgement, Keeper, Origin, Plan, Rules, Undated, Unreadable};
use zeroize::Zeroizing;

use crate::{operation, session::Session};

/// Fields by which some servers take a request for one with another method; a guarded request may not carry them (S6).
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// Guards the requests that a user stamped with `x-idem-key`.
#[derive(Clone, Debug)]
pub struct ForwardRules {
    carriers: Carriers,
    policy: Arc<Policy>,
    equality: Arc<Equality>,
    keeper: Option<Keeper>,
}

impl ForwardRules {
    /// Rules with one policy for all sites.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            carriers: Carriers::forward_proxy(),
            policy: Arc::new(policy),
            equality: Arc::new(Equality::Canonical(Volatile::common())),
            keeper: None,
        }
    }

    /// Keeps of each guarded request what resolvers will need (D2).
    #[must_use]
    pub fn keeping(self, keeper: Keeper) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// How long a guarded request may run.
    #[must_use]
    pub fn run_time_max(&self) -> std::time::Duration {
        self.policy.run_time_max
    }

    /// Takes the key off the request, so that it never leaves for the site (B1).
    fn take_key(&self, head: &mut Parts) -> Result<Option<Key>, Refusal> {
        let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let key = self.carriers.read(fields).map_err(Refusal::KeyInvalid);
        remove(&mut head.headers, |name| self.carriers.contains(&hyphened(name)));
        key
    }

    fn plan(&self, head: &Parts, key: Key) -> Result<Plan, Refusal> {
        if !matches!(head.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
            return Err(Refusal::HeadAmbiguous("the method of a guarded request is not a known one"));
        }
        if head.headers.keys().any(|name| METHOD_OVERRIDES.contains(&&*hyphened(name))) {
            return Err(Refusal::HeadAmbiguous("a field overrides the method of a guarded request"));
        }
        let session = head.extensions.get::<Session>().ok_or(Refusal::ActorUnknown)?;
        Ok(Plan {
            tenant: Tenant::single(),
            actor: Actor::new("session", session.name().as_bytes()),
            key,
            carriers: self.carriers.clone(),
            body_member: None,
            origin: Some(origin(head)),
            equality: Arc::clone(&self.equality),
            unreadable: Unreadable::CompareBytes,
            policy: Arc::clone(&self.policy),
            intent: None,
            kept_fields: None,
            manner: Manner::ONCEWARD,
            undated: Undated::Execute,
            twins: None,
        })
    }
}

impl Rules for ForwardRules {
    fn judge(&self, head: &mut Parts) -> Judgement {
        let key = self.take_key(head);
        // A safe request has no effect (RFC 9110, 9.2.1): stamped by a pattern that also matches the page itself, or a preflight.
        if head.method.is_safe() {
            return Judgement::Pass;
        }
        match key {
            Ok(None) => Judgement::PassUnkeyed,
            Ok(Some(key)) => match self.plan(head, key.clone()) {
                Ok(plan) => Judgement::Guard(Box::new(plan)),
                Err(refusal) => Judgement::Refuse { refusal, key: Some(key), manner: Manner::ONCEWARD },
            },
            Err(refusal) => Judgement::Refuse { refusal, key: None, manner: Manner::ONCEWARD },
        }
    }

    fn keep(&self, head: &Parts, origin: Option<&Origin>, content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.keeper.as_ref()?.keep(head, origin, content)
    }

    /// Method, origin, path, and the operation that the body names: a step's second operation runs, a drifted body replays (B2).
    fn scope(&self, head: &Parts, body: &[u8]) -> Scope {
        let origin = origin(head);
        let operation = operation::name(&head.headers, body);
        // A queued server action is posted to whatever page is shown by then; its id names it, not the path.
        let path = match operation {
            operation::Name::ServerAction(_) => "",
            operation::Name::Listed(_) | operation::Name::None => head.uri.path(),
        };
        Scope::Operation {
            method: head.method.as_str().into(),
            origin: format!("{}://{}", origin.scheme, origin.authority).into(),
            path: path.into(),
            name: operation.into_text().into(),
        }
    }
}

/// The name as servers read it that hand fields on as variables (RFC 3875, 4.1.18): an underscore is a hyphen to them.
fn hyphened(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    if name.contains('_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
}

/// Takes fields out and leaves the rest in its order, by which sites tell clients apart.
fn remove(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&is_removed) {
        return;
    }
    let mut last = None;
    for (name, value) in std::mem::take(headers) {
        // Of a repeated field only the first value comes with its name.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| !is_removed(name)) {
            headers.append(name, value);
        }
    }
}

/// Scheme and authority, lower-case, without the scheme's own port: `Shop.example:443` and `shop.example` are one site.
fn origin(head: &Parts) -> Origin {
    let scheme = head.uri.scheme_str().unwrap_or("http").to_ascii_lowercase();
    let authority = head
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| head.headers.get(header::HOST).and_then(|host| host.to_str().ok()))
        .unwrap_or_default()
        .to_ascii_lowercase();
    let own_port = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(own_port).map(str::to_owned).unwrap_or(authority);
    Origin { scheme, authority }
}
