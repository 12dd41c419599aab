//! Lives through storms and says how it went: `cargo xtask storm`.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use onceward_storm::Storm;
use onceward_testbed::{
    mysql::Mysql,
    postgres::Postgres,
    redis::{Keeping, Redis},
};

const HELP: &str = "\
Real gateways over real stores, killed at each stage of a call and at any moment, and frozen past their lease, while clients repeat. What
each client saw must be what one record can have told, and the service must have booked nothing twice.

Usage: onceward-storm PROGRAM [OPTION…]

Options:
  --minutes M   Goes on with the next seed, over one store after the other, until so long has passed; one round unless given
  --seed N      The first seed; 0 unless given

Exit status: 0 all storms were explained, 1 one was not, 2 the arguments make no sense.
";

/// The arguments make no sense.
const USAGE: u8 = 2;

/// What is asked for.
struct Asked {
    program: PathBuf,
    minutes: u64,
    seed: u64,
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let Some(asked) = parse(&arguments) else {
        eprint!("{HELP}");
        return Ok(ExitCode::from(USAGE));
    };
    let (began, time) = (Instant::now(), Duration::from_secs(60 * asked.minutes));
    for seed in asked.seed.. {
        for store in ["sqlite", "postgres", "mysql", "redis"] {
            let report = storm(&asked, store, seed).with_context(|| format!("{store}, seed {seed}"))?;
            println!("{store}, seed {seed}: {report}");
        }
        if began.elapsed() >= time {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(arguments: &[String]) -> Option<Asked> {
    let (program, options) = arguments.split_first()?;
    let mut asked = Asked { program: program.into(), minutes: 0, seed: 0 };
    for option in options.chunks(2) {
        let [name, value] = option else { return None };
        match name.as_str() {
            "--minutes" => asked.minutes = value.parse().ok()?,
            "--seed" => asked.seed = value.parse().ok()?,
            _ => return None,
        }
    }
    Some(asked)
}

/// One storm over a server that is its own.
fn storm(asked: &Asked, store: &str, seed: u64) -> Result<onceward_storm::Report> {
    let run = |store| Storm { program: asked.program.clone(), store, seed }.run();
    match store {
        "postgres" => run(Some(Postgres::start(&[])?.url())),
        "mysql" => {
            let server = Mysql::start(&[])?;
            server.execute("CREATE DATABASE shop")?;
            run(Some(server.url("root", "shop")))
        }
        "redis" => run(Some(Redis::start(Keeping::Always, &[])?.url())),
        _ => run(None),
    }
}
