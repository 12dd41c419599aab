//! A master whose place its replica takes when Sentinels say so.

use std::{fs, io, net::SocketAddr, process::Command};

use tempfile::TempDir;

use super::{DOWN_AFTER_MS, Keeping, Redis, ask, installed, program, until};
use crate::server::{Server, ServerError, free_address, system};

/// A master, a replica, and three Sentinels that promote it.
#[derive(Debug)]
pub struct Watched {
    /// The first master.
    pub master: Redis,
    /// Its replica.
    pub replica: Redis,
    sentinels: Vec<(Server, SocketAddr)>,
    _directory: TempDir,
}

impl Watched {
    /// Starts all of them.
    ///
    /// # Errors
    /// When one is not installed or does not start.
    pub fn start(keeping: Keeping, settings: &[&str]) -> Result<Self, ServerError> {
        let (master, replica) = (Redis::start(keeping, settings)?, Redis::start(keeping, settings)?);
        replica.follow(&master).map_err(system("following a master"))?;
        let directory = TempDir::with_prefix("onceward-sentinels-").map_err(system("making a directory"))?;
        let mut sentinels = Vec::new();
        for number in 0..3 {
            let address = free_address()?;
            let file = directory.path().join(format!("{number}.conf"));
            let settings = format!(
                "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor onceward {} {} 2\n\
                 sentinel down-after-milliseconds onceward {DOWN_AFTER_MS}\nsentinel failover-timeout onceward 5000\n",
                address.port(),
                directory.path().display(),
                master.address.ip(),
                master.address.port(),
            );
            fs::write(&file, settings).map_err(system("writing settings"))?;
            let mut command = Command::new(program());
            command.arg(&file).arg("--sentinel");
            let log = directory.path().join(format!("{number}.log"));
            let server = Server::start(command, address, &log, || ask(address, &["PING"]).is_ok());
            sentinels.push((server.map_err(installed)?, address));
        }
        let watched = Self { master, replica, sentinels, _directory: directory };
        until(|| {
            let know_all = watched.sentinels.iter().map(|(_, address)| {
                let masters = ask(*address, &["SENTINEL", "MASTER", "onceward"])?;
                let field = |name, value| masters.contains(&format!("{name}\n{value}\n"));
                Ok(field("num-other-sentinels", 2) && field("num-slaves", 1))
            });
            know_all.collect::<io::Result<Vec<_>>>().map(|known| known.into_iter().all(|known| known))
        })
        .map_err(system("waiting for Sentinels"))?;
        Ok(watched)
    }

    /// The URL of all Sentinels.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses = self.sentinels.iter().map(|(_, address)| address.to_string()).collect::<Vec<_>>();
        format!("redis+sentinel://{}/onceward", addresses.join(","))
    }

    /// Ends most of the Sentinels without a warning.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lose_most_sentinels(&mut self) -> Result<(), ServerError> {
        self.sentinels.iter_mut().skip(1).try_for_each(|(sentinel, _)| sentinel.kill())
    }

    /// Waits until the Sentinels have promoted the replica.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn wait_for_promotion(&self) -> io::Result<()> {
        let port = self.replica.address.port().to_string();
        until(|| {
            let named = self.sentinels.iter().map(|(_, address)| {
                ask(*address, &["SENTINEL", "get-master-addr-by-name", "onceward"])
                    .map(|to| to.contains(&port))
            });
            let named = named.collect::<io::Result<Vec<_>>>()?;
            Ok(named.into_iter().all(|named| named) && self.replica.ask(&["ROLE"])?.contains("master"))
        })
    }
}
