//! The service that runs each keyed request once.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use onceward_core::{
    key::{Key, KeyInvalid},
    outcome::{Evidence, Untouched},
    refusal::Refusal,
    time::Timestamp,
};
use onceward_engine::{Call, Effected, Engine};
use tower::ServiceExt;
use tower_service::Service;

use crate::{
    body::{BodyError, RequestBody, ResponseBody},
    budget::Budget,
    execute::{Reading, execute},
    handler::{Fence, IdempotencyKey, Intent},
    intent::Stated,
    json_rpc::Calls,
    member, precondition,
    request::{self, Asked, BodyReading, WholeBody},
    respond::{Asker, Surface, marked_unguarded},
    rules::{Judgement, Plan, Rules, SeekKey},
    testimony::Testimony,
};

/// Marks a request that runs under a claim, for the inner service: it must not be repeated and should not share a connection (B3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarded;

/// Runs each keyed request once and answers its repeats; passes every other request through.
///
/// A guarded request never yields an error: whatever happens to it becomes a response. An unguarded one yields what the inner service
/// yields, and so does one that its route lets through while the store is down (S2).
#[derive(Clone, Debug)]
pub struct Once<S, R> {
    inner: S,
    engine: Engine,
    rules: R,
    surface: Arc<Surface>,
    budget: Budget,
}

impl<S, R: Rules> Once<S, R> {
    pub(crate) fn new(inner: S, engine: Engine, rules: R, surface: Arc<Surface>, budget: Budget) -> Self {
        Self { inner, engine, rules, surface, budget }
    }
}

impl<S, R, B, C> Service<Request<B>> for Once<S, R>
where
    S: Service<Request<RequestBody<B>>, Response = Response<C>> + Clone + Send + 'static,
    S::Error: Testimony + Send,
    S::Future: Send,
    R: Rules,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
    C: Body<Data = Bytes> + Send + 'static,
    C::Error: Into<BodyError>,
{
    type Response = Response<ResponseBody<C>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Each call waits for its own clone of the inner service, so that a replay never waits for it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut asker = Asker::new(Arc::clone(&self.surface), &head);
        let rules = self.rules.clone();
        match self.rules.judge(&mut head) {
            Judgement::Pass => {
                let request = Request::from_parts(head, RequestBody::passed(body));
                let passing = self.inner.clone().oneshot(request);
                Box::pin(async move { Ok(passed(passing.await?)) })
            }
            Judgement::PassUnkeyed => {
                self.engine.telemetry().count_unprotected();
                let request = Request::from_parts(head, RequestBody::passed(body));
                let passing = self.inner.clone().oneshot(request);
                Box::pin(async move { Ok(advertised(&rules, passed(passing.await?))) })
            }
            Judgement::Tell(page) => {
                let engine = self.engine.clone();
                Box::pin(async move {
                    let rendered = page.render(&engine, asker.is_head).await;
                    Ok(rendered.unwrap_or_else(|refusal| asker.refuse(&refusal)))
                })
            }
            Judgement::Hear { webhooks, tenant } => {
                let engine = self.engine.clone();
                Box::pin(async move {
                    let heard = webhooks.heard(&engine, &tenant, Request::from_parts(head, body)).await;
                    Ok(heard.map(|content| ResponseBody::whole(content, None)))
                })
            }
            Judgement::Refuse { refusal, key, manner } => {
                asker.key = key;
                asker.follow(manner, &head.headers);
                // Nothing was read of the body; the server closes the connection over it (O10).
                Box::pin(async move { Ok(advertised(&rules, asker.refuse(&refusal))) })
            }
            Judgement::SeekKey(seek) => {
                let once = self.clone();
                asker.follow(seek.manner, &head.headers);
                Box::pin(async move { Ok(advertised(&rules, once.seek(asker, *seek, head, body).await?)) })
            }
            Judgement::Guard(plan) => {
                let once = self.clone();
                asker.key = Some(plan.key.clone());
                asker.follow(plan.manner, &head.headers);
                Box::pin(async move { Ok(advertised(&rules, once.guard(asker, *plan, head, body).await?)) })
            }
        }
    }
}

/// The answer to a request that passed, with the versions that its handler said (P2).
fn passed<C>(answer: Response<C>) -> Response<ResponseBody<C>> {
    let (mut head, body) = answer.into_parts();
    precondition::publish(&mut head.headers, &head.extensions);
    Response::from_parts(head, ResponseBody::passed(body))
}

/// The answer of a guarded route, which says what its origin accepts (C1).
fn advertised<R: Rules, C>(rules: &R, mut answer: Response<ResponseBody<C>>) -> Response<ResponseBody<C>> {
    rules.advertise(answer.headers_mut());
    answer
}

impl<S, R: Rules> Once<S, R> {
    /// Looks for the key in the body; a request that has none there either goes through with the body that was read.
    async fn seek<B, C>(
        self,
        mut asker: Asker,
        seek: SeekKey,
        head: Parts,
        body: B,
    ) -> Result<Response<ResponseBody<C>>, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<C>> + Send + 'static,
        S::Error: Testimony + Send,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
        C: Body<Data = Bytes> + Send + 'static,
        C::Error: Into<BodyError>,
    {
        let reading =
            BodyReading { bytes_max: seek.request_bytes_max, carriers: &seek.carriers, budget: &self.budget };
        let body = match WholeBody::read(&head, body, reading).await {
            Ok(body) => body,
            Err(refusal) => return Ok(asker.refuse(&refusal)),
        };
        match member::key(&seek.member, body.plain()) {
            Ok(Some(key)) => {
                asker.key = Some(key.clone());
                match seek.rule.check(&key) {
                    Ok(()) => self.run(asker, (seek.plan)(key), head, body).await,
                    Err(invalid) => Ok(asker.refuse(&Refusal::KeyInvalid(invalid))),
                }
            }
            Ok(None) if seek.is_required => Ok(asker.refuse(&Refusal::KeyMissing)),
            Ok(None) => {
                self.engine.telemetry().count_unprotected();
                let request = Request::from_parts(head, body.into_request_body());
                Ok(passed(self.inner.oneshot(request).await?))
            }
            Err(refusal) => Ok(asker.refuse(&refusal)),
        }
    }

