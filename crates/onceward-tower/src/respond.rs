//! The one place where what the engine says becomes a response (O2, O3, C2, C3).

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{self, IntoHeaderName},
};
use onceward_core::{
    actor::LookupId,
    header::{IntentStatus, name},
    key::Key,
    outcome::{Content, Finality, Outcome, Policy},
    problem::{Form, Problem, seconds_up},
    profile::Manner,
    refusal::{Duplicate, Effect, Refusal, Told},
};
use onceward_engine::{Ran, Standing};

use crate::{
    body::ResponseBody,
    execute::consumed,
    grpc,
    json_rpc::{self, Calls},
    original::original_uri,
    twin::EFFECT_CONFIRM,
};

/// How an adapter's own answers look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    /// Where the pages of the problem types are served, with a closing slash.
    pub type_base: String,
    /// Where the state of an effect is served under its lookup id, with a closing slash; `None` where it is served nowhere.
    pub status_base: Option<String>,
    /// Whether a page of another origin may read a problem.
    pub cors: Cors,
}

/// Whether a page of another origin may read a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// The origin's own configuration decides.
    Closed,
    /// The origin that asked may read it: a problem that a script cannot read looks like a broken network to it, and it would try again.
    Mirrored,
}

/// What of a request its own problem repeats.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) surface: Arc<Surface>,
    pub(crate) form: Form,
    pub(crate) instance: String,
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) effect: Option<String>,
    pub(crate) key: Option<Key>,
    /// What the inner service said when it had no answer, once it has.
    pub(crate) cause: Arc<OnceLock<String>>,
    /// Under which the effect is remembered.
    pub(crate) id: Option<LookupId>,
    /// The ids of JSON-RPC calls, which their answers repeat.
    pub(crate) calls: Option<Calls>,
    /// Whether its answer has no content.
    pub(crate) is_head: bool,
    /// The `Content-Type` of a gRPC call, whose refusals have gRPC's own form.
    grpc: Option<HeaderValue>,
    /// How its contract wants answers to look.
    manner: Manner,
    /// The fields of the request that its answer repeats.
    echo: Vec<(HeaderName, HeaderValue)>,
}

impl Asker {
    pub(crate) fn new(surface: Arc<Surface>, head: &http::request::Parts) -> Self {
        let accept: Vec<&str> =
            head.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        Self {
            surface,
            form: Form::accepted((!accept.is_empty()).then(|| accept.join(",")).as_deref()),
            instance: original_uri(head).path().to_owned(),
            origin: head.headers.get(header::ORIGIN).cloned(),
            effect: None,
            key: None,
            cause: Arc::default(),
            id: None,
            calls: None,
            is_head: head.method == Method::HEAD,
            grpc: grpc::content_type(&head.headers),
            manner: Manner::ONCEWARD,
            echo: Vec::new(),
        }
    }

    /// Makes its answers look as a contract has it.
    pub(crate) fn follow(&mut self, manner: Manner, headers: &HeaderMap) {
        self.manner = manner;
        self.echo = manner
            .echo
            .iter()
            .filter_map(|name| Some((HeaderName::from_static(name), headers.get(*name)?.clone())))
            .collect();
    }

    /// Turns what the engine says into a response; `None` where it leaves the request to its sender.
    pub(crate) fn respond<C>(
        &self,
        ran: Ran<Response<ResponseBody<C>>>,
        policy: &Policy,
    ) -> Option<Response<ResponseBody<C>>> {
        let (mut response, told) = match ran {
            Ran::Answered { answer, standing } => (marked(answer, standing, policy), Told::First),
            Ran::Stored { outcome, age, told, .. } => match stored(self.addressed(outcome), age, told) {
                Some(response) => (response, told),
                None => return Some(self.refuse(&Refusal::RecordCorrupt)),
            },
            Ran::Refused(refusal) => return Some(self.refuse(&refusal)),
            Ran::Unguarded => return None,
        };
        self.mark_as_contract(
            response.headers_mut(),
            match told {
                Told::First => self.manner.first,
                Told::Repeat => self.manner.replayed,
            },
        );
        Some(response)
    }

