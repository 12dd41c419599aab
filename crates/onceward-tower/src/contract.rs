//! What an origin says of itself: the advertised fields, `/.well-known/idempotency` and the pages under it (C1, C3, C5).

use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use onceward_core::{
    actor::{Actor, Label, LookupId, Scope, Tenant},
    key::Key,
    outcome::Policy,
    problem,
    record::{AfterRetention, DoubtReason, Record, State, TombstoneKind},
    refusal::{Effect, PROBLEM_SLUGS, Refusal},
};
use onceward_engine::{Engine, Resolved, Stored, state_name};
use serde::Serialize;

use crate::{
    body::ResponseBody,
    origin::{Demand, Guarding, OriginSettings, Route},
    respond::answer,
};

/// Where the contract is (RFC 8615).
pub(crate) const WELL_KNOWN_PATH: &str = "/.well-known/idempotency";

/// Where the state of an effect is: with its key in the request's header, or under its lookup id (C5).
pub(crate) const EFFECTS_PATH: &str = "/.well-known/idempotency/effects";

/// Where verdicts are posted, if anybody may (D2).
pub(crate) const VERDICTS_PATH: &str = "/.well-known/idempotency/verdicts";

/// Where the pages of the problem types are.
pub(crate) const PROBLEMS_PATH: &str = "/.well-known/idempotency/problems/";

/// What the answers of guarded routes advertise (C1).
pub(crate) const ADVERTISED: [(HeaderName, &str); 2] = [
    (HeaderName::from_static("accepts-idempotency-key"), "true"),
    (HeaderName::from_static("accepts-intent-hash"), "sha256"),
];

/// A page that the guard itself answers with.
#[derive(Clone, Debug)]
pub enum Page {
    /// The contract, as JSON.
    Contract(String),
    /// The page of a problem type, in Markdown.
    Problem(&'static str),
    /// The state of the effect that a key of an actor names.
    Effect(KeyedEffect),
    /// The cancellation of that effect (D5), and its state then.
    Cancel {
        /// Which.
        effect: KeyedEffect,
        /// How long the key of one that never ran is remembered.
        remember: Duration,
    },
    /// The state of the effect under a lookup id, which nobody guesses and only its own actor was told.
    EffectById(LookupId),
    /// There is no such page.
    Nothing,
}

/// An effect by its key.
#[derive(Clone, Debug)]
pub struct KeyedEffect {
    /// The customer of a shared instance.
    pub tenant: Tenant,
    /// Whose key it is.
    pub actor: Actor,
    /// The key.
    pub key: Key,
    /// The namespace that the key is unique in.
    pub scope: Scope,
}

impl KeyedEffect {
    fn id(&self, engine: &Engine) -> LookupId {
        LookupId::of(engine.secret(), &self.tenant, &self.actor, &self.scope, &self.key)
    }

