//! The command line.

use std::{fmt, num::NonZeroU32};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
The one door to this repository.

Usage: cargo xtask COMMAND

Commands:
  test [--only PART]   Installs what the tests need, runs them all, says how long each part took.
                       Parts: rust, doc-tests, schedules, browser, demo, examples, recipes
  ci [--after-test]    fmt, tidy, clippy, docs, all of `test`, `bench --smoke`, `fuzz`; goes on after a failure and lists
                       them all. With --after-test without the tests, for a machine that has just run them
  bench [NAME…]        Measures what onceward costs beside its peers: layer, actix, gateway, store, shared; without names all.
                       Wants a quiet machine of two cores, and takes some twenty minutes.
                       With --json a line a benchmark; with --smoke a minute, to see that it works
  fuzz [NAME…]         Feeds hostile bytes to what reads them, 60 s a target and two at once; without names to all of fuzz/targets.
                       With --seconds N longer or shorter; with --keep what was found on the way goes to fuzz/corpus
  torture [OPTION…]    Lives simulated worlds, by default as many as the tests do, until one breaks; tells that one. Seeds may go on
                       for hours: --seeds N, --minutes M. From another one on: --from SEED. --help says the rest
  storm [OPTION…]      Real gateways over real stores, killed and frozen while clients repeat, until what a client saw cannot be explained.
                       For hours: --minutes M. --help says the rest
  planted [FAULT…]     Plants faults in a copy of the last commit, one at a time, and prints a table of which tests notice. Needs
                       cargo-nextest, and takes a minute or two a fault
  tidy                 The rules that no compiler knows, each finding with its place and how to mend it
  help                 This text

Examples:
  cargo xtask test
  cargo xtask test --only browser
  cargo xtask bench layer
  cargo xtask fuzz --seconds 600 json
  cargo xtask torture --minutes 60
  cargo xtask storm --minutes 60
  cargo xtask tidy

Exit status: 0 all is well, 1 something failed or was found, 2 the arguments make no sense.
";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    /// One part, or all of them.
    Test(Option<Part>),
    Ci(Tests),
    Bench(Benchmarks),
    Fuzz(Fuzzing),
    /// With what the simulation's own program is to be given; it knows its options.
    Torture(Vec<String>),
    /// The same for the storms.
    Storm(Vec<String>),
    /// The faults' names; none stands for all.
    Planted(Vec<String>),
    Tidy,
}

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Rust,
    DocTests,
    Schedules,
    Browser,
    Demo,
    Examples,
    Recipes,
}

/// Whether `ci` runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tests {
    Included,
    /// `cargo xtask test` has just run on the same tree.
    DoneBefore,
}

/// What is measured, and how. The program that measures knows the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Benchmarks {
    /// None of them stands for all.
    pub(crate) names: Vec<String>,
    pub(crate) is_smoke: bool,
    pub(crate) is_json: bool,
}

/// Which targets are fuzzed, and how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fuzzing {
    /// None of them stands for all.
    pub(crate) names: Vec<String>,
    /// Of each target.
    pub(crate) seconds: Option<NonZeroU32>,
    /// Whether the corpus is made anew with what was found.
    pub(crate) keeps: bool,
}

/// Arguments that make no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UsageFault {
    CommandMissing,
    CommandUnknown(String),
    ArgumentUnknown(String),
    PartMissing,
    PartUnknown(String),
    /// `--seconds` without a number above zero behind it.
    SecondsMissing,
}

impl Command {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageFault> {
        let mut arguments = arguments.into_iter();
        let name = arguments.next().ok_or(UsageFault::CommandMissing)?;
        match name.as_str() {
            "torture" => return Ok(Self::Torture(arguments.collect())),
            "storm" => return Ok(Self::Storm(arguments.collect())),
            "planted" => return Self::planted(arguments),
            _ => {}
        }
        let mut rest = arguments.peekable();
        if rest.peek().is_some_and(|argument| argument == "--help" || argument == "-h") {
            return Ok(Self::Help);
        }
        let command = match name.as_str() {
            "help" | "--help" | "-h" => Self::Help,
            "tidy" => Self::Tidy,
            "bench" => Self::Bench(Benchmarks::parse(&mut rest)?),
            "fuzz" => Self::Fuzz(Fuzzing::parse(&mut rest)?),
            "test" => match rest.next_if_eq("--only") {
                None => Self::Test(None),
                Some(_) => Self::Test(Some(Part::parse(rest.next())?)),
            },
            "ci" => match rest.next_if_eq("--after-test") {
                None => Self::Ci(Tests::Included),
                Some(_) => Self::Ci(Tests::DoneBefore),
            },
            _ => return Err(UsageFault::CommandUnknown(name)),
        };
        match rest.next() {
            None => Ok(command),
            Some(argument) => Err(UsageFault::ArgumentUnknown(argument)),
        }
    }
}

impl Benchmarks {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, UsageFault> {
        let mut benchmarks = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--smoke" => benchmarks.is_smoke = true,
                "--json" => benchmarks.is_json = true,
                option if option.starts_with('-') => return Err(UsageFault::ArgumentUnknown(argument)),
                _ => benchmarks.names.push(argument),
            }
        }
        Ok(benchmarks)
    }
}

