//! The servers in use, and which of them has which partition.

mod cluster;
mod sentinel;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use self::{cluster::Slots, sentinel::Sentinels};
use super::{
    address::{Access, Address, Target},
    fault::Fault,
    layout::{PARTITIONS, Partition},
    server::Server,
    standing::{Demands, Standing, Weakness},
};

/// How long a server that could not be reached is not tried again.
const AWAY_PAUSE: Duration = Duration::from_millis(100);

/// All connections.
#[derive(Debug)]
pub(super) struct Links {
    access: Access,
    demands: Demands,
    finding: Finding,
    servers: RwLock<HashMap<Address, Arc<Server>>>,
    /// The server of each partition; empty where that has to be found out.
    owners: RwLock<Vec<Address>>,
    /// Held while a connection is made; when which server could not be reached.
    connecting: Mutex<HashMap<Address, Instant>>,
    /// Reigns that others continued: a master that still holds to one was left behind.
    continued: RwLock<HashSet<String>>,
}

/// How the servers of partitions are found.
#[derive(Debug)]
enum Finding {
    Alone(Address),
    Sentinel(Sentinels),
    Cluster(Slots),
}

impl Links {
    pub(super) fn new(target: Target, access: Access, demands: Demands) -> Self {
        let finding = match target {
            Target::Alone(address) => Finding::Alone(address),
            Target::Sentinel { sentinels, master } => {
                Finding::Sentinel(Sentinels::new(sentinels, master, access.clone()))
            }
            Target::Cluster { seeds } => Finding::Cluster(Slots::new(seeds)),
        };
        Self {
            access,
            demands,
            finding,
            servers: RwLock::default(),
            owners: RwLock::default(),
            connecting: Mutex::default(),
            continued: RwLock::default(),
        }
    }

    /// Whether one script may reach into one partition only.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.finding, Finding::Cluster(_))
    }

    /// The server of each of these partitions.
    pub(super) async fn owners(&self, partitions: &[Partition]) -> Result<Vec<Address>, Fault> {
        self.confirm().await?;
        if let Some(owners) = self.known_owners(partitions) {
            return Ok(owners);
        }
        let found = match &self.finding {
            Finding::Alone(address) => vec![address.clone(); usize::from(PARTITIONS)],
            Finding::Sentinel(sentinels) => {
                let master = sentinels.master().await?;
                self.leave_all_but(&master);
                vec![master; usize::from(PARTITIONS)]
            }
            Finding::Cluster(slots) => slots.owners(self).await?,
        };
        *self.owners.write().unwrap_or_else(PoisonError::into_inner) = found;
        self.known_owners(partitions).ok_or(Fault::unavailable("the cluster does not serve all slots"))
    }

    /// All partitions whose servers have one of these, too: what happened to a server happened to all that it has.
    pub(super) async fn beside(&self, partitions: &[Partition]) -> Result<Vec<Partition>, Fault> {
        let all = Partition::all().collect::<Vec<_>>();
        let owners = self.owners(&all).await?;
        let concerned = partitions.iter().filter_map(|partition| owners.get(partition.index()));
        let concerned = concerned.collect::<Vec<_>>();
        let beside = all.into_iter().zip(&owners).filter(|(_, owner)| concerned.contains(owner));
        Ok(beside.map(|(partition, _)| partition).collect())
    }

    fn known_owners(&self, partitions: &[Partition]) -> Option<Vec<Address>> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        partitions.iter().map(|partition| owners.get(partition.index()).cloned()).collect()
    }

    /// Sentinels have to say again and again that the master is still the master.
    async fn confirm(&self) -> Result<(), Fault> {
        if let Finding::Sentinel(sentinels) = &self.finding
            && let Some(master) = sentinels.confirmed().await?
            && self.known_owners(&[Partition(0)]).is_some_and(|owners| !owners.contains(&master))
        {
            self.forget_owners();
        }
        Ok(())
    }

    /// The connection to this server; a new one where there is none.
    pub(super) async fn server(&self, address: &Address) -> Result<Arc<Server>, Fault> {
        if let Some(server) = self.connected(address) {
            return Ok(server);
        }
        let mut connecting = self.connecting.lock().await;
        if let Some(server) = self.connected(address) {
            return Ok(server);
        }
        if connecting.get(address).is_some_and(|since| since.elapsed() < AWAY_PAUSE) {
            return Err(Fault::unavailable("the server could not be reached a moment ago"));
        }
        let connected = Server::connect(address, &self.access, self.demands).await;
        match connected.and_then(|server| self.admitted(&server.standing()).map(|()| server)) {
            Ok(server) => {
                connecting.remove(address);
                let server = Arc::new(server);
                let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
                servers.insert(address.clone(), Arc::clone(&server));
                Ok(server)
            }
            Err(fault) => {
                connecting.insert(address.clone(), Instant::now());
                self.forget_owners();
                Err(fault)
            }
        }
    }

    /// Notes whom a server succeeded, and refuses one that was succeeded itself: it does not know it yet, and takes writes that nobody
    /// will find.
    pub(super) fn admitted(&self, standing: &Standing) -> Result<(), Fault> {
        let mut continued = self.continued.write().unwrap_or_else(PoisonError::into_inner);
        continued.extend(standing.predecessor.clone());
        match standing.master && continued.contains(&standing.reign) {
            true => Err(Fault::unavailable("the server is an old master")),
            false => Ok(()),
        }
    }

    fn connected(&self, address: &Address) -> Option<Arc<Server>> {
        self.servers.read().unwrap_or_else(PoisonError::into_inner).get(address).map(Arc::clone)
    }

    /// All servers that are connected.
    pub(super) fn all(&self) -> Vec<Arc<Server>> {
        self.servers.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// An old master has nothing to say any more.
    fn leave_all_but(&self, master: &Address) {
        self.servers.write().unwrap_or_else(PoisonError::into_inner).retain(|address, _| address == master);
    }

    /// Gives up a connection; what its server was the owner of is found out again.
    pub(super) fn give_up(&self, server: &Arc<Server>) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if servers.get(&server.address).is_some_and(|known| Arc::ptr_eq(known, server)) {
            servers.remove(&server.address);
        }
        drop(servers);
        self.forget_owners();
    }

    /// A server says that a partition is another's.
    pub(super) fn moved(&self, partition: Partition, to: Address) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = owners.get_mut(partition.index()) {
            *owner = to;
        }
    }

    fn forget_owners(&self) {
        if let Finding::Sentinel(sentinels) = &self.finding {
            sentinels.doubt();
        }
        self.owners.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Looks at the servers again that were not looked at for a while.
    pub(super) async fn watch(&self) {
        for server in self.all() {
            if server.watch().await.is_err() {
                self.give_up(&server);
            }
        }
    }

    /// Why no new keys are taken, if so.
    pub(super) fn weakness(&self) -> Option<Weakness> {
        let standings = self.all().into_iter().map(|server| server.standing());
        standings.filter(|standing| standing.master).find_map(|standing| standing.weakness.clone())
    }
}
