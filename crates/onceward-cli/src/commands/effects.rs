//! `onceward effects`.
use std::process::ExitCode;
use clap::ArgMatches;
use crate::{failure::Failure, settings::Settings};
pub(crate) fn run(_: &str, _: &Settings, _: &ArgMatches) -> Result<ExitCode, Failure> { Ok(ExitCode::SUCCESS) }
