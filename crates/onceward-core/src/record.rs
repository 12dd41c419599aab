//! What is remembered of one key, and every decision about it (L, T, D5).
//!
//! [`Record::on`] is the only place where the life of a key is decided. Stores call it inside their atomic section and write back
//! what it returns; the engine acts on the [`Decision`]. Nobody else matches on a state to decide what may run.

mod erasure;
mod history;
mod inquiry;
mod precedent;
mod state;
mod verdict;

use core::time::Duration;

pub use self::inquiry::Inquiry;
pub use self::precedent::{Precedent, Seen};
pub use self::state::{
    AfterRetention, Attempt, AttemptId, DoubtReason, Epoch, Interest, OnLapse, OnMismatch, Record, Sealed,
    Settlement, State, Terms, TombstoneKind,
};
use crate::{
    fingerprint::{Fingerprint, Version},
    time::Timestamp,
};

/// What can happen to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request with this key arrived and would run as `attempt`.
    Arrived {
        /// The epoch that the store would grant, and the claimant's name.
        attempt: Attempt,
        /// What is asked.
        fingerprint: Fingerprint,
        /// What the route decides.
        terms: Terms,
        /// What a resolver needs of the request, sealed; `None` where no resolver would look.
        request: Option<Sealed>,
    },
    /// The holder works on (L3).
    Renewed {
        /// Who says so.
        attempt: Attempt,
    },
    /// The holder has the answer.
    Completed {
        /// Who says so.
        attempt: Attempt,
        /// The answer.
        outcome: Sealed,
    },
    /// The holder has proof that nothing happened (L5).
    Released {
        /// Who says so.
        attempt: Attempt,
    },
    /// The holder cannot know what happened.
    Doubted {
        /// Who says so.
        attempt: Attempt,
        /// Why.
        reason: DoubtReason,
    },
    /// The process that held the claim is known to be gone (L10).
    HolderGone,
    /// A resolver or a person found out (D3).
    Resolved {
        /// What.
        verdict: Verdict,
        /// The epoch of the attempt that was judged: of no other one does the verdict say anything.
        judged: Epoch,
    },
    /// Somebody is about to look what became of an effect in doubt (D2).
    Inquired {
        /// The epoch of the attempt that the look is about.
        judged: Epoch,
        /// The looker's name for this look, so that a repeated question finds itself (L11).
        looker: AttemptId,
        /// Nobody else looks before it has passed.
        pause: Duration,
    },
    /// The owner does not want it any more (D5); the tombstone stays for `remember`.
    Cancelled {
        /// How long the cancelled key is remembered.
        remember: Duration,
    },
    /// Whoever it belongs to wants nothing kept of its content (T4).
    Erased,
    /// The sweep passed by (T3).
    Swept,
}

/// What a resolver or a person found out about an effect in doubt (D3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It happened, with this answer where one is known.
    Happened(Option<Sealed>),
    /// It did not happen and never will.
    Absent,
    /// It happened more than once.
    Multiple(Option<Sealed>),
    /// Nobody knows; this never turns into absence.
    Unknown,
}

/// What to do about an event. Each names what the caller of the store may do next, and nothing else may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The effect may run, once, as this attempt.
    Execute(Attempt),
    /// Give the stored answer. `drift` says whether the retry's fingerprint differs (B2).
    Replay {
        /// The answer; `None` where it was vouched for and never seen, or erased.
        outcome: Option<Sealed>,
        /// How long ago it was stored.
        age: Duration,
        /// Whether the retry asked for something else under the same key.
        drift: Drift,
    },
    /// Another attempt runs; wait for it, or be refused `in-progress`.
    Wait {
        /// What is left of its lease.
        lease_left: Duration,
        /// Whether the retry asked for something else under the same key.
        drift: Drift,
    },
    /// Refuse.
    Refuse(Denial),
    /// The record was made under another fingerprint version: compare under that one and arrive again (F1).
    Compare(Version),
    /// The lease runs until then.
    Renewed(Timestamp),
    /// It is so now, whether by this event or by an earlier copy of it (L11).
    Settled,
    /// The sender is not the holder: nothing changed, and only what the record says may be told (L2).
    Stale(Alarm),
    /// Nothing to do.
    Unchanged,
}

/// Whether a retry asks for the same as the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// The fingerprints are equal.
    Same,
    /// They differ, and the route lets the key decide (B2).
    Drifted,
}

