//! What a server says of itself, and whether that is enough (S3).

use std::collections::BTreeMap;

use super::{Strictness, open_error::Unfit};

/// The settings of a server, as one session sees them. Each server knows some of them only.
#[derive(Clone, Debug)]
pub(super) struct Settings(BTreeMap<String, String>);

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    MySql,
    MariaDb,
}

/// What an acknowledged transaction survives on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Degree {
    /// Not even the server's process.
    Nothing,
    /// The server's process.
    Process,
    /// The loss of power.
    Power,
}

impl Degree {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// The oldest releases whose locks and names are those that this store is built on.
const MYSQL_OLDEST: (u32, u32) = (8, 0);
const MARIADB_OLDEST: (u32, u32) = (10, 6);

impl Settings {
    /// Reads all of them at once; a name that a server does not know is left out.
    pub(super) const QUERY: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN ('autocommit', 'binlog_format', 'hostname',
        'innodb_data_file_write_through', 'innodb_doublewrite', 'innodb_flush_log_at_trx_commit', 'innodb_flush_method',
        'innodb_force_recovery', 'innodb_log_file_write_through', 'innodb_read_only', 'log_bin', 'max_allowed_packet', 'port',
        'read_only', 'server_uid', 'server_uuid', 'sql_mode', 'super_read_only', 'sync_binlog', 'time_zone',
        'transaction_isolation', 'tx_isolation', 'version', 'wsrep_on')";

