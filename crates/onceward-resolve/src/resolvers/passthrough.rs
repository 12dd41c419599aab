//! Sends the same request again, to an origin that honours its key (D2 passthrough).

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
    header::{CONTENT_LENGTH, EXPECT, HOST},
};
use onceward_core::{
    header::{Cookies, is_hop_by_hop, is_kept, name},
    outcome::{Content, Outcome, Policy},
};
use onceward_engine::{Doubtful, Look, LookFuture, Resolver, Sight};
use serde_json_path::JsonPath;
use sha2::{Digest as _, Sha256};

use super::{Finder, Needs, remembered};
use crate::{
    fetch::{Fetch, Fetched, Place},
    recipe::Effects,
    request::EffectRequest,
    template::LookError,
};

/// What of a request belongs to the connection or to the body as it is written there.
const NOT_SENT: [HeaderName; 3] = [HOST, CONTENT_LENGTH, EXPECT];

/// How long after its first request a key is known where nobody says: the least that is published of a service of size (Stripe, 24 hours).
const KEY_LIFETIME_DEFAULT: Duration = Duration::from_hours(24);

/// What an origin knows a request by.
#[derive(Clone, Debug)]
pub struct OriginKey(Carrier);

#[derive(Clone, Debug)]
enum Carrier {
    Header(HeaderName),
    Member(JsonPath),
}

impl OriginKey {
    /// The value of a header.
    #[must_use]
    pub const fn header(name: HeaderName) -> Self {
        Self(Carrier::Header(name))
    }

    /// The text that the JSONPath `path` names in the body.
    ///
    /// # Errors
    /// Why it is no path.
    pub fn member(path: &str) -> Result<Self, String> {
        match JsonPath::parse(path) {
            Ok(path) => Ok(Self(Carrier::Member(path))),
            Err(error) => Err(format!("`{path}` is no JSONPath (RFC 9535): {error}")),
        }
    }

    /// That a request has a key; else why not.
    fn is_in(&self, effect: &EffectRequest) -> Result<(), LookError> {
        let (what, key) = match &self.0 {
            Carrier::Header(name) => (format!("header.{name}"), effect.header_value(name)?),
            Carrier::Member(path) => (format!("json {path}"), effect.json_value(path)?),
        };
        if key.is_empty() { Err(LookError::Empty { what }) } else { Ok(()) }
    }
}

/// Repeats requests whose origin promises to act once a key, however often it is asked.
///
/// The promise is the origin's: one that only seems to honour keys acts twice. A request that did not carry the key to it is never sent again:
/// behind the forward proxy, whose own key leaves for no site, that is every request without a key of the site's own. Nor is one that the
/// origin may have forgotten.
#[derive(Debug)]
pub struct Passthrough {
    name: String,
    effects: Effects,
    key: OriginKey,
    key_lifetime: Duration,
    undecided: Vec<StatusCode>,
    cookies: Cookies,
    outcome_bytes_max: usize,
    fetch: Arc<dyn Fetch>,
}

impl Passthrough {
    /// How much of a key's lifetime has to be left when the request sets out again: it may be slow to arrive, and clocks differ in their pace.
    pub const LIFETIME_LEFT_MIN: Duration = Duration::from_mins(5);

    /// Repeats the requests that `effects` includes and that carry their origin's `key`, for 24 hours; of their answers, cookies are kept
    /// or not and bodies up to a size, as of every outcome of the deployment's `policy` (O2, O7).
    #[must_use]
    pub fn new(
        name: String,
        effects: Effects,
        key: OriginKey,
        policy: &Policy,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        let Policy { cookies, outcome_bytes_max, .. } = *policy;
        Self {
            name,
            effects,
            key,
            key_lifetime: KEY_LIFETIME_DEFAULT,
            undecided: Vec::new(),
            cookies,
            outcome_bytes_max,
            fetch,
        }
    }

