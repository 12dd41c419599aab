//! What was met in worlds, counted: a run that did not come by somewhere proves nothing about that place.

use onceward_core::{
    record::{Alarm, Decision, Denial, DoubtReason, Event, Record, State, TombstoneKind},
    time::Timestamp,
};

use crate::name::named;

named! {
    /// A record's state as far as decisions differ by it.
    Met {
        Absent = "absent",
        Claimed = "claimed",
        Lapsed = "claimed, lapsed",
        InDoubt = "in doubt",
        Done = "done",
        Expired = "expired",
        Cancelled = "cancelled",
    }
}

named! {
    /// An event of the record machine.
    Happened {
        Arrived = "arrived",
        Renewed = "renewed",
        Completed = "completed",
        Released = "released",
        Doubted = "doubted",
        HolderGone = "holder gone",
        Resolved = "resolved",
        Inquired = "inquired",
        Cancelled = "cancelled",
        Erased = "erased",
        Swept = "swept",
    }
}

named! {
    /// A decision of the record machine; every denial and alarm is one of its own.
    Decided {
        Execute = "execute",
        Replay = "replay",
        Wait = "wait",
        Compare = "compare",
        KeyReused = "no: reused",
        InDoubt = "no: in doubt",
        InProgress = "no: in progress",
        Expired = "no: expired",
        Cancelled = "no: cancelled",
        NotInDoubt = "no: not in doubt",
        Renewed = "renewed",
        Settled = "settled",
        Stale = "stale",
        Alarm = "alarm",
        Unchanged = "unchanged",
    }
}

named! {
    /// A rare situation.
    Rare {
        LateAnswerEndsDoubt = "a late answer completes a record in doubt",
        LateAnswerAfterVerdict = "an answer after a verdict of absence raises the alarm",
        LapsedCompleted = "a holder completes a claim whose lease is over and that nobody met",
        AbandonedThenAbsent = "cancelled while in doubt, then absent: a tombstone",
        AbandonedThenDone = "cancelled while in doubt, then done",
        ClaimFoundAgain = "a lost answer to a claim is found again",
        SettlementFoundAgain = "a lost answer to a settlement is found again",
        VerdictFoundAgain = "a verdict told twice is found again",
        LookFoundAgain = "a look asked for twice is found again",
        ClaimDisowned = "a claim whose answer was lost is given back",
        GhostDoubted = "a late copy of a claim is granted, nobody works under it, and it ends in doubt",
        BarrierRefusesUnknown = "the barrier refuses an unknown key",
        BarrierRefusesFree = "the barrier refuses a known key that is free",
        UndatedRunsAnew = "a key without a time runs again after a loss",
        LossTookClaim = "a loss between claim and settlement takes the claim",
        LossTookOutcome = "a loss takes an outcome",
        LookWaits = "two look at once: the second one waits",
        LookTooEarly = "nothing is seen, too early for a verdict",
        LookHeldBackByBarrier = "nothing is seen, and a barrier makes it too early for a verdict",
        VerdictTooLate = "a verdict comes too late",
        PassthroughActed = "asking again with the key is what makes the effect happen",
        PassthroughActedUnasked = "asking again with the key does what a caller was told had no effect",
        FenceRefused = "a fence refuses a late request",
        LookerDied = "a process dies in the middle of a look",
        VerdictLost = "a process dies between a look and its verdict",
        OwnDeadline = "a holder gives up by its own deadline while its lease still runs",
        WokeTooLate = "a frozen process wakes past its deadline and sends nothing",
        SleepNoticed = "a machine that slept gives up by the clock that went on",
        CrashedClaiming = "a process dies while it claims",
        CrashedHolding = "a process dies between claim and request",
        CrashedSent = "a process dies between request and answer",
        CrashedSettling = "a process dies between answer and settlement",
        TakenOver = "a lapsed claim is run again",
        Repeated = "an origin that honours the key gives its first answer to a second run",
        RolledBack = "a transaction's late commit is rolled back",
        FormerHolderToldTruth = "a former holder's caller is told the record's outcome",
        Unrecorded = "an answer is told without having been stored",
        StoredLate = "an answer that was told unstored is stored later",
        WaiterReplayed = "a waiting duplicate gets the first one's answer",
        ComparedAgain = "a fingerprint is made again under the record's version",
        DriftReplayed = "a drifted body gets the first one's answer",
        RanAfterRetention = "a key runs again after its retention, as its route chose",
        ForgottenRan = "a forgotten key is used anew",
        TooOldToRun = "a key that is older than all memory is refused",
        ConnectionLateCommit = "an effect happens after its connection is gone",
        Diverged = "an effect that happened twice is recorded as diverged",
        Vouched = "a person vouches for an effect without its answer",
    }
}

