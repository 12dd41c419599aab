//! What the gate and the service tell each other about the requests of one connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::super::head::{HeadFault, Then};

/// Requests in the order of the wire; hyper serves those of an HTTP/1 connection in that order, one after the other.
#[derive(Debug, Default)]
pub(in crate::server) struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    released: u64,
    served: u64,
    /// The request at this place is the synthetic one.
    fault: Option<(u64, HeadFault)>,
    /// The request at this place may switch protocols.
    switch: Option<(u64, Switch)>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Undecided,
    Switched,
    Declined,
}

/// The place of a request in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Place(u64);

impl Ledger {
    /// A head passes the gate.
    pub(super) fn released(&self, then: Then) {
        let mut entries = self.lock();
        if then == Then::Switch {
            entries.switch = Some((entries.released, Switch::Undecided));
        }
        entries.released += 1;
    }

    /// A head is replaced by the synthetic one.
    pub(super) fn refused(&self, fault: HeadFault) {
        let mut entries = self.lock();
        entries.fault = Some((entries.released, fault));
        entries.released += 1;
    }

    /// Whether the request that may switch protocols did.
    pub(super) fn poll_switch(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut entries = self.lock();
        match entries.switch {
            Some((_, Switch::Undecided)) => {
                entries.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            switch => {
                entries.switch = None;
                Poll::Ready(matches!(switch, Some((_, Switch::Switched))))
            }
        }
    }

    /// The service begins with the next request.
    ///
    /// # Errors
    /// Why the client's head was refused; the request in hand is not the client's.
    pub(in crate::server) fn begin(&self) -> Result<Place, HeadFault> {
        let mut entries = self.lock();
        let place = entries.served;
        entries.served += 1;
        match entries.fault {
            Some((at, fault)) if at == place => Err(fault),
            _ => Ok(Place(place)),
        }
    }

    /// The service has decided whether the request at `place` switches protocols. To be called before the answer is
    /// handed to hyper, and for every request: the gate holds back what follows until then.
    pub(in crate::server) fn decide(&self, place: Place, switched: bool) {
        let mut entries = self.lock();
        if let Some((at, switch)) = &mut entries.switch
            && *at == place.0
        {
            *switch = if switched { Switch::Switched } else { Switch::Declined };
            if let Some(waker) = entries.waker.take() {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Each change is a single assignment, so that a panic elsewhere leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
