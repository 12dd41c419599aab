//! `onceward demo`.
use crate::failure::Failure;
use clap::ArgMatches;
use std::process::ExitCode;
pub(crate) fn run(_: &ArgMatches) -> Result<ExitCode, Failure> {
    Ok(ExitCode::SUCCESS)
}