    /// Adds what the contract has on an answer beside onceward's own fields.
    fn mark_as_contract(&self, headers: &mut HeaderMap, marks: &'static [(&'static str, &'static str)]) {
        for (name, value) in marks {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for (name, value) in &self.echo {
            headers.insert(name, value.clone());
        }
    }

    /// The id is a keyed digest that nobody guesses, and only the effect's own actor is told it.
    ///
    /// Where the request is another than the key's, it does not learn of the key's state (F6).
    fn status_url(&self, refusal: &Refusal) -> Option<String> {
        let tells = matches!(
            refusal,
            Refusal::InProgress { .. }
                | Refusal::OutcomeUnknown(_)
                | Refusal::OutcomeNotKept { .. }
                | Refusal::StoreUnavailable { effect: Effect::Unknown, .. }
        );
        if !tells {
            return None;
        }
        self.url_of(self.id?)
    }

    fn url_of(&self, id: LookupId) -> Option<String> {
        let mut url = self.surface.status_base.clone()?;
        for byte in id.as_bytes() {
            url.push_str(&format!("{byte:02x}"));
        }
        Some(url)
    }

    /// The outcome with this caller's own JSON-RPC ids.
    fn addressed(&self, mut outcome: Outcome) -> Outcome {
        let note = json_rpc::take_note(&mut outcome);
        match &self.calls {
            Some(calls) => calls.addressed(note.as_deref(), outcome),
            None => outcome,
        }
    }

    /// Turns a refusal into a response.
    pub(crate) fn refuse<C>(&self, refusal: &Refusal) -> Response<ResponseBody<C>> {
        let problem_type = refusal.problem_type();
        let status_url = self.status_url(refusal);
        let duplicate = match refusal {
            Refusal::PossibleDuplicate(duplicate) => Some(&**duplicate),
            _ => None,
        };
        let earlier_url = duplicate.and_then(|duplicate| self.url_of(duplicate.earlier.id));
        let problem = Problem {
            refusal,
            type_base: &self.surface.type_base,
            instance: &self.instance,
            // A page's own script could read it there, and the key is not the page's (B1).
            key: self.key.as_ref().filter(|_| self.origin.is_none()),
            effect: self.effect.as_deref(),
            cause: self.cause.get().map(String::as_str),
            status_url: status_url.as_deref(),
            earlier_url: earlier_url.as_deref(),
        };
        if let Some(content_type) = &self.grpc {
            let mut response = self.refuse_call(refusal, &problem.detail(), content_type);
            offer(response.headers_mut(), duplicate);
            return response;
        }
        let mut response = answer(problem.render_as(self.form, &self.manner), self.is_head);
        *response.status_mut() =
            StatusCode::from_u16(self.manner.status(refusal)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        set(headers, header::CONTENT_TYPE, self.manner.content_type(self.form));
        set(headers, header::CACHE_CONTROL, "no-store");
        set(headers, header::VARY, "Accept, Origin");
        set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(headers, header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
        set(
            headers,
            header::LINK,
            &format!("<{}{}>; rel=\"describedby\"", self.surface.type_base, problem_type.slug),
        );
        if let Some(pause) = refusal.retry_after() {
            set(headers, header::RETRY_AFTER, &seconds_up(pause).to_string());
        }
        offer(headers, duplicate);
        mark(headers, refusal.is_key_consumed(), refusal.intent_status());
        self.mark_as_contract(headers, self.manner.marks(refusal));
        if let (Cors::Mirrored, Some(origin)) = (self.surface.cors, &self.origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        response
    }
}

impl Asker {
    /// Turns a refusal of a gRPC call into a response.
    fn refuse_call<C>(
        &self,
        refusal: &Refusal,
        detail: &str,
        content_type: &HeaderValue,
    ) -> Response<ResponseBody<C>> {
        let mut response = Response::new(ResponseBody::whole(Bytes::new(), None));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type.clone());
        grpc::refuse(headers, refusal, detail);
        mark(headers, refusal.is_key_consumed(), refusal.intent_status());
        self.mark_as_contract(headers, self.manner.marks(refusal));
        response
    }
}

/// Says in a field, too, how the request may be repeated: not every contract's problem has a place for it.
fn offer(headers: &mut HeaderMap, duplicate: Option<&Duplicate>) {
    if let Some(Duplicate { confirmation, .. }) = duplicate {
        set(headers, EFFECT_CONFIRM, &confirmation.to_text());
    }
}

/// An answer whose content is a text of ours; to HEAD its length alone (RFC 9110, 9.3.2), since not every server takes the content off.
pub(crate) fn answer<C>(text: String, is_head: bool) -> Response<ResponseBody<C>> {
    if !is_head {
        return Response::new(ResponseBody::whole(Bytes::from(text), None));
    }
    let mut response = Response::new(ResponseBody::whole(Bytes::new(), None));
    set(response.headers_mut(), header::CONTENT_LENGTH, &text.len().to_string());
    response
}

/// A problem page runs nothing and loads nothing.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const CONSUMED: HeaderName = HeaderName::from_static(name::IDEMPOTENCY_KEY_CONSUMED);
const INTENT_STATUS: HeaderName = HeaderName::from_static(name::INTENT_STATUS);
const REPLAYED: HeaderName = HeaderName::from_static(name::IDEMPOTENT_REPLAYED);

fn marked<C>(
    mut answer: Response<ResponseBody<C>>,
    standing: Standing,
    policy: &Policy,
) -> Response<ResponseBody<C>> {
    let (consumed, status) = match standing {
        Standing::Recorded => (true, Some(IntentStatus::Committed)),
        // What will be written when it has flowed is already said by its head.
        Standing::Streaming => {
            match policy.finality(answer.status().as_u16(), consumed(answer.headers(), answer.extensions())) {
                Finality::Released(_) => (false, None),
                Finality::Final | Finality::Doubtful(_) => (true, Some(IntentStatus::Committed)),
            }
        }
        Standing::Released(_) => (false, None),
        Standing::Unrecorded => (true, Some(IntentStatus::Unknown)),
    };
    mark(answer.headers_mut(), consumed, status);
    answer
}

/// Marks the answer to a request that went through without a claim.
///
/// `Idempotency-Key-Consumed` stays the origin's own word: `false` would prove to a guard in front that nothing happened (L5), and `true`
/// would promise a replay.
pub(crate) fn marked_unguarded<B>(mut answer: Response<B>) -> Response<B> {
    set(answer.headers_mut(), INTENT_STATUS, IntentStatus::Unguarded.as_str());
    answer
}

/// A stored outcome as a response; `None` where it holds what no response can.
fn stored<C>(outcome: Outcome, age: std::time::Duration, told: Told) -> Option<Response<ResponseBody<C>>> {
    let (content, announced_len) = match outcome.content {
        Content::Kept(content) => (Bytes::from(content), None),
        Content::None { announced_len } => (Bytes::new(), announced_len),
        Content::NotKept { .. } => return None,
    };
    let trailers = if outcome.trailers.is_empty() { None } else { Some(fields(&outcome.trailers)?) };
    let mut response = Response::new(ResponseBody::whole(content, trailers));
    *response.version_mut() = Version::HTTP_11;
    *response.status_mut() = StatusCode::from_u16(outcome.status).ok()?;
    *response.headers_mut() = fields(&outcome.fields)?;
    let headers = response.headers_mut();
    if !outcome.trailers.is_empty() {
        // HTTP/1.1 servers send only trailers that the head announces.
        let mut names: Vec<&str> = outcome.trailers.iter().map(|(name, _)| &**name).collect();
        names.dedup();
        set(headers, header::TRAILER, &names.join(", "));
    }
    if let Some(len) = announced_len {
        set(headers, header::CONTENT_LENGTH, &len.to_string());
    }
    match told {
        Told::First => mark(headers, true, Some(IntentStatus::Committed)),
        Told::Repeat => {
            set(headers, REPLAYED, "true");
            set(headers, header::AGE, &age.as_secs().to_string());
            mark(headers, true, Some(IntentStatus::Replayed));
        }
    }
    Some(response)
}

fn fields(fields: &[(Box<str>, Vec<u8>)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

fn mark(headers: &mut HeaderMap, consumed: bool, status: Option<IntentStatus>) {
    set(headers, CONSUMED, if consumed { "true" } else { "false" });
    match status {
        Some(status) => set(headers, INTENT_STATUS, status.as_str()),
        None => {
            headers.remove(INTENT_STATUS);
        }
    }
}

/// Sets a field whose value is ours; one that is not valid would be a type's slug or a number, and those are.
fn set(headers: &mut HeaderMap, name: impl IntoHeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
