//! Sends the same request again, to an origin that honours its key (D2 passthrough).

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
    header::{CONTENT_LENGTH, EXPECT, HOST},
};
use onceward_core::{
    header::{Cookies, is_hop_by_hop, is_kept, name},
    outcome::{Content, Outcome, Policy},
};
use onceward_engine::{Doubtful, Look, LookFuture, Resolver, Sight};
use sha2::{Digest as _, Sha256};

use super::{Finder, Needs, remembered};
use crate::{
    fetch::{Fetch, Fetched, Place},
    recipe::Effects,
    request::EffectRequest,
};

/// What of a request belongs to the connection or to the body as it is written there.
const NOT_SENT: [HeaderName; 3] = [HOST, CONTENT_LENGTH, EXPECT];

/// Repeats requests whose origin promises to act once a key, however often it is asked.
///
/// The promise is the origin's: one that only seems to honour keys acts twice. A request that did not carry the key to it is never sent again:
/// behind the forward proxy, whose own key leaves for no site, that is every request without a key of the site's own.
#[derive(Debug)]
pub struct Passthrough {
    name: String,
    effects: Effects,
    key: HeaderName,
    cookies: Cookies,
    outcome_bytes_max: usize,
    fetch: Arc<dyn Fetch>,
}

impl Passthrough {
    /// Repeats the requests that `effects` includes and that carry their origin's key in the header `key`; of their answers, cookies are kept
    /// or not and bodies up to a size, as of every outcome of the deployment's `policy` (O2, O7).
    #[must_use]
    pub fn new(
        name: String,
        effects: Effects,
        key: HeaderName,
        policy: &Policy,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        let Policy { cookies, outcome_bytes_max, .. } = *policy;
        Self { name, effects, key, cookies, outcome_bytes_max, fetch }
    }

    async fn seen(&self, doubt: &Doubtful) -> Result<Look, String> {
        let effect = remembered(doubt)?;
        if !self.effects.include(&effect) {
            return Ok(Look::not_mine());
        }
        if !effect.headers().contains_key(&self.key) {
            return Err(format!("the request has no `{}` that its origin would know it by", self.key));
        }
        let fetched =
            self.fetch.fetch(again(&effect), Place::Origin).await.map_err(|error| error.to_string())?;
        let status = fetched.parts.status;
        let evidence = format!("the same request was answered {}", status.as_u16());
        if !is_final(status) || is_unconsumed(&fetched.parts.headers) {
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
