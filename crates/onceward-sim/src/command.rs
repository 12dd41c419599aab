//! The command line.

use std::fmt;

use onceward_sim::{Fault, Faults};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Lives seeded worlds until one breaks, and tells that one with as few faults as it takes.

Options:
  --seeds N         How many worlds; as many as the tests live, unless --minutes is given
  --from SEED       The first seed; 0 unless given
  --minutes M       Ends after so long
  --threads N       On how many threads; one a processor unless given
  --without FAULTS  Leaves out kinds of faults, by their names, with commas between
  --json            One object
  --page            Prints the tables of docs/evidence.md

Exit status: 0 all worlds held, 1 one broke, 2 the arguments make no sense.
";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Page,
    Torture(Torture),
}

/// How many worlds, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Torture {
    pub(crate) seeds: Option<u64>,
    pub(crate) from: u64,
    pub(crate) minutes: Option<u64>,
    pub(crate) threads: Option<usize>,
    pub(crate) without: Faults,
    pub(crate) is_json: bool,
}

/// Arguments that make no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UsageFault {
    ArgumentUnknown(String),
    NumberMissing(String),
    FaultUnknown(String),
}

impl Command {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageFault> {
        let mut arguments = arguments.into_iter();
        let mut torture = Torture::default();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let number = arguments.next().and_then(|value| value.parse::<u64>().ok());
                number.ok_or_else(|| UsageFault::NumberMissing(argument.clone()))
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--page" => return Ok(Self::Page),
                "--json" => torture.is_json = true,
                "--seeds" => torture.seeds = Some(number()?),
                "--from" => torture.from = number()?,
                "--minutes" => torture.minutes = Some(number()?),
                "--threads" => torture.threads = usize::try_from(number()?).ok(),
                "--without" => torture.without = faults(&arguments.next().unwrap_or_default())?,
                _ => return Err(UsageFault::ArgumentUnknown(argument)),
            }
        }
        Ok(Self::Torture(torture))
    }
}

fn faults(names: &str) -> Result<Faults, UsageFault> {
    names.split(',').try_fold(Faults::default(), |faults, name| match Fault::of_name(name) {
        Some(fault) => Ok(faults.with(fault)),
        None => Err(UsageFault::FaultUnknown(name.to_owned())),
    })
}

impl fmt::Display for UsageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArgumentUnknown(argument) => write!(f, "`{argument}` is not expected here"),
            Self::NumberMissing(option) => write!(f, "{option} needs a number"),
            Self::FaultUnknown(name) => {
                let names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
                write!(f, "there is no fault `{name}`; there are {}", names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, UsageFault> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_and_their_values() {
        let all = Torture {
            seeds: Some(1_000),
            from: 7,
            minutes: Some(3),
            threads: Some(2),
            without: Faults::default().with(Fault::Crash).with(Fault::LostAnswer),
            is_json: true,
        };
        let cases = [
            ("", Ok(Command::Torture(Torture::default()))),
            (
                "--seeds 1000 --from 7 --minutes 3 --threads 2 --without lost-answer,crash --json",
                Ok(Command::Torture(all)),
            ),
            ("--seeds 3 --help", Ok(Command::Help)),
            ("--page", Ok(Command::Page)),
            ("--seeds", Err(UsageFault::NumberMissing("--seeds".to_owned()))),
            ("--from x", Err(UsageFault::NumberMissing("--from".to_owned()))),
            ("--without crsh", Err(UsageFault::FaultUnknown("crsh".to_owned()))),
            ("--fast", Err(UsageFault::ArgumentUnknown("--fast".to_owned()))),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