/// The reasons for doubt, by name.
pub(crate) const DOUBTS: [&str; 8] = [
    DoubtReason::NoAnswer.as_str(),
    DoubtReason::AnswerCut.as_str(),
    DoubtReason::AmbiguousStatus(0).as_str(),
    DoubtReason::DeadlinePassed.as_str(),
    DoubtReason::LeaseLapsed.as_str(),
    DoubtReason::HolderGone.as_str(),
    DoubtReason::ShutDown.as_str(),
    DoubtReason::Panicked.as_str(),
];

/// Pairs of state and event that no world comes to, with the reason.
pub(crate) const UNMET: &[(Met, Happened, &str)] = &[
    (Met::Absent, Happened::Erased, NOBODY_ERASES),
    (Met::Claimed, Happened::Erased, NOBODY_ERASES),
    (Met::Lapsed, Happened::Erased, NOBODY_ERASES),
    (Met::InDoubt, Happened::Erased, NOBODY_ERASES),
    (Met::Done, Happened::Erased, NOBODY_ERASES),
    (Met::Expired, Happened::Erased, NOBODY_ERASES),
    (Met::Cancelled, Happened::Erased, NOBODY_ERASES),
];

const NOBODY_ERASES: &str = "no world erases: that drops content, and changes nothing about who may run";

/// Counts of one world, or of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Worlds.
    pub worlds: u64,
    /// Events that took place in them.
    pub steps: u64,
    cells: Vec<u64>,
    doubts: [u64; DOUBTS.len()],
    rare: Vec<u64>,
}

impl Default for Census {
    fn default() -> Self {
        let cells = Met::ALL.len() * Happened::ALL.len() * Decided::ALL.len();
        Self {
            worlds: 0,
            steps: 0,
            cells: vec![0; cells],
            doubts: [0; DOUBTS.len()],
            rare: vec![0; Rare::ALL.len()],
        }
    }
}

impl Census {
    pub(crate) fn decided(&mut self, met: Met, happened: Happened, decision: &Decision) {
        count(&mut self.cells, cell(met, happened, Decided::of(decision)));
    }

    pub(crate) fn doubted(&mut self, reason: DoubtReason) {
        let place = DOUBTS.iter().position(|name| *name == reason.as_str());
        if let Some(place) = place {
            count(&mut self.doubts, place);
        }
    }

    pub(crate) fn saw(&mut self, rare: Rare) {
        count(&mut self.rare, rare as usize);
    }

    /// Adds what others counted.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        let ours = self.cells.iter_mut().chain(&mut self.doubts).chain(&mut self.rare);
        let theirs = other.cells.iter().chain(&other.doubts).chain(&other.rare);
        for (ours, theirs) in ours.zip(theirs) {
            *ours += theirs;
        }
    }

    /// How often a situation was met.
    #[must_use]
    pub fn rare(&self, rare: Rare) -> u64 {
        self.rare.get(rare as usize).copied().unwrap_or_default()
    }

    /// The pairs of state and event that were met, of how many that can be.
    #[must_use]
    pub fn pairs(&self) -> (usize, usize) {
        let met = pairs().filter(|(met, happened)| self.is_met(*met, *happened)).count();
        (met, pairs().count() - UNMET.len())
    }

    /// How many of the decisions were met.
    #[must_use]
    pub fn decisions(&self) -> usize {
        Decided::ALL.iter().filter(|decided| self.is_decided(**decided)).count()
    }

    /// What was not met of all that can be, by name.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let unmet = |met: Met, happened: Happened| {
            UNMET.iter().any(|(state, event, _)| (*state, *event) == (met, happened))
        };
        let pairs =
            pairs().filter(|(met, happened)| !self.is_met(*met, *happened) && !unmet(*met, *happened));
        let pairs = pairs.map(|(met, happened)| format!("{happened} where the record is {met}"));
        let decided = Decided::ALL.iter().filter(|decided| !self.is_decided(**decided));
        let decided = decided.map(|decided| format!("the decision `{decided}`"));
        let doubts = DOUBTS.iter().zip(self.doubts).filter(|(_, count)| *count == 0);
        let doubts = doubts.map(|(name, _)| format!("the doubt `{name}`"));
        let rare =
            Rare::ALL.iter().filter(|rare| self.rare(**rare) == 0).map(|rare| rare.as_str().to_owned());
        pairs.chain(decided).chain(doubts).chain(rare).collect()
    }

    fn is_met(&self, met: Met, happened: Happened) -> bool {
        Decided::ALL.iter().any(|decided| self.count(met, happened, *decided) > 0)
    }

    fn is_decided(&self, decided: Decided) -> bool {
        pairs().any(|(met, happened)| self.count(met, happened, decided) > 0)
    }

    fn count(&self, met: Met, happened: Happened, decided: Decided) -> u64 {
        self.cells.get(cell(met, happened, decided)).copied().unwrap_or_default()
    }
}

