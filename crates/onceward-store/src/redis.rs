//! Records in Redis or Valkey: one server, a master that Sentinels name, or a Cluster.
//!
//! A swap is a Lua script: the server runs it whole or not at all, and syncs or replicates what it did before or after it answers, as it
//! is set up. The rows of a key's partition and all that belongs to them have one hash tag, see `layout`. No row has an expiry: the
//! sweep deletes.
//!
//! # What it promises, and what it cannot
//! With `appendfsync always` an acknowledged operation survives the server and its power. With less, and after every fail-over,
//! acknowledged records may be gone: Redis replicates after it answers, and neither `WAIT` nor `min-replicas-to-write` changes that.
//! They are not granted again: a claim of an unknown key is checked against the history of the server in the step that grants it, and
//! where records may have been lost the history barrier is raised (T5); see `history` for what is noticed, and what is not.
//!
//! What no check of ours can see is a second master: an old one that does not know yet that another was promoted. A Cluster's stops by
//! itself within `cluster-node-timeout`, about when the other is promoted. Under Sentinels this process stops to use it within a second,
//! as soon as most of them do not name it any more; until then, and for as long as the old one takes writes, a key that is *new* can be
//! granted on both sides. `strict` therefore demands `min-replicas-to-write`, which ends the old one's writes after
//! `min-replicas-max-lag`.

mod address;
mod audit;
mod call;
mod connect_error;
mod exchange;
mod fault;
mod history;
mod layout;
mod links;
mod reading;
mod script;
mod server;
mod standing;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use onceward_core::{
    actor::{KeyTag, LookupId},
    time::Timestamp,
};
use redis::Value;

pub use self::connect_error::RedisConnectError;
use self::{
    address::Target,
    call::{Call, Calls},
    fault::Fault,
    history::{Past, UNREADABLE, number},
    layout::{Keys, PARTITIONS, Partition, SCHEMA, scores},
    links::Links,
    script::Script,
    standing::{Demands, Persistence},
};
use crate::{
    port::{AuditCursor, Clock, EntryFilter, PageCursor, StoreFuture, StoredAudit},
    shared::{
        Shared, SharedOptions,
        backend::{Backend, ClockReading, Gathering, Listed, Mark, StoredRow, Survey, Swap, Swapped},
    },
    step::Kind,
};

/// What an acknowledged operation has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisDurability {
    /// The loss of the server's power: it syncs before it answers.
    Power,
    /// The death of a process of this deployment. What the server loses when it goes down itself is refused, not run again (T5).
    Process,
}

/// What a setting counts as that the server does not let us read: managed servers forbid `CONFIG GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadSettings {
    /// As not given.
    Refuse,
    /// As given: the operator has seen to it.
    Trust,
}

/// How a Redis is used.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host[:port][/database]`, `redis+sentinel://…@host[:port],…/NAME[/database]` with the master's name, or
    /// `redis-cluster://…@host[:port],…` with some servers; `rediss` for TLS. User and password are percent-encoded.
    pub url: String,
    /// A value derived from the deployment's secret: records made under another one are refused, since none would be found.
    pub secret_check: [u8; 32],
    /// What all keys begin with, so that several deployments share a server. Default: `onceward`.
    pub prefix: String,
    /// What an acknowledged operation has to survive. Default: the loss of power.
    pub durability: RedisDurability,
    /// Whether a server is refused that may evict, keeps nothing, keeps less than `durability`, or goes on without its replicas; new
    /// keys are refused while a server is found to have become so. Default: yes.
    pub strict: bool,
    /// What an unreadable setting counts as. Default: as not given.
    pub unread_settings: UnreadSettings,
    /// Replicas that have to have an operation before it is acknowledged; with fewer it is unknown. It makes a loss by fail-over less
    /// likely, and keeps none from happening. Default: 0.
    pub replicas_to_wait: u32,
    /// Certificates in PEM of the authority that the servers' are from. Default: the system's authorities.
    pub authority_pem: Option<Vec<u8>>,
    /// Where the time comes from. Default: the server's clock.
    pub clock: Option<Arc<dyn Clock>>,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("durability", &self.durability)
            .field("strict", &self.strict)
            .field("unread_settings", &self.unread_settings)
            .field("replicas_to_wait", &self.replicas_to_wait)
            .finish_non_exhaustive()
    }
}

