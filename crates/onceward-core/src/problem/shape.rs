//! The JSON bodies of refusals in the shapes that contracts prescribe (C4).

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
};

use super::{Problem, Value, push_quoted};
use crate::{
    profile::{Manner, RefusalBody},
    refusal::{ProblemType, Retry},
};

/// The members that a contract's own shape has no place for, so that an agent still learns what may have happened and what to do.
const FURTHER: &[&str] = &[
    "retryable",
    "idempotency_key",
    "effect",
    "retry",
    "retry_after",
    "next_action",
    "cause",
    "status_url",
    "earlier",
    "confirm",
];

impl Problem<'_> {
    /// The JSON body that a contract prescribes.
    pub(super) fn shaped(&self, manner: &Manner) -> String {
        let problem_type = self.refusal.problem_type();
        let code = |spelled: String| manner.code(problem_type.slug).map_or(spelled, ToOwned::to_owned);
        let status = manner.status(self.refusal);
        match manner.body {
            RefusalBody::Problem => self
                .members(manner)
                .fold(Object::new(), |object, (name, value)| object.value(name, &value))
                .end(),
            RefusalBody::Stripe => self.stripe(manner, status, &code(snake(problem_type.slug))),
            RefusalBody::Acp => Object::new()
                .text("type", acp_type(status))
                .text("code", &code(snake(problem_type.slug)))
                .text("message", &self.told())
                .end(),
            RefusalBody::Ucp => {
                let object =
                    Object::new().text("code", &code(snake(problem_type.slug))).text("content", &self.told());
                self.further(manner, object).end()
            }
            RefusalBody::Adcp => self.adcp(manner, problem_type, &code(upper_snake(problem_type.slug))),
            RefusalBody::OData => self.odata(manner, &code(problem_type.slug.to_owned())),
            RefusalBody::PayPal => self.paypal(manner, status, &code(upper_snake(problem_type.slug))),
        }
    }

    fn stripe(&self, manner: &Manner, status: u16, code: &str) -> String {
        let object = Object::new()
            .text("type", stripe_type(self.refusal.problem_type().slug, status))
            .text("code", code)
            .text("message", &self.detail())
            .text("doc_url", &self.page_url());
        Object::new().json("error", &self.further(manner, object).end()).end()
    }

    /// Both places in which AdCP looks for a fatal error. Its rules keep the key out of error bodies.
    fn adcp(&self, manner: &Manner, problem_type: ProblemType, code: &str) -> String {
        let object = Object::new()
            .text("code", code)
            .text("message", &self.detail())
            .text("recovery", adcp_recovery(code, problem_type.retry))
            .text("suggestion", problem_type.next_action);
        let keyless = Problem { key: None, ..self.clone() };
        let error = keyless.further(manner, object).end();
        Object::new()
            .text("status", "failed")
            .json("adcp_error", &error)
            .json("errors", &format!("[{error}]"))
            .end()
    }

    fn odata(&self, manner: &Manner, code: &str) -> String {
        let inner = self.further(manner, Object::new().text("type", &self.page_url())).end();
        let error =
            Object::new().text("code", code).text("message", &self.detail()).json("innererror", &inner).end();
        Object::new().json("error", &error).end()
    }

    fn paypal(&self, manner: &Manner, status: u16, issue: &str) -> String {
        let detail = Object::new().text("issue", issue).text("description", &self.detail()).end();
        let link = Object::new()
            .text("href", &self.page_url())
            .text("rel", "information_link")
            .text("method", "GET")
            .end();
        let object = Object::new()
            .text("name", paypal_name(status).unwrap_or(issue))
            .text("message", self.refusal.problem_type().title)
            .text("debug_id", self.instance)
            .json("details", &format!("[{detail}]"))
            .json("links", &format!("[{link}]"));
        self.further(manner, object).end()
    }

    fn further(&self, manner: &Manner, object: Object) -> Object {
        self.members(manner)
            .filter(|(name, _)| FURTHER.contains(name))
            .fold(object, |object, (name, value)| object.value(name, &value))
    }

    /// What happened and what to do, in sentences, for shapes in which a message is all that is read.
    fn told(&self) -> String {
        format!("{} {}", self.detail(), self.refusal.problem_type().next_action)
    }

    fn page_url(&self) -> String {
        format!("{}{}", self.type_base, self.refusal.problem_type().slug)
    }
}

/// The error type of Stripe's API: `idempotency_error` for what the key itself is refused for.
fn stripe_type(slug: &str, status: u16) -> &'static str {
    match slug {
        "key-reused" | "in-progress" | "outcome-unknown" | "outcome-not-kept" | "key-expired"
        | "cancelled" | "history-lost" => "idempotency_error",
        _ if status >= 500 => "api_error",
        _ => "invalid_request_error",
    }
}

/// The `type` of an ACP error (specification 2026-04-17, `Error`).
const fn acp_type(status: u16) -> &'static str {
    match status {
        503 => "service_unavailable",
        500..=599 => "processing_error",
        _ => "invalid_request",
    }
}

/// The `recovery` of an AdCP error (`core/error.json`): of a standard code as its registry has it, else what may be done next.
fn adcp_recovery(code: &str, retry: Retry) -> &'static str {
    match (code, retry) {
        ("IDEMPOTENCY_EXPIRED", _) | (_, Retry::NewKey | Retry::Confirmed) => "correctable",
        (_, Retry::SameKey) => "transient",
        (_, Retry::AfterResolution | Retry::Never) => "terminal",
    }
}

/// The `name` of a PayPal error, which goes with its status; `None` where PayPal has none for a status that refusals have.
const fn paypal_name(status: u16) -> Option<&'static str> {
    match status {
        400 => Some("INVALID_REQUEST"),
        403 => Some("NOT_AUTHORIZED"),
        409 => Some("RESOURCE_CONFLICT"),
        422 => Some("UNPROCESSABLE_ENTITY"),
        503 => Some("SERVICE_UNAVAILABLE"),
        _ => None,
    }
}

/// `key-reused` as `key_reused`.
fn snake(slug: &str) -> String {
    slug.replace('-', "_")
}

/// `key-reused` as `KEY_REUSED`.
fn upper_snake(slug: &str) -> String {
    snake(slug).to_ascii_uppercase()
}

/// A JSON object as it is written.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_string())
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.member(name, |text| push_quoted(text, value))
    }

    fn value(self, name: &str, value: &Value) -> Self {
        self.member(name, |text| value.push(text))
    }

    /// A member whose value is JSON already.
    fn json(self, name: &str, json: &str) -> Self {
        self.member(name, |text| text.push_str(json))
    }

    fn member(mut self, name: &str, push: impl FnOnce(&mut String)) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_quoted(&mut self.0, name);
        self.0.push(':');
        push(&mut self.0);
        self
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
