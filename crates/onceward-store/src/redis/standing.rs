//! What one server says of itself: whose data it has, how it keeps it, and whether that is enough.

use redis::Value;

use super::{RedisDurability, UnreadSettings};

/// A replication id that was never given out.
const NO_REIGN: &str = "0000000000000000000000000000000000000000";

/// What is demanded of a server, and taken from it where it does not tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demands {
    pub(super) strict: bool,
    pub(super) durability: RedisDurability,
    pub(super) unread_settings: UnreadSettings,
}

/// How well a server keeps what it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Persistence {
    /// Not at all.
    None,
    /// Up to some moment before it went down.
    Lagging,
    /// All of it, synced before it is acknowledged.
    Synced,
}

/// Why a server is not trusted with new keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weakness {
    Evicts { policy: String },
    NoPersistence,
    NotSynced,
    ReplicasNotWaitedFor { replicas: u64 },
}

impl Weakness {
    /// A fixed text, for claims that are refused because of it.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Evicts { .. } => "the server may evict records: set maxmemory-policy to noeviction",
            Self::NoPersistence => "the server keeps nothing on disk: set appendonly to yes",
            Self::NotSynced => "the server does not sync before it answers: set appendfsync to always",
            Self::ReplicasNotWaitedFor { .. } => {
                "the server does not need its replicas for a write: set min-replicas-to-write"
            }
        }
    }
}

/// What a server said of itself when it was looked at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its replication id while it is a master: new at each start and at each promotion.
    pub(super) reign: String,
    pub(super) master: bool,
    /// The reign that it continued when it was promoted; nobody reigns under that any more.
    pub(super) predecessor: Option<String>,
    pub(super) replicas: u64,
    /// Whether writes need replicas that keep up.
    replicas_needed: bool,
    policy: String,
    pub(super) persistence: Persistence,
    pub(super) used_bytes: u64,
    pub(super) version: (u64, u64),
    pub(super) weakness: Option<Weakness>,
}

/// The commands that a look consists of.
pub(super) fn questions() -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    for section in ["server", "replication", "persistence", "memory"] {
        pipeline.cmd("INFO").arg(section);
    }
    for setting in ["appendfsync", "no-appendfsync-on-rewrite", "save"] {
        pipeline.cmd("CONFIG").arg("GET").arg(setting);
    }
    pipeline
}

impl Standing {
    /// Reads the answers to [`questions`]. A setting that the server does not let us read is what `demands` say it counts as.
    pub(super) fn read(answers: &[Value], demands: Demands) -> Option<Self> {
        let [server, replication, persistence, memory, appendfsync, paused, save] = answers else {
            return None;
        };
        let (server, replication) = (Section::of(server)?, Section::of(replication)?);
        let (persistence, memory) = (Section::of(persistence)?, Section::of(memory)?);
        let mut version = server.text("redis_version").split('.').map_while(|part| part.parse().ok());
        let settings =
            Settings { appendfsync: setting(appendfsync), paused: setting(paused), save: setting(save) };
        let mut standing = Self {
            reign: replication.text("master_replid").to_owned(),
            master: replication.text("role") == "master",
            predecessor: Some(replication.text("master_replid2").to_owned())
                .filter(|reign| reign != NO_REIGN),
            replicas: replication.number("connected_slaves"),
            // The field is there where the setting is.
            replicas_needed: !replication.text("min_slaves_good_slaves").is_empty(),
            policy: memory.text("maxmemory_policy").to_owned(),
            persistence: settings
                .persistence(persistence.text("aof_enabled") == "1", demands.unread_settings),
            used_bytes: memory.number("used_memory"),
            version: (version.next().unwrap_or(0), version.next().unwrap_or(0)),
            weakness: None,
        };
        standing.weakness = standing.weakness(demands);
        Some(standing)
    }

    /// Whether all that is acknowledged under this reign is on this server's own disk, and nowhere else: then a restart loses nothing.
    pub(super) fn keeps_alone(&self) -> bool {
        self.persistence == Persistence::Synced && self.replicas == 0
    }

    fn weakness(&self, demands: Demands) -> Option<Weakness> {
        if !demands.strict {
            return None;
        }
        if self.policy != "noeviction" {
            return Some(Weakness::Evicts { policy: self.policy.clone() });
        }
        match (self.persistence, demands.durability) {
            (Persistence::None, _) => return Some(Weakness::NoPersistence),
            (Persistence::Lagging, RedisDurability::Power) => return Some(Weakness::NotSynced),
            (Persistence::Lagging, RedisDurability::Process) | (Persistence::Synced, _) => {}
        }
        (self.replicas > 0 && !self.replicas_needed)
            .then_some(Weakness::ReplicasNotWaitedFor { replicas: self.replicas })
    }
}

/// What only `CONFIG GET` tells, which managed servers forbid.
struct Settings {
    appendfsync: Option<String>,
    paused: Option<String>,
    save: Option<String>,
}

