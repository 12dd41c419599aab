//! Mistakes that are planted in a world, to prove that it sees them.

use crate::{
    fault::{Fault, Faults},
    name::named,
    setting::{Origin, Tier},
};

named! {
    /// A mistake in the use of the record machine, or an assumption that does not hold.
    Flaw {
        LockWithTimeToLive = "a lock with a time to live in place of a lease with doubt (L4)",
        NoDeadline = "a holder without a deadline of its own (L12)",
        DeadlineOfRepetition = "a deadline that begins with the repeated claim (L12)",
        OneNameForAllRounds = "one name for every round of asking (L12)",
        AnyonesWord = "the attempt is not checked at the end of a claim (L2)",
        EpochsFromRow = "epochs from the row (L14)",
        ReleaseOnBreak = "a broken exchange taken for proof that nothing happened (L5)",
        PanicReleases = "a panic taken for proof that nothing happened (O5)",
        HolderGoneFrees = "a dead process's claims taken for not sent (L10)",
        SweepTakesAll = "a sweep that takes what is unfinished (L7)",
        LossUnnoticed = "a store that loses writes and raises no barrier (T5)",
        FreeCountsAsKnown = "a free record behind the barrier counts as known (T5)",
        AbsenceAtOnce = "nothing seen taken for absence at once (D3)",
        AbsenceSettledMeanwhile = "a look from before the settling time, judged after it (D3)",
        AbsenceDespiteBarrier = "absence counted from what a store remembers that forgot (D3, T5)",
        UnclearIsAbsent = "a failed look taken for absence (D3)",
        VerdictForLatest = "a verdict for whichever attempt is in doubt (D3)",
        AnswerBeforeStored = "an answer passed on before it is stored (O1)",
        FormerHoldersAnswer = "a former holder's own answer (L2)",
        CancelledRuns = "a cancelled key that runs again (D5)",
        ExpiredRuns = "a key that runs again once its answer expired (T2)",
        AlarmUnheard = "an effect after a verdict of absence that alarms nobody (L13)",
        NobodyLooks = "a doubt that no resolver ends (D2)",
        WaitersForgotten = "a waiting duplicate that is never answered (W1)",
        WrongVerdict = "a person's verdict that is wrong (H7)",
        KeyStampedAhead = "a key whose maker's clock is ahead (H9)",
        KernelSendsLate = "a frozen machine that sends what it still held when it wakes (H10)",
    }
}

/// Worlds in which a coincidence that a mistake needs is less rare than in others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) tier: Tier,
    pub(crate) origin: Origin,
    pub(crate) faults: Faults,
}

impl Flaw {
    /// Where it shows, for the few that need several things at once.
    pub(crate) const fn stage(self) -> Option<Stage> {
        let broken = Faults::none().with(Fault::BrokenConnection).with(Fault::SlowRequest);
        match self {
            Self::OneNameForAllRounds => Some(Stage {
                tier: Tier::Keeps,
                origin: Origin::Opaque,
                faults: Faults::none()
                    .with(Fault::Freeze)
                    .with(Fault::RepeatedQuestion)
                    .with(Fault::Declined)
                    .with(Fault::Unreachable),
            }),
            Self::AbsenceSettledMeanwhile => Some(Stage {
                tier: Tier::Keeps,
                origin: Origin::Queryable,
                faults: broken.with(Fault::SlowOrigin).with(Fault::SlowStore),
            }),
            Self::AbsenceDespiteBarrier => Some(Stage {
                tier: Tier::LosesLastWrites,
                origin: Origin::Queryable,
                faults: broken.with(Fault::FailOver).with(Fault::LostRequest),
            }),
            _ => None,
        }
    }

    /// Whether it is no mistake of a program but an assumption of `docs/guarantees.md` that fails.
    #[must_use]
    pub const fn is_limit(self) -> bool {
        matches!(self, Self::WrongVerdict | Self::KeyStampedAhead | Self::KernelSendsLate)
    }
}
