//! A gateway in a process of its own, which is killed, frozen and started again until the weather calms down.

use std::{
    fs::File,
    net::{SocketAddr, TcpStream},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use onceward_sim::Chance;
use rustix::process::{Pid, Signal, kill_process};

use crate::report::Fate;

/// How long a claim is held unless its holder says otherwise: short, so that a frozen one outlives it.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// How long a gateway is frozen: past its lease.
const FREEZE_TIME: Duration = Duration::from_millis(1_600);

/// How long one lives before it is killed or frozen, in milliseconds.
const LIFE_MS: (u64, u64) = (100, 600);

/// How long one may take to listen, on a loaded machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// Between two looks at a process.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// Names the stage of its first call at which the program dies, where it was built with `crash-points`.
const CRASH_VARIABLE: &str = "ONCEWARD_CRASH_AT";

/// No stage.
const NOWHERE: &str = "";

/// The weather's course; each gateway begins it elsewhere.
const COURSE: [Fate; 8] = [
    Fate::Killed,
    Fate::KilledAt("before-claim"),
    Fate::KilledAt("after-claim"),
    Fate::Frozen,
    Fate::KilledAt("after-commit"),
    Fate::Killed,
    Fate::KilledAt("after-store"),
    Fate::Frozen,
];

/// What a gateway is started with, again and again, at the same address.
pub(crate) struct Gateway {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) address: SocketAddr,
    pub(crate) log: PathBuf,
}

/// A child that does not outlive the storm.
pub(crate) struct Running(Child);

impl Gateway {
    /// Lives through a course of weather, from its `from`th fate on and unless it `is_calm`, telling `met` of each fate; the gateway that
    /// stands after it.
    pub(crate) fn weather(
        &self,
        from: usize,
        chance: &mut Chance,
        is_calm: &AtomicBool,
        met: impl Fn(Fate),
    ) -> Result<Running> {
        for fate in COURSE.into_iter().cycle().skip(from).take(COURSE.len()) {
            let calm = || is_calm.load(Ordering::Acquire);
            if calm() {
                break;
            }
            let mut running = match fate {
                Fate::KilledAt(stage) => self.start(stage)?,
                Fate::Killed | Fate::Frozen => self.start(NOWHERE)?,
            };
            let life = Duration::from_millis(chance.between(LIFE_MS.0, LIFE_MS.1));
            match fate {
                Fate::KilledAt(_) => {
                    if running.died(calm)? {
                        met(fate);
                    }
                }
                Fate::Killed => {
                    thread::sleep(life);
                    met(fate);
                }
                Fate::Frozen => {
                    thread::sleep(life);
                    running.signal(Signal::STOP)?;
                    thread::sleep(FREEZE_TIME);
                    running.signal(Signal::CONT)?;
                    met(fate);
                    // Long enough to tell its callers that it came too late.
                    thread::sleep(life);
                }
            }
            // Dropped, and with that killed.
        }
        self.start(NOWHERE)
    }

    /// Starts it, to die when its first call reaches `crash_at`, and waits until it listens.
    fn start(&self, crash_at: &str) -> Result<Running> {
        let log = || File::options().create(true).append(true).open(&self.log);
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env(CRASH_VARIABLE, crash_at)
            .stdin(Stdio::null())
            .stdout(log().context("a gateway's log")?)
            .stderr(log().context("a gateway's log")?)
            .spawn()
            .with_context(|| format!("{} does not start", self.program.display()))?;
        let mut running = Running(child);
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if running.0.try_wait().context("looking at a gateway")?.is_some()
                || began.elapsed() > START_TIME_MAX
            {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                let last = said.lines().rev().take(5).collect::<Vec<_>>();
                bail!("a gateway does not listen; its log, the last line first: {last:#?}");
            }
            thread::sleep(LOOK_PERIOD);
        }
        Ok(running)
    }
}

impl Running {
    /// Waits until it is killed by itself, or until `calm`; whether it was.
    fn died(&mut self, calm: impl Fn() -> bool) -> Result<bool> {
        loop {
            if let Some(status) = self.0.try_wait().context("looking at a gateway")? {
                if status.signal() != Some(Signal::KILL.as_raw()) {
                    bail!("a gateway ended with {status}, not at its crash point");
                }
                return Ok(true);
            }
            if calm() {
                return Ok(false);
            }
            thread::sleep(LOOK_PERIOD);
        }
    }

    /// Asks it to end, as a supervisor does, and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.0.wait().context("waiting for a gateway")?;
        if status.success() { Ok(()) } else { bail!("a gateway that was asked to end ended with {status}") }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.0), signal).context("signalling a gateway")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and there is nobody left to tell.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
