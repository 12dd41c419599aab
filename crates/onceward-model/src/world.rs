//! What a world of the model consists of: how many take part, what may go wrong, and which rules they follow.

use core::time::Duration;

use onceward_core::record::{AfterRetention, OnLapse, OnMismatch, Terms};

/// Requests that one world has room for, all with one key and for one wish.
pub const CALLS_MAX: usize = 3;

/// One world: everything that may happen in it follows from these.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// What it is called in the page and in tests.
    pub name: &'static str,
    /// What it shows, as one sentence.
    pub about: &'static str,
    /// Requests with the key, 1 to [`CALLS_MAX`]. All but the first are repeats.
    pub calls: u8,
    /// Gateways, 1 or 2. The requests go through them in turn.
    pub gateways: u8,
    /// What the shop does with the requests that reach it.
    pub origin: Origin,
    /// What the store keeps.
    pub tier: Tier,
    /// What goes wrong, and how often at the most.
    pub faults: Faults,
    /// What is done about it.
    pub rules: Rules,
}

/// What an origin does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Each request that reaches it has its effect.
    Opaque,
    /// It honours the key itself: one effect, and its answer for every repeat.
    Keyed,
    /// The effect commits in one transaction with the outcome's record, or not at all.
    Transactional,
}

/// What a store keeps of what it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// All of it, for any number of gateways.
    Keeps,
    /// All of it, for the one process that opened its file and takes it along when it dies (L10).
    OneProcess,
    /// A replica takes over that may lack the last writes.
    LosesLastWrites,
}

/// What may go wrong, and how often. A connection may break whenever there is one, and time passes.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A gateway dies.
    pub crashes: u8,
    /// A message to the store stays on its way while its sender goes on, repeats it, or dies.
    pub delays: u8,
    /// The store's replica takes over.
    pub fail_overs: u8,
    /// A person says "absent" without having looked.
    pub guesses: u8,
    /// The owner cancels the key.
    pub cancellations: u8,
    /// Whether the store's answers may be lost, any number of times, after what they answer was done.
    pub lost_answers: bool,
    /// Whether the shop may refuse with proof that nothing happened, and a connection may fail before a byte is written.
    pub proofs: bool,
}

impl Faults {
    /// Nothing but broken connections and time.
    pub const FEW: Self = Self {
        crashes: 0,
        delays: 0,
        fail_overs: 0,
        guesses: 0,
        cancellations: 0,
        lost_answers: false,
        proofs: false,
    };
}

/// Who does what about it. [`Rules::PROTOCOL`] are ours; every other value is what somebody ships, or a mistake to be caught.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How a key is claimed (L1).
    pub claiming: Claiming,
    /// What a claim is called (L12).
    pub naming: Naming,
    /// What a lapsed lease means (L4).
    pub on_lapse: OnLapse,
    /// Whose word settles a claim (L2).
    pub settling: Settling,
    /// What an exchange that broke off means (L5).
    pub on_break: OnBreak,
    /// When "no such order" becomes a verdict of absence (D3).
    pub absence: Absence,
    /// Which attempt a verdict is applied to (D3).
    pub judged: Judged,
    /// What retention and the sweep remove (L7).
    pub sweeping: Sweeping,
    /// When an outcome is stored (O1).
    pub storing: Storing,
    /// Whether a holder keeps its own deadline (L12).
    pub deadline: Deadline,
    /// Where epochs come from (L14).
    pub epochs: Epochs,
    /// What a former holder's caller is told (L2).
    pub former: Former,
    /// What happens to claims when the process that held them is gone (L10).
    pub holder_gone: HolderGone,
    /// What is done about keys after a fail-over (T5).
    pub barrier: Barrier,
}

