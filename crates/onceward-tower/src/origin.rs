//! The rules of those who own the origin: routes, actors and a profile (K3-K5, C1, C4).

mod actor;
mod route;
mod template;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, request::Parts};
use onceward_core::{
    actor::{Scope, Tenant},
    key::{Carriers, Key, KeyPath},
    profile::{self, Manner, Namespace, Profile},
    refusal::Refusal,
};
use onceward_engine::{Consent, Engine, Undated};
use zeroize::Zeroizing;

use self::{actor::Actors, route::Routes};
pub use self::{
    actor::{ActorHook, ActorSource, Anonymous, CredentialsUnreadable, TlsSubject, TrustedHeader},
    route::{Demand, Guarding, Route, RouteInvalid},
};
use crate::{
    contract::{self, KeyedEffect, Page},
    original::original_uri,
    precondition,
    respond::{Cors, Surface},
    rules::{Judgement, Keeper, Origin, Plan, Rules, SeekKey, TwinPlan},
    twin::take_consent,
    webhook::Webhooks,
};

/// Fields by which some servers take a request for one with another method; a guarded request may not carry them (S6).
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

const OVERRIDDEN: &str = "a field overrides the method of a guarded request";

const UNGUARDED: &str = "`method` and `path` name no guarded route";

const UNPLACED: &str = "a key names one effect a route here: ask with `?method=` and `path=` of its request";

/// Says which requests of an origin are guarded, and how.
///
/// Without further words every POST, PATCH, PUT and DELETE that carries a key is guarded as its [`Profile`] has it, and belongs to whoever
/// its `Authorization` names.
///
/// ```
/// # use onceward_core::profile::Profile;
/// # use onceward_tower::origin::{ActorSource, Anonymous, Guarding, OriginSettings, Route};
/// let profile = Profile::onceward();
/// let orders = Guarding { is_key_required: true, ..Guarding::of(&profile) };
/// let settings = OriginSettings {
///     actors: vec![ActorSource::Authorization, ActorSource::Cookie("sid".into())],
///     anonymous: Anonymous::Refuse,
///     routes: vec![
///         Route::guarded(&["POST"], "/orders", orders)?,
///         Route::passed(&[], "/webhooks/{*rest}")?,
///     ],
///     ..OriginSettings::of(profile)
/// };
/// # Ok::<(), onceward_tower::origin::RouteInvalid>(())
/// ```
#[derive(Clone, Debug)]
pub struct OriginRules(Arc<Inner>);

/// What an owner decides.
#[derive(Clone, Debug)]
pub struct OriginSettings {
    /// The customer of a shared instance.
    pub tenant: Tenant,
    /// Where the actor comes from; the first source that has one decides (K4).
    pub actors: Vec<ActorSource>,
    /// What a request without credentials is.
    pub anonymous: Anonymous,
    /// The routes in the order in which they are tried; the first that matches decides.
    pub routes: Vec<Route>,
    /// How requests are guarded that no route matches; `None` lets them pass.
    pub others: Option<Guarding>,
    /// What an unknown key without a time of issue means after history was lost (T5).
    pub undated: Undated,
    /// What is kept of a guarded request for resolvers (D2); `None` where nobody looks.
    pub keeper: Option<Keeper>,
    /// Who may post what became of effects in doubt, to `/.well-known/idempotency/verdicts` (D2).
    pub webhooks: Webhooks,
    /// What the contract says of itself (C1).
    pub profile: Profile,
}

impl OriginSettings {
    /// A profile's own rules for every path, the actor by `Authorization`, one shared actor for those without.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        Self {
            tenant: Tenant::single(),
            actors: vec![ActorSource::Authorization],
            anonymous: Anonymous::Shared,
            routes: Vec::new(),
            others: Some(Guarding::of(&profile)),
            undated: Undated::Execute,
            keeper: None,
            webhooks: Webhooks::default(),
            profile,
        }
    }
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    tenant: Tenant,
    actors: Actors,
    routes: Routes,
    undated: Undated,
    keeper: Option<Keeper>,
    webhooks: Webhooks,
    manner: Manner,
    contract: String,
}

impl OriginRules {
    /// Rules over the engine that will run what they guard.
    #[must_use]
    pub fn new(engine: Engine, settings: OriginSettings) -> Self {
        let contract = contract::document(&settings);
        let OriginSettings { tenant, actors, anonymous, routes, others, undated, keeper, webhooks, profile } =
            settings;
        Self(Arc::new(Inner {
            engine,
            tenant,
            actors: Actors { sources: actors, anonymous },
            routes: Routes { routes, others },
            undated,
            keeper,
            webhooks,
            manner: profile.manner,
            contract,
        }))
    }

    /// How the answers of these rules look: their pages are under `/.well-known/idempotency`.
    #[must_use]
    pub fn surface(&self) -> Surface {
        Surface {
            type_base: contract::PROBLEMS_PATH.to_owned(),
            status_base: Some(format!("{}/", contract::EFFECTS_PATH)),
            cors: Cors::Closed,
        }
    }

