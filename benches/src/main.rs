//! Measures onceward beside its peers: in one run, interleaved, on the same work.
//!
//! `cargo xtask bench` builds and installs what this needs and calls it. `docs/benchmarks.md` says how to read what it prints.

mod bench;
mod figures;
mod h2load;
mod http;
mod peer;
mod plan;
mod present;
mod rounds;
mod server;
mod stand;
mod target;
mod wrk;

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, bail};

use crate::{
    bench::Bench,
    plan::Plan,
    present::{Conditions, Report},
    stand::Stand,
};

/// The arguments make no sense.
const USAGE: u8 = 2;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    benches: Vec<Bench>,
    plan: Plan,
    is_json: bool,
    onceward: PathBuf,
    scratch: PathBuf,
}

fn main() -> ExitCode {
    let wanted = match Wanted::parse(env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(USAGE);
        }
    };
    match run(&wanted) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every rate is one. A number that was not reached is a finding, and no failure.
fn run(wanted: &Wanted) -> anyhow::Result<bool> {
    let stand = Stand::new(wanted.onceward.clone(), &wanted.scratch)?;
    let conditions = Conditions::here(&wanted.plan);
    let mut is_valid = true;
    for bench in &wanted.benches {
        let cases = bench.cases(&stand, &wanted.plan).with_context(|| bench.name().to_owned())?;
        let measured = cases.iter().map(|case| rounds::measure(bench.name(), case, &wanted.plan)).collect();
        let report = Report { bench: bench.name(), about: bench.about(), conditions: &conditions, measured };
        is_valid &= report.is_valid();
        let text = if wanted.is_json { report.json() } else { report.text() };
        writeln!(io::stdout(), "{text}")?;
    }
    Ok(is_valid)
}

impl Wanted {
    fn parse(arguments: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut arguments = arguments.into_iter();
        let (mut benches, mut plan, mut is_json) = (Vec::new(), Plan::FULL, false);
        let (mut onceward, mut scratch) = (None, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--smoke" => plan = Plan::SMOKE,
                "--json" => is_json = true,
                "--onceward" => onceward = arguments.next().map(PathBuf::from),
                "--scratch" => scratch = arguments.next().map(PathBuf::from),
                name => match Bench::named(name) {
                    Some(bench) => benches.push(bench),
                    None => bail!("there is no benchmark `{name}`; there are {}", Bench::names()),
                },
            }
        }
        if benches.is_empty() {
            benches = Bench::ALL.to_vec();
        }
        let onceward = onceward.context("--onceward FILE is missing: the built command")?;
        let scratch = scratch.context("--scratch DIR is missing: a folder on the disk that matters")?;
        Ok(Self { benches, plan, is_json, onceward, scratch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wanted, String> {
        Wanted::parse(line.split_whitespace().map(str::to_owned)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn without_names_all_are_run() {
        let expected = Wanted {
            benches: vec![Bench::Layer, Bench::Actix, Bench::Gateway, Bench::Store, Bench::Shared],
            plan: Plan::SMOKE,
            is_json: true,
            onceward: "o".into(),
            scratch: "s".into(),
        };
        assert_eq!(parse("--smoke --json --onceward o --scratch s"), Ok(expected));
    }

    #[test]
    fn benchmarks_are_run_in_the_order_in_which_they_are_named() {
        let wanted = parse("store layer --onceward o --scratch s").unwrap();
        assert_eq!((wanted.benches, wanted.plan), (vec![Bench::Store, Bench::Layer], Plan::FULL));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let unknown = "there is no benchmark `stroe`; there are layer, actix, gateway, store, shared";
        assert_eq!(parse("stroe --onceward o --scratch s"), Err(unknown.to_owned()));
        assert_eq!(
            parse("store --onceward"),
            Err("--onceward FILE is missing: the built command".to_owned())
        );
    }
}
