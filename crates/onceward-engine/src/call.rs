//! What an adapter hands to the engine, and what it gets back.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use onceward_core::{
    actor::{Actor, LookupId, Scope, Tenant},
    fingerprint::{Fingerprint, Version},
    key::Key,
    outcome::{Evidence, Outcome, Policy, Untouched},
    record::Drift,
    refusal::{Refusal, Told},
    secret::Secret,
    twin::{Confirmation, TwinId},
};
use onceward_store::Undated;
use zeroize::Zeroizing;

use crate::audit::Trace;

/// One keyed request, read to its end and valid.
pub struct Call {
    /// The customer of a shared instance.
    pub tenant: Tenant,
    /// Who the key belongs to.
    pub actor: Actor,
    /// Within which namespace the key names one effect.
    pub scope: Scope,
    /// The client's name for the action.
    pub key: Key,
    /// What is asked, under the version that the route compares by.
    pub fingerprint: Fingerprint,
    /// The same under the version of an older record (F1); `None` where the body cannot be read so.
    pub fingerprint_as: Box<dyn Fn(Version) -> Option<Fingerprint> + Send + Sync>,
    /// What the route decides.
    pub policy: Arc<Policy>,
    /// What is asked, for a person: method, origin and path, no query.
    pub effect: String,
    /// What the caller says of its request, for the audit log.
    pub trace: Trace,
    /// What an unknown key without a time of issue means after history was lost (T5).
    pub undated: Undated,
    /// What a resolver will need of the request, kept sealed until the effect is known to be over; `None` where none would look (D2).
    pub request: Option<Zeroizing<Vec<u8>>>,
    /// Whether effects of other keys that mean the same stand in its way (P5).
    pub twins: Twins,
}

/// Whether a call looks for effects of other keys that mean the same (P5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twins {
    /// Its route does not ask for it.
    Ignored,
    /// Its route does, and its body lacks what says what it means: it runs by its key alone, and that is counted.
    Unread,
    /// It does.
    Sought(TwinGuard),
}

/// What a call means, and what it brings to be run all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinGuard {
    /// What it means.
    pub id: TwinId,
    /// How long its effect then stands in the way of others.
    pub window: Duration,
    /// What its caller says about an effect that stands in its way.
    pub consent: Consent,
}

/// What a caller says about an effect that stands in its way: its `Effect-Confirm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nothing.
    None,
    /// Something that is no confirmation.
    Unreadable,
    /// This.
    Token(Confirmation),
}

impl Call {
    /// Under which its record is found (K6).
    #[must_use]
    pub fn id(&self, secret: &Secret) -> LookupId {
        LookupId::of(secret, &self.tenant, &self.actor, &self.scope, &self.key)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("tenant", &self.tenant)
            .field("actor", &self.actor)
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

/// What came of running an effect.
pub enum Effected<A> {
    /// The answer is complete: `answer` for the caller, `outcome` for the store.
    Whole {
        /// As the caller gets it.
        answer: A,
        /// As a retry will get it.
        outcome: Outcome,
        /// The answer's `Idempotency-Key-Consumed`.
        consumed: Option<bool>,
    },
    /// The answer flows to the caller while it is recorded (O7, O8).
    Streaming {
        /// As the caller gets it, still open.
        answer: A,
        /// Ends when the answer does. It is polled whether or not the caller still listens.
        rest: Pin<Box<dyn Future<Output = StreamEnd> + Send>>,
    },
    /// There is no answer to pass on; this is what is known instead.
    Unanswered(Evidence),
}

/// How a streamed answer ended.
#[derive(Debug)]
pub enum StreamEnd {
    /// Complete.
    Whole {
        /// As a retry will get it.
        outcome: Outcome,
        /// The answer's `Idempotency-Key-Consumed`.
        consumed: Option<bool>,
    },
    /// It broke off.
    Cut,
}

/// What the caller is to be told.
#[derive(Debug)]
pub enum Ran<A> {
    /// The answer of this very execution.
    Answered {
        /// As the adapter made it.
        answer: A,
        /// What has become of it at the store.
        standing: Standing,
    },
    /// A stored answer.
    Stored {
        /// The answer.
        outcome: Outcome,
        /// How long ago it was stored.
        age: Duration,
        /// Whether this request asked for something else under the same key (B2).
        drift: Drift,
        /// Whether the caller repeats, or lost its own answer's place to the record's.
        told: Told,
    },
    /// A no that the protocol defines.
    Refused(Refusal),
    /// The store did not take a claim, and policy lets the request go on without one (S2). The effect was not called: whoever asked
    /// sends the request as one without a key, and says so in its answer.
    Unguarded,
}

/// What has become of a fresh answer at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is durable; every retry gets it (O1).
    Recorded,
    /// It flows while it is recorded (O8).
    Streaming,
    /// It proves that nothing happened; the key is free again (L5).
    Released(Untouched),
    /// The effect ran and the store did not take its outcome: retries will be refused, never run (O6).
    Unrecorded,
}
