//! One call from its arrival to its answer.

use std::time::Duration;

use onceward_core::{
    actor::{Label, LookupId},
    fingerprint::Fingerprint,
    outcome::{Content, WhenStoreDown},
    record::{Attempt, AttemptId, Decision, Denial, DoubtReason, Drift, Sealed, State, TombstoneKind},
    refusal::{Doubt, Effect, Refusal, Told},
    time::Timestamp,
};
use onceward_store::{Claim, Reply, Settle, StoreError, Stored};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    audit::AuditEvent,
    call::{Call, Effected, Ran, Standing},
    engine::{Engine, OVERLOAD_RETRY_AFTER},
    execution::Execution,
    moment::{Moment, later},
    probe::Stage,
    records::Patience,
    seal::SealContext,
    twin::TwinNote,
    waiters::Place,
};

/// When a caller whose store did not answer may try again.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// When a caller that was told `in-progress` may try again.
const PROGRESS_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a waiting duplicate sleeps at the most before it looks again: an end in this process wakes it, and one in another where the store
/// looks for that (W1).
const WAIT_LOOK_MAX: Duration = Duration::from_secs(1);

/// How long a store that refuses is asked again where the request would go through without it: longer than a connection takes to come
/// back, and short enough not to be an outage of its own.
const OPEN_PATIENCE: Duration = Duration::from_millis(500);

/// How many fingerprint versions a call tries: one change of version is expected, a second in the middle of a call is not.
const COMPARES_MAX: usize = 2;

/// One call under way.
pub(crate) struct Drive {
    pub(crate) engine: Engine,
    pub(crate) call: Call,
    pub(crate) id: LookupId,
    pub(crate) label: Label,
    /// What it met of other effects that mean the same, once it looked.
    pub(crate) twin: Option<TwinNote>,
    began: Instant,
}

/// What a call comes to before anything runs.
enum Arrival {
    /// It may run, under this claim, made at `at` on the store's clock and sent at `sent` on ours (L12).
    Execute { attempt: Attempt, at: Timestamp, sent: Moment },
    /// The record answers.
    Stored { outcome: Option<Sealed>, age: Duration, drift: Drift },
    /// The record refuses.
    Refused(Refusal),
    /// There is no claim, and none is waited for (S2).
    Unguarded,
}

impl Drive {
    pub(crate) fn new(engine: &Engine, call: Call, label: Label) -> Self {
        let id = call.id(&engine.0.secret);
        Self { engine: engine.clone(), call, id, label, twin: None, began: Instant::now() }
    }

    pub(crate) async fn run<A, F, W>(self, effect: F, sender: oneshot::Sender<Ran<A>>)
    where
        A: Send + 'static,
        F: FnOnce(Attempt) -> W + Send + 'static,
        W: Future<Output = Effected<A>> + Send + 'static,
    {
        let mut sender = sender;
        let arrival = match self.call.key.check_issue(self.engine.now()) {
            Err(invalid) => Arrival::Refused(Refusal::KeyInvalid(invalid)),
            Ok(()) if self.is_forgotten().await => {
                Arrival::Refused(Refusal::KeyExpired { effect: Effect::Unknown })
            }
            Ok(()) => {
                self.engine.reached(Stage::Arriving);
                self.arrive(&mut sender).await
            }
        };
        match arrival {
            Arrival::Execute { attempt, at, sent } => {
                Execution::new(self, attempt, at, sent).run(effect, sender).await;
            }
            Arrival::Stored { outcome, age, drift } => {
                let ran = self.stored(outcome, age, drift, Told::Repeat);
                self.report(&Described::of(&ran), None);
                self.answer(sender, ran);
            }
            Arrival::Refused(refusal) => {
                let ran = Ran::Refused(refusal);
                self.report(&Described::of(&ran), None);
                self.answer(sender, ran);
            }
            Arrival::Unguarded => {
                tracing::warn!(key = %self.label.key, "the store is down: a request goes through unguarded");
                self.report(&Described::of(&Ran::<A>::Unguarded), None);
                self.answer(sender, Ran::Unguarded);
            }
        }
    }

