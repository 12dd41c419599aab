//! One case of a suite, and what judging it came to.

use std::{future::Future, pin::Pin};

use crate::{
    subject::{Heads, Subject, Verdict},
    talk::Talk,
};

/// One promise, as a conversation with the server.
#[derive(Clone, Copy)]
pub struct Case {
    /// What is expected, as a name: `a_quoted_and_a_bare_key_are_one`.
    pub name: &'static str,
    /// What it covers: ids of `docs/protocol.md`, or the place of a published rule.
    pub covers: &'static [&'static str],
    /// Without which it cannot be judged.
    pub needs: &'static [Need],
    pub(crate) run: Run,
}

pub(crate) type Run = for<'a> fn(&'a Talk<'a>) -> Judging<'a>;
pub(crate) type Judging<'a> = Pin<Box<dyn Future<Output = Judged> + Send + 'a>>;

/// `Ok` where everything was as expected.
pub(crate) type Judged = Result<(), Stop>;

/// Why a case went no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The promise is not kept.
    Failed(String),
    /// It cannot be judged with this server.
    NotApplicable(String),
}

/// What a case cannot be judged without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The reference origin, which does what a case tells it.
    Reference,
    /// Credentials of two actors.
    TwoActors,
    /// Credentials of one.
    Actor,
    /// HTTP/2.
    Http2,
    /// Statuses that are the handler's own word.
    HandlerVerdict,
    /// Statuses that may be somebody else's.
    UpstreamVerdict,
    /// Heads of requests that what is judged reads itself.
    OwnHeads,
    /// A body that is a JSON object.
    JsonObject,
    /// A second body that the server accepts.
    OtherBody,
}

impl Need {
    /// Why a subject cannot be judged by what needs this; `None` where it can.
    pub(crate) fn lacking(self, subject: &Subject) -> Option<&'static str> {
        let guarding = subject.guarding();
        let (is_met, why) = match self {
            Self::Reference => (guarding.is_some(), "needs the reference origin behind the server"),
            Self::TwoActors => (
                subject.actors.first.is_some() && subject.actors.second.is_some(),
                "needs credentials of two callers",
            ),
            Self::Actor => (subject.actors.first.is_some(), "needs a caller's credentials"),
            Self::Http2 => (subject.has_http2, "the server does not speak HTTP/2"),
            Self::HandlerVerdict => (
                guarding.is_some_and(|guarding| guarding.verdict == Verdict::Handler),
                "a status may be the word of something between guard and origin",
            ),
            Self::UpstreamVerdict => (
                guarding.is_some_and(|guarding| guarding.verdict == Verdict::Upstream),
                "a status is the handler's own word",
            ),
            Self::OwnHeads => (
                guarding.is_none_or(|guarding| guarding.heads == Heads::Own),
                "the server that the guard is mounted in reads the heads",
            ),
            Self::JsonObject => (
                subject.media_type.starts_with("application/json")
                    && serde_json::from_slice::<serde_json::Map<_, _>>(&subject.body).is_ok(),
                "needs a body that is a JSON object",
            ),
            Self::OtherBody => (subject.other_body.is_some(), "needs a second body that the server accepts"),
        };
        (!is_met).then_some(why)
    }
}

/// Makes a list of cases of `async fn name(&Talk<'_>) -> Judged`.
macro_rules! cases {
    ($($name:ident [$($need:ident),*] $($covers:literal),+;)+) => {
        &[$($crate::case::Case {
            name: stringify!($name),
            covers: &[$($covers),+],
            needs: &[$($crate::case::Need::$need),*],
            run: |talk| Box::pin($name(talk)),
        }),+]
    };
}
pub(crate) use cases;

/// What judging a case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The promise is kept.
    Pass,
    /// It is not.
    Fail(String),
    /// It cannot be judged with this server.
    NotApplicable(String),
    /// The answers were right, but how many effects there were cannot be seen from outside.
    NotObservable(String),
}