impl RedisOptions {
    /// The defaults, for the servers that `url` names, under a secret with this check value.
    #[must_use]
    pub fn new(url: &str, secret_check: [u8; 32]) -> Self {
        Self {
            url: url.to_owned(),
            secret_check,
            prefix: "onceward".to_owned(),
            durability: RedisDurability::Power,
            strict: true,
            unread_settings: UnreadSettings::Refuse,
            replicas_to_wait: 0,
            authority_pem: None,
            clock: None,
        }
    }

    /// Connects, checks the servers, and begins or continues the records there.
    ///
    /// Has to be called within a tokio runtime, which the store works on until it is dropped.
    ///
    /// # Errors
    /// Whatever is not certainly a sound store of this deployment is refused with a diagnosis.
    pub async fn open(self) -> Result<Shared, RedisConnectError> {
        let options = SharedOptions { clock: self.clock.clone(), ..SharedOptions::default() };
        let database = Arc::new(self.connect().await?);
        Shared::over(database, options).await.map_err(|source| RedisConnectError::Store { source })
    }

    async fn connect(self) -> Result<Database, RedisConnectError> {
        let (target, access) =
            address::parse(&self.url).map_err(|finding| RedisConnectError::Url { finding })?;
        let admits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(admits) {
            return Err(RedisConnectError::Prefix);
        }
        let access = address::Access { authority_pem: self.authority_pem, ..access };
        if access.tls && rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another one may have been installed in this very moment, which is as good.
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        let demands = Demands {
            strict: self.strict,
            durability: self.durability,
            unread_settings: self.unread_settings,
        };
        // Any will do; processes should not all take the same.
        let [.., log_partition] = std::process::id().to_be_bytes();
        let kind = match target {
            Target::Alone(_) | Target::Sentinel { .. } => "redis",
            Target::Cluster { .. } => "redis-cluster",
        };
        let database = Database {
            kind,
            calls: Calls {
                links: Links::new(target, access, demands),
                replicas_to_wait: self.replicas_to_wait,
            },
            keys: Keys::under(&self.prefix),
            secret_check: self.secret_check,
            log_partition: Partition(log_partition),
            beats: Mutex::new(vec![0; usize::from(PARTITIONS)]),
            judging: tokio::sync::Mutex::default(),
        };
        database.admit(self.clock.as_deref()).await?;
        Ok(database)
    }
}

/// A Redis that keeps rows.
pub(crate) struct Database {
    kind: &'static str,
    calls: Calls,
    keys: Keys,
    secret_check: [u8; 32],
    /// Where this process appends its audit lines.
    log_partition: Partition,
    /// The beat of each partition that was seen last: a server that knows only an earlier one went back.
    beats: Mutex<Vec<u64>>,
    /// Held while the past is judged, so that claims that meet a new reign at the same time judge it once.
    judging: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("kind", &self.kind)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Partitions by the scripts that may reach into them: each by itself in a Cluster, and some at a time elsewhere.
    fn groups(&self, partitions: &[Partition]) -> Vec<Vec<Partition>> {
        let size = if self.calls.links.is_cluster() { 1 } else { SCRIPT_PARTITIONS_MAX };
        partitions.chunks(size).map(<[Partition]>::to_vec).collect()
    }

    fn call(
        &self,
        script: Script,
        partitions: &[Partition],
        keys: Vec<Vec<u8>>,
        arguments: Vec<Vec<u8>>,
    ) -> Call {
        let partition = partitions.first().copied().unwrap_or(Partition(0));
        Call { script, partition, keys, arguments, under: None }
    }

