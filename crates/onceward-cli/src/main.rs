//! The command `onceward`: arguments to configuration to wiring, no rules of its own.

mod cli;
mod commands;
#[cfg(feature = "crash-points")]
mod crash_point;
mod failure;
mod secret;
mod settings;
mod wiring;

use std::{io::IsTerminal, process::ExitCode};

use clap::ArgMatches;
use tracing_subscriber::EnvFilter;

use crate::{failure::Failure, settings::Settings};

/// A request is some sixty small allocations, made and freed on one thread: mimalloc takes a third of the time over
/// them that glibc takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    if let Err(error) = start_log(&matches) {
        return Failure::usage(error).report();
    }
    match run(&matches) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    match matches.subcommand() {
        Some(("demo", demo)) => commands::demo::run(demo),
        Some(("proxy", proxy)) => commands::proxy::run(&resolved(proxy)?, is_json(proxy)),
        Some(("gateway", gateway)) => commands::gateway::run(&resolved(gateway)?, is_json(gateway)),
        Some(("check", check)) => commands::check::run(check),
        Some(("ca", ca)) => match ca.subcommand() {
            Some(("show", show)) => commands::ca::show(&resolved(show)?, is_json(show)),
            Some(("export", export)) => commands::ca::export(&resolved(export)?, export),
            Some(("trust", trust)) => commands::ca::trust(&resolved(trust)?, trust),
            Some(_) | None => Ok(ExitCode::SUCCESS),
        },
        Some(("effects", effects)) => match effects.subcommand() {
            Some((name, command)) => commands::effects::run(name, &resolved(command)?, command),
            None => Ok(ExitCode::SUCCESS),
        },
        Some(("resolve", resolve)) => match resolve.subcommand() {
            Some(("recipes", recipes)) => commands::resolve::recipes(is_json(recipes)),
            Some(("try", attempt)) => commands::resolve::attempt(attempt),
            Some(_) | None => Ok(ExitCode::SUCCESS),
        },
        Some(("store", store)) => match store.subcommand() {
            Some(("migrate", migrate)) => commands::store::migrate(&resolved(migrate)?, migrate),
            Some(("verify", verify)) => commands::store::verify(&resolved(verify)?, is_json(verify)),
            Some(("barrier", barrier)) => commands::store::barrier(&resolved(barrier)?, barrier),
            Some(("stats", stats)) => commands::store::stats(&resolved(stats)?, is_json(stats)),
            Some(_) | None => Ok(ExitCode::SUCCESS),
        },
        Some(("config", config)) => match config.subcommand() {
            Some(("check", check)) => commands::config::check(&resolved(check)?, is_json(check)),
            Some(("print", print)) => commands::config::print(&resolved(print)?, is_json(print)),
            Some(_) | None => Ok(ExitCode::SUCCESS),
        },
        Some(("completions", completions)) => commands::shell::completions(completions),
        Some(("man", _)) => commands::shell::man(),
        // clap requires one of the above.
        Some(_) | None => Ok(ExitCode::SUCCESS),
    }
}

fn resolved(matches: &ArgMatches) -> Result<Settings, Failure> {
    Settings::resolve(matches).map_err(Failure::usage)
}

fn is_json(matches: &ArgMatches) -> bool {
    matches.get_flag("json")
}

/// Logs go to standard error: for people on a terminal, as JSON lines otherwise.
fn start_log(matches: &ArgMatches) -> anyhow::Result<()> {
    let filter = matches.get_one::<String>("log").map_or("warn", String::as_str);
    let filter = EnvFilter::builder().parse(filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
    started.map_err(|error| anyhow::anyhow!(error))
}
