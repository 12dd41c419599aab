//! Which server of a Cluster has which slot.

use redis::Value;
use tokio::sync::OnceCell;

use super::Links;
use crate::redis::{
    address::Address,
    fault::Fault,
    layout::{Keys, Partition},
    server::Server,
};

/// The slots of the partitions, and where to ask for their owners first.
#[derive(Debug)]
pub(super) struct Slots {
    seeds: Vec<Address>,
    of_partitions: OnceCell<Vec<i64>>,
}

impl Slots {
    pub(super) fn new(seeds: Vec<Address>) -> Self {
        Self { seeds, of_partitions: OnceCell::new() }
    }

    /// The owner of each partition, as the first server says that can be asked: those that were in use, then the seeds.
    pub(super) async fn owners(&self, links: &Links) -> Result<Vec<Address>, Fault> {
        let in_use = links.all().into_iter().map(|server| server.address.clone());
        let mut fault = Fault::unavailable("no server of the cluster can be reached");
        for address in in_use.chain(self.seeds.iter().cloned()) {
            let asked = async {
                let server = links.server(&address).await?;
                self.asked(&server).await
            };
            match asked.await {
                Ok(owners) => return Ok(owners),
                Err(other) => fault = other,
            }
        }
        Err(Fault { nothing_happened: true, ..fault })
    }

    async fn asked(&self, server: &Server) -> Result<Vec<Address>, Fault> {
        let slots = self.of_partitions.get_or_try_init(|| slots_of_partitions(server)).await?;
        let mut question = redis::pipe();
        question.cmd("CLUSTER").arg("SLOTS");
        let answers = server.send(&question).await?;
        let ranges = match answers.as_slice() {
            [Value::Array(ranges)] => ranges.iter().filter_map(|range| read_range(range, &server.address)),
            _ => return Err(Fault::unavailable("the server is not of a cluster")),
        };
        let ranges = ranges.collect::<Vec<_>>();
        let owner = |slot: &i64| {
            let range = ranges.iter().find(|(first, last, _)| (first..=last).contains(&slot));
            range.map(|(_, _, address)| address.clone())
        };
        let owners = slots.iter().map(owner).collect::<Option<Vec<_>>>();
        owners.ok_or(Fault::unavailable("the cluster does not serve all slots"))
    }
}

/// The server itself says which slot a key is in.
async fn slots_of_partitions(server: &Server) -> Result<Vec<i64>, Fault> {
    let mut question = redis::pipe();
    let keys = Keys::under("");
    for partition in Partition::all() {
        question.cmd("CLUSTER").arg("KEYSLOT").arg(keys.books(partition));
    }
    let answers = server.send(&question).await?;
    let slots = answers.into_iter().map(|answer| match answer {
        Value::Int(slot) => Some(slot),
        _ => None,
    });
    slots.collect::<Option<_>>().ok_or(Fault::unavailable("the server is not of a cluster"))
}

/// First slot, last slot, and their master. A server that does not know its own name leaves it out.
fn read_range(range: &Value, asked: &Address) -> Option<(i64, i64, Address)> {
    let Value::Array(fields) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = fields.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
        _ => asked.host.clone(),
    };
    Some((*first, *last, Address { host, port: u16::try_from(*port).ok()? }))
}