impl Met {
    /// What an event meets at `now`.
    pub(crate) fn of(record: &Record, now: Timestamp) -> Self {
        match record.state {
            State::Absent => Self::Absent,
            State::Claimed { lease_until, .. } if now < lease_until => Self::Claimed,
            State::Claimed { .. } => Self::Lapsed,
            State::Done { expires_at, .. } if now < expires_at => Self::Done,
            State::Done { expires_at, .. } => {
                let remember = record.terms.map_or(std::time::Duration::MAX, |terms| terms.remember);
                if now < expires_at.after(remember) { Self::Expired } else { Self::Absent }
            }
            State::InDoubt { .. } => Self::InDoubt,
            State::Tombstone { forget_at, .. } if now >= forget_at => Self::Absent,
            State::Tombstone { kind: TombstoneKind::Expired, .. } => Self::Expired,
            State::Tombstone { kind: TombstoneKind::Cancelled, .. } => Self::Cancelled,
        }
    }
}

impl Happened {
    pub(crate) const fn of(event: &Event) -> Self {
        match event {
            Event::Arrived { .. } => Self::Arrived,
            Event::Renewed { .. } => Self::Renewed,
            Event::Completed { .. } => Self::Completed,
            Event::Released { .. } => Self::Released,
            Event::Doubted { .. } => Self::Doubted,
            Event::HolderGone => Self::HolderGone,
            Event::Resolved { .. } => Self::Resolved,
            Event::Inquired { .. } => Self::Inquired,
            Event::Cancelled { .. } => Self::Cancelled,
            Event::Erased => Self::Erased,
            Event::Swept => Self::Swept,
        }
    }
}

impl Decided {
    const fn of(decision: &Decision) -> Self {
        match decision {
            Decision::Execute(_) => Self::Execute,
            Decision::Replay { .. } => Self::Replay,
            Decision::Wait { .. } => Self::Wait,
            Decision::Compare(_) => Self::Compare,
            Decision::Refuse(Denial::KeyReused) => Self::KeyReused,
            Decision::Refuse(Denial::InDoubt { .. }) => Self::InDoubt,
            Decision::Refuse(Denial::InProgress) => Self::InProgress,
            Decision::Refuse(Denial::Expired) => Self::Expired,
            Decision::Refuse(Denial::Cancelled) => Self::Cancelled,
            Decision::Refuse(Denial::NotInDoubt) => Self::NotInDoubt,
            Decision::Renewed(_) => Self::Renewed,
            Decision::Settled => Self::Settled,
            Decision::Stale(Alarm::None) => Self::Stale,
            Decision::Stale(Alarm::EffectAfterRelease) => Self::Alarm,
            Decision::Unchanged => Self::Unchanged,
        }
    }
}

fn pairs() -> impl Iterator<Item = (Met, Happened)> {
    Met::ALL.iter().flat_map(|met| Happened::ALL.iter().map(move |happened| (*met, *happened)))
}

const fn cell(met: Met, happened: Happened, decided: Decided) -> usize {
    (met as usize * Happened::ALL.len() + happened as usize) * Decided::ALL.len() + decided as usize
}

fn count(counts: &mut [u64], place: usize) {
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}