/// Why an arrival, a verdict or a cancellation is refused by the record's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The key is known with another fingerprint (F6).
    KeyReused,
    /// The effect is in doubt (D1).
    InDoubt {
        /// Why.
        reason: DoubtReason,
        /// When its request was sent.
        sent_at: Timestamp,
    },
    /// The effect still runs.
    InProgress,
    /// The answer's retention passed (T2).
    Expired,
    /// The key was cancelled (D5).
    Cancelled,
    /// There is no doubt about the attempt that was judged; there may be one about another.
    NotInDoubt,
}

/// Whether a stale message is more than late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// It is merely late.
    None,
    /// An effect happened after a verdict of absence released its key: `effect-after-release` (L13).
    EffectAfterRelease,
}

impl Record {
    /// A key that was never claimed.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            fingerprint: None,
            epoch: Epoch(0),
            state: State::Absent,
            since: Timestamp::from_ms(0),
            claimed_at: Timestamp::from_ms(0),
            terms: None,
            overruled: None,
            inquiry: None,
        }
    }

    /// Whether a store may leave this record unwritten, or delete it: nothing would be lost.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        *self == Self::absent()
    }

    /// When time alone will change this record, so that a store can index what a sweep has to visit (T3).
    ///
    /// `None` for what never ages: in doubt (L7), and a claim that may simply run again.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Absent => {
                self.terms.map(|terms| self.since.after(terms.memory_of_absence(self.overruled)))
            }
            State::Claimed { lease_until, .. } => match self.on_lapse() {
                OnLapse::Doubt => Some(lease_until),
                OnLapse::Execute => None,
            },
            State::Done { expires_at, .. } => Some(expires_at),
            State::InDoubt { .. } => None,
            State::Tombstone { forget_at, .. } => Some(forget_at),
        }
    }

    /// Decides. The caller writes the returned record back in the same atomic step in which it read it.
    ///
    /// Every (state, event) pair is answered here; whatever is not known to allow execution denies it. A record that comes back equal
    /// need not be written.
    #[must_use]
    pub fn on(self, event: Event, now: Timestamp) -> (Self, Decision) {
        let record = self.aged(now);
        match event {
            Event::Arrived { attempt, fingerprint, terms, request } => {
                record.arrived(attempt, fingerprint, terms, request, now)
            }
            Event::Renewed { attempt } => record.renewed(attempt, now),
            Event::Completed { attempt, outcome } => record.completed(attempt, outcome, now),
            Event::Released { attempt } => record.released(attempt, now),
            Event::Doubted { attempt, reason } => record.doubted(attempt, reason, now),
            Event::HolderGone => record.holder_gone(now),
            Event::Resolved { verdict, judged } => record.resolved(verdict, judged, now),
            Event::Inquired { judged, looker, pause } => {
                record.lapsed_at(now).inquired(judged, looker, pause, now)
            }
            Event::Cancelled { remember } => record.cancelled(remember, now),
            Event::Erased => record.lapsed_at(now).erased(),
            Event::Swept => (record.lapsed_at(now), Decision::Unchanged),
        }
    }

    /// What time alone does: an outcome past its retention leaves a tombstone, a tombstone past its time nothing (T1).
    ///
    /// A claim whose lease lapsed is not touched here: its own holder may still complete it, and who else finds it doubts it. Claims
    /// and doubts never age out (L7).
    fn aged(self, now: Timestamp) -> Self {
        match self.state {
            State::Absent if self.due_at().is_some_and(|due_at| now >= due_at) => Self::absent(),
            State::Done { expires_at, .. } if now >= expires_at => {
                let remember = self.terms.map_or(Duration::MAX, |terms| terms.remember);
                let forget_at = expires_at.after(remember);
                let state = State::Tombstone { kind: TombstoneKind::Expired, forget_at };
                Self { state, since: expires_at, ..self }.aged(now)
            }
            State::Tombstone { forget_at, .. } if now >= forget_at => Self::absent(),
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => self,
        }
    }

    fn arrived(
        self,
        attempt: Attempt,
        fingerprint: Fingerprint,
        terms: Terms,
        request: Option<Sealed>,
        now: Timestamp,
    ) -> (Self, Decision) {
        // Compared before the state is looked at, so that in flight, done and in doubt look the same to a stranger (F6).
        let drift = match self.compare(&fingerprint, &terms) {
            Ok(drift) => drift,
            Err(decision) => return (self, decision),
        };
        match self.state {
            State::Absent => self.claimed(attempt, fingerprint, terms, request, now),
            State::Claimed { attempt: holder, lease_until } if now < lease_until => {
                // The holder's own name is a claim repeated after a lost answer (L11).
                let decision = if holder.id == attempt.id {
                    Decision::Execute(holder)
                } else {
                    Decision::Wait { lease_left: lease_until.since(now), drift }
                };
                (self, decision)
            }
            // Past its lease the claimant itself has given up already (L12), so its name makes no difference.
            State::Claimed { attempt: holder, .. } => match self.on_lapse() {
                OnLapse::Execute => self.claimed(attempt, fingerprint, terms, request, now),
                OnLapse::Doubt => {
                    let reason = DoubtReason::LeaseLapsed;
                    let denial = Denial::InDoubt { reason, sent_at: self.claimed_at };
                    (self.in_doubt(holder, reason, now), Decision::Refuse(denial))
                }
            },
            State::Done { ref outcome, .. } => {
                let decision =
                    Decision::Replay { outcome: outcome.clone(), age: now.since(self.since), drift };
                (self, decision)
            }
            State::InDoubt { reason, .. } => {
                let sent_at = self.claimed_at;
                (self, Decision::Refuse(Denial::InDoubt { reason, sent_at }))
            }
            State::Tombstone { kind: TombstoneKind::Cancelled, .. } => {
                (self, Decision::Refuse(Denial::Cancelled))
            }
            State::Tombstone { kind: TombstoneKind::Expired, .. } => match terms.after_retention {
                AfterRetention::Refuse => (self, Decision::Refuse(Denial::Expired)),
                AfterRetention::Execute => self.claimed(attempt, fingerprint, terms, request, now),
            },
        }
    }

    fn renewed(self, attempt: Attempt, now: Timestamp) -> (Self, Decision) {
        match self.state {
            // A lapsed lease is not revived: somebody may have been told that the record is in doubt (L12).
            State::Claimed { attempt: holder, lease_until } if holder == attempt && now < lease_until => {
                let lease = self.terms.map_or(Duration::ZERO, |terms| terms.lease);
                let lease_until = now.after(lease).max(lease_until);
                let state = State::Claimed { attempt, lease_until };
                (Self { state, ..self }, Decision::Renewed(lease_until))
            }
            State::Claimed { attempt: holder, .. } if holder == attempt => {
                (self.lapsed_at(now), Decision::Stale(Alarm::None))
            }
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => (self, Decision::Stale(Alarm::None)),
        }
    }

    fn completed(self, attempt: Attempt, outcome: Sealed, now: Timestamp) -> (Self, Decision) {
        match self.state {
            State::Claimed { attempt: holder, .. } if holder == attempt => {
                (self.done(attempt, Some(outcome), Settlement::Answered, now), Decision::Settled)
            }
            State::InDoubt { attempt: holder, .. } if holder == attempt => {
                (self.done(attempt, Some(outcome), Settlement::AnsweredLate, now), Decision::Settled)
            }
            State::Done { attempt: holder, how: Settlement::Answered | Settlement::AnsweredLate, .. }
                if holder == attempt =>
            {
                (self, Decision::Settled)
            }
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => {
                let alarm =
                    if self.overruled == Some(attempt) { Alarm::EffectAfterRelease } else { Alarm::None };
                (self, Decision::Stale(alarm))
            }
        }
    }

    fn released(self, attempt: Attempt, now: Timestamp) -> (Self, Decision) {
        match self.state {
            // Proof outweighs doubt: whoever holds it says so also after the lease lapsed.
            State::Claimed { attempt: holder, .. } | State::InDoubt { attempt: holder, .. }
                if holder == attempt =>
            {
                (self.unhappened(now), Decision::Settled)
            }
            State::Absent if self.epoch == attempt.epoch => (self, Decision::Settled),
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => (self, Decision::Stale(Alarm::None)),
        }
    }

    fn doubted(self, attempt: Attempt, reason: DoubtReason, now: Timestamp) -> (Self, Decision) {
        match self.state {
            State::Claimed { attempt: holder, .. } if holder == attempt => {
                (self.in_doubt(attempt, reason, now), Decision::Settled)
            }
            State::InDoubt { attempt: holder, .. } if holder == attempt => (self, Decision::Settled),
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => (self, Decision::Stale(Alarm::None)),
        }
    }

    fn holder_gone(self, now: Timestamp) -> (Self, Decision) {
        match self.state {
            State::Claimed { attempt, lease_until } => match self.on_lapse() {
                // It may run again, which does not say that it has not run: who cancels it now must not be told so (D5).
                OnLapse::Execute => {
                    let state = State::Claimed { attempt, lease_until: lease_until.min(now) };
                    (Self { state, ..self }, Decision::Settled)
                }
                OnLapse::Doubt => (self.in_doubt(attempt, DoubtReason::HolderGone, now), Decision::Settled),
            },
            State::Absent | State::Done { .. } | State::InDoubt { .. } | State::Tombstone { .. } => {
                (self, Decision::Unchanged)
            }
        }
    }

    fn resolved(self, verdict: Verdict, judged: Epoch, now: Timestamp) -> (Self, Decision) {
        let is_holder = matches!(self.state, State::Claimed { attempt, .. } if attempt.epoch == judged);
        let record = match verdict {
            Verdict::Happened(_) | Verdict::Multiple(_) | Verdict::Absent if is_holder => {
                self.given_up_at(now)
            }
            // Neither not knowing nor a verdict about another attempt takes anybody's right to run again.
            Verdict::Happened(_) | Verdict::Multiple(_) | Verdict::Absent | Verdict::Unknown => {
                self.lapsed_at(now)
            }
        };
        match record.state {
            State::InDoubt { attempt, .. } if attempt.epoch == judged => match verdict {
                Verdict::Happened(outcome) => {
                    (record.done(attempt, outcome, Settlement::Vouched, now), Decision::Settled)
                }
                Verdict::Multiple(outcome) => {
                    (record.done(attempt, outcome, Settlement::Diverged, now), Decision::Settled)
                }
                Verdict::Absent => {
                    (Self { overruled: Some(attempt), ..record.unhappened(now) }, Decision::Settled)
                }
                Verdict::Unknown => (record, Decision::Unchanged),
            },
            State::Claimed { attempt, .. } if attempt.epoch == judged => {
                (record, Decision::Refuse(Denial::InProgress))
            }
            // A verdict that comes late neither frees nor ends what a later attempt holds.
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => {
                let decision = if record.follows(&verdict, judged) {
                    Decision::Settled
                } else {
                    Decision::Refuse(Denial::NotInDoubt)
                };
                (record, decision)
            }
        }
    }

    /// Whether this verdict took effect before and is repeated now, after a lost answer (L11).
    ///
    /// Known for as long as the record shows it: until the answer expires, or another verdict of absence follows.
    fn follows(&self, verdict: &Verdict, judged: Epoch) -> bool {
        let settled = match self.state {
            State::Done { attempt, how, .. } if attempt.epoch == judged => Some(how),
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => None,
        };
        match verdict {
            Verdict::Happened(_) => settled == Some(Settlement::Vouched),
            Verdict::Multiple(_) => settled == Some(Settlement::Diverged),
            Verdict::Absent => self.overruled.is_some_and(|attempt| attempt.epoch == judged),
            // It takes no effect that its repetition could find.
            Verdict::Unknown => false,
        }
    }

    fn cancelled(self, remember: Duration, now: Timestamp) -> (Self, Decision) {
        let record = self.given_up_at(now);
        match record.state.clone() {
            State::Absent => {
                let state =
                    State::Tombstone { kind: TombstoneKind::Cancelled, forget_at: now.after(remember) };
                (Self { state, since: now, ..record }, Decision::Settled)
            }
            State::Claimed { .. } => (record, Decision::Refuse(Denial::InProgress)),
            State::Done { outcome, .. } => {
                let age = now.since(record.since);
                (record, Decision::Replay { outcome, age, drift: Drift::Same })
            }
            State::InDoubt { attempt, reason, .. } => {
                let state = State::InDoubt { attempt, reason, interest: Interest::Abandoned };
                let sent_at = record.claimed_at;
                (Self { state, ..record }, Decision::Refuse(Denial::InDoubt { reason, sent_at }))
            }
            State::Tombstone { kind: TombstoneKind::Cancelled, .. } => (record, Decision::Settled),
            State::Tombstone { kind: TombstoneKind::Expired, .. } => {
                (record, Decision::Refuse(Denial::Expired))
            }
        }
    }

    /// Compares an arrival with what this key already stands for, if it stands for anything.
    fn compare(&self, fingerprint: &Fingerprint, terms: &Terms) -> Result<Drift, Decision> {
        let stands_for = match self.state {
            // Nothing happened under a released key, so it stands for nothing.
            State::Absent => None,
            State::Tombstone { kind: TombstoneKind::Expired, .. } => match terms.after_retention {
                AfterRetention::Refuse => self.fingerprint.as_ref(),
                AfterRetention::Execute => None,
            },
            State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { kind: TombstoneKind::Cancelled, .. } => self.fingerprint.as_ref(),
        };
        let Some(known) = stands_for else { return Ok(Drift::Same) };
        if known == fingerprint {
            return Ok(Drift::Same);
        }
        if known.version() != fingerprint.version() {
            return Err(Decision::Compare(known.version()));
        }
        match terms.on_mismatch {
            OnMismatch::Refuse => Err(Decision::Refuse(Denial::KeyReused)),
            OnMismatch::Replay => Ok(Drift::Drifted),
        }
    }

    fn claimed(
        self,
        attempt: Attempt,
        fingerprint: Fingerprint,
        terms: Terms,
        request: Option<Sealed>,
        now: Timestamp,
    ) -> (Self, Decision) {
        // A store whose epochs went back must not grant an old one again (L14).
        let attempt = Attempt { epoch: attempt.epoch.max(Epoch(self.epoch.0.saturating_add(1))), ..attempt };
        let record = Self {
            fingerprint: Some(fingerprint),
            epoch: attempt.epoch,
            state: State::Claimed { attempt, lease_until: now.after(terms.lease) },
            since: now,
            claimed_at: now,
            terms: Some(terms),
            overruled: self.overruled,
            inquiry: request.map(Inquiry::of),
        };
        (record, Decision::Execute(attempt))
    }

    fn done(self, attempt: Attempt, outcome: Option<Sealed>, how: Settlement, now: Timestamp) -> Self {
        let retention = self.terms.map_or(Duration::MAX, |terms| terms.retention);
        let state = State::Done { attempt, outcome, how, expires_at: now.after(retention) };
        Self { state, since: now, inquiry: None, ..self }
    }

    fn in_doubt(self, attempt: Attempt, reason: DoubtReason, now: Timestamp) -> Self {
        let state = State::InDoubt { attempt, reason, interest: Interest::Wanted };
        Self { state, since: now, ..self }
    }

    /// Back to absent, with proof or a verdict that nothing happened; what its owner gave up never runs later (D5).
    fn unhappened(self, now: Timestamp) -> Self {
        let state = match self.state {
            State::InDoubt { interest: Interest::Abandoned, .. } => {
                let remember = self.terms.map_or(Duration::MAX, |terms| terms.remember);
                State::Tombstone { kind: TombstoneKind::Cancelled, forget_at: now.after(remember) }
            }
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { interest: Interest::Wanted, .. }
            | State::Tombstone { .. } => State::Absent,
        };
        Self { state, since: now, inquiry: None, ..self }
    }

    fn on_lapse(&self) -> OnLapse {
        self.terms.map_or(OnLapse::Doubt, |terms| terms.on_lapse)
    }

    /// Doubts a claim whose lease lapsed, unless it may simply run again (L4); leaves every other record as it is.
    fn lapsed_at(self, now: Timestamp) -> Self {
        match self.on_lapse() {
            OnLapse::Doubt => self.given_up_at(now),
            OnLapse::Execute => self,
        }
    }

    /// Doubts a claim whose lease lapsed, also one that might run again: a verdict or a cancellation ends it instead.
    fn given_up_at(self, now: Timestamp) -> Self {
        match self.state {
            State::Claimed { attempt, lease_until } if now >= lease_until => {
                self.in_doubt(attempt, DoubtReason::LeaseLapsed, now)
            }
            State::Absent
            | State::Claimed { .. }
            | State::Done { .. }
            | State::InDoubt { .. }
            | State::Tombstone { .. } => self,
        }
    }
}
