//! One module a command.

pub(crate) mod ca;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod demo;
mod doors;
pub(crate) mod effects;
pub(crate) mod gateway;
mod meeting;
pub(crate) mod proxy;
pub(crate) mod resolve;
mod serving;
pub(crate) mod shell;
pub(crate) mod store;

use std::{
    io::{self, BufRead, ErrorKind, IsTerminal, Write},
    ops::ControlFlow,
};

use serde::Serialize;

use crate::failure::Failure;

/// Writes text to standard output; a closed pipe ends quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_on(text).map(drop)
}

/// Writes text of which more may come; breaks off where nobody reads on.
pub(crate) fn print_on(text: &str) -> Result<ControlFlow<()>, Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// Writes one JSON value as a line to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value).map_err(Failure::failed)?;
    line.push('\n');
    print(&line)
}

/// Asks the person at the terminal whether to do what is never taken back.
///
/// # Errors
/// Where there is no terminal: who runs it in a script says `--yes`.
pub(crate) fn confirmed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let hint = "this is never taken back; run it on a terminal, or with --yes";
        return Err(Failure::usage(anyhow::anyhow!(hint)));
    }
    let mut answer = String::new();
    write!(io::stderr(), "{question} [y/N] ").map_err(Failure::failed)?;
    io::stdin().lock().read_line(&mut answer).map_err(Failure::failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A runtime for a command that waits for others.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