    /// What a request for one of the contract's own pages gets; `None` for every other request.
    fn page(&self, head: &Parts) -> Option<Judgement> {
        let uri = original_uri(head);
        let path = uri.path();
        if path == contract::VERDICTS_PATH && !self.0.webhooks.is_empty() {
            let (webhooks, tenant) = (self.0.webhooks.clone(), self.0.tenant.clone());
            return Some(Judgement::Hear { webhooks, tenant });
        }
        let is_cancel = head.method == Method::DELETE && path == contract::EFFECTS_PATH;
        if !path.starts_with(contract::WELL_KNOWN_PATH)
            || !(is_cancel || matches!(head.method, Method::GET | Method::HEAD))
        {
            return None;
        }
        if path == contract::WELL_KNOWN_PATH {
            return Some(Judgement::Tell(Page::Contract(self.0.contract.clone())));
        }
        if path == contract::EFFECTS_PATH {
            return Some(match self.asked_effect(head, uri.query().unwrap_or_default()) {
                Ok((effect, remember)) if is_cancel => Judgement::Tell(Page::Cancel { effect, remember }),
                Ok((effect, _)) => Judgement::Tell(Page::Effect(effect)),
                Err(refusal) => Judgement::Refuse { refusal, key: None, manner: self.0.manner },
            });
        }
        contract::page(path).map(Judgement::Tell)
    }

    /// The effect that the key of a request for its state or its cancellation names, and how long its route remembers keys.
    ///
    /// A key that is unique in a route or an operation only (K5) is asked for with `?method=POST&path=/orders`.
    fn asked_effect(&self, head: &Parts, query: &str) -> Result<(KeyedEffect, Duration), Refusal> {
        let asked = |name: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(asked, _)| asked == name)
                .map(|(_, value)| value.into_owned())
        };
        let (guarding, scope) = match asked("path") {
            Some(target) => {
                let method = asked("method").unwrap_or_else(|| "POST".to_owned());
                let path = target.split('?').next().unwrap_or_default();
                let matched = self.0.routes.matched(&method, path);
                let (guarding, name) = matched.ok_or(Refusal::HeadAmbiguous(UNGUARDED))?;
                (guarding, scope(guarding, &name, &method, path))
            }
            // A wrong namespace would call absent what happened in another.
            None if self.0.routes.guardings().any(|guarding| guarding.namespace != Namespace::Actor) => {
                return Err(Refusal::HeadAmbiguous(UNPLACED));
            }
            None => {
                let guarding = self.0.routes.guardings().next().ok_or(Refusal::HeadAmbiguous(UNGUARDED))?;
                (guarding, Scope::Actor)
            }
        };
        let key = match guarding.carriers.names().next() {
            Some(_) => read_key(head, &guarding.carriers),
            // A contract whose keys travel in the body has no field for one.
            None => read_key(head, &Carriers::ietf()),
        };
        let key = key?.ok_or(Refusal::KeyMissing)?;
        let actor = self.0.actors.of(head)?;
        let effect = KeyedEffect { tenant: self.0.tenant.clone(), actor, key, scope };
        Ok((effect, guarding.policy.remember))
    }

    /// How a request is guarded; `None` where it passes.
    ///
    /// # Errors
    /// Where it passes by its method as it is written, and would not by the method that another server may take it for (S6).
    fn guarding(&self, head: &Parts) -> Result<Option<&Guarding>, (Refusal, &Guarding)> {
        let path = original_uri(head).path();
        let guarding_of = |method: &str| self.0.routes.matched(method, path).map(|(guarding, _)| guarding);
        let method = head.method.as_str();
        if let Some(guarding) = guarding_of(method) {
            return Ok(Some(guarding));
        }
        let capitals = method.to_ascii_uppercase();
        if let Some(guarding) = guarding_of(&capitals).filter(|_| capitals != method) {
            return Err((Refusal::HeadAmbiguous("the method is not written in capitals"), guarding));
        }
        let overridden = overrides(&head.headers)
            .filter_map(|value| value.to_str().ok())
            .find_map(|method| guarding_of(&method.trim().to_ascii_uppercase()));
        match overridden {
            Some(guarding) => Err((Refusal::HeadAmbiguous(OVERRIDDEN), guarding)),
            None => Ok(None),
        }
    }

    fn guard(&self, head: &mut Parts, guarding: &Guarding) -> Result<Judgement, (Refusal, Option<Key>)> {
        let consent = match guarding.twins {
            Some(_) => take_consent(&mut head.headers),
            None => Consent::None,
        };
        let key = read_key(head, &guarding.carriers).map_err(|refusal| (refusal, None))?;
        let Some(key) = key else {
            return match &guarding.body_member {
                Some(member) => {
                    self.seek_key(head, guarding, member, consent).map_err(|refusal| (refusal, None))
                }
                None if guarding.is_key_required => Err((Refusal::KeyMissing, None)),
                None => Ok(Judgement::PassUnkeyed),
            };
        };
        let plan = self.plan(head, guarding, consent).and_then(|plan| {
            guarding.key_rule.check(&key).map_err(Refusal::KeyInvalid)?;
            Ok(plan)
        });
        match plan {
            Ok(plan) => Ok(Judgement::Guard(Box::new(plan(key)))),
            Err(refusal) => Err((refusal, Some(key))),
        }
    }

    fn seek_key(
        &self,
        head: &Parts,
        guarding: &Guarding,
        member: &KeyPath,
        consent: Consent,
    ) -> Result<Judgement, Refusal> {
        Ok(Judgement::SeekKey(Box::new(SeekKey {
            member: member.clone(),
            is_required: guarding.is_key_required,
            rule: guarding.key_rule,
            request_bytes_max: guarding.policy.request_bytes_max,
            carriers: guarding.carriers.clone(),
            manner: guarding.manner,
            plan: Box::new(self.plan(head, guarding, consent)?),
        })))
    }

    /// Everything about a guarded request but its key.
    fn plan(
        &self,
        head: &Parts,
        guarding: &Guarding,
        consent: Consent,
    ) -> Result<impl FnOnce(Key) -> Plan + Send + use<>, Refusal> {
        if overrides(&head.headers).next().is_some() {
            return Err(Refusal::HeadAmbiguous(OVERRIDDEN));
        }
        if head.headers.get_all("early-data").iter().any(|value| value.as_bytes() == b"1") {
            return Err(Refusal::TooEarly);
        }
        if let Some(field) = guarding.issue_field {
            let issued = precondition::date(&head.headers, field);
            profile::check_issue(issued, self.0.engine.now(), guarding.policy.retention)?;
        }
        let preconditions = precondition::read(&head.headers)?;
        if guarding.precondition == Demand::Required && preconditions.is_none() {
            return Err(Refusal::PreconditionRequired);
        }
        let actor = self.0.actors.of(head)?;
        let (tenant, undated, guarding) = (self.0.tenant.clone(), self.0.undated, guarding.clone());
        Ok(move |key| Plan {
            tenant,
            actor,
            key,
            carriers: guarding.carriers,
            body_member: guarding.body_member,
            origin: None,
            equality: guarding.equality,
            unreadable: guarding.unreadable,
            policy: guarding.policy,
            intent: Some(guarding.intent),
            kept_fields: guarding.kept_fields,
            manner: guarding.manner,
            undated,
            twins: guarding.twins.map(|rule| TwinPlan { rule, consent }),
        })
    }
}