    async fn guard<B, C>(
        self,
        asker: Asker,
        plan: Plan,
        head: Parts,
        body: B,
    ) -> Result<Response<ResponseBody<C>>, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<C>> + Send + 'static,
        S::Error: Testimony + Send,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
        C: Body<Data = Bytes> + Send + 'static,
        C::Error: Into<BodyError>,
    {
        let reading = BodyReading {
            bytes_max: plan.policy.request_bytes_max,
            carriers: &plan.carriers,
            budget: &self.budget,
        };
        let body = match WholeBody::read(&head, body, reading).await {
            Ok(body) => body,
            Err(refusal) => return Ok(asker.refuse(&refusal)),
        };
        if let Some(member) = &plan.body_member {
            match member::key(member, body.plain()) {
                Ok(Some(key)) if key != plan.key => {
                    return Ok(asker.refuse(&Refusal::KeyInvalid(KeyInvalid::CarriersDisagree)));
                }
                Ok(_) => {}
                Err(refusal) => return Ok(asker.refuse(&refusal)),
            }
        }
        self.run(asker, plan, head, body).await
    }

    /// Runs a request once whose body is there.
    async fn run<B, C>(
        self,
        mut asker: Asker,
        plan: Plan,
        head: Parts,
        body: WholeBody,
    ) -> Result<Response<ResponseBody<C>>, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<C>> + Send + 'static,
        S::Error: Testimony + Send,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
        C: Body<Data = Bytes> + Send + 'static,
        C::Error: Into<BodyError>,
    {
        let stated = match plan.intent.map(|demand| Stated::check(&head.headers, body.plain(), demand)) {
            Some(Ok(stated)) => stated,
            Some(Err(refusal)) => return Ok(asker.refuse(&refusal)),
            None => Stated::default(),
        };
        let (policy, key, kept_fields) =
            (Arc::clone(&plan.policy), plan.key.clone(), plan.kept_fields.clone());
        let asked = Asked::new(&plan, &head, &body);
        let kept = self.rules.keep(&head, plan.origin.as_ref(), body.content());
        let scope = self.rules.scope(&head, asked.content());
        asker.calls = Calls::of(asked.content());
        let call = match request::call(self.engine.secret(), plan, scope, &head, asked, stated.digest) {
            Ok(call) => Call { request: kept, ..call },
            Err(refusal) => return Ok(asker.refuse(&refusal)),
        };
        asker.effect = Some(call.effect.clone());
        asker.id = Some(call.id(self.engine.secret()));
        let waiting = Arc::new(Waiting::new(Ready { inner: self.inner, head, body, key, stated }));
        let (claimed, engine) = (Arc::clone(&waiting), self.engine.clone());
        let note = asker.calls.as_ref().and_then(Calls::note);
        let (running_policy, cause) = (Arc::clone(&policy), Arc::clone(&asker.cause));
        let effect = move |attempt| async move {
            let sent_at = engine.now();
            let Some((inner, mut request)) = claimed.take(sent_at) else {
                return Effected::Unanswered(Evidence::Untouched(Untouched::IntentExpired));
            };
            let method = request.method().clone();
            let reading = Reading { policy: running_policy, method, sent_at, cause, note, kept_fields };
            let extensions = request.extensions_mut();
            extensions.insert(Guarded);
            extensions.insert(Fence(attempt));
            execute(inner, request, reading).await
        };
        let ran = self.engine.run(call, effect).await;
        match asker.respond(ran, &policy) {
            Some(response) => Ok(response),
            // As one without a key (S2).
            None => match waiting.take(self.engine.now()) {
                Some((inner, request)) => Ok(marked_unguarded(passed(inner.oneshot(request).await?))),
                None => Ok(asker.refuse(&Refusal::IntentExpired)),
            },
        }
    }
}

/// A request that is there and waits for its claim, with the service that it goes to.
struct Ready<S> {
    inner: S,
    head: Parts,
    body: WholeBody,
    key: Key,
    stated: Stated,
}

/// The one place of a [`Ready`] request: whoever sends it takes it out, under a claim or without.
struct Waiting<S>(Mutex<Option<Ready<S>>>);

impl<S> Waiting<S> {
    fn new(ready: Ready<S>) -> Self {
        Self(Mutex::new(Some(ready)))
    }

    /// The request, with what its handler is told of it; `None` where its client does not mean it any more at `now` (F5).
    fn take<B>(&self, now: Timestamp) -> Option<(S, Request<RequestBody<B>>)> {
        let ready = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let Ready { inner, mut head, body, key, stated } = ready;
        if stated.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return None;
        }
        head.extensions.insert(IdempotencyKey(key));
        if let Some(digest) = stated.digest {
            head.extensions.insert(Intent(digest));
        }
        Some((inner, Request::from_parts(head, body.into_request_body())))
    }
}
