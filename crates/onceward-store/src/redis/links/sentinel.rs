//! The master as Sentinels name it.
//!
//! An old master may go on taking writes while another one was promoted: those who still reach it would grant keys that the new one
//! grants, too. So a master counts only for as long as most of the Sentinels have just said that it is the one: a process that is cut
//! off with the old master hears them no more and stops, and one that hears them leaves it within [`CONFIRMED_FOR`]. A write to the
//! old master within that time can still be acknowledged there; `min-replicas-to-write` on the servers ends that after its
//! `min-replicas-max-lag`.

use std::{
    collections::HashMap,
    sync::PoisonError,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{AsyncConnectionConfig, Value};

use crate::redis::{
    address::{Access, Address},
    fault::Fault,
};

/// How long a master counts after most Sentinels have named it. A Sentinel takes no master for down in less than its
/// `down-after-milliseconds`, 30 s by default.
const CONFIRMED_FOR: Duration = Duration::from_secs(1);

/// How long a Sentinel may take to accept a connection, and to answer.
const SENTINEL_TIME_MAX: Duration = Duration::from_millis(500);

/// The Sentinels, and what they said last.
#[derive(Debug)]
pub(super) struct Sentinels {
    addresses: Vec<Address>,
    name: String,
    access: Access,
    said: std::sync::RwLock<Option<(Address, Instant)>>,
    asking: tokio::sync::Mutex<()>,
}

impl Sentinels {
    pub(super) fn new(addresses: Vec<Address>, name: String, access: Access) -> Self {
        Self {
            addresses,
            name,
            access,
            said: std::sync::RwLock::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The master, which most Sentinels have just named.
    pub(super) async fn master(&self) -> Result<Address, Fault> {
        self.confirmed().await?.ok_or(Fault::unavailable("too few Sentinels name a master"))
    }

    /// As [`Sentinels::master`]; asks them only where their last word is too old.
    pub(super) async fn confirmed(&self) -> Result<Option<Address>, Fault> {
        if let Some(master) = self.fresh() {
            return Ok(Some(master));
        }
        let _asking = self.asking.lock().await;
        if let Some(master) = self.fresh() {
            return Ok(Some(master));
        }
        let asked_at = Instant::now();
        let answers = join_all(self.addresses.iter().map(|sentinel| self.ask(sentinel))).await;
        let mut votes = HashMap::<Address, usize>::new();
        for master in answers.into_iter().flatten() {
            *votes.entry(master).or_default() += 1;
        }
        let elected = votes.into_iter().find(|(_, votes)| *votes * 2 > self.addresses.len());
        let Some((master, _)) = elected else {
            return Err(Fault::unavailable("too few Sentinels name a master"));
        };
        *self.said.write().unwrap_or_else(PoisonError::into_inner) = Some((master.clone(), asked_at));
        Ok(Some(master))
    }

    /// What they said last counts no more.
    pub(super) fn doubt(&self) {
        *self.said.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn fresh(&self) -> Option<Address> {
        let said = self.said.read().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().filter(|(_, at)| at.elapsed() < CONFIRMED_FOR).map(|(master, _)| master.clone())
    }

    /// Whom one Sentinel names. Many Sentinels have no password where their servers have one, and refuse a login then.
    async fn ask(&self, sentinel: &Address) -> Option<Address> {
        match self.ask_as(sentinel, &self.access).await {
            Some(master) => Some(master),
            None if self.access.password.is_some() => {
                self.ask_as(sentinel, &self.access.without_login()).await
            }
            None => None,
        }
    }

    async fn ask_as(&self, sentinel: &Address, access: &Access) -> Option<Address> {
        let access = Access { database: 0, ..access.clone() };
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SENTINEL_TIME_MAX))
            .set_response_timeout(Some(SENTINEL_TIME_MAX));
        let client = access.client(sentinel).ok()?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&settings).await.ok()?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(&self.name);
        match connection.send_packed_command(&question).await.ok()? {
            Value::Array(answer) => match answer.as_slice() {
                [Value::BulkString(host), Value::BulkString(port)] => {
                    let host = String::from_utf8(host.clone()).ok()?;
                    Some(Address { host, port: std::str::from_utf8(port).ok()?.parse().ok()? })
                }
                _ => None,
            },
            _ => None,
        }
    }
}
