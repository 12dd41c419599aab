//! The scripts, each with the check of the server in front of it.

/// What the server is asked to do in one atomic step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Append,
    Clock,
    Correct,
    Exchange,
    Fetch,
    Found,
    Founded,
    Horizon,
    Judge,
    Look,
    Probe,
    Quarantine,
    Raise,
    Read,
    Survey,
    Trim,
    Vanish,
    Walk,
}

macro_rules! guarded {
    ($name:literal) => {
        concat!(include_str!("scripts/prelude.lua"), include_str!(concat!("scripts/", $name, ".lua")))
    };
}

impl Script {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 18] = [
        Self::Append,
        Self::Clock,
        Self::Correct,
        Self::Exchange,
        Self::Fetch,
        Self::Found,
        Self::Founded,
        Self::Horizon,
        Self::Judge,
        Self::Look,
        Self::Probe,
        Self::Quarantine,
        Self::Raise,
        Self::Read,
        Self::Survey,
        Self::Trim,
        Self::Vanish,
        Self::Walk,
    ];

    pub(super) const fn source(self) -> &'static str {
        match self {
            Self::Append => guarded!("append"),
            Self::Clock => guarded!("clock"),
            Self::Correct => guarded!("correct"),
            Self::Exchange => guarded!("exchange"),
            Self::Fetch => guarded!("fetch"),
            Self::Found => guarded!("found"),
            Self::Founded => guarded!("founded"),
            Self::Horizon => guarded!("horizon"),
            Self::Judge => guarded!("judge"),
            Self::Look => guarded!("look"),
            Self::Probe => guarded!("probe"),
            Self::Quarantine => guarded!("quarantine"),
            Self::Raise => guarded!("raise"),
            Self::Read => guarded!("read"),
            Self::Survey => guarded!("survey"),
            Self::Trim => guarded!("trim"),
            Self::Vanish => guarded!("vanish"),
            Self::Walk => guarded!("walk"),
        }
    }

    /// Whether an answer to it has to be as durable as the store promises.
    pub(super) const fn writes(self) -> bool {
        match self {
            Self::Append
            | Self::Exchange
            | Self::Found
            | Self::Founded
            | Self::Judge
            | Self::Raise
            | Self::Vanish => true,
            Self::Clock
            | Self::Correct
            | Self::Fetch
            | Self::Horizon
            | Self::Look
            | Self::Probe
            | Self::Quarantine
            | Self::Read
            | Self::Survey
            | Self::Trim
            | Self::Walk => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Script;

    /// Words in capitals that are no commands.
    const OTHERS: [&str; 5] = ["LIMIT", "NOPERM", "NX", "WITHSCORES", "XX"];

    fn commands(script: Script) -> impl Iterator<Item = &'static str> {
        let capitals = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        script.source().split('\'').filter(capitals).filter(|word| !OTHERS.contains(word))
    }

    #[test]
    fn the_right_to_each_command_of_a_script_is_probed() {
        let others = Script::ALL.into_iter().filter(|script| *script != Script::Probe);
        let used: BTreeSet<_> = others.flat_map(commands).collect();
        assert_eq!(commands(Script::Probe).collect::<BTreeSet<_>>(), used);
    }
}