    /// Cancels it, and says whether that holds: not where it happened before.
    async fn cancel(&self, engine: &Engine, remember: Duration) -> Result<bool, Refusal> {
        let id = self.id(engine);
        let label = Label {
            tenant: self.tenant.clone(),
            actor: self.actor.tag(engine.secret(), &self.tenant),
            key: engine.key_tag(&self.key),
            effect: match &self.scope {
                Scope::Operation { method, path, .. } => format!("{method} {path}"),
                Scope::Actor | Scope::Route(_) => String::from("cancelled before it came"),
            },
        };
        let cancelled = engine.cancel(id, &label, remember, "its key's owner").await.map_err(unread)?;
        match cancelled {
            Resolved::Applied => Ok(true),
            Resolved::AlreadyDone => Ok(false),
            Resolved::Denied(denial) => Err(Refusal::of_denial(denial, PROGRESS_RETRY_AFTER)),
            Resolved::Corrupt => Err(Refusal::RecordCorrupt),
        }
    }
}

/// The page of a path under [`WELL_KNOWN_PATH`]; `None` for a path that is none of ours.
pub(crate) fn page(path: &str) -> Option<Page> {
    if let Some(slug) = path.strip_prefix(PROBLEMS_PATH) {
        return Some(problem::page(slug).map_or(Page::Nothing, Page::Problem));
    }
    let id = path.strip_prefix(EFFECTS_PATH)?.strip_prefix('/')?;
    Some(lookup_id(id).map_or(Page::Nothing, Page::EffectById))
}

pub(crate) fn lookup_id(digits: &str) -> Option<LookupId> {
    let is_hex = digits.len() == 64 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let mut id = [0; 32];
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    is_hex.then(|| LookupId::from_bytes(id))
}

impl Page {
    /// The page as a response. A state is read from the store; one that cannot be read now is refused as the store's, and a cancellation that
    /// does not hold as the record says.
    pub(crate) async fn render<C>(
        self,
        engine: &Engine,
        is_head: bool,
    ) -> Result<Response<ResponseBody<C>>, Refusal> {
        let json = "application/json";
        let (status, kind, text) = match self {
            Self::Contract(text) => (StatusCode::OK, json, text),
            Self::Problem(page) => (StatusCode::OK, "text/markdown; charset=utf-8", page.to_owned()),
            Self::Nothing => (StatusCode::NOT_FOUND, "text/plain", "there is no such page\n".to_owned()),
            Self::Effect(effect) => {
                (StatusCode::OK, json, state(engine, effect.id(engine), Some(&effect.key)).await?)
            }
            Self::Cancel { effect, remember } => {
                let is_cancelled = effect.cancel(engine, remember).await?;
                // Who looks at nothing but the status must not take what happened for cancelled.
                let status = if is_cancelled { StatusCode::OK } else { StatusCode::CONFLICT };
                (status, json, state(engine, effect.id(engine), Some(&effect.key)).await?)
            }
            Self::EffectById(id) => (StatusCode::OK, json, state(engine, id, None).await?),
        };
        let mut response = answer(text, is_head);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }
}

/// What the owner of a key is told of its effect.
#[derive(Debug, Serialize)]
struct EffectState {
    /// `absent`, `claimed`, `done`, `in-doubt` or `tombstone`.
    state: &'static str,
    /// Whether the effect happened: `none`, `done` or `unknown`.
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ambiguous_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// The state of an effect as JSON; `key` is the one that was asked by, where it was one.
async fn state(engine: &Engine, id: LookupId, key: Option<&Key>) -> Result<String, Refusal> {
    let state = match engine.get(id).await.map_err(unread)? {
        None => match key {
            Some(key) if is_history_lost(engine, key, None).await? => return Err(Refusal::HistoryLost),
            Some(_) => EffectState::absent("none"),
            // The id was told to somebody who had a record, and that is gone.
            None => EffectState::absent("unknown"),
        },
        Some(Stored::Corrupt) => return Err(Refusal::RecordCorrupt),
        Some(Stored::Record(record, label)) => match key {
            Some(key) if is_history_lost(engine, key, Some(&record)).await? => {
                return Err(Refusal::HistoryLost);
            }
            Some(_) | None => EffectState::of(&record, &label.effect),
        },
    };
    // A struct of texts and numbers has a JSON form.
    serde_json::to_string(&state).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "effect not written");
        Refusal::RecordCorrupt
    })
}

/// Whether a claim of a key may have been lost that what is `known` of it does not show: that is not absent then, nor cancelled (T5).
async fn is_history_lost(engine: &Engine, key: &Key, known: Option<&Record>) -> Result<bool, Refusal> {
    let Some(issued_at) = key.issued_at() else { return Ok(false) };
    let Some(barrier) = engine.health().await.map_err(unread)?.history_barrier else { return Ok(false) };
    let may_lack = |record: &Record| {
        let after_retention = record.terms.map_or(AfterRetention::Refuse, |terms| terms.after_retention);
        record.may_lack_claim(barrier, after_retention, engine.now())
    };
    Ok(issued_at < barrier && known.is_none_or(may_lack))
}

fn unread(error: impl std::error::Error + 'static) -> Refusal {
    tracing::warn!(error = &error as &dyn std::error::Error, "effect not read");
    Refusal::StoreUnavailable { retry_after: STORE_RETRY_AFTER, effect: Effect::Unknown }
}

/// When a caller whose effect runs, and cannot be cancelled while it does, may try again.
const PROGRESS_RETRY_AFTER: Duration = Duration::from_secs(1);

/// When a caller that asked for a state which the store did not tell may ask again.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

impl EffectState {
    const fn absent(effect: &'static str) -> Self {
        Self {
            state: "absent",
            effect,
            reason: None,
            ambiguous_status: None,
            request: None,
            sent_at: None,
            since: None,
            expires_at: None,
        }
    }

