//! An effect under its claim: run, renewed, settled.

use std::{
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::FutureExt;
use onceward_core::{
    outcome::{Content, Evidence, Finality, OnPanic, Outcome, Untouched, WhenStoreDown},
    record::{Alarm, Attempt, Decision, DoubtReason, Drift},
    refusal::{Doubt, Effect, Refusal, Told},
    time::Timestamp,
};
use onceward_store::{Reply, Settle, StoreError};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::{
    call::{Effected, Ran, Standing, StreamEnd},
    drive::{Described, Drive, store_unavailable},
    moment::Moment,
    probe::Stage,
};

/// The status of the outcome that a panicked handler leaves where policy calls that final (O5).
const PANIC_STATUS: u16 = 500;

/// The pause before a failed renewal is tried again.
const RENEW_PAUSE: Duration = Duration::from_millis(100);

/// One attempt at one effect.
pub(crate) struct Execution {
    drive: Drive,
    attempt: Attempt,
    claimed_at: Timestamp,
    /// When the claim was sent or earlier (L12).
    held_since: Moment,
}

/// What came of holding the lease over a piece of work.
enum Held<T> {
    Finished(T),
    Panicked,
    /// The work was dropped, and with it its socket.
    GivenUp(DoubtReason),
}

/// What an execution found out, whichever way its answer went.
enum Finding {
    Whole { outcome: Outcome, consumed: Option<bool> },
    Evidence(Evidence),
    Panicked,
}

/// What is written about a finding, and what its caller is told once that is written.
struct Conclusion {
    settle: Settle,
    tell: Tell,
}

enum Tell {
    Answer(Standing),
    Refuse(Refusal),
    Panic(Outcome),
}

/// How settling ended.
#[derive(Clone, Copy)]
enum Settled {
    /// The record says so.
    Stored,
    /// Another's word stands there.
    Stale,
    /// The store did not take it in time.
    Failed,
}

impl Execution {
    pub(crate) fn new(drive: Drive, attempt: Attempt, claimed_at: Timestamp, held_since: Moment) -> Self {
        Self { drive, attempt, claimed_at, held_since }
    }

    pub(crate) async fn run<A, F, W>(mut self, effect: F, sender: oneshot::Sender<Ran<A>>)
    where
        A: Send + 'static,
        F: FnOnce(Attempt) -> W + Send + 'static,
        W: Future<Output = Effected<A>> + Send + 'static,
    {
        let _running = self.drive.engine.0.telemetry.running();
        let is_open = self.drive.call.policy.when_store_down == WhenStoreDown::Open;
        let _holding = is_open.then(|| self.drive.engine.0.held.hold(self.drive.id));
        self.drive.engine.reached(Stage::Claimed);
        if let Err(refusal) = self.drive.take_mark(self.attempt, self.held_since).await {
            let conclusion = Conclusion { settle: Settle::Release, tell: Tell::Refuse(refusal) };
            return self.conclude::<A>(Some(sender), None, None, conclusion).await;
        }
        let (sender, answer, finding) = {
            let mut lease = pin!(self.keep_lease());
            match self.hold(lease.as_mut(), async { effect(self.attempt).await }).await {
                Held::Finished(Effected::Whole { answer, outcome, consumed }) => {
                    (Some(sender), Some(answer), Finding::Whole { outcome, consumed })
                }
                Held::Finished(Effected::Unanswered(evidence)) => {
                    (Some(sender), None, Finding::Evidence(evidence))
                }
                Held::Finished(Effected::Streaming { answer, rest }) => {
                    self.drive.answer(sender, Ran::Answered { answer, standing: Standing::Streaming });
                    let end = self.hold(lease.as_mut(), rest).await;
                    (None, None, Finding::of_stream(end))
                }
                Held::Panicked => (Some(sender), None, Finding::Panicked),
                Held::GivenUp(reason) => (Some(sender), None, Finding::Evidence(Evidence::Unknown(reason))),
            }
        };
        self.drive.engine.reached(Stage::Ran);
        let (status, conclusion) = (finding.status(), self.weigh(finding));
        self.conclude(sender, answer, status, conclusion).await;
    }

    /// Settles, tells the caller, and goes on trying to settle where the store did not take it.
    async fn conclude<A>(
        self,
        sender: Option<oneshot::Sender<Ran<A>>>,
        answer: Option<A>,
        status: Option<u16>,
        conclusion: Conclusion,
    ) {
        let engine = self.drive.engine.clone();
        let patience = Instant::now() + engine.0.limits.settle_patience;
        let settled = self.settle(&conclusion.settle, patience).await;
        engine.reached(Stage::Settled);
        let tell = match settled {
            Settled::Stored => conclusion.tell,
            Settled::Stale | Settled::Failed => conclusion.tell.unrecorded(),
        };
        if matches!(conclusion.settle, Settle::Doubt(_)) {
            engine.0.doubted.notify_one();
        }
        engine.0.waiters.wake(self.drive.id);
        let ran_as = Some((self.attempt, status));
        match (sender, settled) {
            (Some(sender), Settled::Stale) => {
                let ran = self.drive.truth().await;
                self.drive.report(&Described::of(&ran), ran_as);
                self.drive.answer(sender, ran);
            }
            (Some(sender), Settled::Stored | Settled::Failed) => {
                let ran = tell.into_ran(answer);
                self.drive.report(&Described::of(&ran), ran_as);
                self.drive.answer(sender, ran);
            }
            // The answer went out as a stream; what came of it is only written down.
            (None, Settled::Stored | Settled::Stale | Settled::Failed) => {
                self.drive.report(&tell.described(), ran_as);
            }
        }
        if matches!(settled, Settled::Failed) {
            self.settle_late(&conclusion.settle).await;
        }
    }

    /// Polls `work` for as long as the lease is held.
    async fn hold<T>(
        &self,
        lease: Pin<&mut impl Future<Output = DoubtReason>>,
        work: impl Future<Output = T>,
    ) -> Held<T> {
        let engine = &self.drive.engine.0;
        let run_time_max = self.drive.call.policy.run_time_max;
        tokio::select! {
            // Both deadlines are looked at before the work, so that a process that was stopped, or whose machine slept, for longer than
            // they last does not go on with it (L12).
            biased;
            reason = lease => Held::GivenUp(reason),
            () = self.held_since.passed(run_time_max, &*engine.clock) => Held::GivenUp(DoubtReason::DeadlinePassed),
            () = engine.stop.cancelled() => Held::GivenUp(DoubtReason::ShutDown),
            // A handler that panicked leaves nothing behind that is used again.
            ended = AssertUnwindSafe(work).catch_unwind() => match ended {
                Ok(value) => Held::Finished(value),
                Err(_) => Held::Panicked,
            },
        }
    }

    /// Renews the lease every third of it (L3); ends when the holder must assume that it is no longer one (L12).
    async fn keep_lease(&self) -> DoubtReason {
        let clock = &*self.drive.engine.0.clock;
        let policy = &self.drive.call.policy;
        let mut renewed = self.held_since;
        loop {
            renewed.passed(policy.lease / 3, clock).await;
            renewed = tokio::select! {
                // A renewal that came through counts from when it was sent, however late this task gets to see it.
                biased;
                ended = self.renew(renewed) => match ended {
                    Ok(sent) => sent,
                    Err(reason) => return reason,
                },
                () = renewed.passed(policy.lease_usable(), clock) => return DoubtReason::DeadlinePassed,
            };
        }
    }

    /// Tries to renew until the lease that was last renewed at `renewed` must be given up; says when the renewal was sent.
    async fn renew(&self, renewed: Moment) -> Result<Moment, DoubtReason> {
        let engine = &self.drive.engine.0;
        let usable = self.drive.call.policy.lease_usable();
        let deadline = renewed.on_timer(usable);
        loop {
            // Counted from before the renewal was sent, so that a slow store shortens the lease and never stretches it.
            let sent = Moment::now(&*engine.clock);
            if renewed.is_ago(usable, &*engine.clock) {
                return Err(DoubtReason::DeadlinePassed);
            }
            match engine.records.renew(self.drive.id, self.attempt, deadline).await {
                Ok(Reply::Decided { decision: Decision::Renewed(_), .. }) => return Ok(sent),
                Ok(Reply::Decided { .. } | Reply::Corrupt | Reply::HistoryLost { .. }) => {
                    return Err(DoubtReason::LeaseLapsed);
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "lease not renewed");
                    sleep_until(deadline.min(Instant::now() + RENEW_PAUSE)).await;
                }
            }
        }
    }

    /// What a finding means for the record and for the caller.
    fn weigh(&self, finding: Finding) -> Conclusion {
        let policy = &self.drive.call.policy;
        match finding {
            Finding::Whole { outcome, consumed } => match policy.finality(outcome.status, consumed) {
                Finality::Final => self.complete(&outcome, Tell::Answer(Standing::Recorded)),
                Finality::Released(proof) => {
                    Conclusion { settle: Settle::Release, tell: Tell::Answer(Standing::Released(proof)) }
                }
                Finality::Doubtful(reason) => self.doubt(reason),
            },
            Finding::Evidence(Evidence::Untouched(proof)) => Conclusion {
                settle: Settle::Release,
                tell: Tell::Refuse(match proof {
                    Untouched::LimitReached => {
                        Refusal::Overloaded { retry_after: crate::engine::OVERLOAD_RETRY_AFTER }
                    }
                    Untouched::IntentExpired => Refusal::IntentExpired,
                    proof => Refusal::UpstreamUnreachable(proof),
                }),
            },
            Finding::Evidence(Evidence::Unknown(reason)) => self.doubt(reason),
            Finding::Panicked => match policy.on_panic {
                OnPanic::Doubt => self.doubt(DoubtReason::Panicked),
                OnPanic::Final => {
                    let outcome = Outcome {
                        status: PANIC_STATUS,
                        fields: Vec::new(),
                        content: Content::Kept(Vec::new()),
                        trailers: Vec::new(),
                        sent_at: self.claimed_at,
                    };
                    self.complete(&outcome, Tell::Panic(outcome.clone()))
                }
            },
        }
    }

    fn complete(&self, outcome: &Outcome, tell: Tell) -> Conclusion {
        let engine = &self.drive.engine.0;
        match engine.sealer.seal(&self.drive.seal_context(), outcome, &*engine.entropy) {
            Ok(sealed) => Conclusion { settle: Settle::Complete(sealed), tell },
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "outcome not sealed");
                // The effect ran and its answer cannot be kept: nobody may run it again (O6).
                Conclusion { settle: Settle::Doubt(DoubtReason::LeaseLapsed), tell: tell.unrecorded() }
            }
        }
    }

    fn doubt(&self, reason: DoubtReason) -> Conclusion {
        let doubt = Doubt { reason, sent_at: self.claimed_at, told: Told::First };
        Conclusion { settle: Settle::Doubt(reason), tell: Tell::Refuse(Refusal::OutcomeUnknown(doubt)) }
    }

    async fn settle(&self, settle: &Settle, deadline: Instant) -> Settled {
        let engine = &self.drive.engine;
        match engine.0.records.settle(self.drive.id, self.attempt, settle, deadline).await {
            Ok(Reply::Decided { decision: Decision::Settled, .. }) => Settled::Stored,
            Ok(Reply::Decided { decision: Decision::Stale(Alarm::EffectAfterRelease), .. }) => {
                engine.0.telemetry.count_effect_after_release();
                tracing::error!(
                    attempt = %self.attempt.id,
                    "effect-after-release: an effect was answered after a verdict of absence released its key"
                );
                Settled::Stale
            }
            Ok(Reply::Decided { .. } | Reply::Corrupt | Reply::HistoryLost { .. }) => Settled::Stale,
            Err(
                StoreError::Unavailable { .. }
                | StoreError::Unknown { .. }
                | StoreError::Busy { .. }
                | StoreError::Full { .. },
            ) => Settled::Failed,
        }
    }

    /// A late answer still completes its record, also once that is in doubt (L13).
    async fn settle_late(&self, settle: &Settle) {
        let engine = &self.drive.engine.0;
        let deadline = Instant::now() + engine.limits.settle_time_max;
        tokio::select! {
            settled = self.settle(settle, deadline) => match settled {
                Settled::Stored | Settled::Stale => {}
                Settled::Failed => tracing::error!(attempt = %self.attempt.id, "outcome not stored; in doubt"),
            },
            () = engine.stop.cancelled() => {}
        }
        engine.waiters.wake(self.drive.id);
    }
}

