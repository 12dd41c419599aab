//! The shape of the schema: its name, the migrations that made it, and the rights that a role needs in it.

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, error::SqlState, types::Type};

use super::open_error::PostgresError;

/// Every change of shape, in order. One that was released never changes again: its checksum is in the databases that it made.
///
/// Processes of two releases work side by side during an upgrade, so a migration adds functions under new names and leaves those that
/// running processes call.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_records.sql")];

/// Postgres cuts names after 63 bytes; the rest is for what is named after the schema.
const SCHEMA_NAME_BYTES_MAX: usize = 48;

/// What a role needs to use the store: no right to change the schema, and none to rewrite an audit line.
const GRANTS: &str = "
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.records TO {role};
GRANT SELECT, INSERT, UPDATE ON {schema}.books TO {role};
GRANT SELECT, INSERT, DELETE ON {schema}.audit TO {role};
-- A row has to be locked before it is trimmed, which takes the right to change some column of it.
GRANT UPDATE (place) ON {schema}.audit TO {role};
GRANT SELECT ON {schema}.migrations TO {role};
GRANT USAGE, UPDATE ON SEQUENCE {schema}.audit_place_seq TO {role};
";

/// A schema's name, which stands in statements as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema(String);

impl Schema {
    pub(super) fn new(name: &str) -> Result<Self, PostgresError> {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let sound = (1..=SCHEMA_NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(plain)
            && !name.starts_with(|first: char| first.is_ascii_digit());
        if sound {
            Ok(Self(name.to_owned()))
        } else {
            Err(PostgresError::SchemaName { schema: name.to_owned() })
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// `text` with this schema's quoted name for each `{schema}`.
    pub(super) fn within(&self, text: &str) -> String {
        text.replace("{schema}", &quoted(&self.0))
    }

    /// Everything that makes the schema, as one script.
    pub(super) fn script(&self, role: Option<&str>) -> String {
        let mut script = format!("BEGIN;\n{}", self.within(FOUNDATION));
        for (number, sql) in (1_usize..).zip(MIGRATIONS) {
            script.push_str(&self.within(sql));
            script.push_str(&self.seal(number, sql));
        }
        if let Some(role) = role {
            script.push_str(&self.within(GRANTS).replace("{role}", &quoted(role)));
        }
        script.push_str("COMMIT;\n");
        script
    }

    /// Writes down that a migration was applied.
    fn seal(&self, number: usize, sql: &str) -> String {
        let sum: String = checksum(sql).iter().map(|byte| format!("{byte:02x}")).collect();
        self.within(&format!("\nINSERT INTO {{schema}}.migrations VALUES ({number}, '\\x{sum}');\n"))
    }

    /// How many migrations the schema has seen; refuses what this program's have not made.
    pub(super) async fn standing(&self, client: &Client, place: &str) -> Result<usize, PostgresError> {
        let doing = refused("read the schema's migrations", place);
        let there = client
            .query_typed_one(STANDS, &[(&self.0, Type::TEXT)])
            .await
            .and_then(|row| row.try_get::<_, bool>(0))
            .map_err(&doing)?;
        if !there {
            return Ok(0);
        }
        let all = self.within("SELECT number, sha256 FROM {schema}.migrations ORDER BY number");
        let rows = client.query_typed(&all, &[]).await.map_err(&doing)?;
        let (found, known) = (rows.len(), MIGRATIONS.len());
        let (place, schema) = (place.to_owned(), self.0.clone());
        if found > known {
            return Err(PostgresError::Newer { place, schema, found, known });
        }
        for ((number, sql), row) in (1_usize..).zip(MIGRATIONS).zip(&rows) {
            let found_number: i64 = row.try_get(0).map_err(&doing)?;
            let found_sum: &[u8] = row.try_get(1).map_err(&doing)?;
            if i64::try_from(number).ok() != Some(found_number) || checksum(sql) != *found_sum {
                return Err(PostgresError::MigrationDiffers { place, schema, number });
            }
        }
        Ok(found)
    }

    /// Applies what is missing, in one transaction, one process at a time; says how many migrations that were.
    pub(super) async fn migrate(&self, client: &mut Client, place: &str) -> Result<usize, PostgresError> {
        let found = self.standing(client, place).await?;
        if found == MIGRATIONS.len() {
            return Ok(0);
        }
        let denied = |source: tokio_postgres::Error| {
            if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                let (place, schema) = (place.to_owned(), self.0.clone());
                PostgresError::NotMigrated { place, schema, found, known: MIGRATIONS.len() }
            } else {
                refused("migrate the schema", place)(source)
            }
        };
        let transaction = client.transaction().await.map_err(denied)?;
        transaction
            .query_typed(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
                &[(&self.within("onceward migrates {schema}"), Type::TEXT)],
            )
            .await
            .map_err(denied)?;
        // Another process may have been first.
        let found = self.standing(transaction.client(), place).await?;
        if found == 0 {
            transaction.batch_execute(&self.within(FOUNDATION)).await.map_err(denied)?;
        }
        for (number, sql) in (1_usize..).zip(MIGRATIONS).skip(found) {
            transaction.batch_execute(&self.within(sql)).await.map_err(denied)?;
            transaction.batch_execute(&self.seal(number, sql)).await.map_err(denied)?;
        }
        transaction.commit().await.map_err(denied)?;
        Ok(MIGRATIONS.len() - found)
    }
}

/// Whether there is anything yet. The catalogue itself is asked: `to_regclass` may remember from before a lock that there was not.
const STANDS: &str = "
SELECT EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = 'migrations'
)";

/// Where migrations write themselves down. A schema that somebody else made for the store is taken as it is.
const FOUNDATION: &str = "
DO $$
BEGIN
    IF to_regnamespace('{schema}') IS NULL THEN
        CREATE SCHEMA {schema};
    END IF;
END
$$;
CREATE TABLE {schema}.migrations (number bigint PRIMARY KEY, sha256 bytea NOT NULL);
";

fn checksum(sql: &str) -> [u8; 32] {
    Sha256::digest(sql.as_bytes()).into()
}

/// An identifier as it stands in statements.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Says what was tried when the server refused.
pub(super) fn refused(doing: &'static str, place: &str) -> impl Fn(tokio_postgres::Error) -> PostgresError {
    let place = place.to_owned();
    move |source| PostgresError::Refused { doing, place: place.clone(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_has_a_plain_name() {
        for name in ["onceward", "_a1", &"x".repeat(48)] {
            assert_eq!(Schema::new(name).expect("accepted").name(), name);
        }
        for name in ["", "1a", "Once", "a-b", "a\"b", "a'b", &"x".repeat(49)] {
            assert!(Schema::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_script_quotes_the_role_and_leaves_no_blank() {
        let script = Schema::new("shop").expect("a name").script(Some(r#"app "one""#));
        assert!(script.contains(r#"GRANT USAGE ON SCHEMA "shop" TO "app ""one""";"#), "{script}");
        assert!(!script.contains("{schema}") && !script.contains("{role}"), "{script}");
    }

    /// The checksums that released databases hold. A migration whose text changes makes every one of them unopenable.
    #[test]
    fn released_migrations_are_what_they_were() {
        let sums: Vec<_> = MIGRATIONS.iter().map(|sql| checksum(sql)).collect();
        assert_eq!(sums, [MIGRATION_1]);
    }

    const MIGRATION_1: [u8; 32] = [
        0x39, 0xc9, 0x79, 0x03, 0xc1, 0x0f, 0xbf, 0x57, 0x94, 0xe7, 0x3a, 0x9d, 0xf8, 0x90, 0xd6, 0x4a, 0x0a,
        0x87, 0xeb, 0x54, 0x2e, 0x53, 0xfc, 0xe4, 0x9c, 0x9c, 0x96, 0x2c, 0x24, 0x3e, 0x89, 0xd5,
    ];
}
