//! A child process that serves, and what may be done to it.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start serving. A first start creates its files, on a loaded machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How often a starting server is asked whether it serves yet.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its program is not on this machine.
    #[error("{program} is not installed; install it with: apt-get install {package}")]
    Missing {
        /// What was looked for.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The system refused something.
    #[error("{doing} failed")]
    System {
        /// What was tried.
        doing: String,
        /// Why not.
        source: io::Error,
    },
    /// It ended, or did not serve in time.
    #[error("{program} does not serve: {finding}; its log is at {}", log.display())]
    Mute {
        /// Its program.
        program: String,
        /// What was seen.
        finding: String,
        /// Where it writes to.
        log: PathBuf,
    },
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    program: String,
    child: Child,
    log: PathBuf,
    address: SocketAddr,
}

impl Server {
    /// Starts `command`, whose server will listen at `address` and whose output goes to `log`, and waits until `serves` says so.
    ///
    /// # Errors
    /// When it cannot be started, ends early, or does not serve within a minute.
    pub fn start(
        mut command: Command,
        address: SocketAddr,
        log: &Path,
        mut serves: impl FnMut() -> bool,
    ) -> Result<Self, ServerError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = File::options().create(true).append(true).open(log).map_err(system("opening a log"))?;
        let errors = output.try_clone().map_err(system("opening a log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(system(&format!("starting {program}")))?;
        let mut server = Self { program, child, log: log.to_owned(), address };
        let began = Instant::now();
        loop {
            if TcpStream::connect_timeout(&address, LOOK_PERIOD).is_ok() && serves() {
                return Ok(server);
            }
            if let Some(status) = server.ended()? {
                return Err(server.mute(format!("it ended with {status}")));
            }
            if began.elapsed() > START_TIME_MAX {
                return Err(server.mute(format!("nothing after {} s", START_TIME_MAX.as_secs())));
            }
            thread::sleep(LOOK_PERIOD);
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it without a warning (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        self.child.kill().map_err(system("killing a server"))?;
        self.child.wait().map(drop).map_err(system("waiting for a server"))
    }

    /// Asks it to end (`signal`), and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus, ServerError> {
        self.signal(signal)?;
        self.child.wait().map_err(system("waiting for a server"))
    }

    /// Freezes it (SIGSTOP): connections stay open, nothing answers.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&self) -> Result<(), ServerError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).map_err(|error| system("signalling a server")(error.into()))
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, ServerError> {
        self.child.try_wait().map_err(system("looking at a server"))
    }

    fn mute(&self, finding: String) -> ServerError {
        ServerError::Mute { program: self.program.clone(), finding, log: self.log.clone() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and there is nobody left to tell.
        drop(self.kill());
    }
}

/// An address on loopback that nothing listens at. Another process may take it before its server does; then that one says so.
///
/// # Errors
/// When the system has none left.
pub(crate) fn free_address() -> Result<SocketAddr, ServerError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(system("looking for a free port"))?;
    listener.local_addr().map_err(system("looking for a free port"))
}

/// Says what was tried when the system refused.
pub(crate) fn system(doing: &str) -> impl Fn(io::Error) -> ServerError + '_ {
    move |source| ServerError::System { doing: doing.to_owned(), source }
}
