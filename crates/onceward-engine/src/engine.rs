//! The engine: starts, takes calls, drains.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use onceward_core::{
    actor::{KeyTag, Label},
    record::Attempt,
    refusal::{Effect, Refusal},
    secret::Secret,
    time::Timestamp,
};
use onceward_store::{AuditLog, Clock, Health, Store, StoreError, Tally};
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::AuditQueue,
    call::{Call, Effected, Ran},
    callers::Callers,
    chain::{SEAL_AGE_MIN, SEAL_PERIOD, Sealing},
    drive::{Drive, store_unavailable},
    entropy::Entropy,
    held::Held,
    limits::Limits,
    probe::{Probe, Stage},
    records::Records,
    resolve::{Job, Pace, Resolver},
    seal::Sealer,
    telemetry::Telemetry,
    waiters::Waiters,
};

/// When a caller that met a limit may try again.
pub(crate) const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What an engine is made of. Time and randomness are handed in, so that a simulation can own them.
#[derive(Debug)]
pub struct Parts {
    /// Where records are kept.
    pub store: Arc<dyn Store>,
    /// Where decisions are written down.
    pub audit_log: Arc<dyn AuditLog>,
    /// The deployment's secret.
    pub secret: Secret,
    /// A clock of the store's kind, which goes on while the machine sleeps: by it a holder gives up in time (L12).
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub entropy: Arc<dyn Entropy>,
    /// The bounds.
    pub limits: Limits,
}

/// Runs each keyed effect once and answers its repeats.
///
/// Cheap to clone. Every call runs in a task that the engine owns, so a caller that goes away stops nothing (L6); [`Engine::drain`] ends
/// them all.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) records: Records,
    pub(crate) sealer: Sealer,
    pub(crate) secret: Secret,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) limits: Limits,
    probe: OnceLock<Arc<dyn Probe>>,
    pub(crate) waiters: Waiters,
    pub(crate) held: Arc<Held>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) tally: Arc<Tally>,
    /// An effect fell into doubt here.
    pub(crate) doubted: Notify,
    pub(crate) audit: AuditQueue,
    pub(crate) audit_log: Arc<dyn AuditLog>,
    /// Calls under way.
    pub(crate) calls: TaskTracker,
    calls_free: Arc<Semaphore>,
    callers: Callers,
    /// The sweeper, the audit log's writer and sealer, and the looks at what is in doubt.
    pub(crate) housekeeping: TaskTracker,
    /// No new calls.
    pub(crate) closing: CancellationToken,
    /// Calls under way are to give up.
    pub(crate) stop: CancellationToken,
    /// No more audit events will come.
    ended: CancellationToken,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("store", &self.0.records.store).finish_non_exhaustive()
    }
}

/// How draining ended (L6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Calls that were under way and ended by themselves.
    pub finished: usize,
    /// Calls that had to be stopped; their effects are in doubt.
    pub stopped: usize,
}