    /// Claims, waits and claims again until the call may run or is answered.
    async fn arrive<A>(&self, sender: &mut oneshot::Sender<Ran<A>>) -> Arrival {
        let patience = later(self.began, self.call.policy.wait);
        let mut fingerprint = self.call.fingerprint;
        let mut compares = 0;
        let mut place: Option<Place> = None;
        let request = match self.sealed_request() {
            Ok(request) => request,
            Err(refusal) => return Arrival::Refused(refusal),
        };
        loop {
            // A name for each round: a late copy of an earlier round's claim must not be taken for this one, whose deadline (L12) is
            // counted from now.
            let attempt = match self.attempt_id() {
                Ok(attempt) => attempt,
                Err(refusal) => return Arrival::Refused(refusal),
            };
            // Registered before the claim, so that an end between the claim and the wait is not slept through.
            let woken = place.as_ref().map(|place| place.woken.clone());
            let mut waking = woken.as_deref().map(|woken| Box::pin(woken.notified()));
            if let Some(waking) = &mut waking {
                waking.as_mut().enable();
            }
            let sent = Moment::now(&*self.engine.0.clock);
            let (decision, at) = match self.claim(attempt, fingerprint, request.clone(), sent).await {
                Ok(decided) => decided,
                // The key is known, by the store's word or by our own: it runs, or ran.
                Err(Arrival::Unguarded)
                    if place.is_some() || compares > 0 || self.engine.0.held.contains(self.id) =>
                {
                    return Arrival::Refused(store_unavailable(Effect::None));
                }
                Err(arrival) => return arrival,
            };
            let lease_left = match decision {
                Decision::Execute(attempt) => return Arrival::Execute { attempt, at, sent },
                Decision::Replay { outcome, age, drift } => return Arrival::Stored { outcome, age, drift },
                Decision::Compare(version) if compares < COMPARES_MAX => {
                    compares += 1;
                    let Some(other) = (self.call.fingerprint_as)(version) else {
                        return Arrival::Refused(Refusal::KeyReused);
                    };
                    fingerprint = other;
                    continue;
                }
                Decision::Wait { lease_left, .. } => lease_left,
                Decision::Refuse(denial) => {
                    return Arrival::Refused(Refusal::of_denial(denial, PROGRESS_RETRY_AFTER));
                }
                // A store that answers a claim with anything else is not known to allow execution.
                Decision::Compare(_)
                | Decision::Renewed(_)
                | Decision::Settled
                | Decision::Stale(_)
                | Decision::Unchanged => return Arrival::Refused(Refusal::RecordCorrupt),
            };
            let in_progress = Arrival::Refused(Refusal::InProgress { retry_after: PROGRESS_RETRY_AFTER });
            if Instant::now() >= patience || self.engine.0.stop.is_cancelled() {
                return in_progress;
            }
            let Some(waking) = waking else {
                place = self.engine.0.waiters.enter(self.id, self.label.actor);
                if place.is_none() {
                    return in_progress;
                }
                continue;
            };
            let _waiting = self.engine.0.telemetry.waiting();
            let look_at = patience.min(Instant::now() + lease_left.min(WAIT_LOOK_MAX));
            tokio::select! {
                _ = timeout_at(look_at, waking) => {}
                () = self.engine.0.records.store.changed_elsewhere(self.id) => {}
                () = self.engine.0.stop.cancelled() => return in_progress,
                // Nobody is left to tell.
                () = sender.closed() => return in_progress,
            }
        }
    }

    /// Whether the key says that it was issued before anything that the store still remembers, and indeed nothing is (K7).
    async fn is_forgotten(&self) -> bool {
        let memory = self.call.policy.retention.saturating_add(self.call.policy.remember);
        let Some(issued) = self.call.key.issued_at() else { return false };
        if issued.after(memory) >= self.engine.now() {
            return false;
        }
        let records = &self.engine.0.records;
        // What cannot be read now is decided by the claim.
        matches!(records.once("get", records.store.get(self.id)).await, Ok(None))
    }

    fn attempt_id(&self) -> Result<AttemptId, Refusal> {
        let mut id = [0; 16];
        match self.engine.0.entropy.fill(&mut id) {
            Ok(()) => Ok(AttemptId(id)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no random source");
                Err(store_unavailable(Effect::None))
            }
        }
    }

