//! Servers as processes of their own, and what the kernel says about them.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A tick of `utime` and `stime` (proc(5)): Linux shows user space 100 of them a second on every processor.
const TICK: Duration = Duration::from_millis(10);

/// How long a server may take until it accepts connections; a debug build on a busy machine needs some of it.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// Between two attempts to connect.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How much of a server's last words are shown.
const WORDS_SHOWN_MAX: usize = 2_000;

/// One running server; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    words: PathBuf,
    /// What it may write to, for as long as it runs.
    _folder: TempDir,
}

impl Server {
    /// Starts it and waits until it accepts connections at `address`.
    pub(crate) fn start(mut command: Command, address: SocketAddr, folder: TempDir) -> Result<Self> {
        let words = folder.path().join("words");
        let file = fs::File::create(&words).with_context(|| words.display().to_string())?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let process = process.with_context(|| format!("{command:?}"))?;
        let mut server = Self { process, address, words, _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.process.try_wait()? {
                bail!("{command:?} ended with {status}: {}", server.last_words());
            }
            if began.elapsed() > START_TIME_MAX {
                bail!("{command:?} does not accept connections at {address}: {}", server.last_words());
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(server)
    }

    /// What it used of all processors so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.told("stat")?;
        cpu_ticks(&stat).map(|ticks| TICK * ticks).context("/proc/PID/stat is not as proc(5) says")
    }

    /// Forgets the peak of its memory, and returns what it has now.
    pub(crate) fn begin_peak(&self) -> Result<u64> {
        let path = format!("/proc/{}/clear_refs", self.process.id());
        // 5 sets VmHWM back (proc(5)).
        fs::write(&path, "5").with_context(|| path)?;
        self.peak_bytes()
    }

    /// The most of memory that it had resident since.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let status = self.told("status")?;
        peak_bytes(&status).context("/proc/PID/status is not as proc(5) says")
    }

    fn told(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.process.id());
        fs::read_to_string(&path).with_context(|| format!("{path}: {}", self.last_words()))
    }

    fn last_words(&self) -> String {
        let words = fs::read_to_string(&self.words).unwrap_or_default();
        let from = words.len().saturating_sub(WORDS_SHOWN_MAX);
        words.chars().skip(words.char_indices().take_while(|(at, _)| *at < from).count()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then.
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("server {} may still run: {error}", self.process.id());
        }
    }
}

/// The 14th and 15th field of /proc/PID/stat, counted behind the name, which may hold anything.
pub(crate) fn cpu_ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "17 (a) b) S 1 17 17 0 -1 4194304 93 0 0 0 250 31 0 0 20 0 3 0 99 0 0";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!(cpu_ticks("17 (a"), None);
        assert_eq!(peak_bytes("Name:\ta\nVmHWM:\t    1024 kB\nVmRSS:\t 8 kB\n"), Some(1_048_576));
        assert_eq!(peak_bytes("Name:\ta\n"), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out of paper >&2; exit 3"]);
        // Port 1 on loopback: nobody listens there.
        let error = Server::start(command, ([127, 0, 0, 1], 1).into(), TempDir::new().unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("ended with exit status: 3: out of paper\n"), "{error}");
    }
}