impl Command {
    fn planted(names: impl Iterator<Item = String>) -> Result<Self, UsageFault> {
        let names: Vec<String> = names.collect();
        match names.iter().find(|name| name.starts_with('-')) {
            Some(help) if help == "--help" || help == "-h" => Ok(Self::Help),
            Some(option) => Err(UsageFault::ArgumentUnknown(option.clone())),
            None => Ok(Self::Planted(names)),
        }
    }
}

impl Fuzzing {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, UsageFault> {
        let mut fuzzing = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--seconds" => {
                    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
                    fuzzing.seconds = Some(seconds.ok_or(UsageFault::SecondsMissing)?);
                }
                "--keep" => fuzzing.keeps = true,
                option if option.starts_with('-') => return Err(UsageFault::ArgumentUnknown(argument)),
                _ => fuzzing.names.push(argument),
            }
        }
        Ok(fuzzing)
    }
}

impl Part {
    fn parse(name: Option<String>) -> Result<Self, UsageFault> {
        match name.as_deref() {
            Some("rust") => Ok(Self::Rust),
            Some("doc-tests") => Ok(Self::DocTests),
            Some("schedules") => Ok(Self::Schedules),
            Some("browser") => Ok(Self::Browser),
            Some("demo") => Ok(Self::Demo),
            Some("examples") => Ok(Self::Examples),
            Some("recipes") => Ok(Self::Recipes),
            Some(name) => Err(UsageFault::PartUnknown(name.to_owned())),
            None => Err(UsageFault::PartMissing),
        }
    }
}

impl fmt::Display for UsageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandMissing => f.write_str("a command is missing"),
            Self::CommandUnknown(name) => write!(f, "there is no command `{name}`"),
            Self::ArgumentUnknown(argument) => write!(f, "`{argument}` is not expected here"),
            Self::SecondsMissing => f.write_str("--seconds needs a number of seconds"),
            Self::PartMissing => f.write_str(
                "--only needs a part: rust, doc-tests, schedules, browser, demo, examples or recipes",
            ),
            Self::PartUnknown(name) => {
                write!(
                    f,
                    "there is no part `{name}`; there are rust, doc-tests, schedules, browser, demo, examples and recipes"
                )
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
    fn commands_and_their_options() {
        let cases = [
            ("test", Ok(Command::Test(None))),
            ("test --only demo", Ok(Command::Test(Some(Part::Demo)))),
            ("test --only recipes", Ok(Command::Test(Some(Part::Recipes)))),
            ("test --only doc-tests", Ok(Command::Test(Some(Part::DocTests)))),
            ("test --only schedules", Ok(Command::Test(Some(Part::Schedules)))),
            ("ci", Ok(Command::Ci(Tests::Included))),
            ("ci --after-test", Ok(Command::Ci(Tests::DoneBefore))),
            ("bench", Ok(Command::Bench(Benchmarks::default()))),
            (
                "bench layer --json store --smoke",
                Ok(Command::Bench(Benchmarks {
                    names: vec!["layer".to_owned(), "store".to_owned()],
                    is_smoke: true,
                    is_json: true,
                })),
            ),
            (
                "fuzz key --seconds 5 --keep",
                Ok(Command::Fuzz(Fuzzing {
                    names: vec!["key".to_owned()],
                    seconds: NonZeroU32::new(5),
                    keeps: true,
                })),
            ),
            ("fuzz", Ok(Command::Fuzz(Fuzzing::default()))),
            ("fuzz --seconds", Err(UsageFault::SecondsMissing)),
            ("fuzz --seconds 0", Err(UsageFault::SecondsMissing)),
            ("fuzz --keeps", Err(UsageFault::ArgumentUnknown("--keeps".to_owned()))),
            ("bench --fast", Err(UsageFault::ArgumentUnknown("--fast".to_owned()))),
            (
                "torture --seeds 9 --help",
                Ok(Command::Torture(vec!["--seeds".to_owned(), "9".to_owned(), "--help".to_owned()])),
            ),
            ("storm --minutes 9", Ok(Command::Storm(vec!["--minutes".to_owned(), "9".to_owned()]))),
            ("planted lapse-frees", Ok(Command::Planted(vec!["lapse-frees".to_owned()]))),
            ("planted --help", Ok(Command::Help)),
            ("planted --all", Err(UsageFault::ArgumentUnknown("--all".to_owned()))),
            ("tidy", Ok(Command::Tidy)),
            ("--help", Ok(Command::Help)),
            ("test --help", Ok(Command::Help)),
            ("", Err(UsageFault::CommandMissing)),
            ("tset", Err(UsageFault::CommandUnknown("tset".to_owned()))),
            ("test --only", Err(UsageFault::PartMissing)),
            ("test --only rsut", Err(UsageFault::PartUnknown("rsut".to_owned()))),
            ("tidy --after-test", Err(UsageFault::ArgumentUnknown("--after-test".to_owned()))),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
