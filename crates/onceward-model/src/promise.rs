//! What must hold in every scene.

use stateright::Property;

use crate::{
    model::Onceward,
    recovery,
    scene::{Breach, Scene, Told},
};

/// A promise of the protocol, as the checker watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The shop counts at most one effect (the whole of the protocol).
    OneEffect,
    /// All callers that get a recorded answer get the same one, and it is an effect's own (L2, O1).
    OneAnswer,
    /// No key is freed while its request acted or still can (D3, L5).
    NothingFreedAlive,
    /// Nothing unfinished ages away (L7).
    NothingUnfinishedSwept,
    /// Nobody but the holder ends, renews or changes what is held, and a former holder changes nothing (L2).
    OnlyTheHoldersWord,
    /// What is done stays as it is until its retention is over (O1, T1).
    OutcomesStay,
    /// An answer after a verdict of absence raises the alarm (L13).
    AlarmsRing,
    /// From every scene there is a way on which every doubt ends and every request is answered.
    NoWedge,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OneEffect,
        Self::OneAnswer,
        Self::NothingFreedAlive,
        Self::NothingUnfinishedSwept,
        Self::OnlyTheHoldersWord,
        Self::OutcomesStay,
        Self::AlarmsRing,
        Self::NoWedge,
    ];

    /// What holds where a person may guess: the guess may be wrong, and then there are two effects.
    pub const DESPITE_GUESSES: [Self; 6] = [
        Self::OneAnswer,
        Self::NothingUnfinishedSwept,
        Self::OnlyTheHoldersWord,
        Self::OutcomesStay,
        Self::AlarmsRing,
        Self::NoWedge,
    ];

    /// The promise as a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneEffect => "the shop counts at most one effect",
            Self::OneAnswer => "all recorded answers that callers get are one effect's own, and the same",
            Self::NothingFreedAlive => "no key is freed while a request under it acted or still can",
            Self::NothingUnfinishedSwept => "nothing unfinished ages away",
            Self::OnlyTheHoldersWord => "only the holder's word changes what is held",
            Self::OutcomesStay => "an outcome stays as it is for its retention",
            Self::AlarmsRing => "an answer after a verdict of absence raises the alarm",
            Self::NoWedge => "from everywhere there is a way on which every doubt ends",
        }
    }

    pub(crate) fn property(self) -> Property<Onceward> {
        let condition: fn(&Onceward, &Scene) -> bool = match self {
            Self::OneEffect => |_, scene| scene.effects() <= 1,
            Self::OneAnswer => |_, scene| is_one_answer(scene),
            Self::NothingFreedAlive => |_, scene| scene.breach != Some(Breach::FreedAlive),
            Self::NothingUnfinishedSwept => |_, scene| scene.breach != Some(Breach::UnfinishedSwept),
            Self::OnlyTheHoldersWord => |_, scene| scene.breach != Some(Breach::ForeignWord),
            Self::OutcomesStay => |_, scene| scene.breach != Some(Breach::OutcomeLost),
            Self::AlarmsRing => |_, scene| scene.breach != Some(Breach::AlarmMissed),
            Self::NoWedge => recovery::is_possible,
        };
        Property::always(self.as_str(), condition)
    }
}

fn is_one_answer(scene: &Scene) -> bool {
    let mut told = scene.calls.iter().filter_map(|call| match call.told {
        Told::Answer(answer) | Told::Replay(answer) => Some(answer),
        // Marked: its caller knows that it may not be what the record will say (O6).
        Told::Unrecorded(_) | Told::Nothing | Told::Refusal => None,
    });
    let Some(first) = told.next() else { return true };
    let is_own = scene.calls.get(usize::from(first)).is_some_and(|call| call.effects > 0);
    is_own && told.all(|answer| answer == first)
}
