//! How much memory the bodies of guarded requests take in all (S1).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use onceward_core::refusal::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of guarded request bodies that one layer holds at once: sixteen of the largest that a policy admits by default, and a
/// part of what a small machine has.
pub(crate) const REQUEST_BYTES_HELD_MAX: usize = 256 * 1024 * 1024;

/// What is counted. A smaller body takes as much, with what surrounds it.
const UNIT_BYTES: usize = 1_024;

/// When a caller whose body found no room may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The memory that a layer's guarded bodies share.
///
/// A body takes its share as its bytes arrive, since an announced length is a claim that costs its sender nothing. One that finds
/// no room is refused at once: if it waited, it would hold what it has, and bodies would wait for each other. For how long a slow
/// sender may hold what it has sent is decided by the server in front, which ends a body that stands still (in the proxy,
/// `body_idle_time` of its `Limits`).
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units_free: Arc<Semaphore>,
    units_max: u32,
}

/// What one request's bodies take of a [`Budget`]; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    taken: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let units_max = units(bytes_max).max(1);
        Self { units_free: Arc::new(Semaphore::new(units_max as usize)), units_max }
    }

    /// A share that is empty yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), taken: None }
    }
}

impl Share {
    /// Makes it `bytes_len` large, which is not less than it is. What exceeds the whole budget takes the whole budget: how large one
    /// body may be is its policy's to say, and it then stays alone.
    pub(crate) fn grow(&mut self, bytes_len: usize) -> Result<(), Refusal> {
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = units(bytes_len).min(self.budget.units_max) as usize;
        let Some(missing) = wanted.checked_sub(taken).and_then(|missing| u32::try_from(missing).ok()) else {
            return Ok(());
        };
        let Ok(more) = Arc::clone(&self.budget.units_free).try_acquire_many_owned(missing) else {
            return Err(Refusal::Overloaded { retry_after: RETRY_AFTER });
        };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    /// Ties the share to `content`: it is given back when the last handle on the bytes is gone, wherever that went.
    pub(crate) fn hold(self: &Arc<Self>, content: Bytes) -> Bytes {
        Bytes::from_owner(Held { content, _share: Arc::clone(self) })
    }
}

struct Held {
    content: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

/// More than can be counted is all there is.
fn units(bytes_len: usize) -> u32 {
    u32::try_from(bytes_len.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}
