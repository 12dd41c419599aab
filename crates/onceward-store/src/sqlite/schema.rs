//! The shape of the file: who made it, by which migrations, and how a connection to it is set up.

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use sha2::{Digest, Sha256};

use super::{Durability, open_error::OpenError, place::Place};

/// `oncw`, in the header of the file, so that `file(1)` and we can tell it from other programs' databases.
const APPLICATION_ID: i64 = 0x6f6e_6377;

/// Every change of shape, in order. One that was released never changes again: its checksum is in the files that it made.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/0001_records.sql"), include_str!("migrations/0002_marks.sql")];

/// How long a statement waits for a lock of another process: readers take none that a writer needs but for moments, at recovery.
const BUSY_MS: u64 = 5_000;

/// What the writer caches, in KiB: the upper levels of the indexes of ten million records, and what one transaction writes. More is slower:
/// a commit that split a page looks through the whole cache (`balance_nonroot` borrows the page number at 1 GiB, and the commit then
/// drops all pages from the file's end to there).
const CACHE_KIB: i64 = 8_192;

fn checksum(sql: &str) -> [u8; 32] {
    Sha256::digest(sql.as_bytes()).into()
}

/// Gives an empty file its shape and its first row.
pub(super) fn create(
    place: &Place,
    file: &std::path::Path,
    secret_check: &[u8; 32],
) -> Result<(), OpenError> {
    let fill = || {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        let transaction = connection.unchecked_transaction()?;
        migrate(&transaction, 0)?;
        transaction.execute(
            "INSERT INTO store VALUES (1, ?1, 0, NULL, NULL, 0, 0, NULL, 0, 0, 0, 0, 0)",
            [secret_check],
        )?;
        transaction.commit()?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.close().map_err(|(_open, error)| error)
    };
    fill().map_err(place.sqlite("create"))
}

fn migrate(connection: &Connection, done: usize) -> rusqlite::Result<()> {
    for (number, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        connection.execute_batch(sql)?;
        connection.execute("INSERT INTO migrations VALUES (?1, ?2)", (number, checksum(sql)))?;
    }
    Ok(())
}

/// Opens the one connection that writes.
pub(super) fn open_writer(place: &Place, durability: Durability) -> Result<Connection, OpenError> {
    let connection = open(place, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let done = check(&connection, place)?;
    let journal: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(place.sqlite("set up"))?;
    if journal != "wal" {
        let path = place.database().to_owned();
        return Err(OpenError::Weaker { path, pragma: "journal_mode = wal", found: journal });
    }
    // What opening writes is always synced; `Durability::Process` begins with the first operation.
    synchronise(&connection, place, Durability::Power)?;
    let set_up = || {
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        let transaction = connection.unchecked_transaction()?;
        migrate(&transaction, done)?;
        transaction.commit()
    };
    set_up().map_err(place.sqlite("set up"))?;
    // Asked for here so that a file system that refuses it is found before anything is recorded.
    synchronise(&connection, place, durability)?;
    synchronise(&connection, place, Durability::Power)?;
    Ok(connection)
}

/// Sets how much a commit waits for, and reads it back.
pub(super) fn synchronise(
    connection: &Connection,
    place: &Place,
    durability: Durability,
) -> Result<(), OpenError> {
    let (level, pragma) = match durability {
        Durability::Power => (2, "synchronous = full"),
        Durability::Process => (1, "synchronous = normal"),
    };
    let set = || {
        // A plain fsync(2) on macOS leaves the data in the drive's cache.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "synchronous", level)?;
        connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))
    };
    let found = set().map_err(place.sqlite("set up"))?;
    if found == level {
        return Ok(());
    }
    Err(OpenError::Weaker { path: place.database().to_owned(), pragma, found: found.to_string() })
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(place: &Place) -> Result<Connection, OpenError> {
    let connection = open(place, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(&connection, place)?;
    Ok(connection)
}

fn open(place: &Place, access: OpenFlags) -> Result<Connection, OpenError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(place.database(), flags)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
        // The schema comes from a file: it may not call functions, and what it says of cells is checked.
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        Ok(connection)
    };
    open().map_err(|error| unreadable(place, "open", error))
}

/// Whose file it is and of which shape; says how many migrations it has seen.
fn check(connection: &Connection, place: &Place) -> Result<usize, OpenError> {
    let path = || place.database().to_owned();
    let application_id: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| unreadable(place, "read", error))?;
    if application_id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path(), source: None });
    }
    let read = || {
        let mut migrations = connection.prepare("SELECT number, sha256 FROM migrations ORDER BY number")?;
        let rows = migrations.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(i64, Vec<u8>)>>>()
    };
    let found = read().map_err(|error| unreadable(place, "read", error))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if let Some((newest, _)) = found.last().filter(|(newest, _)| *newest > known) {
        return Err(OpenError::Newer { path: path(), found: *newest, known });
    }
    for ((number, sql), (found_number, found_sum)) in (1_i64..).zip(MIGRATIONS).zip(&found) {
        if number != *found_number || checksum(sql) != **found_sum {
            return Err(OpenError::MigrationDiffers { path: path(), number });
        }
    }
    Ok(found.len())
}

/// What a failure of SQLite says about the file.
pub(super) fn unreadable(place: &Place, doing: &'static str, error: rusqlite::Error) -> OpenError {
    let path = place.database().to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path, source: Some(error) },
        Some(ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, finding: error.to_string(), source: Some(error) }
        }
        Some(_) | None => place.sqlite(doing)(error),
    }
}

/// Files up to this size are checked page by page when they are opened: some 0.1 s. Larger ones by `verify`.
const CHECKED_BYTES_MAX: u64 = 32 << 20;

/// Looks through a small file before it is trusted.
pub(super) fn check_pages(connection: &Connection, place: &Place) -> Result<(), OpenError> {
    if place.bytes() > CHECKED_BYTES_MAX + place.log_bytes() {
        return Ok(());
    }
    let finding = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        .optional()
        .map_err(|error| unreadable(place, "check", error))?;
    match finding {
        Some(finding) if finding != "ok" => {
            Err(OpenError::Damaged { path: place.database().to_owned(), finding, source: None })
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksums that released files hold. A migration whose text changes makes every one of them unopenable.
    #[test]
    fn released_migrations_are_what_they_were() {
        let sums: Vec<_> = MIGRATIONS.iter().map(|sql| checksum(sql)).collect();
        assert_eq!(sums, [MIGRATION_1, MIGRATION_2]);
    }

    const MIGRATION_1: [u8; 32] = [
        0x24, 0x6d, 0x98, 0xe2, 0xb9, 0x0f, 0x23, 0x7c, 0x00, 0xfe, 0x2c, 0x00, 0xf8, 0x96, 0x6b, 0x6a, 0x8e,
        0x77, 0x80, 0xf8, 0x80, 0xcc, 0xc2, 0x85, 0x95, 0x7a, 0x47, 0x71, 0xb1, 0xd8, 0xc3, 0x56,
    ];

    const MIGRATION_2: [u8; 32] = [
        0x54, 0xc7, 0x8f, 0x2c, 0xa4, 0x89, 0xe9, 0x49, 0xe4, 0x42, 0xfb, 0xd8, 0xe9, 0x4f, 0xe6, 0x55, 0xf1,
        0x7a, 0x33, 0x64, 0x3c, 0xb0, 0x1c, 0x3d, 0x0e, 0x4f, 0x54, 0xd5, 0x3f, 0x4b, 0x38, 0x01,
    ];
}
