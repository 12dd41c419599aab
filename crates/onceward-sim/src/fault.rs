//! What goes wrong in a world, by name.

use crate::{chance::Chance, name::named};

named! {
    /// A kind of fault; a world has some of them.
    Fault {
        Crash = "crash",
        Freeze = "freeze",
        Sleep = "sleep",
        ClockJump = "clock-jump",
        ShutDown = "shut-down",
        PowerLoss = "power-loss",
        FailOver = "fail-over",
        Outage = "outage",
        LostQuestion = "lost-question",
        LostAnswer = "lost-answer",
        HeldUpQuestion = "held-up-question",
        RepeatedQuestion = "repeated-question",
        SlowStore = "slow-store",
        Unreachable = "unreachable",
        SlowRequest = "slow-request",
        LostRequest = "lost-request",
        SlowOrigin = "slow-origin",
        BrokenConnection = "broken-connection",
        CutAnswer = "cut-answer",
        AmbiguousStatus = "ambiguous-status",
        Declined = "declined",
        FinalRefusal = "final-refusal",
        Panic = "panic",
        DriftedBody = "drifted-body",
        OtherVersion = "other-version",
        Impatience = "impatience",
        Vanishing = "vanishing",
        Cancellation = "cancellation",
        FailedLook = "failed-look",
        WrongVerdict = "wrong-verdict",
    }
}

impl Fault {
    /// The fault of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.as_str() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    /// No fault.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | fault.bit())
    }

    /// The set without those of another.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether it is in it.
    #[must_use]
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & fault.bit() != 0
    }

    /// Those in it, in their order.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |fault| self.has(*fault))
    }

    /// Half of them, whichever; so some worlds are quiet enough for what takes long. A wrong verdict takes away what others promise, so
    /// that few worlds have one.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let drawn = Self(u32::try_from(chance.below(1 << Fault::ALL.len())).unwrap_or_default());
        if chance.per_mille(900) { drawn.without(Self::default().with(Fault::WrongVerdict)) } else { drawn }
    }
}
