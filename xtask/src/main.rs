//! The one door: `cargo xtask test` for a newcomer, `cargo xtask ci` for a machine.

mod args;
mod bench;
mod debian;
mod examples;
mod fuzz;
mod planted;
mod run;
mod steps;
mod tidy;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use args::{Command, HELP};
use steps::Workshop;

/// Something was found, or failed.
const FAILED: u8 = 1;

/// The arguments make no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match Command::parse(env::args().skip(1)) {
        Ok(Command::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Test(part)) => verdict(&steps::test(part), &workshop()),
        Ok(Command::Ci(tests)) => verdict(&steps::ci(tests), &workshop()),
        Ok(Command::Bench(benchmarks)) => told(bench::run(&benchmarks, &workshop())),
        Ok(Command::Fuzz(fuzzing)) => told(fuzz::run(&fuzzing, &workshop())),
        Ok(Command::Torture(arguments)) => ended(steps::torture(&arguments, &workshop())),
        Ok(Command::Storm(arguments)) => ended(steps::storm(&arguments, &workshop())),
        Ok(Command::Planted(names)) => told(planted::run(&names, &workshop())),
        Ok(Command::Tidy) => tidied(&workshop().root),
        Err(fault) => {
            eprintln!("{fault}\n\n{HELP}");
            ExitCode::from(USAGE)
        }
    }
}

/// The environment is read here and nowhere else.
fn workshop() -> Workshop {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest_dir.parent().unwrap_or(manifest_dir).to_owned();
    let target_dir =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Workshop { root, target_dir, cargo: PathBuf::from(cargo), path: env::var_os("PATH").unwrap_or_default() }
}

fn verdict(steps: &[steps::Step], workshop: &Workshop) -> ExitCode {
    let ended = steps::run_all(steps, workshop);
    print!("{}", steps::report(&ended));
    if ended.iter().all(|step| step.result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// What was done has told itself.
fn told(done: steps::StepResult) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Ends as the program did that was run: it knows which of its arguments make no sense.
fn ended(ran: Result<u8, run::ProgramError>) -> ExitCode {
    match ran {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(FAILED)
        }
    }
}

fn tidied(root: &Path) -> ExitCode {
    let began = Instant::now();
    match tidy::run(root) {
        Ok(()) => {
            println!("tidy: nothing found in {:.1} s", began.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            println!("tidy: {fault}");
            ExitCode::from(FAILED)
        }
    }
}