    fn of(record: &Record, request: &str) -> Self {
        let (effect, reason, ambiguous_status) = match &record.state {
            State::Absent => ("none", None, None),
            State::Claimed { .. } => ("unknown", None, None),
            State::Done { .. } => ("done", None, None),
            State::InDoubt { reason, .. } => {
                let status = match reason {
                    DoubtReason::AmbiguousStatus(status) => Some(*status),
                    _ => None,
                };
                ("unknown", Some(reason.as_str()), status)
            }
            State::Tombstone { kind: TombstoneKind::Expired, .. } => ("done", Some("expired"), None),
            State::Tombstone { kind: TombstoneKind::Cancelled, .. } => ("none", Some("cancelled"), None),
        };
        Self {
            state: state_name(&record.state),
            effect,
            reason,
            ambiguous_status,
            request: Some(request.to_owned()),
            // Only an attempt has terms.
            sent_at: record.terms.map(|_| record.claimed_at.to_string()),
            since: Some(record.since.to_string()),
            expires_at: record.due_at().map(|at| at.to_string()),
        }
    }
}

/// The contract as JSON (C1). Times are in seconds, sizes in bytes.
#[derive(Debug, Serialize)]
struct Document<'a> {
    profile: &'static str,
    carriers: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_member: Option<String>,
    intent_hash: &'static str,
    /// How requests are guarded that no route names; none where they pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<RouteDocument<'a>>,
    routes: Vec<RouteDocument<'a>>,
    effects: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdicts: Option<&'static str>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RouteDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    methods: Vec<&'a str>,
    required: bool,
    intent_required: bool,
    precondition_required: bool,
    wait: u64,
    retention: u64,
    remember: u64,
    request_bytes_max: usize,
    outcome_bytes_max: usize,
    key_chars_max: usize,
    /// `open` where a request goes through unguarded that the store does not take a claim for.
    when_store_down: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    twins: Option<TwinDocument<'a>>,
}

/// By what a route tells requests that mean the same (P5).
#[derive(Debug, Serialize)]
struct TwinDocument<'a> {
    fields: Vec<&'a str>,
    window: u64,
    /// The field that lets a request run all the same.
    confirm: &'static str,
}

impl<'a> RouteDocument<'a> {
    fn of(route: Option<&'a Route>, guarding: &'a Guarding) -> Self {
        let policy: &Policy = &guarding.policy;
        Self {
            route: route.map(Route::name),
            methods: route.map_or_else(|| guarding.methods.to_vec(), Route::methods),
            required: guarding.is_key_required,
            intent_required: guarding.intent == Demand::Required,
            precondition_required: guarding.precondition == Demand::Required,
            wait: policy.wait.as_secs(),
            retention: policy.retention.as_secs(),
            remember: policy.remember.as_secs(),
            request_bytes_max: policy.request_bytes_max,
            outcome_bytes_max: policy.outcome_bytes_max,
            key_chars_max: guarding.key_rule.chars_max,
            when_store_down: policy.when_store_down.as_str(),
            twins: guarding.twins.as_ref().map(|rule| TwinDocument {
                fields: rule.fields().paths().collect(),
                window: rule.window().as_secs(),
                confirm: "Effect-Confirm",
            }),
        }
    }
}

/// Writes the contract of an origin.
pub(crate) fn document(settings: &OriginSettings) -> String {
    let routes = settings
        .routes
        .iter()
        .filter_map(|route| route.guarding().map(|guarding| RouteDocument::of(Some(route), guarding)));
    let document = Document {
        profile: settings.profile.name,
        carriers: settings.profile.carriers.names().collect(),
        body_member: settings.profile.body_member.as_ref().map(ToString::to_string),
        intent_hash: "sha256",
        others: settings.others.as_ref().map(|guarding| RouteDocument::of(None, guarding)),
        routes: routes.collect(),
        effects: EFFECTS_PATH,
        verdicts: (!settings.webhooks.is_empty()).then_some(VERDICTS_PATH),
        problems: PROBLEM_SLUGS.iter().map(|slug| format!("{PROBLEMS_PATH}{slug}")).collect(),
    };
    serde_json::to_string_pretty(&document).unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "contract not written");
        "{}".to_owned()
    })
}
