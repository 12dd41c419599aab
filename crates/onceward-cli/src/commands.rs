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

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Writes text to standard output; a closed pipe ends quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes one JSON value as a line to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value).map_err(Failure::failed)?;
    line.push('\n');
    print(&line)
}

/// A runtime for a command that waits for others.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
