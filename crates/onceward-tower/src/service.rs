//! The service that runs each keyed request once.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use onceward_engine::Engine;
use tower::ServiceExt;
use tower_service::Service;

use crate::{
    body::{BodyError, RequestBody, ResponseBody},
    budget::Budget,
    execute::{Reading, execute},
    json_rpc::Calls,
    request::{self, Asked, WholeBody},
    respond::{Asker, Surface},
    rules::{Judgement, Plan, Rules},
    testimony::Testimony,
};

/// Marks a request that runs under a claim, for the inner service: it must not be repeated and should not share a connection (B3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarded;

/// Runs each keyed request once and answers its repeats; passes every other request through.
///
/// A guarded request never yields an error: whatever happens to it becomes a response. An unguarded one yields what the inner service
/// yields.
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
        match self.rules.judge(&mut head) {
            Judgement::Pass => {
                let request = Request::from_parts(head, RequestBody::passed(body));
                let passing = self.inner.clone().oneshot(request);
                Box::pin(async move { Ok(passing.await?.map(ResponseBody::passed)) })
            }
            Judgement::Refuse { refusal, key } => {
                asker.key = key;
                // Nothing was read of the body; the server closes the connection over it (O10).
                Box::pin(async move { Ok(asker.refuse(&refusal)) })
            }
            Judgement::Guard(plan) => {
                let once = self.clone();
                asker.key = Some(plan.key.clone());
                Box::pin(async move { Ok(once.guard(asker, *plan, head, body).await) })
            }
        }
    }
}

impl<S, R: Rules> Once<S, R> {
    async fn guard<B, C>(
        self,
        mut asker: Asker,
        plan: Plan,
        head: Parts,
        body: B,
    ) -> Response<ResponseBody<C>>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<C>> + Send + 'static,
        S::Error: Testimony + Send,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
        C: Body<Data = Bytes> + Send + 'static,
        C::Error: Into<BodyError>,
    {
        let policy = Arc::clone(&plan.policy);
        let body = match WholeBody::read(&head, body, &plan, &self.budget).await {
            Ok(body) => body,
            Err(refusal) => return asker.refuse(&refusal),
        };
        let asked = Asked::new(&plan, &head, &body);
        let scope = self.rules.scope(&head, asked.content());
        asker.calls = Calls::of(asked.content());
        let call = match request::call(self.engine.secret(), plan, scope, &head, asked) {
            Ok(call) => call,
            Err(refusal) => return asker.refuse(&refusal),
        };
        asker.effect = Some(call.effect.clone());
        asker.id = Some(call.id(self.engine.secret()));
        let (inner, engine, cause) = (self.inner, self.engine.clone(), Arc::clone(&asker.cause));
        let (running_policy, note) = (Arc::clone(&policy), asker.calls.as_ref().and_then(Calls::note));
        let effect = move || {
            let policy = running_policy;
            let reading = Reading { policy, method: head.method.clone(), sent_at: engine.now(), cause, note };
            let mut request = Request::from_parts(head, body.into_request_body());
            request.extensions_mut().insert(Guarded);
            execute(inner, request, reading)
        };
        let ran = self.engine.run(call, effect).await;
        asker.respond(ran, &policy)
    }
}
