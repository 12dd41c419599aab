//! The worlds that are visited: those of the protocol, those of what others ship, those with a mistake planted, and those beyond its
//! limits.

use onceward_core::record::OnLapse;

use crate::{
    promise::Promise,
    world::{
        Absence, Barrier, Claiming, Deadline, Epochs, Faults, Former, HolderGone, Judged, Naming, OnBreak,
        Origin, Rules, Settling, Storing, Sweeping, Tier, World,
    },
};

/// A world in which one promise breaks.
#[derive(Clone, Copy, Debug)]
pub struct Broken {
    /// The world, under rules that are not the protocol's or with faults that it does not withstand.
    pub world: World,
    /// What breaks first of all that is worth a story.
    pub promise: Promise,
}

const TWO_GATEWAYS: World = World {
    name: "",
    about: "",
    calls: 2,
    gateways: 2,
    origin: Origin::Opaque,
    tier: Tier::Keeps,
    faults: Faults::FEW,
    rules: Rules::PROTOCOL,
};

/// The protocol's worlds, with what is promised in them.
pub const WORLDS: [(World, &[Promise]); 11] = [
    (
        World {
            name: "gateways that die",
            about: "One request and its repeat; gateways die twice and come back; connections may fail with proof that nothing happened.",
            faults: Faults { crashes: 2, proofs: true, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "late messages",
            about: "One request and its repeat; a gateway may die, and a message to the store may be held up, or its answer lost.",
            faults: Faults { crashes: 1, delays: 1, lost_answers: true, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "lost answers",
            about: "One request and its repeat; the store's answers are lost, and its operations repeated, any number of times; gateways die twice.",
            faults: Faults { crashes: 2, lost_answers: true, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "a cancellation",
            about: "The owner cancels the key at some moment, and again; a gateway may die.",
            faults: Faults { crashes: 1, cancellations: 2, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "a cancellation among late messages",
            about: "One request without a repeat; what it tells the store may be held up until the key is cancelled.",
            calls: 1,
            faults: Faults { crashes: 1, delays: 2, cancellations: 1, lost_answers: true, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "three requests",
            about: "One request and two repeats; so a key may be freed and taken twice.",
            calls: 3,
            faults: Faults { crashes: 1, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "one process over a file",
            about: "One gateway whose store dies and starts with it; what it held is in doubt at its next start (L10).",
            gateways: 1,
            tier: Tier::OneProcess,
            faults: Faults { crashes: 1, proofs: true, cancellations: 1, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "a fail-over that loses writes",
            about: "A replica takes over that may lack any number of the last writes; the history barrier is raised (T5).",
            calls: 3,
            tier: Tier::LosesLastWrites,
            faults: Faults { fail_overs: 1, proofs: true, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "an origin that honours the key",
            about: "A lapsed claim may simply run again (`on_lapse = execute`), for the shop itself repeats its answer.",
            origin: Origin::Keyed,
            faults: Faults { crashes: 1, ..Faults::FEW },
            rules: Rules { on_lapse: OnLapse::Execute, ..Rules::PROTOCOL },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "one transaction",
            about: "A lapsed claim may simply run again, for the effect commits together with its outcome or not at all.",
            origin: Origin::Transactional,
            faults: Faults { crashes: 1, lost_answers: true, ..Faults::FEW },
            rules: Rules { on_lapse: OnLapse::Execute, ..Rules::PROTOCOL },
            ..TWO_GATEWAYS
        },
        &Promise::ALL,
    ),
    (
        World {
            name: "a guess",
            about: "A person says once that nothing happened, without having looked, which may be wrong (H7); and the key is cancelled.",
            faults: Faults { guesses: 1, cancellations: 1, ..Faults::FEW },
            ..TWO_GATEWAYS
        },
        &Promise::DESPITE_GUESSES,
    ),
];

const fn shipped(name: &'static str, about: &'static str, rules: Rules) -> Broken {
    Broken { world: World { name, about, rules, ..TWO_GATEWAYS }, promise: Promise::OneEffect }
}

/// What others ship, each as one change to the protocol's rules.
pub const SHIPPED: [Broken; 7] = [
    shipped(
        "a lock with a time to live",
        "The key is locked for a while; when the while is over, the next request runs. Common as a lock in a cache.",
        Rules {
            on_lapse: OnLapse::Execute,
            settling: Settling::Anybody,
            deadline: Deadline::Ignored,
            ..Rules::PROTOCOL
        },
    ),
    shipped(
        "a fence that is checked on completion",
        "A token keeps the former holder from writing its outcome. It does not keep its request from the shop.",
        Rules { on_lapse: OnLapse::Execute, ..Rules::PROTOCOL },
    ),
    shipped(
        "reconciliation by query",
        "After an exchange that broke off, the shop is asked; where it has no such order, the request runs again at once.",
        Rules { absence: Absence::AtOnce, ..Rules::PROTOCOL },
    ),
    shipped(
        "purge and forget",
        "Keys are deleted when they are old enough, whatever became of them.",
        Rules { sweeping: Sweeping::Everything, ..Rules::PROTOCOL },
    ),
    shipped(
        "release on any error",
        "An exchange without an answer frees the key, so that the client can try again.",
        Rules { on_break: OnBreak::Release, ..Rules::PROTOCOL },
    ),
    shipped(
        "check, then lock",
        "Whether the key is known is read in one step, and that it is taken is written in another.",
        Rules { claiming: Claiming::CheckThenLock, ..Rules::PROTOCOL },
    ),
    shipped(
        "an answer that is stored after it was sent",
        "The lock goes with the request, and the answer is stored behind its back, so that nobody waits for the store.",
        Rules { storing: Storing::AfterAnswer, ..Rules::PROTOCOL },
    ),
];

const fn planted(name: &'static str, about: &'static str, rules: Rules) -> World {
    World { name, about, rules, ..TWO_GATEWAYS }
}

/// Mistakes in the use of the record machine, each of which the checker finds.
pub const PLANTED: [Broken; 14] = [
    Broken {
        world: World {
            faults: Faults { delays: 1, ..Faults::FEW },
            ..planted(
                "one name for every round of asking",
                "Whoever was told to wait and asks again inherits what a late copy of its first claim was granted (against L12).",
                Rules { naming: Naming::EachRequest, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::NothingFreedAlive,
    },
    Broken {
        world: World {
            calls: 3,
            faults: Faults { proofs: true, ..Faults::FEW },
            ..planted(
                "the epoch is ignored at the end of a claim",
                "Whoever says that it ran ends the claim (against L2).",
                Rules { settling: Settling::Anybody, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: planted(
            "a look from before the settling time",
            "The verdict waits for the settling time; the look that it rests on did not (against D3).",
            Rules { absence: Absence::SettledMeanwhile, ..Rules::PROTOCOL },
        ),
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            calls: 3,
            ..planted(
                "a verdict for whoever is in doubt",
                "A verdict does not name the attempt that was looked at (against D3).",
                Rules { judged: Judged::Latest, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: planted(
            "a holder without a deadline of its own",
            "It sends what it has to send, however long that took (against L12).",
            Rules { deadline: Deadline::Ignored, ..Rules::PROTOCOL },
        ),
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            faults: Faults { lost_answers: true, ..Faults::FEW },
            ..planted(
                "a deadline that begins with the repeated claim",
                "The first copy of a claim was written and its answer lost; the holder counts from the second (against L12).",
                Rules { deadline: Deadline::OfRepetition, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            calls: 3,
            ..planted(
                "epochs from the row",
                "A row that was deleted counts from one again (against L14).",
                Rules { epochs: Epochs::FromRow, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            gateways: 1,
            tier: Tier::OneProcess,
            faults: Faults { crashes: 1, ..Faults::FEW },
            ..planted(
                "a process that is gone frees what it held",
                "At the next start its claims are taken for not sent (against L10).",
                Rules { holder_gone: HolderGone::Free, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            calls: 3,
            tier: Tier::LosesLastWrites,
            faults: Faults { fail_overs: 1, proofs: true, ..Faults::FEW },
            ..planted(
                "a free record counts as known",
                "Behind the history barrier, only a key without any record is refused (against T5).",
                Rules { barrier: Barrier::Unknown, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            calls: 3,
            tier: Tier::LosesLastWrites,
            faults: Faults { fail_overs: 1, proofs: true, ..Faults::FEW },
            ..planted(
                "a key that was freed behind the barrier counts as known",
                "Who frees it speaks of the claim that the replica knows, not of a later one that was lost (against T5).",
                Rules { barrier: Barrier::UnknownAndFreedBefore, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            faults: Faults { guesses: 1, ..Faults::FEW },
            ..planted(
                "a former holder's own answer",
                "It goes to its caller, whatever the record says (against L2).",
                Rules { former: Former::OwnAnswer, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneAnswer,
    },
    Broken {
        world: planted(
            "a foreign word that changes what is held",
            "Whoever says that it ran ends the claim; seen where it happens, before it does harm (against L2).",
            Rules { settling: Settling::Anybody, ..Rules::PROTOCOL },
        ),
        promise: Promise::OnlyTheHoldersWord,
    },
    Broken {
        world: planted(
            "a sweep that takes what is unfinished",
            "What is old enough goes, also what is in doubt; seen where it happens, before it does harm (against L7).",
            Rules { sweeping: Sweeping::Everything, ..Rules::PROTOCOL },
        ),
        promise: Promise::NothingUnfinishedSwept,
    },
    Broken {
        world: planted(
            "a doubt that nobody may end",
            "No look is ever taken for a proof that nothing happened.",
            Rules { absence: Absence::Never, ..Rules::PROTOCOL },
        ),
        promise: Promise::NoWedge,
    },
];

/// What the protocol does not withstand.
pub const LIMITS: [Broken; 3] = [
    Broken {
        world: World {
            faults: Faults { guesses: 1, ..Faults::FEW },
            ..planted(
                "a wrong verdict",
                "A person says that nothing happened, and is wrong (H7).",
                Rules::PROTOCOL,
            )
        },
        promise: Promise::OneEffect,
    },
    Broken {
        world: World {
            calls: 3,
            faults: Faults { guesses: 2, ..Faults::FEW },
            ..planted(
                "two wrong verdicts",
                "A record remembers the latest attempt that a verdict overruled, and no earlier one.",
                Rules::PROTOCOL,
            )
        },
        promise: Promise::AlarmsRing,
    },
    Broken {
        world: World {
            tier: Tier::LosesLastWrites,
            faults: Faults { fail_overs: 1, ..Faults::FEW },
            ..planted(
                "a loss that nobody notices",
                "A replica takes over without the last writes, and nothing says so.",
                Rules { barrier: Barrier::Unnoticed, ..Rules::PROTOCOL },
            )
        },
        promise: Promise::OneEffect,
    },
];
