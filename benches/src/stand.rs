//! Where is measured: the cores, the built programs, a folder.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// One machine.
#[derive(Debug)]
pub(crate) struct Stand {
    /// The core of the load generator, and of an origin behind a gateway.
    pub(crate) generator_core: usize,
    /// The core of whoever is measured.
    pub(crate) server_core: usize,
    /// The onceward command.
    pub(crate) onceward: PathBuf,
    /// The folder of the built servers.
    bins: PathBuf,
    folder: TempDir,
}

impl Stand {
    pub(crate) fn new(onceward: PathBuf, scratch: &Path) -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
        let (generator_core, server_core) = two_cores(&status)
            .context("a benchmark needs two cores: one for the load, one for the server")?;
        let program = env::current_exe().context("the path of this program")?;
        let bins = program.parent().context("the folder of this program")?.to_owned();
        fs::create_dir_all(scratch).with_context(|| scratch.display().to_string())?;
        let folder = TempDir::with_prefix_in("bench-", scratch).context("a folder for this run")?;
        Ok(Self { generator_core, server_core, onceward, bins, folder })
    }

    /// A server of this crate.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.bins.join(name)
    }

    /// What all servers of this run may read.
    pub(crate) fn shared(&self) -> &Path {
        self.folder.path()
    }

    /// A folder for one server.
    pub(crate) fn folder(&self) -> Result<TempDir> {
        TempDir::new_in(self.folder.path()).context("a folder for a server")
    }
}

/// A program that stays on one core. taskset becomes the program, so the process id is the program's own.
pub(crate) fn pinned(core: usize, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program.as_ref());
    command
}

/// A loopback address that is free now. Whoever takes it in between makes the server's start fail, which is said.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    listener.local_addr().context("a free port")
}

/// The first two cores that this process may use, by its /proc/PID/status.
fn two_cores(status: &str) -> Option<(usize, usize)> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = list.trim().split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        // What is no number is an empty range.
        let first: usize = first.parse().unwrap_or(usize::MAX);
        first..=last.parse().unwrap_or(0)
    });
    Some((cores.next()?, cores.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_allowed_cores_are_taken() {
        let cores = |list: &str| two_cores(&format!("Name:\ta\nCpus_allowed_list:\t{list}\n"));
        assert_eq!(cores("0-1"), Some((0, 1)));
        assert_eq!(cores("3,6-7"), Some((3, 6)));
        assert_eq!(cores("5"), None);
        assert_eq!(cores(""), None);
        assert_eq!(two_cores("Name:\ta\n"), None);
    }
}
