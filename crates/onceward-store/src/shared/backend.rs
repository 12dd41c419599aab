//! What a database has to do for a store on it to keep every promise: exchange rows atomically, and notice a history that went back.

use std::{fmt, sync::Arc};

use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    time::Timestamp,
};

use crate::{
    port::{AuditCursor, EntryFilter, PageCursor, StoreFuture, StoredAudit},
    step::Kind,
};

/// A database that keeps rows for many processes.
///
/// It knows nothing of the life of a record: the record machine runs in the process that asks, over the row as that process knows it, and
/// [`Backend::exchange`] writes what came out only if the row is still that one. So every decision is made in one place and one
/// language, and a database has to do one thing atomically.
///
/// # Errors
/// `Unavailable` and `Busy` mean that nothing of the operation happened. Whenever bytes of it may have reached the server, it is
/// `Unknown`. Nothing here repeats an operation by itself, and no driver's own retries are on.
///
/// # Cancel safety
/// Dropping a future leaves each swap whole or undone.
pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The store's kind, as [`crate::Health`] names it.
    fn kind(&self) -> &'static str;

    /// How its operations are best gathered.
    fn gathering(&self) -> Gathering;

    /// Applies each swap by itself, atomically, and answers all once all are as durable as the store promises.
    ///
    /// The swaps are of different ids. They may share a transaction; one that does not apply does not keep the others from it. The
    /// answers are in the order of the swaps. `now` is the store's time at this try: where a grant finds that history broke, the
    /// barrier is raised to it, so that what was lost before the try lies behind.
    fn exchange(&self, batch: Arc<[Swap]>, now: Timestamp) -> StoreFuture<'_, Vec<Swapped>>;

    /// Reads rows by id, as of now and no replica's past; with their outcomes only where `with_outcomes`.
    fn fetch(&self, ids: Vec<LookupId>, with_outcomes: bool) -> StoreFuture<'_, Vec<Option<StoredRow>>>;

    /// Up to `rows_max` rows whose `due_at` is at or before `now`, the longest due first, without their outcomes.
    fn due(&self, now: Timestamp, rows_max: usize) -> StoreFuture<'_, Vec<(LookupId, StoredRow)>>;

    /// Takes a row that cannot be read out of what [`Backend::due`] finds; it stays where it is.
    fn quarantine(&self, id: LookupId, mark: Mark) -> StoreFuture<'_, ()>;

    /// Up to `rows_max` rows of records that the filter admits, those first that were made last, without their outcomes; and where the
    /// next page starts. Rows of [`Kind::Mark`] are none.
    fn list(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        rows_max: usize,
    ) -> StoreFuture<'_, Listed>;

    /// The database server's clock as it is, and the correction that [`Backend::correct_clock`] wrote last.
    fn clock(&self) -> StoreFuture<'_, ClockReading>;

    /// Replaces the correction, if it is still `seen_ms`; says whether it did.
    fn correct_clock(&self, seen_ms: i64, correction_ms: i64) -> StoreFuture<'_, bool>;

    /// The barrier that is written down (T5). A break in the server's history is looked for first, and raises it to `now`.
    fn barrier(&self, now: Timestamp) -> StoreFuture<'_, Option<Timestamp>>;

    /// Looks for a break as [`Backend::barrier`] does, then raises the barrier to `to` where it is earlier; says where it is then.
    fn raise_barrier(&self, to: Timestamp, now: Timestamp) -> StoreFuture<'_, Timestamp>;

    /// A round trip that proves that the database can be written to, and what it says of itself.
    fn survey(&self) -> StoreFuture<'_, Survey>;

    /// Appends audit lines in order, all or none.
    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()>;

    /// Reads audit lines as [`crate::AuditLog::read`] does. A line never appears behind a position that was read past before.
    fn read_audit(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>>;

    /// Deletes up to `lines_max` audit lines older than `before`; says how many went.
    fn trim_audit(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64>;
}

/// How operations are gathered on their way to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gathering {
    /// Swaps in one exchange at the most.
    pub(crate) swaps_max: usize,
    /// Exchanges under way at once at the most.
    pub(crate) exchanges_max: usize,
}

/// The random name of one version of a row. Two versions of one row never share it, so that equal marks mean an unchanged row, and a
/// swap that is sent twice finds itself (L11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark(pub(crate) [u8; 16]);

