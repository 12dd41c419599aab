//! The proxy: `onceward proxy`, as a process of its own.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use onceward::{Durability, StoreUrl};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{failure::Failure, settings::StoreSettings, wiring};

/// It takes half a second, most of it for the store's log; this is for a machine that does much else.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A running proxy with its address and its files, which outlive its process.
pub(super) struct Proxy {
    address: SocketAddr,
    ca_file: PathBuf,
    files: Files,
    process: Option<Process>,
}

impl Proxy {
    /// Starts a proxy on a free port, with everything that it writes in `folder`.
    pub(super) async fn start(folder: &Path, upstream_ca: &Path) -> anyhow::Result<Self> {
        let files = Files::new(folder, upstream_ca)?;
        let (process, ready) = Process::start(&files, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(Self { address: ready.address()?, ca_file: ready.ca_file, files, process: Some(process) })
    }

    /// Kills it with SIGKILL, and returns when it is gone.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it on the address and the store that it had.
    pub(super) async fn start_again(&mut self) -> anyhow::Result<()> {
        let (process, _) = Process::start(&self.files, self.address).await?;
        self.process = Some(process);
        Ok(())
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that it shows itself under.
    pub(super) fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// How many records of its store are in doubt.
    pub(super) async fn records_in_doubt(&self) -> anyhow::Result<u64> {
        let store = wiring::open_read_only(&self.files.store()).map_err(Failure::into_error)?;
        let [_, _, _, in_doubt, _] = store.stats().await?.records;
        Ok(in_doubt)
    }
}

/// The files of a proxy.
struct Files {
    state_dir: PathBuf,
    store: PathBuf,
    config: PathBuf,
    log: PathBuf,
    upstream_ca: PathBuf,
}

impl Files {
    fn new(folder: &Path, upstream_ca: &Path) -> io::Result<Self> {
        let files = Self {
            state_dir: folder.join("state"),
            // Short, for the path of the control socket is made from it and may have about a hundred bytes.
            store: folder.join("db"),
            config: folder.join("onceward.toml"),
            log: folder.join("proxy.log"),
            upstream_ca: upstream_ca.to_owned(),
        };
        // Empty, and named to the proxy: the configuration of whoever runs the demo stays out of it.
        File::create_new(&files.config)?;
        Ok(files)
    }

    fn store(&self) -> StoreSettings {
        StoreSettings {
            url: StoreUrl::Sqlite(self.store.clone()),
            durability: Durability::Power,
            secret_file: self.state_dir.join("secret"),
            is_strict: true,
            promotion_keeps_all: false,
            replicas_to_wait: 0,
        }
    }

    fn command(&self, listen: SocketAddr) -> anyhow::Result<Command> {
        let log = OpenOptions::new().append(true).create(true).open(&self.log)?;
        let mut store = OsString::from("sqlite:");
        store.push(&self.store);
        let mut command = Command::new(std::env::current_exe().context("cannot find this program's file")?);
        command
            .arg("proxy")
            .args(["--listen", &listen.to_string(), "--json"])
            .arg("--state-dir")
            .arg(&self.state_dir)
            .arg("--config")
            .arg(&self.config)
            .arg("--store")
            .arg(store)
            .arg("--upstream-ca")
            .arg(&self.upstream_ca)
            // Its settings are these, not those of the environment.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the demo, which ends its proxy itself.
            .process_group(0);
        Ok(command)
    }
}

/// What the proxy prints when it listens.
#[derive(Deserialize)]
struct Ready {
    listening: String,
    ca_file: PathBuf,
}

impl Ready {
    fn address(&self) -> anyhow::Result<SocketAddr> {
        let address = self.listening.strip_prefix("http://").unwrap_or(&self.listening);
        address.parse().with_context(|| format!("the proxy listens on {:?}", self.listening))
    }
}

/// A child that is killed when it is dropped.
struct Process(Child);

impl Process {
    async fn start(files: &Files, listen: SocketAddr) -> anyhow::Result<(Self, Ready)> {
        let mut process = Self(files.command(listen)?.spawn().context("cannot start the proxy")?);
        let Some(stdout) = process.0.stdout.take() else { bail!("the proxy has no standard output") };
        // On a timeout the process is dropped, which ends this read.
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = timeout(START_TIME_MAX, read).await.context("the proxy does not start")???;
        if line.is_empty() {
            let said =
                fs::read_to_string(&files.log).context("the proxy ended, and its log cannot be read")?;
            bail!("the proxy did not start: {}", said.trim());
        }
        let ready = serde_json::from_str(&line)
            .context("what the proxy prints when it listens is not as expected")?;
        Ok((process, ready))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            tracing::warn!(%error, pid = self.0.id(), "the proxy could not be ended");
        }
    }
}
