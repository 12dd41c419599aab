//! What is judged, and what may be assumed of it.

use crate::{
    target::Target,
    wire::{Ask, Field, Session},
};

/// A server under test: where it is, what to send, and what stands behind it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(crate) target: Target,
    pub(crate) path: String,
    pub(crate) media_type: String,
    pub(crate) body: Vec<u8>,
    /// Another one that the server would accept as well.
    pub(crate) other_body: Option<Vec<u8>>,
    pub(crate) fields: Vec<Field>,
    pub(crate) actors: Actors,
    pub(crate) backing: Backing,
    pub(crate) effects_path: Option<String>,
    pub(crate) has_http2: bool,
}

/// By which a server tells its callers apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actors {
    pub(crate) first: Option<Field>,
    pub(crate) second: Option<Field>,
}

/// What stands behind the server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Anything: what it does cannot be chosen, and it is judged by its answers alone.
    Unknown,
    /// The reference origin, guarded as its routes say.
    Reference(Guarding),
}

/// What a guard before the reference origin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarding {
    /// Whose word an answer's status is (O4).
    pub verdict: Verdict,
    /// Whether the heads of requests are read by what is judged, or by a server that it is mounted in (S6).
    pub heads: Heads,
}

/// Whose word an answer's status is (O4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The handler's own, in the same process.
    Handler,
    /// That of an origin behind a network, perhaps of something in between.
    Upstream,
}

/// Who reads the heads of requests (S6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// What is judged.
    Own,
    /// A server that it is mounted in.
    Foreign,
}

impl Subject {
    /// A server of which nothing is known: `POST path` with a small JSON body is an effect.
    #[must_use]
    pub fn new(target: Target, path: &str) -> Self {
        Self {
            target,
            path: path.to_owned(),
            media_type: "application/json".to_owned(),
            body: br#"{"item":"tea","quantity":1}"#.to_vec(),
            other_body: Some(br#"{"item":"coffee","quantity":2}"#.to_vec()),
            fields: Vec::new(),
            actors: Actors::default(),
            backing: Backing::Unknown,
            effects_path: None,
            has_http2: false,
        }
    }

    /// A guard before the reference origin, which tells its callers apart by their `Authorization`.
    #[must_use]
    pub fn reference(target: Target, guarding: Guarding) -> Self {
        Self::new(target, "/orders")
            .with_actor("authorization", "Bearer first")
            .with_second_actor("authorization", "Bearer second")
            .with_effects_at("/effects")
            .backed_by(Backing::Reference(guarding))
    }

    /// Sends another body of a media type.
    #[must_use]
    pub fn with_body(mut self, media_type: &str, body: &[u8]) -> Self {
        self.media_type = media_type.to_owned();
        self.body = body.to_vec();
        self.other_body = None;
        self
    }

    /// Sends this where a case needs a request that differs, of the same media type.
    #[must_use]
    pub fn with_other_body(mut self, body: &[u8]) -> Self {
        self.other_body = Some(body.to_vec());
        self
    }

    /// Sends a field with every request, whoever it is from. Its value stands in no report.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields.push(Field::secret(name, value));
        self
    }

    /// Sends a field by which the server knows the caller. Its value stands in no report.
    #[must_use]
    pub fn with_actor(mut self, name: &str, value: &str) -> Self {
        self.actors.first = Some(Field::secret(name, value));
        self
    }

    /// Sends another one for a caller that must not see what the first one's keys stand for.
    #[must_use]
    pub fn with_second_actor(mut self, name: &str, value: &str) -> Self {
        self.actors.second = Some(Field::secret(name, value));
        self
    }

    /// Counts effects by `GET path?run=RUN`, which answers `{"effects":N,"calls":M}` for the requests that carried `x-drill-run: RUN`.
    #[must_use]
    pub fn with_effects_at(mut self, path: &str) -> Self {
        self.effects_path = Some(path.to_owned());
        self
    }

    /// Has it judged over HTTP/2 as well.
    #[must_use]
    pub fn with_http2(mut self) -> Self {
        self.has_http2 = true;
        self
    }

    /// The same, if it is spoken there: whatever a read is answered with.
    pub async fn with_http2_if_spoken(mut self) -> Self {
        let read = async { Session::open(&self.target).await?.ask(&Ask::new("GET", &self.path)).await };
        self.has_http2 = read.await.is_ok();
        self
    }

    fn backed_by(mut self, backing: Backing) -> Self {
        self.backing = backing;
        self
    }

    /// `http://127.0.0.1:8080/orders`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}{}", self.target.address(), self.path)
    }

    pub(crate) fn guarding(&self) -> Option<Guarding> {
        match self.backing {
            Backing::Unknown => None,
            Backing::Reference(guarding) => Some(guarding),
        }
    }
}
