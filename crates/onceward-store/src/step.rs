//! From an operation of the port to one event of the record machine, alike in every store.

#[cfg(any(feature = "shared", feature = "sqlite"))]
use onceward_core::actor::Label;
use onceward_core::{
    actor::{ActorTag, KeyTag},
    record::{Attempt, Decision, DoubtReason, Epoch, Event, Record, State},
    time::Timestamp,
    twin::{Mark, Placed},
};

use crate::port::{Claim, EntryFilter, Marked, Reply, ResolutionChange, Settle, Swept, Undated};

impl Claim {
    /// The arrival of this claim under the epoch that it would hold.
    pub(crate) fn event(&self, epoch: Epoch) -> Event {
        Event::Arrived {
            attempt: Attempt { epoch, id: self.attempt },
            fingerprint: self.fingerprint,
            terms: self.terms,
            request: self.request.clone(),
        }
    }

    /// Whether this claim may be the retry of one that was forgotten by mishap (T5).
    ///
    /// `known` is what the store holds under the key, and the core says what it does not know ([`Record::may_lack_claim`]).
    ///
    /// `issued_at` is by the clock of whoever minted the key, the barrier by the store's: a key that was stamped ahead of a barrier that
    /// was raised later passes for one that was minted after it (H9).
    pub(crate) fn lost_behind(
        &self,
        barrier: Option<Timestamp>,
        known: Option<&Record>,
        now: Timestamp,
    ) -> Option<Reply> {
        let barrier = barrier?;
        let after_retention = self.terms.after_retention;
        let forgotten = known.is_none_or(|record| record.may_lack_claim(barrier, after_retention, now));
        let suspect = match self.issued_at {
            Some(issued_at) => issued_at < barrier,
            None => self.undated == Undated::Refuse,
        };
        (forgotten && suspect).then_some(Reply::HistoryLost { barrier })
    }
}

impl Settle {
    /// The end of a claim, as its holder tells it.
    pub(crate) fn event(self, attempt: Attempt) -> Event {
        match self {
            Self::Complete(outcome) => Event::Completed { attempt, outcome },
            Self::Release => Event::Released { attempt },
            Self::Doubt(reason) => Event::Doubted { attempt, reason },
        }
    }
}

impl ResolutionChange {
    /// What was found out, or is not wanted any more.
    pub(crate) fn event(self) -> Event {
        match self {
            Self::Verdict { verdict, judged } => Event::Resolved { verdict, judged },
            Self::Inquire { judged, looker, pause } => Event::Inquired { judged, looker, pause },
            Self::Cancel { remember } => Event::Cancelled { remember },
            Self::Erase => Event::Erased,
        }
    }
}

impl Reply {
    /// What the record machine decided at `now`, about a record that is now `record`.
    pub(crate) fn decided(decision: Decision, record: &Record, now: Timestamp) -> Self {
        Self::Decided { decision, at: now, since: record.since }
    }
}

impl Marked {
    /// What is answered to a bid, and the mark to be written, where there is one.
    pub(crate) fn of(placed: Placed) -> (Self, Option<Mark>) {
        match placed {
            Placed::Set(mark) => (Self::Held, Some(mark)),
            Placed::Held => (Self::Held, None),
            Placed::Taken(mark) => (Self::Taken(mark), None),
        }
    }
}

impl EntryFilter {
    /// Whether a listing shows this record.
    pub(crate) fn admits(&self, state: &State, actor: ActorTag, key: KeyTag) -> bool {
        (!self.in_doubt_only || matches!(state, State::InDoubt { .. }))
            && self.key.is_none_or(|wanted| wanted == key)
            && self.actor.is_none_or(|wanted| wanted == actor)
    }
}

/// A state without what belongs to it, or that a row is no record. Its number is its name in files, and a state's is its place in
/// [`crate::Health::records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Absent = 0,
    Claimed = 1,
    Done = 2,
    InDoubt = 3,
    Tombstone = 4,
    /// The mark of a twin (P5).
    #[cfg_attr(
        not(feature = "shared"),
        expect(dead_code, reason = "only where marks lie among the records of a database")
    )]
    Mark = 5,
}

impl Kind {
    pub(crate) fn of(state: &State) -> Self {
        match state {
            State::Absent => Self::Absent,
            State::Claimed { .. } => Self::Claimed,
            State::Done { .. } => Self::Done,
            State::InDoubt { .. } => Self::InDoubt,
            State::Tombstone { .. } => Self::Tombstone,
        }
    }
}

/// A claim before a step that may end it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    attempt: Attempt,
    lease_until: Timestamp,
}

/// How a claim was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It is in doubt now; `lapsed` where its lease is why.
    Doubted { reason: DoubtReason, lapsed: bool },
    /// Its lease lapsed, and another attempt runs (L4).
    TakenOver,
}

