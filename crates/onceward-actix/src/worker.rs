//! Hands a request over from the engine's task to the actix worker that got it, and the answer back.
//!
//! Actix runs a request where its connection is, on one thread, with types that cannot leave it. The engine runs an effect in a task
//! that belongs to no connection. A [`Handover`] is the handler as the engine sees it; the [`Order`] that it sends is run by a task of
//! the worker's.

use std::{
    cell::Cell,
    fmt, io,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse},
    error::PayloadError,
};
use futures_util::{FutureExt, TryStreamExt};
use http::{Method, Request, Response, request::Parts};
use http_body::SizeHint;
use http_body_util::BodyExt;
use onceward_core::{
    outcome::{Evidence, Untouched},
    record::DoubtReason,
};
use onceward_tower::{Guarded, RequestBody, Testimony};
use tokio::sync::oneshot;

use crate::{
    body::{PanicPayload, Piped, pipe},
    carried,
    head::{self, HeadError},
};

/// The handler, as a service that runs once.
#[derive(Clone)]
pub(crate) struct Handover(Arc<Mutex<Option<oneshot::Sender<Order>>>>);

/// Where the order arrives, if the guard places one.
pub(crate) type Desk = oneshot::Receiver<Order>;

/// A request that its handler is to run now.
pub(crate) struct Order {
    request: Request<RequestBody<Piped>>,
    reply: oneshot::Sender<Reply>,
}

enum Reply {
    Answered(Response<Piped>),
    Panicked(PanicPayload),
}

/// Why a handler gave no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Its worker was gone before it was asked.
    NotHandedOver,
    /// Its worker stopped while it ran.
    WorkerStopped,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHandedOver => "the worker had stopped before the request reached its handler",
            Self::WorkerStopped => "the worker stopped before the handler answered",
        })
    }
}

impl std::error::Error for Unanswered {}

impl Testimony for Unanswered {
    fn evidence(&self) -> Evidence {
        match self {
            Self::NotHandedOver => Evidence::Untouched(Untouched::NothingWritten),
            Self::WorkerStopped => Evidence::Unknown(DoubtReason::NoAnswer),
        }
    }
}

impl Handover {
    pub(crate) fn new() -> (Self, Desk) {
        let (sender, desk) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), desk)
    }

    fn place(&self, order: Order) -> Result<(), Unanswered> {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sender = sender.ok_or(Unanswered::NotHandedOver)?;
        // The order comes back to who sends it to nobody.
        sender.send(order).or(Err(Unanswered::NotHandedOver))
    }
}

impl tower_service::Service<Request<RequestBody<Piped>>> for Handover {
    type Response = Response<Piped>;
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Piped>, Unanswered>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unanswered>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Piped>>) -> Self::Future {
        let (reply, answer) = oneshot::channel();
        let placed = self.place(Order { request, reply });
        Box::pin(async move {
            placed?;
            match answer.await {
                Ok(Reply::Answered(response)) => Ok(response),
                // It becomes the effect's own panic, and what that means is for the route to say (O5).
                Ok(Reply::Panicked(payload)) => resume_unwind(payload),
                Err(oneshot::error::RecvError { .. }) => Err(Unanswered::WorkerStopped),
            }
        })
    }
}

/// The request as actix knows it. The router refuses to work on one that is held twice, so there is one, and this is where it waits.
pub(crate) type Waiting = Rc<Cell<Option<HttpRequest>>>;

/// Waits for the order and runs it, in a task that no connection ends. Without an order (a replay, a refusal, a caller that left
/// before its claim) it ends with the guard's call.
pub(crate) async fn attend<S, B>(service: Rc<S>, placed: Option<Order>, desk: Desk, waiting: Waiting)
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let order = match placed {
        Some(order) => Some(order),
        None => desk.await.ok(),
    };
    let (Some(order), Some(request)) = (order, waiting.take()) else { return };
    order.run(&*service, request, &waiting).await;
}

/// Where the head of an answer goes whose content passes.
pub(crate) struct Passing(oneshot::Sender<Reply>);

impl Passing {
    /// Shows the guard the head; its content stays with actix.
    pub(crate) fn show<B>(self, response: &HttpResponse<B>) -> Result<(), HeadError> {
        let mut answer = head::passing(response)?;
        carried::to_guard(&response.extensions(), answer.extensions_mut());
        drop(self.0.send(Reply::Answered(answer.map(|()| Piped::empty()))));
        Ok(())
    }
}

impl Order {
    /// Whether it runs under a claim.
    pub(crate) fn is_guarded(&self) -> bool {
        self.request.extensions().get::<Guarded>().is_some()
    }