impl Settings {
    fn persistence(&self, append_only: bool, unread: UnreadSettings) -> Persistence {
        let is = |setting: &Option<String>, wanted: &str| match setting {
            Some(found) => found == wanted,
            None => unread == UnreadSettings::Trust,
        };
        if append_only && is(&self.appendfsync, "always") && is(&self.paused, "no") {
            return Persistence::Synced;
        }
        let saves = match &self.save {
            Some(save) => !save.is_empty(),
            None => unread == UnreadSettings::Trust,
        };
        if append_only || saves { Persistence::Lagging } else { Persistence::None }
    }
}

/// The value in the answer to `CONFIG GET`.
fn setting(answer: &Value) -> Option<String> {
    match answer {
        Value::Array(pair) => match pair.as_slice() {
            [_, Value::BulkString(value)] => String::from_utf8(value.clone()).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// A section of `INFO`.
struct Section(String);

impl Section {
    fn of(answer: &Value) -> Option<Self> {
        match answer {
            Value::BulkString(text) => String::from_utf8(text.clone()).ok().map(Self),
            Value::VerbatimString { text, .. } => Some(Self(text.clone())),
            _ => None,
        }
    }

    /// The value of a field; empty where it is missing.
    fn text(&self, name: &str) -> &str {
        let field = |line: &'_ str| line.split_once(':').is_some_and(|(field, _)| field == name);
        let line = self.0.lines().find(|line| field(line)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value)
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{Demands, Persistence, Standing, Weakness};
    use crate::redis::{RedisDurability, UnreadSettings};

    const DEMANDS: Demands =
        Demands { strict: true, durability: RedisDurability::Power, unread_settings: UnreadSettings::Refuse };

    /// A server's answers: its replication section, its eviction policy, and three settings where it tells them.
    fn answers(replication: &str, policy: &str, settings: Option<[&str; 3]>) -> Vec<Value> {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let replication = format!("role:master\r\nmaster_replid:ab12\r\n{replication}");
        let mut answers = vec![
            text("# Server\r\nredis_version:7.0.15\r\n"),
            text(&replication),
            text("aof_enabled:1\r\n"),
            text(&format!("used_memory:1024\r\nmaxmemory_policy:{policy}\r\n")),
        ];
        for number in 0..3 {
            answers.push(
                settings.map_or(Value::Nil, |settings| {
                    Value::Array(vec![text("setting"), text(settings[number])])
                }),
            );
        }
        answers
    }

    const ALONE: &str = "connected_slaves:0\r\nmaster_replid2:0000000000000000000000000000000000000000\r\n";

    #[test]
    fn a_server_that_syncs_alone_is_as_it_is_wished_for() {
        let standing = Standing::read(&answers(ALONE, "noeviction", Some(["always", "no", ""])), DEMANDS);
        let expected = Standing {
            reign: "ab12".to_owned(),
            master: true,
            predecessor: None,
            replicas: 0,
            replicas_needed: false,
            policy: "noeviction".to_owned(),
            persistence: Persistence::Synced,
            used_bytes: 1024,
            version: (7, 0),
            weakness: None,
        };
        assert!(expected.keeps_alone());
        assert_eq!(standing, Some(expected));
    }

    // covers: S3
    #[test]
    fn each_weakness_is_named() {
        let always = Some(["always", "no", ""]);
        let process = Demands { durability: RedisDurability::Process, ..DEMANDS };
        let lax = Demands { strict: false, ..DEMANDS };
        let trusting = Demands { unread_settings: UnreadSettings::Trust, ..DEMANDS };
        let evicts = Weakness::Evicts { policy: "allkeys-lru".to_owned() };
        let unneeded = Weakness::ReplicasNotWaitedFor { replicas: 2 };
        let needed = "connected_slaves:2\r\nmin_slaves_good_slaves:2\r\n";
        let rows = [
            (answers(ALONE, "allkeys-lru", always), DEMANDS, Some(evicts)),
            (answers(ALONE, "noeviction", Some(["everysec", "no", ""])), DEMANDS, Some(Weakness::NotSynced)),
            (answers(ALONE, "noeviction", Some(["always", "yes", ""])), DEMANDS, Some(Weakness::NotSynced)),
            (answers(ALONE, "noeviction", Some(["everysec", "no", ""])), process, None),
            (answers("connected_slaves:2\r\n", "noeviction", always), DEMANDS, Some(unneeded)),
            (answers(needed, "noeviction", always), DEMANDS, None),
            (answers(ALONE, "noeviction", None), DEMANDS, Some(Weakness::NotSynced)),
            (answers(ALONE, "noeviction", None), trusting, None),
            (answers("connected_slaves:2\r\n", "allkeys-lru", None), lax, None),
        ];
        for (answers, demands, weakness) in rows {
            let standing = Standing::read(&answers, demands).expect("readable");
            assert_eq!(standing.weakness, weakness, "{standing:?} {demands:?}");
        }
    }

    // covers: S3
    #[test]
    fn without_a_log_and_without_snapshots_nothing_is_kept() {
        let rows = [("", Persistence::None), ("3600 1", Persistence::Lagging)];
        for (save, persistence) in rows {
            let mut answers = answers(ALONE, "noeviction", Some(["everysec", "no", save]));
            answers[2] = Value::BulkString(b"aof_enabled:0\r\n".to_vec());
            let standing = Standing::read(&answers, DEMANDS).expect("readable");
            assert_eq!(standing.persistence, persistence);
        }
    }
}
