//! `onceward completions` and `onceward man`: from the same definitions as the help.

use std::process::ExitCode;

use clap::ArgMatches;
use clap_complete::Shell;

use crate::{cli, commands::print, failure::Failure};

pub(crate) fn completions(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut cli::command(), "onceward", &mut script);
        print(&String::from_utf8_lossy(&script))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man() -> Result<ExitCode, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(cli::command()).render(&mut page).map_err(Failure::failed)?;
    print(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::SUCCESS)
}
