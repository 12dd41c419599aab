//! The service that an application's requests go through.

use std::{cell::Cell, fmt, future::poll_fn, pin::pin, rc::Rc, task::Poll};

use actix_web::{
    Error, HttpRequest,
    body::{BodyStream, EitherBody, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse, forward_ready},
    error::{ErrorBadRequest, ErrorInternalServerError, InternalError},
};
use futures_util::future::LocalBoxFuture;
use http::{Method, Response};
use onceward_tower::{ResponseBody, Rules};
use tokio_util::context::TokioContext;
use tower_layer::Layer;

use crate::{
    body::{Piped, promised},
    carried, head,
    transform::Once,
    worker::{Handover, Order, Unanswered, Waiting, attend},
};

/// The service that [`Once`] puts around a worker's own.
pub struct OnceMiddleware<S, R> {
    pub(crate) service: Rc<S>,
    pub(crate) once: Rc<Once<R>>,
}

impl<S, R> fmt::Debug for OnceMiddleware<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceMiddleware").finish_non_exhaustive()
    }
}

impl<S, B, R> Service<ServiceRequest> for OnceMiddleware<S, R>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
    R: Rules,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        Box::pin(exchange(Rc::clone(&self.service), Rc::clone(&self.once), request))
    }
}

/// What the guard says in the end.
type Said = Result<Response<ResponseBody<Piped>>, Unanswered>;

async fn exchange<S, B, R>(
    service: Rc<S>,
    once: Rc<Once<R>>,
    request: ServiceRequest,
) -> Result<ServiceResponse<EitherBody<B>>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
    R: Rules,
{
    let (request, payload) = request.into_parts();
    let mut asked = head::request(&request).map_err(ErrorBadRequest)?;
    carried::to_rules(&request, asked.extensions_mut(), &once.declared);
    let method = asked.method().clone();
    let (promise, body) = promised(head::announced(&request));
    let (handover, mut desk) = Handover::new();
    let guarding = tower_service::Service::call(&mut once.layer.layer(handover), asked.map(|()| body));
    let mut guarding = pin!(TokioContext::new(guarding, once.runtime.clone()));

    // One poll tells what passes from what is read first: nothing of the body is there yet.
    if let Poll::Ready(said) = poll_fn(|context| Poll::Ready(guarding.as_mut().poll(context))).await {
        return answer(&method, Some(request), said);
    }
    let mut placed = desk.try_recv().ok();
    if let Some(order) = placed.take_if(|order| !order.is_guarded()) {
        return pass(&*service, order, request, payload, guarding).await;
    }
    let waiting: Waiting = Rc::new(Cell::new(Some(request)));
    // In a task of its own, which ends when the engine lets go of it (L6).
    actix_web::rt::spawn(attend(service, placed, desk, Rc::clone(&waiting)));
    let said = tokio::select! {
        biased;
        said = guarding.as_mut() => said,
        () = promise.begin().pump(BodyStream::new(payload)) => guarding.await,
    };
    answer(&method, waiting.take(), said)
}

/// Lets a request through on its own connection, and its answer, but for what the guard adds to the heads.
async fn pass<S, B>(
    service: &S,
    order: Order,
    request: HttpRequest,
    payload: Payload,
    guarding: impl Future<Output = Said>,
) -> Result<ServiceResponse<EitherBody<B>>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    let (request, passing) = order.pass(request, payload).map_err(ErrorBadRequest)?;
    let mut response = service.call(request).await?;
    passing.show(response.response()).map_err(ErrorInternalServerError)?;
    let (head, _) = guarding.await.map_err(ErrorInternalServerError)?.into_parts();
    head::amend(response.response_mut(), &head).map_err(ErrorInternalServerError)?;
    Ok(response.map_into_left_body())
}

/// The guard's own answer, in the name of the request where that is still there.
fn answer<B>(
    method: &Method,
    request: Option<HttpRequest>,
    said: Said,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let said = said.map_err(ErrorInternalServerError)?;
    let response = head::answer(method, said).map_err(ErrorInternalServerError)?;
    match request {
        Some(request) => Ok(ServiceResponse::new(request, response).map_into_right_body()),
        // Actix asks for the request, and the handler took it along.
        None => Err(InternalError::from_response(HandlerGone, response).into()),
    }
}

/// The handler panicked, was given up, or failed with an error; the response beside this says what that means.
#[derive(Debug)]
struct HandlerGone;

impl fmt::Display for HandlerGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handler ended without a response of its own")
    }
}
