//! An engine over a memory store, in virtual time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_core::{
    actor::{Actor, Scope, Tenant},
    fingerprint::{Equality, Fingerprint, Request},
    key::Key,
    outcome::{Content, Outcome, Policy},
    record::Attempt,
    secret::Secret,
    time::Timestamp,
};
use onceward_engine::{Call, Effected, Engine, Entropy, EntropyError, Limits, Parts, Ran, Trace, Twins};
use onceward_store::{AuditLog, Clock, Faults, Faulty, Memory, MemoryLimits, Store, Undated};
use tokio::time::Instant;

/// 2026-11-21T12:00:00Z.
pub(crate) const STARTED_MS: u64 = 1_795_262_400_000;

/// A clock on tokio's virtual time, which a test may also push ahead on its own: a clock that steps, or a machine that slept.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    started: Instant,
    ahead_ms: AtomicU64,
}

impl VirtualClock {
    pub(crate) fn start() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), ahead_ms: AtomicU64::new(0) })
    }

    pub(crate) fn jump(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap();
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap();
        Timestamp::from_ms(STARTED_MS + elapsed_ms + self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// Random bytes that a seed fixes: xorshift64* (Vigna 2016).
#[derive(Debug)]
pub(crate) struct Seeded(Mutex<u64>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed | 1)))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// What the engines of one test share: a store that outlives them, the clocks of both sides and a secret.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Arc<Faulty<Memory>>,
    pub(crate) store_clock: Arc<VirtualClock>,
    pub(crate) engine_clock: Arc<VirtualClock>,
    pub(crate) random: Arc<Seeded>,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let (store_clock, engine_clock) = (VirtualClock::start(), VirtualClock::start());
        let memory = Memory::new(MemoryLimits::default(), Arc::clone(&store_clock) as Arc<dyn Clock>);
        let store = Arc::new(Faulty::new(memory, faults));
        Self { store, store_clock, engine_clock, random: Seeded::new(seed) }
    }

    /// The machine slept for `time`: both clocks went on, and no timer did.
    pub(crate) fn sleep(&self, time: Duration) {
        self.store_clock.jump(time);
        self.engine_clock.jump(time);
    }

    pub(crate) fn sound() -> Self {
        Self::new(7, Faults::scripted([]))
    }

    pub(crate) async fn engine(&self, limits: Limits) -> Engine {
        let parts = Parts {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            audit_log: Arc::clone(&self.store) as Arc<dyn AuditLog>,
            secret: secret(),
            clock: Arc::clone(&self.engine_clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.random) as Arc<dyn Entropy>,
            limits,
        };
        loop {
            let parts = Parts {
                store: Arc::clone(&parts.store),
                audit_log: Arc::clone(&parts.audit_log),
                secret: parts.secret.clone(),
                clock: Arc::clone(&parts.clock),
                entropy: Arc::clone(&parts.entropy),
                limits,
            };
            // A faulty store may refuse the first round trip, too.
            if let Ok(engine) = Engine::start(parts).await {
                return engine;
            }
        }
    }
}

pub(crate) fn secret() -> Secret {
    Secret::new([42; 32])
}

/// A policy whose times are short enough to tell apart from each other.
pub(crate) fn policy() -> Policy {
    Policy { wait: Duration::from_secs(30), lease: Duration::from_secs(15), ..Policy::forward_proxy() }
}

/// A call of `key` that asks for `body`.
pub(crate) fn call(key: &str, body: &'static str, policy: Policy) -> Call {
    let fingerprint = move |equality: &Equality| {
        let request = Request {
            scheme: Some("https"),
            authority: Some("shop.example"),
            method: "POST",
            path_and_query: "/order",
            media_type: None,
            body: body.as_bytes(),
        };
        Fingerprint::of(&secret(), &request, equality).unwrap()
    };
    Call {
        tenant: Tenant::single(),
        actor: Actor::new("session", b"agent"),
        scope: Scope::Actor,
        key: Key::new(key).unwrap(),
        fingerprint: fingerprint(&Equality::Bytes),
        fingerprint_as: Box::new(|_| None),
        policy: Arc::new(policy),
        effect: "POST https://shop.example/order".to_owned(),
        trace: Trace::default(),
        undated: Undated::Execute,
        request: None,
        twins: Twins::Ignored,
    }
}

/// An answer whose content is `text`.
pub(crate) fn outcome(status: u16, text: &str) -> Outcome {
    Outcome {
        status,
        fields: Vec::new(),
        content: Content::Kept(text.as_bytes().to_vec()),
        trailers: Vec::new(),
        sent_at: Timestamp::from_ms(STARTED_MS),
    }
}

/// An effect that answers `status` and `text` after counting itself.
pub(crate) fn answering(
    effects: &Arc<AtomicUsize>,
    takes: Duration,
    status: u16,
    text: &'static str,
) -> impl FnOnce(Attempt) -> std::pin::Pin<Box<dyn Future<Output = Effected<&'static str>> + Send>> + Send + 'static
{
    let effects = Arc::clone(effects);
    move |_| {
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            effects.fetch_add(1, Ordering::SeqCst);
            Effected::Whole { answer: text, outcome: outcome(status, text), consumed: None }
        })
    }
}

/// What a caller was told, in one comparable word.
pub(crate) fn told(ran: &Ran<&'static str>) -> String {
    match ran {
        Ran::Answered { answer, standing } => format!("{answer} {standing:?}"),
        Ran::Stored { outcome, told, drift, .. } => match &outcome.content {
            Content::Kept(content) => {
                format!("{} stored {told:?} {drift:?}", String::from_utf8_lossy(content))
            }
            other => format!("{other:?}"),
        },
        Ran::Refused(refusal) => refusal.problem_type().slug.to_owned(),
        Ran::Unguarded => "unguarded".to_owned(),
    }
}