    /// One claim. Whatever comes of it, no claim is left behind that nobody works under.
    async fn claim(
        &self,
        attempt: AttemptId,
        fingerprint: Fingerprint,
        request: Option<Sealed>,
        sent: Moment,
    ) -> Result<(Decision, Timestamp), Arrival> {
        let claim = Claim {
            id: self.id,
            attempt,
            fingerprint,
            terms: self.call.policy.terms(),
            label: self.label.clone(),
            issued_at: self.call.key.issued_at(),
            undated: self.call.undated,
            request,
        };
        // The holder's own deadline starts before the claim is sent (L12).
        let usable = self.call.policy.lease_usable();
        let deadline = sent.on_timer(usable.min(self.engine.0.limits.store_time_max));
        let patience = match self.call.policy.when_store_down {
            WhenStoreDown::Closed => Patience::until(deadline),
            WhenStoreDown::Open => {
                Patience { answer: deadline, absence: deadline.min(sent.on_timer(OPEN_PATIENCE)) }
            }
        };
        let refusal = match self.engine.0.records.claim(&claim, patience).await {
            Ok(Reply::Decided { decision: Decision::Execute(_), .. })
                if sent.is_ago(usable, &*self.engine.0.clock) =>
            {
                self.disown(claim);
                store_unavailable(Effect::None)
            }
            Ok(Reply::Decided { decision, at, .. }) => return Ok((decision, at)),
            Ok(Reply::Corrupt) => Refusal::RecordCorrupt,
            Ok(Reply::HistoryLost { .. }) => Refusal::HistoryLost,
            Err(StoreError::Busy { .. } | StoreError::Full { .. }) => {
                Refusal::Overloaded { retry_after: OVERLOAD_RETRY_AFTER }
            }
            Err(StoreError::Unavailable { .. }) => match self.call.policy.when_store_down {
                WhenStoreDown::Closed => store_unavailable(Effect::None),
                WhenStoreDown::Open => return Err(Arrival::Unguarded),
            },
            // The store may have granted this claim, or have learned of the key's outcome: to send now would make a release that says
            // that nothing was sent untrue, or repeat what the record replays. So an open route is refused here, too.
            Err(StoreError::Unknown { .. }) => {
                self.disown(claim);
                store_unavailable(Effect::None)
            }
        };
        Err(Arrival::Refused(refusal))
    }

    fn sealed_request(&self) -> Result<Option<Sealed>, Refusal> {
        let Some(request) = &self.call.request else { return Ok(None) };
        let engine = &self.engine.0;
        match engine.sealer.seal_request(&self.seal_context(), request, &*engine.entropy) {
            Ok(sealed) => Ok(Some(sealed)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "request not sealed");
                Err(store_unavailable(Effect::None))
            }
        }
    }

    /// Releases a claim whose answer was lost: nothing was sent under it, and only this process can prove that.
    fn disown(&self, claim: Claim) {
        let engine = self.engine.clone();
        let deadline = Instant::now() + claim.terms.lease;
        self.engine.0.calls.spawn(async move {
            let released = async {
                let reply = engine.0.records.claim(&claim, Patience::until(deadline)).await?;
                if let Reply::Decided { decision: Decision::Execute(attempt), .. } = reply {
                    engine.0.records.settle(claim.id, attempt, &Settle::Release, deadline).await?;
                }
                Ok::<(), StoreError>(())
            };
            tokio::select! {
                released = released => if let Err(error) = released {
                    tracing::warn!(error = &error as &dyn std::error::Error, "unused claim not released");
                },
                () = engine.0.stop.cancelled() => {}
            }
            engine.0.waiters.wake(claim.id);
        });
    }

    /// What the record says now, for a former holder's own caller (L2).
    pub(crate) async fn truth<A>(&self) -> Ran<A> {
        let store = &self.engine.0.records;
        let stored = match store.once("get", store.store.get(self.id)).await {
            Ok(Some(Stored::Record(record, _))) => record,
            Ok(Some(Stored::Corrupt)) => return Ran::Refused(Refusal::RecordCorrupt),
            Ok(None) | Err(_) => return Ran::Refused(store_unavailable(Effect::Unknown)),
        };
        let denial = match stored.state {
            State::Done { outcome, .. } => {
                let age = self.engine.now().since(stored.since);
                return self.stored(outcome, age, Drift::Same, Told::First);
            }
            State::InDoubt { reason, .. } => {
                return Ran::Refused(Refusal::OutcomeUnknown(Doubt {
                    reason,
                    sent_at: stored.claimed_at,
                    told: Told::First,
                }));
            }
            State::Claimed { .. } => Denial::InProgress,
            // Somebody ruled that this very attempt had no effect, or its claim was lost and its key cancelled; and it has an answer:
            // nobody may be sent to try again.
            State::Absent | State::Tombstone { kind: TombstoneKind::Cancelled, .. } => {
                let doubt =
                    Doubt { reason: DoubtReason::LeaseLapsed, sent_at: stored.claimed_at, told: Told::First };
                return Ran::Refused(Refusal::OutcomeUnknown(doubt));
            }
            State::Tombstone { kind: TombstoneKind::Expired, .. } => Denial::Expired,
        };
        Ran::Refused(Refusal::of_denial(denial, PROGRESS_RETRY_AFTER))
    }

    /// A stored outcome as an answer. One that does not open is corrupt, never absent (L8).
    pub(crate) fn stored<A>(
        &self,
        outcome: Option<Sealed>,
        age: Duration,
        drift: Drift,
        told: Told,
    ) -> Ran<A> {
        let Some(sealed) = outcome else {
            return Ran::Refused(Refusal::OutcomeNotKept { status: None });
        };
        match self.engine.0.sealer.open(&self.seal_context(), &sealed) {
            Ok(outcome) => match outcome.content {
                Content::NotKept { .. } => {
                    Ran::Refused(Refusal::OutcomeNotKept { status: Some(outcome.status) })
                }
                Content::Kept(_) | Content::None { .. } => Ran::Stored { outcome, age, drift, told },
            },
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "stored outcome not readable");
                Ran::Refused(Refusal::RecordCorrupt)
            }
        }
    }

    pub(crate) fn seal_context(&self) -> SealContext<'_> {
        SealContext::of(self.id, &self.label)
    }

    /// Counts the call and writes its audit event.
    pub(crate) fn report(&self, told: &Described, ran_as: Option<(Attempt, Option<u16>)>) {
        let Described { decision, reason, drifted, status } = *told;
        let outcome = if decision == "refused" { reason.unwrap_or(decision) } else { decision };
        let at = self.engine.now();
        let took = self.began.elapsed();
        self.engine.0.telemetry.count_request(outcome, took);
        if let Some(TwinNote { became, .. }) = self.twin {
            self.engine.0.telemetry.count_twin(became);
        }
        let event = AuditEvent {
            epoch: ran_as.map(|(attempt, _)| attempt.epoch.0),
            status: status.or(ran_as.and_then(|(_, status)| status)),
            reason,
            drifted,
            twin: self.twin.map(|note| note.became),
            earlier_key: self.twin.and_then(|note| Some(note.earlier?.to_string())),
            latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            ..AuditEvent::new(decision, &self.label, at).traced(&self.call.trace)
        };
        self.engine.0.audit.send(event.line(self.label.key, at));
    }

    /// Hands the answer over; a caller that is gone does not want it any more, and a retry will get it.
    pub(crate) fn answer<A>(&self, sender: oneshot::Sender<Ran<A>>, ran: Ran<A>) {
        drop(sender.send(ran));
    }
}