    /// Checks the servers and their books, and begins books where there are none.
    async fn admit(&self, clock: Option<&dyn Clock>) -> Result<(), RedisConnectError> {
        let partitions = Partition::all().collect::<Vec<_>>();
        self.try_rights(&partitions).await?;
        let mut pasts = Vec::with_capacity(partitions.len());
        for (_, past) in self.pasts(&partitions).await {
            pasts.push(past?);
        }
        if let Some(weakness) = self.calls.links.weakness() {
            return Err(weakness.into());
        }
        pasts.iter().try_for_each(|past| self.check(past))?;
        let now = match clock {
            Some(clock) => clock.now(),
            None => {
                let ClockReading { server, correction_ms } = self.reading().await?;
                Timestamp::from_ms(server.as_ms().saturating_add_signed(correction_ms))
            }
        };
        if pasts.iter().any(|past| past.founded) {
            for (_, judged) in self.judge(&partitions, now).await {
                judged?;
            }
        } else {
            self.begin(now).await?;
        }
        Ok(())
    }

    /// Makes sure that no script of ours is stopped in its middle for want of a right: what it did until then would stay.
    async fn try_rights(&self, partitions: &[Partition]) -> Result<(), RedisConnectError> {
        let groups = self.groups(partitions);
        let calls = groups.iter().filter_map(|group| {
            let keys = vec![self.keys.probe(*group.first()?)];
            Some(self.call(Script::Probe, group, keys, Vec::new()))
        });
        for answer in self.calls.run(calls.collect()).await {
            let Value::Array(names) = answer?.value else { return Err(UNREADABLE.into()) };
            if !names.is_empty() {
                let names = names.iter().filter_map(history::bytes);
                let names = names.map(|name| String::from_utf8_lossy(&name).into_owned());
                return Err(RedisConnectError::Rights { commands: names.collect::<Vec<_>>().join(", ") });
            }
        }
        Ok(())
    }

    fn check(&self, past: &Past) -> Result<(), RedisConnectError> {
        match &past.schema {
            Some(schema) if schema != SCHEMA.as_bytes() => {
                let found = String::from_utf8_lossy(schema).into_owned();
                return Err(RedisConnectError::OtherSchema { found, known: SCHEMA });
            }
            Some(_) | None => {}
        }
        match &past.secret {
            Some(secret) if *secret != self.secret_check => Err(RedisConnectError::OtherSecret),
            Some(_) | None => Ok(()),
        }
    }

    async fn reading(&self) -> Result<ClockReading, Fault> {
        let first = Partition(0);
        let call = self.call(Script::Clock, &[first], vec![self.keys.books(first)], Vec::new());
        let Value::Array(fields) = self.calls.run_one(call).await?.value else { return Err(UNREADABLE) };
        let [server, Value::BulkString(correction)] = fields.as_slice() else { return Err(UNREADABLE) };
        let correction = std::str::from_utf8(correction).ok().and_then(|digits| digits.parse().ok());
        let server = Timestamp::from_ms(number(server).ok_or(UNREADABLE)?);
        Ok(ClockReading { server, correction_ms: correction.ok_or(UNREADABLE)? })
    }

    /// Writes beats, and counts.
    async fn surveyed(&self) -> Result<Survey, Fault> {
        let kinds = [Kind::Absent, Kind::Claimed, Kind::Done, Kind::InDoubt, Kind::Tombstone];
        let bounds = kinds.map(scores).map(|scores| [scores.start.to_string(), format!("({}", scores.end)]);
        let bounds = bounds.as_flattened().iter().map(|bound| bound.clone().into_bytes()).collect::<Vec<_>>();
        let groups = self.groups(&Partition::all().collect::<Vec<_>>());
        let calls = groups.iter().map(|group| {
            let keys = group.iter().flat_map(|one| [self.keys.books(*one), self.keys.states(*one)]).collect();
            self.call(Script::Survey, group, keys, bounds.clone())
        });
        let calls = calls.collect();
        let mut rows = [0; 5];
        for (group, answer) in groups.iter().zip(self.calls.run(calls).await) {
            let Value::Array(fields) = answer?.value else { return Err(UNREADABLE) };
            let Some((beat, counts)) = fields.split_first() else { return Err(UNREADABLE) };
            for (rows, count) in rows.iter_mut().zip(counts) {
                *rows += number(count).ok_or(UNREADABLE)?;
            }
            let beat = number(beat).unwrap_or(0);
            let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
            for partition in group {
                if let Some(seen) = beats.get_mut(partition.index()) {
                    *seen = beat.max(*seen);
                }
            }
        }
        let standings = self.calls.links.all().into_iter().map(|server| server.standing());
        let standings = standings.filter(|standing| standing.master).collect::<Vec<_>>();
        let weakest = standings.iter().map(|standing| standing.persistence).min();
        let durability = match weakest {
            Some(Persistence::Synced) => "power",
            Some(Persistence::Lagging) => "process",
            Some(Persistence::None) | None => "nothing",
        };
        let bytes = standings.iter().map(|standing| standing.used_bytes).sum();
        Ok(Survey { durability, rows, bytes })
    }
}

