//! The middleware as an application registers it.

use std::{
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};
use onceward_engine::Engine;
use onceward_tower::{OnceLayer, Rules, Surface};
use tokio::runtime::Handle;

use crate::{
    carried::{self, Carry},
    service::OnceMiddleware,
};

/// Runs each keyed request once and answers its repeats; every other request goes through as if it were not there.
///
/// Make it once, where the engine was started, and clone it into the application's factory. The clones share the memory that
/// [`Once::request_bytes_held_max`] bounds, and their effects are watched over by the runtime in which it was made: a worker whose
/// thread a handler blocks, or which stops, neither misses the renewal of a lease (L3) nor the record of what happened.
#[derive(Clone, Debug)]
pub struct Once<R> {
    pub(crate) layer: OnceLayer<R>,
    pub(crate) runtime: Handle,
    pub(crate) declared: Vec<Carry>,
}

impl<R: Rules> Once<R> {
    /// A middleware over one engine, one set of rules, and one look of its own answers.
    ///
    /// # Panics
    /// Outside of a Tokio runtime; both `#[actix_web::main]` and `#[tokio::main]` make one.
    #[must_use]
    pub fn new(engine: Engine, rules: R, surface: Surface) -> Self {
        Self {
            layer: OnceLayer::new(engine, rules, surface),
            runtime: Handle::current(),
            declared: Vec::new(),
        }
    }

    /// Bounds the memory that the bodies of guarded requests take in all, over all workers, in bytes of content; 256 MiB by default.
    ///
    /// See [`OnceLayer::request_bytes_held_max`].
    #[must_use]
    pub fn request_bytes_held_max(self, bytes: usize) -> Self {
        Self { layer: self.layer.request_bytes_held_max(bytes), ..self }
    }

    /// Shows the rules a value of this type, in the extensions of the head that they judge: the one that a middleware outside of this one
    /// left in the request's extensions, or else the one that [`HttpServer::on_connect`](actix_web::HttpServer::on_connect) gave the
    /// connection.
    ///
    /// This is how rules learn of a principal that was verified before. [`PeerAddr`](crate::PeerAddr) is always there, and a
    /// [`TlsSubject`](onceward_tower::origin::TlsSubject) where the connection has one.
    #[must_use]
    pub fn carry<T: Clone + Send + Sync + 'static>(mut self) -> Self {
        self.declared.push(carried::show::<T>);
        self
    }
}

impl<S, B, R> Transform<S, ServiceRequest> for Once<R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
    R: Rules,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = OnceMiddleware<S, R>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(OnceMiddleware { service: Rc::new(service), once: Rc::new(self.clone()) }))
    }
}