pub(crate) const fn store_unavailable(effect: Effect) -> Refusal {
    Refusal::StoreUnavailable { retry_after: STORE_RETRY_AFTER, effect }
}

/// What a call came to, for metrics and audit.
#[derive(Clone, Copy)]
pub(crate) struct Described {
    /// Its stable name.
    decision: &'static str,
    reason: Option<&'static str>,
    drifted: bool,
    /// The stored status, where it was answered from the store.
    status: Option<u16>,
}

impl Described {
    pub(crate) fn of<A>(ran: &Ran<A>) -> Self {
        match ran {
            Ran::Answered { standing, .. } => Self::of_standing(*standing),
            Ran::Stored { outcome, drift, .. } => Self {
                drifted: *drift == Drift::Drifted,
                status: Some(outcome.status),
                ..Self::new("replayed", None)
            },
            Ran::Refused(refusal) => Self::of_refusal(refusal),
            Ran::Unguarded => Self::new("unguarded", Some("store-unavailable")),
        }
    }

    pub(crate) fn of_standing(standing: Standing) -> Self {
        match standing {
            Standing::Recorded | Standing::Streaming => Self::new("executed", None),
            Standing::Released(proof) => Self::new("released", Some(proof.as_str())),
            Standing::Unrecorded => Self::new("unrecorded", None),
        }
    }

    pub(crate) fn of_refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::OutcomeUnknown(Doubt { reason, told: Told::First, .. }) => {
                Self::new("doubted", Some(reason.as_str()))
            }
            Refusal::OutcomeUnknown(Doubt { reason, told: Told::Repeat, .. }) => {
                Self::new("refused-in-doubt", Some(reason.as_str()))
            }
            Refusal::UpstreamUnreachable(proof) => Self::new("released", Some(proof.as_str())),
            refusal => Self::new("refused", Some(refusal.problem_type().slug)),
        }
    }

    const fn new(decision: &'static str, reason: Option<&'static str>) -> Self {
        Self { decision, reason, drifted: false, status: None }
    }
}