impl Engine {
    /// Starts the engine with its sweeper and audit writer, once its store answers.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts { store, audit_log, secret, clock, entropy, limits } = parts;
        let Health { kind, tally, link, .. } = store.health().await?;
        let telemetry = Arc::new(Telemetry::new(&tally, link.as_ref()));
        let ended = CancellationToken::new();
        let (audit, writing) = AuditQueue::new(Arc::clone(&audit_log), Arc::clone(&telemetry), ended.clone());
        let records = Records::new(store, kind, Arc::clone(&telemetry), limits.store_time_max);
        let engine = Self(Arc::new(Inner {
            records,
            sealer: Sealer::new(secret.clone()),
            secret,
            clock,
            entropy,
            limits,
            probe: OnceLock::new(),
            waiters: Waiters::new(
                limits.waiters_per_key_max,
                limits.waiters_per_actor_max,
                limits.waiters_max,
            ),
            held: Arc::default(),
            telemetry,
            tally,
            doubted: Notify::new(),
            audit,
            audit_log,
            calls: TaskTracker::new(),
            calls_free: Arc::new(Semaphore::new(limits.calls_max)),
            callers: Callers::new(limits.calls_per_actor_max),
            housekeeping: TaskTracker::new(),
            closing: CancellationToken::new(),
            stop: CancellationToken::new(),
            ended: ended.clone(),
        }));
        let writing = engine.0.housekeeping.spawn(writing);
        engine.0.housekeeping.spawn(engine.clone().seal_until_written(writing));
        engine.0.housekeeping.spawn(engine.clone().sweep_until_closed());
        Ok(engine)
    }

    /// Runs `effect` once for its key, or answers from what is remembered.
    ///
    /// `effect` is polled in a task of the engine's own and sees nothing of the caller's fate. It is called at most once, and only under
    /// a durable claim, the attempt of which it is handed: its epoch fences former holders off (L14).
    ///
    /// # Cancel safety
    /// Dropping the returned future abandons the answer, not the work.
    pub async fn run<A, F, W>(&self, call: Call, effect: F) -> Ran<A>
    where
        A: Send + 'static,
        F: FnOnce(Attempt) -> W + Send + 'static,
        W: Future<Output = Effected<A>> + Send + 'static,
    {
        let overloaded = || Ran::Refused(Refusal::Overloaded { retry_after: OVERLOAD_RETRY_AFTER });
        // Taken before the look at `closing`, so that a drain either is seen or waits for this call.
        let counted = self.0.calls.token();
        let Ok(permit) = Arc::clone(&self.0.calls_free).try_acquire_owned() else { return overloaded() };
        if self.0.closing.is_cancelled() {
            return overloaded();
        }
        let label = self.label(&call);
        let Some(calling) = self.0.callers.enter(label.actor) else { return overloaded() };
        let (sender, receiver) = oneshot::channel();
        let engine = self.clone();
        // In its own place from the start: a future of this size would be copied at each step into the task, and once more out of it.
        self.0.calls.spawn(Box::pin(async move {
            Drive::new(&engine, call, label).run(effect, sender).await;
            drop((permit, calling));
        }));
        drop(counted);
        // The task answers on every path. One that is dropped with its runtime, or fails, may have sent the request.
        receiver.await.unwrap_or_else(|_| Ran::Refused(store_unavailable(Effect::Unknown)))
    }

    /// Has `resolvers` find out, in their order, what becomes of effects in doubt, until the engine closes (D2). Without any, it is
    /// only watched how long the oldest doubt lasts. Once for an engine.
    ///
    /// An effect is looked for only where its call brought a [`Call::request`].
    pub fn resolve_by(&self, resolvers: Vec<Arc<dyn Resolver>>, pace: Pace) {
        let job = Job::new(self.clone(), resolvers, pace);
        self.0.housekeeping.spawn(job.run());
    }

    /// Tells `probe` of every stage that a call reaches from now on. An engine has one probe at the most; a second is ignored.
    pub fn watch(&self, probe: Arc<dyn Probe>) {
        drop(self.0.probe.set(probe));
    }

    /// What the engine counts.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// The deployment's secret, under which adapters digest requests.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// The present on the store's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Whether new calls are taken.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    /// Takes no new calls, waits up to `patience` for those under way, then stops the rest, which leaves their effects in doubt (L6).
    pub async fn drain(&self, patience: Duration) -> DrainReport {
        self.0.closing.cancel();
        let under_way = self.0.calls.len();
        self.0.calls.close();
        let began = Instant::now();
        if timeout(patience, self.0.calls.wait()).await.is_err() {
            tracing::warn!(waited_ms = began.elapsed().as_millis(), "drain deadline passed");
        }
        let stopped = self.0.calls.len();
        self.0.stop.cancel();
        self.0.calls.wait().await;
        DrainReport { finished: under_way.saturating_sub(stopped), stopped }
    }

    /// Ends the sweeper, and the audit writer once all that is queued is written and sealed. Comes after [`Engine::drain`].
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.ended.cancel();
        self.0.housekeeping.close();
        if timeout(CLOSE_TIME_MAX, self.0.housekeeping.wait()).await.is_err() {
            tracing::warn!("audit events may be lost: the log did not take them in time");
        }
    }

    async fn sweep_until_closed(self) {
        let closing = self.0.closing.clone();
        let period = self.0.limits.sweep_period;
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(period) => self.sweep().await,
            }
        }
    }

    /// Seals the audit log now and then, and once more when all that was queued is written (A1); what ends before its first seal is due leaves
    /// it to the next process, for finding the last seal takes many questions.
    async fn seal_until_written(self, mut writing: JoinHandle<()>) {
        let mut sealing = Sealing::new(Arc::clone(&self.0.audit_log), self.0.secret.clone());
        loop {
            let is_last = tokio::select! {
                _ended = &mut writing => true,
                () = tokio::time::sleep(SEAL_PERIOD) => false,
            };
            if is_last && !sealing.has_begun() {
                return;
            }
            let age_min = if is_last { Duration::ZERO } else { SEAL_AGE_MIN };
            if let Err(error) = sealing.round(self.now(), age_min).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "audit log not sealed");
            }
            if is_last {
                return;
            }
        }
    }

    pub(crate) fn reached(&self, stage: Stage) {
        if let Some(probe) = self.0.probe.get() {
            probe.reached(stage);
        }
    }

    pub(crate) fn label(&self, call: &Call) -> Label {
        Label {
            tenant: call.tenant.clone(),
            actor: call.actor.tag(&self.0.secret, &call.tenant),
            key: KeyTag::of(&self.0.secret, &call.key),
            effect: call.effect.clone(),
        }
    }
}

/// How long the audit writer and sealer may take at the end.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
