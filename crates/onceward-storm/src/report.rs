//! What happened in a storm.

use std::{collections::BTreeMap, fmt};

use crate::history::Saw;

/// What a gateway met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// SIGKILL at this stage of a call.
    KilledAt(&'static str),
    /// SIGKILL at any moment.
    Killed,
    /// SIGSTOP for longer than its lease, then SIGCONT.
    Frozen,
}

/// The counts of a storm that nothing broke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Keys whose histories were explained.
    pub keys: usize,
    /// What the requests for them saw, by its kind.
    pub saw: BTreeMap<&'static str, usize>,
    /// What the service booked.
    pub bookings: usize,
    /// What the gateways met.
    pub fates: BTreeMap<Fate, usize>,
}

impl Report {
    pub(crate) fn count(&mut self, saw: Saw) {
        let kind = match saw {
            Saw::Ran(_) => "ran",
            Saw::Told(_) => "told",
            Saw::Busy => "busy",
            Saw::Unknown => "unknown",
            Saw::Refused => "refused",
            Saw::Lost => "lost",
        };
        *self.saw.entry(kind).or_default() += 1;
    }

    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.saw.values().sum()
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KilledAt(stage) => write!(f, "killed {stage}"),
            Self::Killed => f.write_str("killed"),
            Self::Frozen => f.write_str("frozen"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys, {} requests (", self.keys, self.requests())?;
        listed(f, self.saw.iter())?;
        write!(f, "), {} bookings; gateways ", self.bookings)?;
        listed(f, self.fates.iter())
    }
}

/// Names with their counts.
fn listed<N: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    counts: impl Iterator<Item = (N, impl fmt::Display)>,
) -> fmt::Result {
    for (place, (name, count)) in counts.enumerate() {
        write!(f, "{}{name} {count}", if place == 0 { "" } else { ", " })?;
    }
    Ok(())
}
