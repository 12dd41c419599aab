//! Verdicts that are posted: by the origin, or by somebody whom it trusts (D2 webhook).
//!
//! A post is signed as [Standard Webhooks](https://www.standardwebhooks.com) has it. It may be delivered again and again: its time is within
//! minutes of ours, and its verdict names the attempt that it judges, so that the same post comes to the same and a late one changes
//! nothing (D3). No id of a post has to be remembered for that.

mod answer;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod judge;
mod post;
mod signature;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use onceward_core::{actor::Tenant, header::Cookies, outcome::Policy};
use onceward_engine::Engine;
use tokio::time::{Instant, timeout};

pub use self::signature::{WebhookSecret, WebhookSecretInvalid};
use self::{
    answer::{Heard, Refused},
    judge::Judge,
    post::Post,
    signature::Signed,
};
use crate::{body::BodyError, budget::Budget, request::read};

/// Bytes of a post: an answer of 1 MiB, which is what is kept by default, takes a third more in base64.
const POST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of posts that are read at once; what they come to is not known before they are there.
const POST_BYTES_HELD_MAX: usize = 8 * POST_BYTES_MAX;

/// How long a post may take, with its body and the store. Senders wait for 15 to 30 s (Standard Webhooks, "Request timeouts").
const POST_TIME_MAX: Duration = Duration::from_secs(10);

/// From one warning about posts that nobody signed to the next.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Somebody whose signed word ends the doubt about effects.
#[derive(Clone)]
pub struct Webhook {
    name: String,
    secrets: Vec<WebhookSecret>,
    /// Which effects; `None` for all.
    effects: Option<Arc<EffectsFn>>,
    cookies: Cookies,
    outcome_bytes_max: usize,
}

type EffectsFn = dyn Fn(&Method, &Uri) -> bool + Send + Sync;

impl Webhook {
    /// Takes the word of whoever signs with one of these secrets, about every effect; the audit log calls it `name`.
    ///
    /// Two secrets are for the time in which one is exchanged for the other.
    #[must_use]
    pub fn new(name: &str, secrets: Vec<WebhookSecret>) -> Self {
        let Policy { cookies, outcome_bytes_max, .. } = Policy::middleware();
        Self { name: name.to_owned(), secrets, effects: None, cookies, outcome_bytes_max }
    }

    /// Takes it only about effects of requests with this method and this address, absolute where the request was proxied. About an effect
    /// whose address was too long to be shown whole, it is not taken then.
    #[must_use]
    pub fn about(self, effects: impl Fn(&Method, &Uri) -> bool + Send + Sync + 'static) -> Self {
        Self { effects: Some(Arc::new(effects)), ..self }
    }

    /// Keeps of a posted answer what `policy` keeps of every other: cookies or not, and bodies up to a size (O2, O7).
    #[must_use]
    pub fn keeping(self, policy: &Policy) -> Self {
        Self { cookies: policy.cookies, outcome_bytes_max: policy.outcome_bytes_max, ..self }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All who may post verdicts.
///
/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    webhooks: Vec<Webhook>,
    budget: Budget,
    forgeries: Forgeries,
}

impl Default for Webhooks {
    /// Nobody.
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.webhooks).finish()
    }
}

impl Webhooks {
    /// These.
    #[must_use]
    pub fn new(webhooks: Vec<Webhook>) -> Self {
        let (budget, forgeries) = (Budget::new(POST_BYTES_HELD_MAX), Forgeries::default());
        Self(Arc::new(Inner { webhooks, budget, forgeries }))
    }

    /// Whether nobody may post.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.webhooks.is_empty()
    }

    /// Takes a posted verdict about an effect of `tenant`: checks who signed it, applies it, and answers.
    ///
    /// 200 where it stands, by this post or before it. Otherwise a problem (RFC 9457): 400 for what cannot be read, 401 for what is not signed,
    /// 404 for an effect that is not remembered or not the signer's to judge, 405, 409 for an attempt that is not in doubt, 413 past
    /// 2 MiB, 503 with `Retry-After` where the store does not answer.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the verdict stands; the same post may come again.
    pub async fn hear<B>(
        &self,
        engine: &Engine,
        tenant: &Tenant,
        request: Request<B>,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        self.heard(engine, tenant, request).await.map(Full::new)
    }

    pub(crate) async fn heard<B>(
        &self,
        engine: &Engine,
        tenant: &Tenant,
        request: Request<B>,
    ) -> Response<Bytes>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let taken = timeout(POST_TIME_MAX, self.take(engine, tenant, request)).await;
        let heard = taken.unwrap_or(Err(Refused::TooSlow));
        engine.telemetry().count_post(answer::result_name(&heard));
        match &heard {
            Err(Refused::Unsigned(why)) => self.0.forgeries.note(why),
            Err(Refused::Store(error)) => {
                tracing::warn!(error = error as &dyn std::error::Error, "a posted verdict was not applied");
            }
            Ok(_) | Err(_) => {}
        }
        answer::response(heard)
    }

    async fn take<B>(&self, engine: &Engine, tenant: &Tenant, request: Request<B>) -> Result<Heard, Refused>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(Refused::Method);
        }
        let signed = Signed::read(&head.headers, engine.now()).map_err(Refused::Unsigned)?;
        let mut share = self.0.budget.share();
        let (content, _) = read(body, POST_BYTES_MAX, &mut share).await?;
        let is_by = |webhook: &&Webhook| webhook.secrets.iter().any(|secret| signed.is_by(secret, &content));
        let signers: Vec<&Webhook> = self.0.webhooks.iter().filter(is_by).collect();
        if signers.is_empty() {
            return Err(Refused::Unsigned("no signature was made with a secret that is known here"));
        }
        let post = Post::read(&content).map_err(Refused::Invalid)?;
        Judge { engine, tenant, signers: &signers, post_id: signed.id }.judge(post).await
    }
}

/// Says in the log that somebody posts what nobody signed, without filling it.
#[derive(Debug, Default)]
struct Forgeries(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    warned_at: Option<Instant>,
    count: u64,
}

impl Forgeries {
    fn note(&self, why: &str) {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.count += 1;
        if untold.warned_at.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            tracing::warn!(why, count = untold.count, "verdicts were posted that nobody signed who may");
            *untold = Untold { warned_at: Some(Instant::now()), count: 0 };
        }
    }
}
