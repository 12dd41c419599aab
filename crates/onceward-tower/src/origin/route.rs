//! Which requests a route means, and how it guards them.

use std::{error::Error, fmt, sync::Arc};

use http::HeaderName;
use onceward_core::{
    fingerprint::Equality,
    key::{Carriers, KeyPath, KeyRule},
    outcome::Policy,
    profile::{Manner, Namespace, Profile},
    twin::TwinRule,
};

use super::template::{Spelled, Template};
use crate::rules::Unreadable;

/// One route: methods, a path, and what is done with such requests.
#[derive(Clone, Debug)]
pub struct Route {
    /// Empty where the guarding's own methods decide.
    methods: Vec<Box<str>>,
    template: Template,
    /// `None` where its requests pass.
    guarding: Option<Guarding>,
}

/// How the requests of a route are guarded.
#[derive(Clone, Debug)]
pub struct Guarding {
    /// The methods that are guarded where the route names none.
    pub methods: &'static [&'static str],
    /// The fields that carry a key.
    pub carriers: Carriers,
    /// The member of a JSON body that carries one.
    pub body_member: Option<KeyPath>,
    /// The field in which a key's time of issue travels, by which old and future keys are refused.
    pub issue_field: Option<&'static str>,
    /// Which keys are accepted.
    pub key_rule: KeyRule,
    /// Whether a request without a key is refused with 400 `key-missing` (K3); else it passes and is counted as unprotected.
    pub is_key_required: bool,
    /// What a key is unique in (K5).
    pub namespace: Namespace,
    /// When two bodies are equal (F1).
    pub equality: Arc<Equality>,
    /// What a body that has no canonical form means.
    pub unreadable: Unreadable,
    /// Waiting, leases, limits, retention and what is final.
    pub policy: Arc<Policy>,
    /// Whether a request must say in `Intent-SHA256` what it means (F5). What it does say is checked in any case.
    pub intent: Demand,
    /// Whether a request must carry a precondition (P2). Holding it against what is current is the handler's part.
    pub precondition: Demand,
    /// The fields of an answer that are kept beside its framing; `None` keeps all that O2 lets.
    pub kept_fields: Option<Arc<[HeaderName]>>,
    /// How effects of other keys are told that mean the same and so stand in a request's way; `None` where only the key counts (P5).
    pub twins: Option<TwinRule>,
    /// How answers look.
    pub manner: Manner,
}

/// Whether something must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It may.
    Optional,
    /// It must.
    Required,
}

impl Guarding {
    /// As a profile has it.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        Self {
            methods: profile.methods,
            carriers: profile.carriers.clone(),
            body_member: profile.body_member.clone(),
            issue_field: profile.issue_field,
            key_rule: profile.key_rule,
            is_key_required: profile.is_key_required,
            namespace: profile.namespace,
            equality: Arc::new(profile.equality.clone()),
            unreadable: Unreadable::Refuse,
            policy: Arc::new(profile.policy.clone()),
            intent: Demand::Optional,
            precondition: Demand::Optional,
            kept_fields: None,
            twins: None,
            manner: profile.manner,
        }
    }
}

impl Route {
    /// A route whose requests are guarded.
    ///
    /// `methods` are exact names; none stands for those of `guarding`. `template` is a path whose segments are literal, `{name}` for any one
    /// segment, or `{*name}` at the end for any rest.
    ///
    /// A path is compared as servers resolve it: percent-encoded characters, dot segments, doubled and trailing slashes make no other route.
    /// Where it would pass that way, it is compared again as it stands, since some servers take it so: a request passes only if it does in
    /// both readings.
    ///
    /// # Errors
    /// [`RouteInvalid`] where the template or a method is not of this form.
    pub fn guarded(methods: &[&str], template: &str, guarding: Guarding) -> Result<Self, RouteInvalid> {
        Self::new(methods, template, Some(guarding))
    }

    /// A route whose requests pass, whatever they carry.
    ///
    /// # Errors
    /// [`RouteInvalid`] where the template or a method is not of this form.
    pub fn passed(methods: &[&str], template: &str) -> Result<Self, RouteInvalid> {
        Self::new(methods, template, None)
    }

    fn new(methods: &[&str], template: &str, guarding: Option<Guarding>) -> Result<Self, RouteInvalid> {
        for method in methods {
            let is_token =
                !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
            if !is_token {
                return Err(RouteInvalid::Method((*method).into()));
            }
        }
        let methods = methods.iter().map(|method| Box::from(*method)).collect();
        Ok(Self { methods, template: Template::parse(template)?, guarding })
    }

    fn is_method(&self, method: &str) -> bool {
        match &self.guarding {
            Some(guarding) if self.methods.is_empty() => guarding.methods.contains(&method),
            Some(_) | None => self.methods.is_empty() || self.methods.iter().any(|own| **own == *method),
        }
    }

    /// The methods that it names, or those of its guarding.
    pub(crate) fn methods(&self) -> Vec<&str> {
        match &self.guarding {
            Some(guarding) if self.methods.is_empty() => guarding.methods.to_vec(),
            Some(_) | None => self.methods.iter().map(|method| &**method).collect(),
        }
    }

    /// The methods and the template: `POST /orders/{id}`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.methods().join(","), self.template.as_str()).trim_start().to_owned()
    }

    pub(crate) fn guarding(&self) -> Option<&Guarding> {
        self.guarding.as_ref()
    }
}

/// Why a route cannot be used; a mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteInvalid {
    /// Not the exact, upper-case name of a method.
    Method(Box<str>),
    /// The path does not begin with a slash.
    NotAbsolute,
    /// A segment with braces that is neither `{name}` nor `{*name}`.
    Segment(Box<str>),
    /// `{*name}` before the end.
    RestNotLast,
}

impl fmt::Display for RouteInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => write!(f, "`{method}` is not a method: write it in capitals, as `POST`"),
            Self::NotAbsolute => f.write_str("the path does not begin with `/`"),
            Self::Segment(segment) => {
                write!(f, "`{segment}` is neither a literal segment nor `{{name}}` nor `{{*name}}`")
            }
            Self::RestNotLast => f.write_str("`{*name}` stands for the rest of a path and can only end it"),
        }
    }
}

impl Error for RouteInvalid {}

/// The routes of an origin in their order, and what holds for all other requests.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) routes: Vec<Route>,
    pub(super) others: Option<Guarding>,
}

impl Routes {
    /// How a request is guarded, and the name of its route; `None` where it passes in every reading of its path.
    pub(super) fn matched(&self, method: &str, path: &str) -> Option<(&Guarding, String)> {
        self.read(method, &Spelled::resolved(path)).or_else(|| self.read(method, &Spelled::literal(path)))
    }

    fn read(&self, method: &str, path: &Spelled) -> Option<(&Guarding, String)> {
        let route = self.routes.iter().find(|route| route.is_method(method) && route.template.matches(path));
        match route {
            Some(route) => route.guarding.as_ref().map(|guarding| (guarding, route.name())),
            None => self
                .others
                .as_ref()
                .filter(|guarding| guarding.methods.contains(&method))
                .map(|guarding| (guarding, String::new())),
        }
    }

    /// Every guarding, that of the other requests first.
    pub(super) fn guardings(&self) -> impl Iterator<Item = &Guarding> {
        self.others.iter().chain(self.routes.iter().filter_map(Route::guarding))
    }
}
