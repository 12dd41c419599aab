//! A Cluster.

use std::io;

use super::{DOWN_AFTER_MS, Keeping, Redis, converse, until};
use crate::server::{ServerError, system};

/// A Cluster of three masters and, where wanted, a replica of each.
#[derive(Debug)]
pub struct Cluster {
    /// The masters first, then the replicas.
    pub servers: Vec<Redis>,
}

/// Slots of a Cluster.
const SLOTS: usize = 16_384;

impl Cluster {
    /// Starts a Cluster and waits until it serves.
    ///
    /// # Errors
    /// When a server is not installed, or the Cluster does not form.
    pub fn start(keeping: Keeping, with_replicas: bool, settings: &[&str]) -> Result<Self, ServerError> {
        let usual = ["--cluster-enabled", "yes", "--cluster-node-timeout", DOWN_AFTER_MS];
        let settings = [&usual, settings].concat();
        let count = if with_replicas { 6 } else { 3 };
        let servers = (0..count).map(|_| Redis::start(keeping, &settings)).collect::<Result<Vec<_>, _>>()?;
        let cluster = Self { servers };
        cluster.form().map_err(system("forming a Cluster"))?;
        Ok(cluster)
    }

    fn form(&self) -> io::Result<()> {
        let (masters, replicas) = self.servers.split_at(3);
        let Some((first, others)) = self.servers.split_first() else { return Ok(()) };
        for (number, master) in masters.iter().enumerate() {
            let (from, to) = (SLOTS * number / 3, SLOTS * (number + 1) / 3 - 1);
            master.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
            // Server 6.2 has no ADDSLOTSRANGE.
            let slots = (from..=to).map(|slot| slot.to_string()).collect::<Vec<_>>();
            let command = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
            master.ask(&command.collect::<Vec<_>>())?;
        }
        let port = first.address.port().to_string();
        for other in others {
            other.ask(&["CLUSTER", "MEET", "127.0.0.1", &port])?;
        }
        let nodes = self.servers.len();
        let knows_all = |server: &Redis| {
            Ok::<_, io::Error>(
                server.ask(&["CLUSTER", "INFO"])?.contains(&format!("cluster_known_nodes:{nodes}\r")),
            )
        };
        for server in &self.servers {
            until(|| knows_all(server))?;
        }
        for (master, replica) in masters.iter().zip(replicas) {
            let id = master.ask(&["CLUSTER", "MYID"])?;
            until(|| Ok(replica.ask(&["CLUSTER", "REPLICATE", id.trim()])?.contains("OK")))?;
        }
        for server in &self.servers {
            until(|| Ok(server.ask(&["CLUSTER", "INFO"])?.contains("cluster_state:ok")))?;
        }
        for replica in replicas {
            until(|| Ok(replica.ask(&["INFO", "replication"])?.contains("master_link_status:up")))?;
        }
        Ok(())
    }

    /// Its URL, with all servers.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses = self.servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>();
        format!("redis-cluster://{}", addresses.join(","))
    }

    /// Moves a slot from one master to another, key by key, as `redis-cli --cluster reshard` does.
    ///
    /// # Errors
    /// When a server refuses.
    pub fn move_slot(&self, slot: u16, from: &Redis, to: &Redis) -> io::Result<()> {
        let slot = slot.to_string();
        let (source, target) = (from.ask(&["CLUSTER", "MYID"])?, to.ask(&["CLUSTER", "MYID"])?);
        let (source, target) = (source.trim(), target.trim());
        to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", source])?;
        from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", target])?;
        let port = to.address.port().to_string();
        loop {
            let keys = converse(from.address, &[b"CLUSTER", b"GETKEYSINSLOT", slot.as_bytes(), b"10"])?;
            if keys.is_empty() {
                break;
            }
            let head = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            let mut command = head.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
            command.extend(keys.iter().map(Vec::as_slice));
            converse(from.address, &command)?;
        }
        to.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", target])?;
        from.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", target])?;
        Ok(())
    }
}