impl Rules {
    /// The protocol.
    pub const PROTOCOL: Self = Self {
        claiming: Claiming::OneStep,
        naming: Naming::EachRound,
        on_lapse: OnLapse::Doubt,
        settling: Settling::Holder,
        on_break: OnBreak::Doubt,
        absence: Absence::Settled,
        judged: Judged::AsSeen,
        sweeping: Sweeping::Finished,
        storing: Storing::BeforeAnswer,
        deadline: Deadline::Kept,
        epochs: Epochs::Rising,
        former: Former::Truth,
        holder_gone: HolderGone::Doubt,
        barrier: Barrier::UnknownAndFree,
    };

    /// What each claim of this world says about the life of its record.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms {
            lease: Duration::from_millis(LEASE_MS),
            on_lapse: self.on_lapse,
            retention: Duration::from_millis(RETENTION_MS),
            remember: Duration::from_millis(REMEMBER_MS),
            after_retention: AfterRetention::Refuse,
            on_mismatch: OnMismatch::Refuse,
        }
    }
}

/// How long a claim holds.
pub(crate) const LEASE_MS: u64 = 10;
/// How much of it its holder uses: four fifths (L12).
pub(crate) const USABLE_MS: u64 = 8;
/// How long before its deadline a holder may renew.
pub(crate) const RENEWAL_MS: u64 = 4;
/// How long a request can still reach the shop after its sender's socket closed: what a resolver waits before it looks (D3).
pub(crate) const SETTLING_MS: u64 = 5;
/// How long an outcome is kept; long beside everything that happens in an exchange.
pub(crate) const RETENTION_MS: u64 = 1_000;
/// How long a key is remembered.
pub(crate) const REMEMBER_MS: u64 = 100_000;
/// No message is on its way for so long.
pub(crate) const FAR_MS: u64 = 500;

/// How a key is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claiming {
    /// In one atomic step.
    OneStep,
    /// By a look whether it is free, and a write later.
    CheckThenLock,
}

/// What a claim is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By a name of its own for each round of asking, the same at each repetition within it.
    EachRound,
    /// By one name for all rounds, though the deadline begins anew with each.
    EachRequest,
}

/// Whose word settles a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// The holder's, known by epoch and attempt.
    Holder,
    /// Anybody's who says that it ran.
    Anybody,
}

/// What an exchange that broke off means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreak {
    /// Doubt.
    Doubt,
    /// That nothing happened.
    Release,
}

/// When "no such order" becomes a verdict of absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// When it is said after the holder is gone, its socket closed, and the settling time passed.
    Settled,
    /// When all of that holds by the time of the verdict, whenever the shop was asked.
    SettledMeanwhile,
    /// At once.
    AtOnce,
    /// Never: nobody dares.
    Never,
}

/// Which attempt a verdict is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The one that was looked at.
    AsSeen,
    /// Whichever is in doubt.
    Latest,
}

/// What retention and the sweep remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweeping {
    /// What is finished.
    Finished,
    /// Every key that is old enough.
    Everything,
}

/// When an outcome is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storing {
    /// Before its caller gets it.
    BeforeAnswer,
    /// Afterwards, while the key is free again.
    AfterAnswer,
}

/// Whether a holder keeps its own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Past it, it sends nothing, and its socket is closed.
    Kept,
    /// The same, counted from the last time that it repeated its claim.
    OfRepetition,
    /// It goes on as if it held the claim.
    Ignored,
}

/// Where epochs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epochs {
    /// A source that never goes back.
    Rising,
    /// The row, which counts from one again once it was deleted.
    FromRow,
}

/// What a former holder's caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    /// What the record says.
    Truth,
    /// The former holder's own answer.
    OwnAnswer,
}

/// What happens to the claims of a process that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderGone {
    /// They are in doubt.
    Doubt,
    /// They are free.
    Free,
}

/// What is done about keys after a fail-over that may have lost writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// An older key is refused where it has no record, or a free one that was last claimed before the fail-over: a later claim may be
    /// among what was lost.
    UnknownAndFree,
    /// An older key is refused where it has no record, or one that was freed before the fail-over.
    UnknownAndFreedBefore,
    /// An older key is refused where it has no record.
    Unknown,
    /// Nothing: nobody noticed.
    Unnoticed,
}
