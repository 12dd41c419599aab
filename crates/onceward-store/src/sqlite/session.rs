//! Opening for writing: what earlier runs left, what they may have lost, and the first commit of this one.

use std::{fs, path::Path, sync::Arc};

use super::{
    Durability, SqliteOptions,
    ledger::{Books, Ledger, from_count},
    open_error::OpenError,
    place::Place,
    schema,
    writer::Writer,
};
use crate::{
    clock::{StoreTime, SystemClock},
    epoch::Epochs,
};

/// Bytes of a page, and of its frame in the log.
const FRAME_BYTES: u64 = 4_096 + 24;

/// Opens, or creates, the file at `path` and brings it into a state in which it may answer.
pub(super) fn begin(path: &Path, options: SqliteOptions) -> Result<Writer, OpenError> {
    let place = Place::resolve(path)?;
    let (mut lock, witness) = place.lock()?;
    if !place.inspect()? {
        place.create(|draft| schema::create(&place, draft, &options.secret_check))?;
    }
    let log_missing = place.log_bytes() == 0;
    let connection = schema::open_writer(&place, options.durability)?;
    schema::check_pages(&connection, &place)?;
    let books = read_books(&connection, &place, &options.secret_check)?;

    let floor = books.clock;
    let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock::starting_at(floor)));
    let time = Arc::new(StoreTime::starting_at(floor, clock));
    let now = time.now();
    let boot = machine_boot();
    let lost = witness.runs > books.runs || lost_since(&books, log_missing, boot.as_deref());
    let ledger = Ledger {
        census: books.census,
        epochs: Epochs::starting(now, books.taken_until),
        barrier: if lost { Some(now) } else { books.barrier },
    };
    let runs = books.runs.max(witness.runs) + 1;
    let boot = boot.unwrap_or_else(|| UNKNOWN_BOOT.to_owned());
    let begun = (from_count(runs), boot, options.durability.as_str());
    let begin = || {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute("UPDATE store SET runs = ?1, boot = ?2, durability = ?3", begun)?;
        ledger.save(&transaction, now)?;
        transaction.commit()?;
        connection.pragma_update(None, "wal_autocheckpoint", options.log_pages)
    };
    begin().map_err(place.sqlite("begin a run of"))?;
    lock.sign(runs).map_err(place.io("sign the lock file of"))?;

    // An eighth more than a checkpoint starts at: the batch that reaches it writes on behind it.
    let log_bytes = u64::from(options.log_pages) * FRAME_BYTES * 9 / 8;
    place.prime_log(log_bytes).map_err(place.io("prime the log of"))?;
    let tally = Arc::default();
    let mut writer = Writer { connection, place, lock, ledger, time, tally, log_bytes, suspect: false };
    writer.recover().map_err(|failure| {
        let path = writer.place.database().to_owned();
        OpenError::Recovery { path, source: failure.error() }
    })?;
    schema::synchronise(&writer.connection, &writer.place, options.durability)?;
    Ok(writer)
}

/// The store's row, if it was made under this secret.
pub(super) fn read_books(
    connection: &rusqlite::Connection,
    place: &Place,
    secret_check: &[u8; 32],
) -> Result<Books, OpenError> {
    let path = || place.database().to_owned();
    let books = Books::read(connection).map_err(|error| schema::unreadable(place, "read", error))?;
    let Some(books) = books else {
        return Err(OpenError::Damaged {
            path: path(),
            finding: "its own row is missing".to_owned(),
            source: None,
        });
    };
    if books.secret_check == secret_check { Ok(books) } else { Err(OpenError::OtherSecret { path: path() }) }
}

/// Stands for a boot that cannot be told from others.
const UNKNOWN_BOOT: &str = "unknown";

/// Whether the last run may have acknowledged what the file does not hold (T5).
///
/// A run that did not end in order leaves its log; without it, what was not yet checkpointed is gone. And what
/// [`Durability::Process`] acknowledged is gone when the machine went down, not only the process.
fn lost_since(books: &Books, log_missing: bool, boot: Option<&str>) -> bool {
    let Some(last_boot) = books.boot.as_deref() else { return false };
    let machine_went_down = boot != Some(last_boot);
    let process_only = books.durability.as_deref() == Some(Durability::Process.as_str());
    log_missing || (process_only && machine_went_down)
}

/// The name of this boot of the machine, where the system gives it one (Linux, random(4)).
fn machine_boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use onceward_core::{record::Epoch, time::Timestamp};

    use super::*;
    use crate::step::Census;

    fn left(boot: Option<&str>, durability: Durability) -> Books {
        Books {
            secret_check: Vec::new(),
            runs: 1,
            boot: boot.map(str::to_owned),
            durability: Some(durability.as_str().to_owned()),
            clock: Timestamp::default(),
            taken_until: Epoch(0),
            barrier: None,
            census: Census::default(),
        }
    }

    // covers: T5
    #[test]
    fn acknowledged_records_count_as_lost_where_the_last_run_could_lose_them() {
        let rows = [
            // After an orderly end nothing is lost, wherever the machine is now.
            (left(None, Durability::Process), true, Some("b"), false),
            // A killed process loses nothing, while its log is there.
            (left(Some("a"), Durability::Process), false, Some("a"), false),
            (left(Some("a"), Durability::Power), false, Some("a"), false),
            (left(Some("a"), Durability::Power), true, Some("a"), true),
            // A machine that went down loses what was promised to survive the process only.
            (left(Some("a"), Durability::Power), false, Some("b"), false),
            (left(Some("a"), Durability::Process), false, Some("b"), true),
            // Where boots have no names, none can be ruled out.
            (left(Some(UNKNOWN_BOOT), Durability::Process), false, None, true),
        ];
        for (books, log_missing, boot, expected) in rows {
            assert_eq!(lost_since(&books, log_missing, boot), expected, "{books:?} {log_missing} {boot:?}");
        }
    }
}