impl Finding {
    fn of_stream(end: Held<StreamEnd>) -> Self {
        match end {
            Held::Finished(StreamEnd::Whole { outcome, consumed }) => Self::Whole { outcome, consumed },
            Held::Finished(StreamEnd::Cut) => Self::Evidence(Evidence::Unknown(DoubtReason::AnswerCut)),
            Held::Panicked => Self::Panicked,
            Held::GivenUp(reason) => Self::Evidence(Evidence::Unknown(reason)),
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Whole { outcome, .. } => Some(outcome.status),
            Self::Evidence(_) | Self::Panicked => None,
        }
    }
}

impl Tell {
    /// The same where the store did not take the finding (O6).
    fn unrecorded(self) -> Self {
        match self {
            Self::Answer(Standing::Recorded | Standing::Streaming | Standing::Unrecorded)
            | Self::Panic(_) => Self::Answer(Standing::Unrecorded),
            // What was proven or doubted is so whether it could be written down or not.
            Self::Answer(Standing::Released(proof)) => Self::Answer(Standing::Released(proof)),
            Self::Refuse(refusal) => Self::Refuse(refusal),
        }
    }

    fn described(&self) -> Described {
        match self {
            Self::Answer(standing) => Described::of_standing(*standing),
            Self::Refuse(refusal) => Described::of_refusal(refusal),
            Self::Panic(_) => Described::of_standing(Standing::Recorded),
        }
    }

    fn into_ran<A>(self, answer: Option<A>) -> Ran<A> {
        match (self, answer) {
            (Self::Answer(standing), Some(answer)) => Ran::Answered { answer, standing },
            (Self::Refuse(refusal), _) => Ran::Refused(refusal),
            (Self::Panic(outcome), _) => {
                Ran::Stored { outcome, age: Duration::ZERO, drift: Drift::Same, told: Told::First }
            }
            // A panic leaves no answer; what ran is all that is known of it.
            (Self::Answer(_), None) => Ran::Refused(store_unavailable(Effect::Unknown)),
        }
    }
}