fn read_key(head: &Parts, carriers: &Carriers) -> Result<Option<Key>, Refusal> {
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    carriers.read(fields).map_err(Refusal::KeyInvalid)
}

/// The values of the fields that override a method, in any spelling.
fn overrides(headers: &HeaderMap) -> impl Iterator<Item = &HeaderValue> {
    let is_override = |name: &str| METHOD_OVERRIDES.iter().any(|known| is_spelt(name, known));
    headers.iter().filter(move |(name, _)| is_override(name.as_str())).map(|(_, value)| value)
}

/// Whether `name` is `known`, perhaps with underscores for its hyphens.
fn is_spelt(name: &str, known: &str) -> bool {
    let hyphened = name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
    name.len() == known.len() && hyphened.eq(known.bytes())
}

fn scope(guarding: &Guarding, name: &str, method: &str, path: &str) -> Scope {
    match guarding.namespace {
        Namespace::Actor => Scope::Actor,
        Namespace::Route => Scope::Route(name.into()),
        Namespace::Operation => Scope::Operation {
            method: method.into(),
            origin: Box::default(),
            path: path.into(),
            name: Box::default(),
        },
    }
}

impl Rules for OriginRules {
    fn judge(&self, head: &mut Parts) -> Judgement {
        if let Some(judgement) = self.page(head) {
            return judgement;
        }
        let guarding = match self.guarding(head) {
            Ok(Some(guarding)) => guarding,
            Ok(None) => return Judgement::Pass,
            Err((refusal, guarding)) => {
                return Judgement::Refuse { refusal, key: None, manner: guarding.manner };
            }
        };
        let manner = guarding.manner;
        self.guard(head, guarding).unwrap_or_else(|(refusal, key)| Judgement::Refuse { refusal, key, manner })
    }

    fn scope(&self, head: &Parts, _: &[u8]) -> Scope {
        let (method, path) = (head.method.as_str(), original_uri(head).path());
        match self.0.routes.matched(method, path) {
            Some((guarding, name)) => scope(guarding, &name, method, path),
            None => Scope::Actor,
        }
    }

    fn keep(&self, head: &Parts, origin: Option<&Origin>, content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.0.keeper.as_ref()?.keep(head, origin, content)
    }

    fn advertise(&self, headers: &mut HeaderMap) {
        for (name, value) in contract::ADVERTISED {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
