//! The tables: their names, by which migrations they came, and who may do what with them.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{
    address::Address,
    connections::{Connections, Lent},
    open_error::MysqlError,
    script::{Broken, Script},
};
use crate::port::StoreError;

/// Every change of shape, in order. One that was released never changes again: its checksum is in the databases that it made.
///
/// The server commits before and after each statement that changes a shape, so a migration may end in its middle: every statement of it
/// can be run again.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_records.sql")];

/// How long a migration waits for another process's.
const MIGRATION_WAIT_S: u32 = 60;

/// What every name of the store's tables ends with, and what a role needs there beside reading.
const TABLES: &[(&str, &str)] = &[
    ("records", "SELECT, INSERT, UPDATE, DELETE"),
    ("audit", "SELECT, INSERT, DELETE"),
    ("audit_head", "SELECT, INSERT, UPDATE"),
    ("books", "SELECT, INSERT, UPDATE"),
    ("alive", "SELECT, INSERT"),
    ("migrations", "SELECT"),
];

/// The server's code for a table that is not there.
const NO_SUCH_TABLE: u16 = 1146;

/// The names of the store's tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    prefix: String,
}

impl Tables {
    /// Names that begin with `prefix`: letters, digits and underscores, so that they need no care wherever they are written.
    pub(super) fn with_prefix(prefix: &str) -> Result<Self, MysqlError> {
        const PREFIX_BYTES_MAX: usize = 32;
        let plain =
            prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if plain && prefix.len() <= PREFIX_BYTES_MAX {
            return Ok(Self { prefix: prefix.to_owned() });
        }
        let reason = format!(
            "the table prefix {prefix:?} is not made of up to {PREFIX_BYTES_MAX} of a-z, 0-9 and the underscore"
        );
        Err(MysqlError::Url { reason })
    }

    /// Puts the tables' names in place of `{records}` and the like.
    pub(super) fn fill(&self, sql: &str) -> String {
        TABLES.iter().fold(sql.to_owned(), |sql, (table, _)| {
            sql.replace(&format!("{{{table}}}"), &format!("`{}{table}`", self.prefix))
        })
    }

    pub(super) fn name(&self, table: &str) -> String {
        format!("{}{table}", self.prefix)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        TABLES.iter().map(|(table, _)| self.name(table))
    }

    /// Everything that the migrations do, and the rights of a role that only uses the store, as statements to be read and run by hand.
    pub(super) fn script(&self, database: &str, role: Option<&str>) -> String {
        let mut text = self.fill(&format!("{MIGRATIONS_TABLE};\n\n"));
        for (number, sql) in (1_u32..).zip(MIGRATIONS) {
            text.push_str(self.fill(sql).trim_end());
            let sum = checksum(sql).iter().fold(String::new(), |mut digits, byte| {
                write!(digits, "{byte:02x}").ok();
                digits
            });
            write!(
                text,
                "\n\n{};\n\n",
                self.fill(&format!("INSERT IGNORE INTO {{migrations}} VALUES ({number}, x'{sum}')"))
            )
            .ok();
        }
        for (table, rights) in TABLES.iter().filter(|_| role.is_some()) {
            let (database, role) = (database.replace('`', "``"), role.unwrap_or_default());
            writeln!(text, "GRANT {rights} ON `{database}`.`{}` TO {role};", self.name(table)).ok();
        }
        text
    }
}

const MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS {migrations} (
    number INT UNSIGNED NOT NULL PRIMARY KEY,
    sha256 BINARY(32) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET binary";

fn checksum(sql: &str) -> [u8; 32] {
    Sha256::digest(sql.as_bytes()).into()
}

/// The statements of a migration, without its comments.
fn statements(sql: &str) -> impl Iterator<Item = String> {
    let code: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let code = code.join("\n");
    let statements: Vec<_> = code.split(';').map(|statement| statement.trim().to_owned()).collect();
    statements.into_iter().filter(|statement| !statement.is_empty())
}

/// Applies what is missing, one process at a time; says how many migrations those were.
pub(super) async fn migrate(
    connections: &Connections,
    tables: &Tables,
    place: &Address,
) -> Result<usize, MysqlError> {
    let start = start_error(place);
    let refused = |doing| move |broken: Broken| refused_error(doing, place, broken);
    let mut lent = connections.lend().await.map_err(&start)?;
    let lock = lock_name(tables, place);
    let ask = Script::of(&format!("SELECT GET_LOCK('{lock}', {MIGRATION_WAIT_S})"));
    let mut said = lent.say(&ask).await.map_err(refused("lock the schema"))?;
    let (locked,): (Option<u8>,) = said.row(0).map_err(&start)?;
    if locked != Some(1) {
        return Err(MysqlError::Migrating { place: place.to_string() });
    }
    lent.say(&Script::of(&tables.fill(MIGRATIONS_TABLE))).await.map_err(refused("make tables"))?;
    let done = seen(&mut lent, tables, place).await?;
    for (number, sql) in (1_u32..).zip(MIGRATIONS).skip(done) {
        for statement in statements(sql) {
            lent.say(&Script::of(&tables.fill(&statement))).await.map_err(refused("make tables"))?;
        }
        let mut script = Script::default();
        script.begin(&tables.fill("INSERT IGNORE INTO {migrations} VALUES ("));
        script.number(number).add(", ").bytes(&checksum(sql)).add(")");
        lent.say(&script).await.map_err(refused("sign a migration"))?;
    }
    // The lock goes with its session: whatever happened above, it is not left behind.
    lent.say(&Script::of(&format!("DO RELEASE_LOCK('{lock}')")))
        .await
        .map_err(refused("unlock the schema"))?;
    lent.give_back();
    Ok(MIGRATIONS.len() - done)
}

/// Applies what is missing, if the role may, and looks at the tables.
pub(super) async fn prepare(
    connections: &Connections,
    tables: &Tables,
    place: &Address,
) -> Result<(), MysqlError> {
    let start = start_error(place);
    let mut lent = connections.lend().await.map_err(&start)?;
    let done = seen(&mut lent, tables, place).await?;
    if let Some(number) = (1_u32..).zip(MIGRATIONS).map(|(number, _)| number).nth(done) {
        let applied = migrate(connections, tables, place).await;
        applied.map_err(|error| match error {
            MysqlError::Refused { .. } => MysqlError::NotMigrated { place: place.to_string(), number },
            error => error,
        })?;
    }
    let mut script = Script::default();
    script.begin("SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ");
    let names: Vec<_> = tables.names().collect();
    script.list(names.iter().map(String::as_bytes));
    let said = lent.say(&script).await;
    let mut said = said.map_err(|broken| refused_error("look at the tables", place, broken))?;
    let found: Vec<(String, String)> = said.rows(0).map_err(&start)?;
    let alive = tables.name("alive");
    let other =
        found.into_iter().find(|(table, engine)| *table != alive && !engine.eq_ignore_ascii_case("InnoDB"));
    if let Some((table, engine)) = other {
        return Err(MysqlError::Engine { place: place.to_string(), table, engine });
    }
    lent.give_back();
    Ok(())
}

/// How many migrations the database has seen, if they are this program's.
async fn seen(lent: &mut Lent, tables: &Tables, place: &Address) -> Result<usize, MysqlError> {
    let read = Script::of(&tables.fill("SELECT number, sha256 FROM {migrations} ORDER BY number"));
    let found: Vec<(u32, Vec<u8>)> = match lent.say(&read).await {
        Ok(mut said) => {
            said.rows(0).map_err(|source| MysqlError::Start { place: place.to_string(), source })?
        }
        Err(broken) if broken.code() == Some(NO_SUCH_TABLE) => Vec::new(),
        Err(broken) => return Err(refused_error("read the schema", place, broken)),
    };
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if let Some((newest, _)) = found.last().filter(|(newest, _)| *newest > known) {
        return Err(MysqlError::Newer { place: place.to_string(), found: *newest, known });
    }
    for ((number, sql), (found_number, found_sum)) in (1_u32..).zip(MIGRATIONS).zip(&found) {
        if number != *found_number || checksum(sql) != **found_sum {
            return Err(MysqlError::MigrationDiffers { place: place.to_string(), number });
        }
    }
    Ok(found.len())
}

pub(super) fn refused_error(doing: &'static str, place: &Address, broken: Broken) -> MysqlError {
    MysqlError::Refused { doing, place: place.to_string(), source: Box::new(broken.error) }
}

/// Locks have one name space for the whole server, of 64 bytes each.
fn lock_name(tables: &Tables, place: &Address) -> String {
    let mut name = Sha256::new();
    name.update(place.database().as_bytes());
    name.update([0]);
    name.update(tables.prefix.as_bytes());
    name.finalize().iter().take(16).fold("onceward ".to_owned(), |mut name, byte| {
        write!(name, "{byte:02x}").ok();
        name
    })
}

/// What a store says when a row of it is missing or cannot be read.
pub(super) fn start_error(place: &Address) -> impl Fn(StoreError) -> MysqlError + '_ {
    move |source| MysqlError::Start { place: place.to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksums that released databases hold. A migration whose text changes makes every one of them unopenable.
    #[test]
    fn released_migrations_are_what_they_were() {
        let sums: Vec<_> = MIGRATIONS.iter().map(|sql| checksum(sql)).collect();
        assert_eq!(sums, [MIGRATION_1]);
    }

    const MIGRATION_1: [u8; 32] = [
        0x72, 0xbc, 0xf0, 0xfe, 0x5d, 0xea, 0x17, 0x3f, 0xe4, 0x73, 0xee, 0x05, 0x44, 0x02, 0x72, 0x3a, 0x53,
        0x20, 0xb0, 0x1a, 0x4c, 0x46, 0x59, 0x87, 0xad, 0xcb, 0xef, 0x94, 0x57, 0x71, 0xaf, 0x18,
    ];

    #[test]
    fn a_prefix_is_nothing_but_letters_digits_and_underscores() {
        for prefix in ["", "onceward_", "a1_", &"x".repeat(32)] {
            let tables = Tables::with_prefix(prefix).expect(prefix);
            assert_eq!(
                tables.fill("{books}, {audit_head}"),
                format!("`{prefix}books`, `{prefix}audit_head`")
            );
        }
        for prefix in ["A", "a-b", "a`b", "a.b", "ä", &"x".repeat(33)] {
            Tables::with_prefix(prefix).expect_err(prefix);
        }
    }
}
