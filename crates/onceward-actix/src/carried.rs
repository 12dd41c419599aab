//! Values that travel beside a request and its answer: the one place that knows which.
//!
//! Neither kind of extensions can be walked through, so each type that crosses is named here.

use std::net::SocketAddr;

use actix_web::{HttpMessage, HttpRequest, dev::Extensions as ActixExtensions};
use http::Extensions;
use onceward_tower::{Fence, Guarded, IdempotencyKey, Intent, Signal, Versioned, origin::TlsSubject};

/// The socket address of whoever opened the connection, in the extensions of the head that [`onceward_tower::Rules`] judge.
///
/// Behind a proxy it is the proxy's. Missing where the server listens on a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Copies a value that an application declared.
pub(crate) type Carry = fn(&HttpRequest, &mut Extensions);

/// What the rules may see of a request beside its head.
pub(crate) fn to_rules(from: &HttpRequest, to: &mut Extensions, declared: &[Carry]) {
    if let Some(peer_addr) = from.peer_addr() {
        to.insert(PeerAddr(peer_addr));
    }
    show::<TlsSubject>(from, to);
    for carry in declared {
        carry(from, to);
    }
}

/// Shows a value that a middleware outside left with the request, or else one that the connection has.
pub(crate) fn show<T: Clone + Send + Sync + 'static>(from: &HttpRequest, to: &mut Extensions) {
    let left = from.extensions().get::<T>().cloned();
    if let Some(value) = left.or_else(|| from.conn_data::<T>().cloned()) {
        to.insert(value);
    }
}

/// What the guard leaves for the handler.
pub(crate) fn to_handler(from: &Extensions, to: &mut ActixExtensions) {
    leave::<Guarded>(from, to);
    leave::<IdempotencyKey>(from, to);
    leave::<Fence>(from, to);
    leave::<Intent>(from, to);
}

fn leave<T: Clone + Send + Sync + 'static>(from: &Extensions, to: &mut ActixExtensions) {
    if let Some(value) = from.get::<T>() {
        to.insert(value.clone());
    }
}

/// What a handler leaves for the guard.
pub(crate) fn to_guard(from: &ActixExtensions, to: &mut Extensions) {
    if let Some(signal) = from.get::<Signal>() {
        to.insert(*signal);
    }
    if let Some(versioned) = from.get::<Versioned>() {
        to.insert(versioned.clone());
    }
}