impl Held {
    pub(crate) fn of(record: &Record) -> Option<Self> {
        match record.state {
            State::Claimed { attempt, lease_until } => Some(Self { attempt, lease_until }),
            State::Absent | State::Done { .. } | State::InDoubt { .. } | State::Tombstone { .. } => None,
        }
    }

    /// How the step that left `after` at `now` lost this claim, if it did.
    pub(crate) fn lost(self, after: &Record, now: Timestamp) -> Option<Loss> {
        match after.state {
            State::InDoubt { reason, .. } => {
                // A holder may give the reason itself, within its lease.
                let lapsed = reason == DoubtReason::LeaseLapsed && now >= self.lease_until;
                Some(Loss::Doubted { reason, lapsed })
            }
            State::Claimed { attempt, .. } if attempt != self.attempt => Some(Loss::TakenOver),
            State::Absent | State::Claimed { .. } | State::Done { .. } | State::Tombstone { .. } => None,
        }
    }
}

/// What one event makes of what is stored under a key, for stores that write rows.
#[cfg(any(feature = "shared", feature = "sqlite"))]
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) reply: Reply,
    pub(crate) change: Change,
    pub(crate) before: Option<Kind>,
    pub(crate) after: Option<Kind>,
    /// The claim that it ends so, to be counted once the step stands.
    pub(crate) lost: Option<Loss>,
}

/// What a step writes.
#[cfg(any(feature = "shared", feature = "sqlite"))]
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives for one operation, and most operations write")]
pub(crate) enum Change {
    /// Nothing: what is stored says it already.
    Keep,
    /// The row goes.
    Forget,
    /// This is the row.
    Put(Record, Label),
}

#[cfg(any(feature = "shared", feature = "sqlite"))]
impl Step {
    /// Runs one event on what was found. `label` is what a record made by this event shows, and what a new attempt is about.
    pub(crate) fn of(
        found: Option<(Record, Label)>,
        event: Event,
        label: Option<&Label>,
        now: Timestamp,
    ) -> Self {
        let (before, kept) = match found {
            Some((record, label)) => (record, Some(label)),
            None => (Record::absent(), None),
        };
        let erases = event == Event::Erased;
        let (record, decision) = before.clone().on(event, now);
        let executes = matches!(decision, Decision::Execute(_));
        let reply = Reply::decided(decision, &record, now);
        let kind_before = kept.is_some().then(|| Kind::of(&before.state));
        let kind_after = (!record.is_blank()).then(|| Kind::of(&record.state));
        let is_worded = kept.as_ref().is_some_and(|kept| !kept.effect.is_empty());
        if record == before && !(erases && is_worded) {
            return Self { reply, change: Change::Keep, before: kind_before, after: kind_after, lost: None };
        }
        let lost = Held::of(&before).and_then(|held| held.lost(&record, now));
        let change = match (kept, label) {
            (Some(_), _) if record.is_blank() => Change::Forget,
            (Some(mut kept), label) => {
                // The tags belong to the id; what a new attempt is about may be worded anew.
                if let (true, Some(label)) = (executes, label) {
                    kept.effect.clone_from(&label.effect);
                }
                if erases {
                    kept.effect.clear();
                }
                Change::Put(record, kept)
            }
            (None, Some(label)) => Change::Put(record, label.clone()),
            // An event that makes no record came out with one: nothing to show it under, and nothing that needs it.
            (None, None) => Change::Keep,
        };
        Self { reply, change, before: kind_before, after: kind_after, lost }
    }
}

/// Records by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census(pub(crate) [u64; 5]);

impl Census {
    pub(crate) fn in_doubt(&self) -> u64 {
        let Self([_, _, _, in_doubt, _]) = self;
        *in_doubt
    }

    /// One record came, went, or went over from one state to another.
    pub(crate) fn moved(&mut self, before: Option<Kind>, after: Option<Kind>) {
        if let Some(count) = before.and_then(|kind| self.0.get_mut(kind as usize)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = after.and_then(|kind| self.0.get_mut(kind as usize)) {
            *count += 1;
        }
    }
}

impl Swept {
    /// Counts one visit by what it made of a record.
    pub(crate) fn count(&mut self, before: Kind, after: Option<Kind>) {
        match (before, after) {
            (Kind::Mark, None) => self.marks += 1,
            (_, None) => self.forgotten += 1,
            (Kind::Done, Some(Kind::Tombstone)) => self.expired += 1,
            (Kind::Claimed, Some(Kind::InDoubt)) => self.doubted += 1,
            (
                Kind::Absent | Kind::Claimed | Kind::Done | Kind::InDoubt | Kind::Tombstone | Kind::Mark,
                Some(_),
            ) => {}
        }
    }
}
