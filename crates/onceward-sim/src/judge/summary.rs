//! Records and events as far as they are judged.

use onceward_core::{
    record::{Attempt, DoubtReason, Event, Interest, Record, Settlement, State, TombstoneKind, Verdict},
    time::Timestamp,
};

use crate::{
    census::{Happened, Met},
    store::answer_of,
};

/// A record as far as it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) met: Met,
    pub(super) kind: Kind,
    /// Whose effect it is about.
    pub(super) attempt: Option<Attempt>,
    pub(super) until: Timestamp,
    pub(super) answer: Option<u32>,
    pub(super) is_abandoned: bool,
    /// Whether it is a free key that time has emptied.
    pub(super) is_aged_out: bool,
    pub(super) how: Option<Settlement>,
    pub(super) reason: Option<DoubtReason>,
    looks: u32,
    /// Tells a free key that was claimed from one that never was.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Absent,
    Claimed,
    Done,
    InDoubt,
    Cancelled,
    Expired,
}

/// An event as far as it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) happened: Happened,
    /// Whose word it is.
    pub(super) speaker: Option<Attempt>,
    pub(super) is_unknown: bool,
    pub(super) is_absence: bool,
}

impl Summary {
    pub(crate) fn of(record: &Record, now: Timestamp) -> Self {
        let mut summary = Self {
            met: Met::of(record, now),
            kind: Kind::Absent,
            attempt: None,
            until: Timestamp::from_ms(0),
            answer: None,
            is_abandoned: false,
            is_aged_out: false,
            how: None,
            reason: None,
            looks: record.inquiry.as_ref().map_or(0, |inquiry| inquiry.looks),
            epoch: record.epoch.0,
        };
        match &record.state {
            State::Absent => {
                summary.is_aged_out = record.due_at().is_some_and(|due_at| due_at <= now);
            }
            State::Claimed { attempt, lease_until } => {
                (summary.kind, summary.attempt, summary.until) =
                    (Kind::Claimed, Some(*attempt), *lease_until);
            }
            State::Done { attempt, outcome, how, expires_at } => {
                (summary.kind, summary.attempt, summary.until) = (Kind::Done, Some(*attempt), *expires_at);
                (summary.answer, summary.how) = (outcome.as_ref().map(answer_of), Some(*how));
            }
            State::InDoubt { attempt, reason, interest } => {
                (summary.kind, summary.attempt, summary.reason) =
                    (Kind::InDoubt, Some(*attempt), Some(*reason));
                summary.is_abandoned = *interest == Interest::Abandoned;
            }
            State::Tombstone { kind, forget_at } => {
                summary.until = *forget_at;
                summary.kind = match kind {
                    TombstoneKind::Expired => Kind::Expired,
                    TombstoneKind::Cancelled => Kind::Cancelled,
                };
            }
        }
        summary
    }

    /// The attempt whose effect is not known.
    pub(super) fn holder(&self) -> Option<Attempt> {
        self.attempt.filter(|_| matches!(self.kind, Kind::Claimed | Kind::InDoubt))
    }

    /// Whether time alone has emptied it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.met == Met::Absent && matches!(self.kind, Kind::Done | Kind::Cancelled | Kind::Expired)
    }
}

impl Heard {
    pub(crate) fn of(event: &Event) -> Self {
        let speaker = match event {
            Event::Renewed { attempt }
            | Event::Completed { attempt, .. }
            | Event::Released { attempt }
            | Event::Doubted { attempt, .. } => Some(*attempt),
            Event::Arrived { attempt, .. } => Some(*attempt),
            Event::HolderGone
            | Event::Resolved { .. }
            | Event::Inquired { .. }
            | Event::Cancelled { .. }
            | Event::Erased
            | Event::Swept => None,
        };
        let verdict = match event {
            Event::Resolved { verdict, .. } => Some(verdict),
            _ => None,
        };
        Self {
            happened: Happened::of(event),
            speaker,
            is_unknown: verdict == Some(&Verdict::Unknown),
            is_absence: verdict == Some(&Verdict::Absent),
        }
    }

    /// Whether only the holder may say it.
    pub(super) fn is_holders(&self) -> bool {
        matches!(
            self.happened,
            Happened::Renewed | Happened::Completed | Happened::Released | Happened::Doubted
        )
    }
}