/// Partitions that one script reaches into at the most.
const SCRIPT_PARTITIONS_MAX: usize = 64;

/// Swaps in one exchange at the most, and exchanges at once.
const GATHERING: Gathering = Gathering { swaps_max: 256, exchanges_max: 4 };

impl Backend for Database {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn gathering(&self) -> Gathering {
        GATHERING
    }

    fn exchange(&self, batch: Arc<[Swap]>, now: Timestamp) -> StoreFuture<'_, Vec<Swapped>> {
        Box::pin(async move { Ok(self.exchanged(&batch, now).await) })
    }

    fn fetch(&self, ids: Vec<LookupId>, with_outcomes: bool) -> StoreFuture<'_, Vec<Option<StoredRow>>> {
        Box::pin(async move {
            let rows = self.rows(&ids, with_outcomes).await?;
            Ok(rows.into_iter().map(|row| row.map(|row| row.row)).collect())
        })
    }

    fn due(&self, now: Timestamp, rows_max: usize) -> StoreFuture<'_, Vec<(LookupId, StoredRow)>> {
        Box::pin(async move { Ok(self.overdue(now, rows_max).await?) })
    }

    fn quarantine(&self, id: LookupId, mark: Mark) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let partition = Partition::of(id);
            let keys = vec![self.keys.row(id), self.keys.states(partition)];
            let arguments = vec![mark.0.to_vec(), layout::KIND_SPAN.to_string().into_bytes()];
            self.calls.run_one(self.call(Script::Quarantine, &[partition], keys, arguments)).await?;
            Ok(())
        })
    }

    fn list(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        rows_max: usize,
    ) -> StoreFuture<'_, Listed> {
        Box::pin(async move { Ok(self.page(&filter, after, rows_max).await?) })
    }

    fn clock(&self) -> StoreFuture<'_, ClockReading> {
        Box::pin(async move {
            self.calls.links.watch().await;
            Ok(self.reading().await?)
        })
    }

    fn correct_clock(&self, seen_ms: i64, correction_ms: i64) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let first = Partition(0);
            let arguments = vec![seen_ms.to_string().into_bytes(), correction_ms.to_string().into_bytes()];
            let call = self.call(Script::Correct, &[first], vec![self.keys.books(first)], arguments);
            Ok(number(&self.calls.run_one(call).await?.value) == Some(1))
        })
    }

    fn barrier(&self, now: Timestamp) -> StoreFuture<'_, Option<Timestamp>> {
        Box::pin(async move {
            let mut latest = 0;
            for (_, barrier) in self.judge(&Partition::all().collect::<Vec<_>>(), now).await {
                latest = latest.max(barrier?);
            }
            Ok((latest > 0).then(|| Timestamp::from_ms(latest)))
        })
    }

    fn raise_barrier(&self, to: Timestamp, now: Timestamp) -> StoreFuture<'_, Timestamp> {
        Box::pin(async move {
            let partitions: Vec<Partition> = Partition::all().collect();
            for (_, barrier) in self.judge(&partitions, now).await {
                barrier?;
            }
            Ok(self.raised(&partitions, to).await?)
        })
    }

    fn survey(&self) -> StoreFuture<'_, Survey> {
        Box::pin(async move {
            self.calls.links.watch().await;
            Ok(self.surveyed().await?)
        })
    }

    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(async move { Ok(self.appended(&lines).await?) })
    }

    fn read_audit(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(async move { Ok(self.lines(after, key, lines_max).await?) })
    }

    fn trim_audit(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.trimmed(before, lines_max).await?) })
    }
}
