//! Which events met which states of a record, and what was decided.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use onceward_core::{
    record::{Alarm, Decision, Denial, Event, Record, State, TombstoneKind},
    time::Timestamp,
};

/// A record's state as far as decisions differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// Never claimed, or released.
    Absent,
    /// Claimed, under a live lease.
    Claimed,
    /// Claimed, and the lease is over.
    Lapsed,
    /// The outcome is known.
    Done,
    /// In doubt.
    InDoubt,
    /// The outcome's retention is over.
    Expired,
    /// Cancelled before it ran.
    Cancelled,
}

impl Met {
    /// All, in the order of a record's life.
    pub const ALL: [Self; 7] = [
        Self::Absent,
        Self::Claimed,
        Self::Lapsed,
        Self::InDoubt,
        Self::Done,
        Self::Expired,
        Self::Cancelled,
    ];

    /// What an event meets at `now`.
    pub(crate) fn of(record: &Record, now: Timestamp) -> Self {
        match record.state {
            State::Absent => Self::Absent,
            State::Claimed { lease_until, .. } if now < lease_until => Self::Claimed,
            State::Claimed { .. } => Self::Lapsed,
            State::Done { expires_at, .. } if now < expires_at => Self::Done,
            State::Done { .. } => Self::Expired,
            State::InDoubt { .. } => Self::InDoubt,
            State::Tombstone { forget_at, .. } if now >= forget_at => Self::Absent,
            State::Tombstone { kind: TombstoneKind::Expired, .. } => Self::Expired,
            State::Tombstone { kind: TombstoneKind::Cancelled, .. } => Self::Cancelled,
        }
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Claimed => "claimed",
            Self::Lapsed => "claimed, lapsed",
            Self::Done => "done",
            Self::InDoubt => "in doubt",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        })
    }
}

/// The events, by name.
pub const EVENTS: [&str; 9] = [
    "arrived",
    "renewed",
    "completed",
    "released",
    "doubted",
    "holder gone",
    "resolved",
    "cancelled",
    "swept",
];

/// The decisions, by name.
pub const DECISIONS: [&str; 15] = [
    "execute",
    "replay",
    "wait",
    "compare",
    "no: reused",
    "no: in doubt",
    "no: in progress",
    "no: expired",
    "no: cancelled",
    "no: not in doubt",
    "renewed",
    "settled",
    "stale",
    "alarm",
    "unchanged",
];

const CELLS: usize = Met::ALL.len() * EVENTS.len() * DECISIONS.len();

/// Counts every decision.
#[derive(Debug)]
pub struct Sights([AtomicU64; CELLS]);

impl Default for Sights {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; CELLS])
    }
}

impl Sights {
    pub(crate) fn note(&self, met: Met, event: usize, decision: &Decision) {
        if let Some(cell) = self.0.get(cell(met, event, decision_of(decision))) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was decided where `event` met `met`, with how often.
    #[must_use]
    pub fn decided(&self, met: Met, event: usize) -> Vec<(&'static str, u64)> {
        let count =
            |decision| self.0.get(cell(met, event, decision)).map(|cell| cell.load(Ordering::Relaxed));
        let counted = DECISIONS.iter().enumerate();
        let counted = counted.map(|(decision, name)| (*name, count(decision).unwrap_or_default()));
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

fn cell(met: Met, event: usize, decision: usize) -> usize {
    (met as usize * EVENTS.len() + event) * DECISIONS.len() + decision
}

/// The event's place in [`EVENTS`]; who looks next (`Inquired`) and what is kept (`Erased`) have none,
/// for they change nothing about who may run.
pub(crate) const fn event_of(event: &Event) -> Option<usize> {
    Some(match event {
        Event::Arrived { .. } => 0,
        Event::Renewed { .. } => 1,
        Event::Completed { .. } => 2,
        Event::Released { .. } => 3,
        Event::Doubted { .. } => 4,
        Event::HolderGone => 5,
        Event::Resolved { .. } => 6,
        Event::Cancelled { .. } => 7,
        Event::Swept => 8,
        Event::Inquired { .. } | Event::Erased => return None,
    })
}

/// The decision's place in [`DECISIONS`].
const fn decision_of(decision: &Decision) -> usize {
    match decision {
        Decision::Execute(_) => 0,
        Decision::Replay { .. } => 1,
        Decision::Wait { .. } => 2,
        Decision::Refuse(denial) => match denial {
            Denial::KeyReused => 4,
            Denial::InDoubt { .. } => 5,
            Denial::InProgress => 6,
            Denial::Expired => 7,
            Denial::Cancelled => 8,
            Denial::NotInDoubt => 9,
        },
        Decision::Compare(_) => 3,
        Decision::Renewed(_) => 10,
        Decision::Settled => 11,
        Decision::Stale(Alarm::None) => 12,
        Decision::Stale(Alarm::EffectAfterRelease) => 13,
        Decision::Unchanged => 14,
    }
}
