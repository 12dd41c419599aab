//! The exchange of a guarding proxy: the tower layer over an upstream service.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use onceward_core::{outcome, record::DoubtReason};
use onceward_engine::Engine;
use onceward_tower::{Guarded, Once, OnceLayer, Surface, Testimony};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    pass_through::{PassThrough, unanswered_page, with_causes},
    rules::ForwardRules,
    server::{Exchange, ProxyBody, RequestBody},
    session::Session,
    target::Target,
    upstream::{Evidence, Tunnel, Unanswered, Unknown, Untouched, Upstream, UpstreamBody},
};

/// Runs each guarded request once and forwards every other one.
#[derive(Clone)]
pub struct GuardedExchange {
    once: Once<Origins, ForwardRules>,
    pass_through: PassThrough,
}

impl GuardedExchange {
    /// An exchange over one engine and one upstream.
    #[must_use]
    pub fn new(engine: Engine, rules: ForwardRules, surface: Surface, upstream: Upstream) -> Self {
        let origins = Origins { upstream: upstream.clone(), run_time_max: rules.run_time_max() };
        Self {
            once: OnceLayer::new(engine, rules, surface).layer(origins),
            pass_through: PassThrough::new(upstream),
        }
    }
}

impl fmt::Debug for GuardedExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedExchange").finish_non_exhaustive()
    }
}

impl Exchange for GuardedExchange {
    type Tunnel = Tunnel;

    async fn call(&self, request: Request<RequestBody>) -> Response<ProxyBody> {
        let fields = request.headers().clone();
        match self.once.clone().call(request).await {
            Ok(response) => response.map(BodyExt::boxed_unsync),
            Err(unanswered) => unanswered_page(&unanswered, &fields),
        }
    }

    async fn tunnel(&self, session: &Session, target: &Target) -> Result<Tunnel, Response<ProxyBody>> {
        self.pass_through.tunnel(session, target).await
    }
}

/// The sites, as a service: guarded requests on connections of their own, all others over shared ones (B3).
#[derive(Clone)]
struct Origins {
    upstream: Upstream,
    run_time_max: std::time::Duration,
}

impl Service<Request<onceward_tower::RequestBody<RequestBody>>> for Origins {
    type Response = Response<UpstreamBody>;
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unanswered>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unanswered>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<onceward_tower::RequestBody<RequestBody>>) -> Self::Future {
        let upstream = self.upstream.clone();
        if request.extensions().get::<Guarded>().is_none() {
            return Box::pin(async move { upstream.forward(request).await });
        }
        let deadline = Instant::now() + self.run_time_max;
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let again = body.try_clone().map(|body| Request::from_parts(head.clone(), body));
            match (upstream.send_once(Request::from_parts(head, body), deadline).await, again) {
                (Err(unanswered), Some(again)) if is_worth_another(unanswered.evidence) => {
                    upstream.send_once(again, deadline).await
                }
                (answered, _) => answered,
            }
        })
    }
}

/// Whether a new connection is likely to fare better, where it is proven that the origin did nothing (B3).
///
/// Once is what a browser does. What failed before a connection stood fails again.
fn is_worth_another(evidence: Evidence) -> bool {
    match evidence {
        Evidence::Untouched(
            Untouched::NothingWritten | Untouched::StreamRefused | Untouched::GoAwayBelow,
        ) => true,
        Evidence::Untouched(
            Untouched::ConnectFailed
            | Untouched::TlsFailed
            | Untouched::ProxyHandshakeFailed { .. }
            | Untouched::TargetRefused
            | Untouched::LimitReached,
        )
        | Evidence::Unknown(_) => false,
    }
}

impl Testimony for Unanswered {
    fn cause(&self) -> Option<String> {
        Some(with_causes(self))
    }

    fn evidence(&self) -> outcome::Evidence {
        match self.evidence {
            Evidence::Untouched(proof) => outcome::Evidence::Untouched(match proof {
                Untouched::ConnectFailed => outcome::Untouched::ConnectFailed,
                Untouched::TlsFailed => outcome::Untouched::TlsFailed,
                Untouched::ProxyHandshakeFailed { .. } => outcome::Untouched::ProxyHandshakeFailed,
                Untouched::NothingWritten => outcome::Untouched::NothingWritten,
                Untouched::StreamRefused => outcome::Untouched::StreamRefused,
                Untouched::GoAwayBelow => outcome::Untouched::GoAwayBelow,
                Untouched::TargetRefused => outcome::Untouched::TargetRefused,
                Untouched::LimitReached => outcome::Untouched::LimitReached,
            }),
            Evidence::Unknown(reason) => outcome::Evidence::Unknown(match reason {
                Unknown::BrokeAfterSend | Unknown::StreamReset { .. } | Unknown::AnswerUnreadable => {
                    DoubtReason::NoAnswer
                }
                Unknown::TimedOut => DoubtReason::DeadlinePassed,
            }),
        }
    }
}