    /// The request as its handler gets it, with the content that its connection has, and where the head of the answer goes.
    pub(crate) fn pass(
        self,
        request: HttpRequest,
        payload: Payload,
    ) -> Result<(ServiceRequest, Passing), HeadError> {
        let (head, _) = self.request.into_parts();
        let mut request = ServiceRequest::from_parts(request, payload);
        prepare(&mut request, &head)?;
        Ok((request, Passing(self.reply)))
    }

    /// Runs the handler for as long as the engine wants its answer, and hands that back as it is made.
    pub(crate) async fn run<S, B>(self, service: &S, request: HttpRequest, waiting: &Waiting)
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody,
    {
        let Self { request: asked, mut reply } = self;
        let method = asked.method().clone();
        let request = match arrived(asked, request) {
            Ok(request) => request,
            Err(error) => return untranslatable(&error),
        };
        // The call itself is among what may panic.
        let answering = AssertUnwindSafe(async { service.call(request).await });
        let answered = tokio::select! {
            biased;
            // Its time is over, its lease lost, or the program shuts down (L12).
            () = reply.closed() => return,
            answered = answering.catch_unwind() => answered,
        };
        match answered {
            Ok(Ok(response)) => {
                let (request, response) = response.into_parts();
                waiting.set(Some(request));
                deliver(&method, response, reply).await;
            }
            // The handler's own word, as actix would write it.
            Ok(Err(error)) => deliver(&method, HttpResponse::from_error(error), reply).await,
            Err(payload) => drop(reply.send(Reply::Panicked(payload))),
        }
    }
}

/// The request as its handler gets it, with the content that the guard has read.
fn arrived(asked: Request<RequestBody<Piped>>, request: HttpRequest) -> Result<ServiceRequest, HeadError> {
    let (head, body) = asked.into_parts();
    let content = body.into_data_stream().map_err(|error| PayloadError::Io(io::Error::other(error)));
    let mut request = ServiceRequest::from_parts(request, Payload::Stream { payload: Box::pin(content) });
    prepare(&mut request, &head)?;
    Ok(request)
}

/// Gives a request the fields and values that the guard left.
fn prepare(request: &mut ServiceRequest, head: &Parts) -> Result<(), HeadError> {
    head::set_fields(request.headers_mut(), &head.headers)?;
    carried::to_handler(&head.extensions, &mut request.extensions_mut());
    Ok(())
}

/// Hands an answer back, its content as fast as that is read.
async fn deliver<B: MessageBody>(method: &Method, response: HttpResponse<B>, reply: oneshot::Sender<Reply>) {
    let mut answer = match head::recorded(method, &response) {
        Ok(answer) => answer,
        Err(error) => return untranslatable(&error),
    };
    carried::to_guard(&response.extensions(), answer.extensions_mut());
    if head::is_bodiless(method, answer.status()) {
        drop(reply.send(Reply::Answered(answer.map(|()| Piped::empty()))));
        return;
    }
    let body = response.into_body();
    let hint = match body.size() {
        BodySize::None => SizeHint::with_exact(0),
        BodySize::Sized(len) => SizeHint::with_exact(len),
        BodySize::Stream => SizeHint::default(),
    };
    let (pipe, piped) = pipe(hint);
    // Who does not want the answer does not read it either; the pipe sees to that.
    drop(reply.send(Reply::Answered(answer.map(|()| piped))));
    pipe.pump(body).await;
}

fn untranslatable(error: &HeadError) {
    tracing::error!(error = &**error as &dyn std::error::Error, "head not translated");
}

#[cfg(test)]
mod tests {
    use tower_service::Service as _;

    use super::*;

    /// What is known when nobody answers who might have seen the order.
    async fn evidence(before: impl FnOnce(Desk) -> Option<Desk>, after: impl FnOnce(Desk)) -> Evidence {
        let (mut handover, desk) = Handover::new();
        let desk = before(desk);
        let answering = handover.call(Request::new(RequestBody::passed(Piped::empty())));
        desk.map(after);
        answering.await.map(drop).expect_err("nobody answered").evidence()
    }

    // covers: L5
    #[actix_web::test]
    async fn a_handler_that_was_never_asked_did_nothing_and_one_that_was_may_have() {
        let gone = evidence(|_| None, drop).await;
        assert_eq!(gone, Evidence::Untouched(Untouched::NothingWritten));
        let taken = evidence(Some, |mut desk| drop(desk.try_recv().expect("no order arrived"))).await;
        assert_eq!(taken, Evidence::Unknown(DoubtReason::NoAnswer));
        // One that its worker never looked at is not told from one that it had begun.
        assert_eq!(evidence(Some, drop).await, Evidence::Unknown(DoubtReason::NoAnswer));
    }
}