    pub(super) fn from_rows(rows: Vec<(String, String)>) -> Self {
        Self(rows.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }

    /// Asks how many servers this one follows. It may be writable all the same, and then what it is written to differs from what it follows.
    pub(super) fn following_query(&self) -> &'static str {
        match self.product() {
            Product::MySql => {
                "SELECT COUNT(*) FROM performance_schema.replication_connection_status
                 WHERE SERVICE_STATE = 'ON' AND CHANNEL_NAME NOT LIKE 'group\\_replication%'"
            }
            // As SHOW SLAVE STATUS would, but everybody may ask.
            Product::MariaDb => {
                "SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS
                 WHERE VARIABLE_NAME = 'SLAVES_RUNNING'"
            }
        }
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        matches!(self.get(name), "ON" | "1")
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn version(&self) -> &str {
        self.get("version")
    }

    pub(super) fn product(&self) -> Product {
        if self.version().contains("MariaDB") { Product::MariaDb } else { Product::MySql }
    }

    /// Bytes of a packet, and so of a script, at the most.
    pub(super) fn packet_bytes_max(&self) -> usize {
        self.get("max_allowed_packet").parse().unwrap_or_default()
    }

    /// What the session is not as it was asked to be.
    pub(super) fn session_finding(&self) -> Option<String> {
        let isolation =
            if self.knows("transaction_isolation") { "transaction_isolation" } else { "tx_isolation" };
        let wanted = [(isolation, "READ-COMMITTED"), ("time_zone", "+00:00"), ("autocommit", "ON")];
        let other = wanted.into_iter().find(|(name, value)| self.get(name) != *value);
        if let Some((name, _)) = other {
            return Some(format!("{name} = {:?}", self.get(name)));
        }
        let mode = self.get("sql_mode");
        let strict = mode.split(',').any(|name| name == "STRICT_ALL_TABLES");
        (!strict).then(|| format!("sql_mode = {mode:?}"))
    }

    /// What acknowledged transactions survive.
    ///
    /// Commits in the engine's log are synced, or written, or left in memory for a second. Where there is a binary log, a transaction that
    /// is in the engine's alone is taken back after a crash, so that one has to be synced, too. Without the doublewrite buffer a page that
    /// was half written when power failed is lost with everything on it.
    pub(super) fn degree(&self) -> Degree {
        let engine = match self.get("innodb_flush_log_at_trx_commit") {
            // 3 is MariaDB's older way of 1, with more syncs.
            "1" | "3" => Degree::Power,
            "2" => Degree::Process,
            _ => Degree::Nothing,
        };
        let binary_log = if !self.is_on("log_bin") || self.get("sync_binlog") == "1" {
            Degree::Power
        } else {
            Degree::Process
        };
        let doublewrite = self.get("innodb_doublewrite");
        let pages = match doublewrite {
            "" | "OFF" | "0" | "DETECT_ONLY" => Degree::Process,
            _ => Degree::Power,
        };
        let method = match self.get("innodb_flush_method") {
            "nosync" | "littlesync" => Degree::Process,
            _ => Degree::Power,
        };
        engine.min(binary_log).min(pages).min(method)
    }

    /// Why this server may not hold the store.
    pub(super) fn unfit(&self, strictness: Strictness) -> Option<Unfit> {
        let unfit = |finding: String, mend| Some(Unfit { finding, mend });
        let oldest = match self.product() {
            Product::MySql => MYSQL_OLDEST,
            Product::MariaDb => MARIADB_OLDEST,
        };
        if parsed(self.version()).is_none_or(|found| found < oldest) {
            let finding = format!("it is version {:?}", self.version());
            return unfit(finding, "use MySQL from 8.0 or MariaDB from 10.6 on");
        }
        if self.is_on("read_only") || self.is_on("super_read_only") || self.is_on("innodb_read_only") {
            return unfit("it is read-only".to_owned(), "name the primary, or set read_only = 0 there");
        }
        if self.is_on("wsrep_on") {
            let finding =
                "it is a member of a Galera cluster, which takes writes on several servers".to_owned();
            return unfit(finding, "name a server with asynchronous or semi-synchronous replication");
        }
        if !matches!(self.get("innodb_force_recovery"), "" | "0") {
            let finding = format!("innodb_force_recovery = {}", self.get("innodb_force_recovery"));
            return unfit(finding, "mend the server's data and start it without");
        }
        if self.is_on("log_bin") && self.get("binlog_format") == "STATEMENT" {
            let finding = "binlog_format = STATEMENT, which cannot log READ COMMITTED".to_owned();
            return unfit(finding, "set binlog_format = ROW or MIXED");
        }
        if strictness == Strictness::Strict && self.degree() < Degree::Power {
            let finding = format!(
                "it keeps acknowledged commits from loss of its {} only (innodb_flush_log_at_trx_commit = {}, log_bin = {}, \
                 sync_binlog = {}, innodb_doublewrite = {}, innodb_flush_method = {})",
                self.degree().as_str(),
                self.get("innodb_flush_log_at_trx_commit"),
                self.get("log_bin"),
                self.get("sync_binlog"),
                self.get("innodb_doublewrite"),
                self.get("innodb_flush_method"),
            );
            let mend = "set innodb_flush_log_at_trx_commit = 1, sync_binlog = 1 and innodb_doublewrite = ON, or accept less";
            return unfit(finding, mend);
        }
        None
    }

    /// What names this server, as an expression that it evaluates itself: another one than was recorded may lack what was acknowledged.
    ///
    /// MySQL keeps a random name in its data folder. MariaDB derives one from its network address and port; replicas differ at least in
    /// `server_id`, for replication demands it.
    pub(super) fn identity(&self) -> String {
        let expression = match self.product() {
            Product::MySql => "@@server_uuid",
            Product::MariaDb if self.knows("server_uid") => "CONCAT_WS('/', @@server_uid, @@server_id)",
            Product::MariaDb => "CONCAT_WS('/', @@hostname, @@port, @@server_id)",
        };
        format!("CAST({expression} AS BINARY)")
    }

    /// What has to stay true of the server's settings while the store is open, as a condition that it evaluates itself.
    pub(super) fn fitness(&self, strictness: Strictness) -> String {
        // As text: later releases of MariaDB have more than two values for it.
        let mut conditions = vec!["CONCAT('', @@GLOBAL.read_only) IN ('0', 'OFF')"];
        if strictness == Strictness::Strict {
            conditions.push("@@GLOBAL.innodb_flush_log_at_trx_commit IN (1, 3)");
            conditions.push("(@@GLOBAL.log_bin = 0 OR @@GLOBAL.sync_binlog = 1)");
        }
        conditions.join(" AND ")
    }
}

fn parsed(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(changes: &[(&str, &str)]) -> Settings {
        let sound = [
            ("version", "10.11.19-MariaDB-log"),
            ("read_only", "OFF"),
            ("log_bin", "ON"),
            ("binlog_format", "MIXED"),
            ("sync_binlog", "1"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("innodb_doublewrite", "ON"),
            ("innodb_flush_method", "O_DIRECT"),
            ("wsrep_on", "OFF"),
        ];
        let rows = sound.iter().chain(changes);
        Settings::from_rows(rows.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    // The server manuals' own words on each setting; sync_binlog counts only where there is a binary log.
    #[test]
    fn durability_is_that_of_the_weakest_setting() {
        let rows: &[(&[(&str, &str)], Degree)] = &[
            (&[], Degree::Power),
            (&[("innodb_flush_log_at_trx_commit", "2")], Degree::Process),
            (&[("innodb_flush_log_at_trx_commit", "0")], Degree::Nothing),
            (&[("sync_binlog", "0")], Degree::Process),
            (&[("sync_binlog", "100")], Degree::Process),
            (&[("sync_binlog", "0"), ("log_bin", "OFF")], Degree::Power),
            (&[("innodb_doublewrite", "OFF")], Degree::Process),
            (&[("innodb_doublewrite", "DETECT_AND_RECOVER")], Degree::Power),
            (&[("innodb_flush_method", "nosync")], Degree::Process),
        ];
        for (changes, expected) in rows {
            assert_eq!(settings(changes).degree(), *expected, "{changes:?}");
        }
    }

    /// Settings that differ, and a word of what a strict and a lenient store have against them.
    type Refusals<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, Option<&'a str>);

    // covers: S3
    #[test]
    fn an_unsafe_server_is_refused_by_name() {
        let rows: &[Refusals<'_>] = &[
            (&[], None, None),
            (&[("version", "8.4.3")], None, None),
            (&[("version", "5.7.44")], Some("version"), Some("version")),
            (&[("version", "10.5.29-MariaDB")], Some("version"), Some("version")),
            (&[("read_only", "ON")], Some("read-only"), Some("read-only")),
            (&[("super_read_only", "ON")], Some("read-only"), Some("read-only")),
            (&[("wsrep_on", "ON")], Some("Galera"), Some("Galera")),
            (&[("binlog_format", "STATEMENT")], Some("STATEMENT"), Some("STATEMENT")),
            (&[("innodb_force_recovery", "3")], Some("force_recovery"), Some("force_recovery")),
            (&[("sync_binlog", "0")], Some("process"), None),
            (&[("innodb_flush_log_at_trx_commit", "0")], Some("nothing"), None),
        ];
        let told = |settings: &Settings, strictness, expected: Option<&str>| {
            let unfit = settings.unfit(strictness).map(|unfit| unfit.finding);
            match (&unfit, expected) {
                (Some(finding), Some(word)) => finding.contains(word),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
        };
        for (changes, strict, lenient) in rows {
            let settings = settings(changes);
            assert!(told(&settings, Strictness::Strict, *strict), "{changes:?}");
            assert!(told(&settings, Strictness::Lenient, *lenient), "{changes:?}");
        }
    }
}