    /// The origin knows a key for so long after the first request with it. One that is as old but for five minutes is never sent again: it could act anew.
    #[must_use]
    pub fn knowing_keys_for(mut self, lifetime: Duration) -> Self {
        self.key_lifetime = lifetime;
        self
    }

    /// The origin also says with these statuses that it has not decided: that the first request still runs, for instance.
    #[must_use]
    pub fn undecided_at(mut self, statuses: Vec<StatusCode>) -> Self {
        self.undecided = statuses;
        self
    }

    async fn seen(&self, doubt: &Doubtful) -> Result<Look, String> {
        let effect = remembered(doubt)?;
        if !self.effects.include(&effect) {
            return Ok(Look::not_mine());
        }
        self.key.is_in(&effect).map_err(|lack| format!("its origin does not know it by a key: {lack}"))?;
        // The first request set out after its claim, so its origin knows the key at least that long.
        if doubt.now.since(doubt.claimed_at).saturating_add(Self::LIFETIME_LEFT_MIN) > self.key_lifetime {
            return Err("its origin may have forgotten its key by now".to_owned());
        }
        let fetched =
            self.fetch.fetch(again(&effect), Place::Origin).await.map_err(|error| error.to_string())?;
        let status = fetched.parts.status;
        let evidence = format!("the same request was answered {}", status.as_u16());
        if !is_final(status) || self.undecided.contains(&status) || is_unconsumed(&fetched.parts.headers) {
            return Ok(Look::unclear(evidence));
        }
        let outcome = Box::new(self.outcome(fetched, doubt));
        Ok(Look { sight: Sight::Happened(Some(outcome)), evidence })
    }

    fn outcome(&self, fetched: Fetched, doubt: &Doubtful) -> Outcome {
        let Fetched { parts, body } = fetched;
        let kept = parts.headers.iter().filter(|(name, _)| is_kept(name.as_str(), self.cookies));
        Outcome {
            status: parts.status.as_u16(),
            fields: kept.map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())).collect(),
            content: if parts.status == StatusCode::NO_CONTENT {
                Content::None { announced_len: None }
            } else if body.len() > self.outcome_bytes_max {
                Content::NotKept { len: body.len() as u64, sha256: Sha256::digest(&body).into() }
            } else {
                Content::Kept(body)
            },
            trailers: Vec::new(),
            sent_at: doubt.now,
        }
    }
}

/// Whether an answer is the effect's own. What says that the origin could not or would not look is none: that it is not authorised, too early or
/// too often, that the first request still runs (409), or that something failed.
fn is_final(status: StatusCode) -> bool {
    let is_refusal_to_look = matches!(status.as_u16(), 401 | 403 | 407 | 408 | 409 | 421 | 425 | 429);
    (status.is_success() || status.is_redirection() || status.is_client_error()) && !is_refusal_to_look
}

/// The origin says that it did not act under the key (L5); what it answers is then not what became of the effect.
fn is_unconsumed(headers: &HeaderMap) -> bool {
    let mut words = headers.get_all(name::IDEMPOTENCY_KEY_CONSUMED).iter().map(HeaderValue::as_bytes);
    words.any(|word| matches!(word, b"false" | b"?0"))
}

fn again(effect: &EffectRequest) -> Request<Vec<u8>> {
    let mut request = Request::new(effect.body().to_vec());
    *request.method_mut() = effect.method().clone();
    *request.uri_mut() = effect.uri().clone();
    for (name, value) in effect.headers() {
        if !NOT_SENT.contains(name) && !is_hop_by_hop(name.as_str()) {
            request.headers_mut().append(name.clone(), value.clone());
        }
    }
    request
}

impl Resolver for Passthrough {
    fn name(&self) -> &str {
        &self.name
    }

    fn look<'a>(&'a self, doubt: &'a Doubtful) -> LookFuture<'a> {
        Box::pin(async { self.seen(doubt).await.unwrap_or_else(Look::unclear) })
    }
}

impl Finder for Passthrough {
    fn needs(&self, effect: &EffectRequest) -> Option<Needs> {
        self.effects.include(effect).then_some(Needs::Everything)
    }
}
