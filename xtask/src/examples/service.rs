//! A service that runs for as long as it is asked.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader},
    process::{Child, ExitStatus},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use crate::run::{Program, ProgramError};

/// How long a service may take until it listens; installing what it stands on takes most of it.
const START_TIME_MAX: Duration = Duration::from_secs(180);

/// How long it may take to end after it was told to.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// A process that listens. Dropped before it has stopped, it is killed.
pub(super) struct Service {
    child: Child,
    address: String,
    /// What it prints; the end of it is the end of the process.
    lines: Receiver<String>,
}

/// Why there is no service, or what was wrong with its end.
#[derive(Debug)]
pub(super) enum ServiceError {
    Program(ProgramError),
    Output(io::Error),
    /// It ended, or took too long, before it said where it listens.
    NotListening,
    /// It did not end when it was told to.
    NotStopping,
    /// It ended, but not well.
    Failed(ExitStatus),
}

impl Service {
    /// Starts a program that prints `listening on http://ADDRESS`.
    pub(super) fn start(program: Program) -> Result<Self, ServiceError> {
        let (mut child, stdout) = program.spawn().map_err(ServiceError::Program)?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        match address(&lines) {
            Some(address) => Ok(Self { child, address, lines }),
            None => {
                child.kill().and_then(|()| child.wait()).map_err(ServiceError::Output)?;
                Err(ServiceError::NotListening)
            }
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Tells it to end, as a supervisor would, and waits until it has.
    pub(super) fn stop(mut self) -> Result<(), ServiceError> {
        let signal = format!("kill -TERM {}", self.child.id());
        Program::new("sh", &["-c", &signal]).run().map_err(ServiceError::Program)?;
        let deadline = Instant::now() + STOP_TIME_MAX;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => eprintln!("{line}"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(ServiceError::NotStopping),
            }
        }
        let status = self.child.wait().map_err(ServiceError::Output)?;
        if status.success() { Ok(()) } else { Err(ServiceError::Failed(status)) }
    }
}

fn address(lines: &Receiver<String>) -> Option<String> {
    let deadline = Instant::now() + START_TIME_MAX;
    loop {
        let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        eprintln!("{line}");
        if let Some(address) = line.strip_prefix("listening on http://") {
            return Some(address.to_owned());
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended is not killed.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the service at {} was not ended: {error}", self.address);
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(error) => error.fmt(f),
            Self::Output(error) => write!(f, "the service cannot be waited for: {error}"),
            Self::NotListening => f.write_str("the service does not say where it listens"),
            Self::NotStopping => {
                write!(f, "the service still runs {} s after SIGTERM", STOP_TIME_MAX.as_secs())
            }
            Self::Failed(status) => write!(f, "the service ended at SIGTERM with {status}"),
        }
    }
}

impl std::error::Error for ServiceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(script: &str) -> Result<Service, ServiceError> {
        Service::start(Program::new("sh", &["-c", script]))
    }

    /// Waits for the signal in a builtin, so that no other process is left holding the output.
    const LISTENING: &str = "echo setting up; echo listening on http://127.0.0.1:80;";

    #[test]
    fn a_service_says_where_it_listens_and_ends_when_told() {
        let good = service(&format!("trap 'exit 0' TERM; {LISTENING} while :; do :; done")).unwrap();
        assert_eq!(good.address(), "127.0.0.1:80");
        assert!(good.stop().is_ok());
        let bad = service(&format!("trap 'exit 3' TERM; {LISTENING} while :; do :; done")).unwrap();
        assert_eq!(bad.stop().unwrap_err().to_string(), "the service ended at SIGTERM with exit status: 3");
    }

    #[test]
    fn a_service_that_ends_at_once_is_none() {
        let error = service("echo no").map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the service does not say where it listens");
    }
}