/// One row for another, if it is still the expected one.
#[derive(Clone, Debug)]
pub(crate) struct Swap {
    /// Which row.
    pub(crate) id: LookupId,
    /// What has to be there.
    pub(crate) expected: Expected,
    /// What history has to be, where the swap puts a row that lets an effect run.
    pub(crate) grant: Option<Grant>,
    /// What is there afterwards.
    pub(crate) put: Put,
    /// Written in the same atomic step where the swap applies, and only then.
    pub(crate) audit: Option<StoredAudit>,
}

/// What a swap expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// No row.
    Nothing,
    /// The row with this mark.
    Row(Mark),
}

/// A swap that lets an effect run, and so applies only where history did not go back: in the same atomic step, the server is the one,
/// with the past, that the database itself says that it is, and its barrier is no later than the one here.
///
/// So what was lost with acknowledged records is never granted as new (T5): neither a key that is unknown since, nor one whose old row
/// is back with its old mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The barrier that it was judged by, in the store's time.
    pub(crate) barrier: Option<Timestamp>,
}

/// What a swap leaves.
#[derive(Clone, Debug)]
pub(crate) enum Put {
    /// What is there already.
    Keep,
    /// No row.
    Nothing,
    /// This row.
    Row(NewRow),
}

/// A row to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewRow {
    /// Its name.
    pub(crate) mark: Mark,
    /// For counts and filters.
    pub(crate) kind: Kind,
    /// When a sweep has to visit it.
    pub(crate) due_at: Option<Timestamp>,
    /// For listings; never changes under one id.
    pub(crate) key: KeyTag,
    /// For listings; never changes under one id.
    pub(crate) actor: ActorTag,
    /// Everything of the record but its answer: opaque.
    pub(crate) head: Vec<u8>,
    /// The answer, where there is one: opaque.
    pub(crate) outcome: Option<Vec<u8>>,
}

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRow {
    pub(crate) mark: Mark,
    pub(crate) head: Vec<u8>,
    /// `None` also where outcomes were not asked for.
    pub(crate) outcome: Option<Vec<u8>>,
}

/// What became of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// It applies, by this exchange or by an earlier copy of it: the row with the new mark is there, or, where nothing was put, none.
    Done,
    /// Something else is there, and nothing changed.
    Found(Option<StoredRow>),
    /// What was expected is there, but history is not what the grant was judged by: nothing changed, and this is the barrier now.
    History {
        /// At or behind which unknown keys cannot be told from lost ones.
        barrier: Timestamp,
    },
    /// This one alone is beyond a bound that lasts: nothing changed.
    #[cfg_attr(
        not(any(test, feature = "mysql")),
        expect(dead_code, reason = "only a database with such a bound answers so")
    )]
    Full {
        /// The limit's name.
        limit: &'static str,
    },
    /// The database is there, and grants nothing while its settings are weaker than the store's promise: nothing changed.
    #[cfg_attr(
        not(any(test, feature = "redis")),
        expect(dead_code, reason = "only a database whose settings are looked at now and then answers so")
    )]
    Refused {
        /// A fixed text.
        reason: &'static str,
    },
    /// This one alone was refused before anything of it was written: the part of the database that keeps it is away.
    #[cfg_attr(
        not(any(feature = "conformance", feature = "mysql", feature = "redis")),
        expect(dead_code, reason = "only a database of several parts answers so")
    )]
    Unavailable {
        /// A fixed text.
        reason: &'static str,
    },
    /// The answer to this one alone was lost: it may have happened.
    Unknown {
        /// A fixed text.
        reason: &'static str,
    },
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) rows: Vec<(LookupId, StoredRow)>,
    pub(crate) next: Option<PageCursor>,
}

/// What the database's clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockReading {
    /// The server's own clock.
    pub(crate) server: Timestamp,
    /// What is added to it to get the store's time, in milliseconds: the sum of the server's steps, undone.
    pub(crate) correction_ms: i64,
}

/// What a database says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// What survives an acknowledged operation, as [`crate::Health`] names it.
    pub(crate) durability: &'static str,
    /// Rows by kind; marks are not counted.
    pub(crate) rows: [u64; 5],
    /// Bytes that they take, as far as known.
    pub(crate) bytes: u64,
}
