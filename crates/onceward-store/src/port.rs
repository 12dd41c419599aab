//! The store port: eleven operations, each one atomic step, and the audit log beside it.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId},
    fingerprint::Fingerprint,
    record::{Attempt, AttemptId, Decision, DoubtReason, Epoch, Record, Sealed, Terms, Verdict},
    time::Timestamp,
    twin::{Bid, Mark, TwinId},
};

use crate::{link::Link, tally::Tally};

/// What a store's operation returns; boxed so that a deployment can choose its store at run time.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Ends when there may be something to see; boxed for the same reason.
pub type ChangeFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Remembers effects.
///
/// # Atomicity
/// Each operation is one atomic step at the store, on any number of tasks, processes and machines that the store claims to serve
/// (L1). What an operation answered is durable to the store's stated degree before the answer is given.
///
/// # Cancel safety
/// Dropping a returned future never undoes or tears the operation: it happens whole or not at all, and which of the two is unknown.
///
/// # Repetition
/// Every operation may be repeated with the same attempt id after a lost answer and says the same again (L11). That is the only
/// thing a caller may do about [`StoreError::Unknown`]. A verdict names the attempt that it judges and so finds itself, too; the audit
/// line of a repeated resolution may stand twice.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Claims a key for one attempt, or says why not: [`Record::on`] with `Event::Arrived`, under an epoch from a source that never
    /// goes back (L14).
    ///
    /// Answers `Execute`, `Replay`, `Wait`, `Refuse` or `Compare`.
    fn claim(&self, claim: Claim) -> StoreFuture<'_, Reply>;

    /// Extends the lease of the holder's claim (L3). Answers `Renewed` or `Stale`.
    fn renew(&self, id: LookupId, attempt: Attempt) -> StoreFuture<'_, Reply>;

    /// Ends a claim: completes, releases or doubts it, if `attempt` still holds it (L2). Answers `Settled` or `Stale`.
    fn settle(&self, id: LookupId, attempt: Attempt, settle: Settle) -> StoreFuture<'_, Reply>;

    /// Reads one record as it stands, with its outcome or its request. Changes nothing.
    fn get(&self, id: LookupId) -> StoreFuture<'_, Option<Stored>>;

    /// Applies a resolver's verdict (D3), the owner's cancellation (D5) or an erasure (T4), or grants a look (D2), and writes `audit` in the same atomic step,
    /// so that no verdict exists without its evidence (D4). Answers `Settled`, `Unchanged`, `Replay`, `Wait` or `Refuse`.
    fn resolve(&self, resolution: Resolution) -> StoreFuture<'_, Reply>;

    /// Marks an effect as the one that was last let through for what it means, or says which one is (P5): [`Bid::on`], over the mark that
    /// is found. Called under a claim, before its effect runs; a mark is no record, and neither listed nor counted as one.
    ///
    /// A mark that cannot be read stops nobody, and is written anew: it is a second guard beside the key, and must not bar a meaning for
    /// good.
    fn mark_twin(&self, twin: Twin) -> StoreFuture<'_, Marked>;

    /// Lists records without their outcomes, the one first whose key was first seen last; so paging neither skips nor repeats a record that
    /// changes meanwhile. A page is a consistent view; two pages may straddle changes. A filter that fits few records may give short
    /// pages, even empty ones, before the end.
    fn scan(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> StoreFuture<'_, Page>;

    /// Visits up to `records_max` records and marks that time has overtaken: lets `Event::Swept` decide of records, oldest first (T3), and
    /// forgets marks whose window has passed (P5).
    fn sweep(&self, records_max: usize) -> StoreFuture<'_, Swept>;

    /// A round trip that proves the store can be written to, and what it says of itself.
    fn health(&self) -> StoreFuture<'_, Health>;

    /// Declares that acknowledged records may have been lost: raises the history barrier to `to`, or to the present where none is named or
    /// that is earlier (T5). A barrier never falls. Says where it is then.
    fn raise_barrier(&self, to: Option<Timestamp>) -> StoreFuture<'_, Timestamp>;

    /// Ends when the record is seen not to be a live claim any more, whoever ended it; a store that serves several processes looks
    /// every few milliseconds for as long as somebody waits (W1). It says no more than that it is worth asking again.
    ///
    /// Pending for ever where a store serves one process, whose own ends wake its waiters.
    ///
    /// # Cancel safety
    /// Dropping the future ends the looking, and nothing else.
    fn changed_elsewhere(&self, _id: LookupId) -> ChangeFuture<'_> {
        Box::pin(std::future::pending())
    }
}

/// Where audit events go, beside the records and as durable as they are.
///
/// Events are opaque lines of JSON to the store; the engine owns their shape.
pub trait AuditLog: fmt::Debug + Send + Sync + 'static {
    /// Appends lines in order, all or none.
    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()>;

    /// Reads up to `lines_max` lines behind `after`, oldest first, of one key where `key` names one.
    fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>>;

    /// Deletes up to `lines_max` lines older than `before`; says how many went.
    fn trim(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64>;
}

/// Where a store takes the time from: it never goes back while the process lives, whatever is done to the system's clock (L9).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Timestamp;
}

/// One try at executing a key.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Under which the record is found.
    pub id: LookupId,
    /// The claimant's name for this try; the epoch is the store's to give.
    pub attempt: AttemptId,
    /// What is asked.
    pub fingerprint: Fingerprint,
    /// What the route decides.
    pub terms: Terms,
    /// What listings show of it.
    pub label: Label,
    /// When the key says it was issued (K7), for the history barrier.
    pub issued_at: Option<Timestamp>,
    /// What an unknown key without a time of issue means behind a history barrier (T5).
    pub undated: Undated,
    /// What a resolver needs of the request, sealed, kept until the effect is known to be over; `None` where no resolver would look.
    pub request: Option<Sealed>,
}

/// What an unknown key without a time of issue means after history was lost (T5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undated {
    /// It runs.
    Execute,
    /// 409 `history-lost`.
    Refuse,
}

/// How a holder ends its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// With the answer.
    Complete(Sealed),
    /// With proof that nothing happened (L5).
    Release,
    /// Without knowing.
    Doubt(DoubtReason),
}

/// A verdict, a cancellation, or the announcement of a look, with the audit line that goes with it.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// Under which the record is found.
    pub id: LookupId,
    /// What was found out, or that it is not wanted any more.
    pub change: ResolutionChange,
    /// What listings show, where the record is made by this very cancellation.
    pub label: Label,
    /// Written in the same atomic step, whatever the answer is; a verdict and a cancellation have one.
    pub audit: Option<StoredAudit>,
}

/// What a resolution changes.
#[derive(Clone, Debug)]
pub enum ResolutionChange {
    /// A resolver or a person found out (D3).
    Verdict {
        /// What.
        verdict: Verdict,
        /// The epoch of the attempt that was judged: a verdict that comes late must not end the doubt about a later one.
        judged: Epoch,
    },
    /// Somebody is about to look what became of it (D2). Answers `Settled` where the look is granted, `Wait` where another one goes on,
    /// `Unchanged` where nothing was kept to look with, or `Refuse`.
    Inquire {
        /// The epoch of the attempt that the look is about.
        judged: Epoch,
        /// The looker's name for this look (L11).
        looker: AttemptId,
        /// Nobody else looks before it has passed.
        pause: Duration,
    },
    /// The owner does not want it any more (D5).
    Cancel {
        /// How long the cancelled key is remembered.
        remember: Duration,
    },
    /// Nothing of its content may be kept (T4): the answer, the kept request and what listings say of it go, what happened stays known.
    /// Answers `Settled`, or `Refuse` where it still runs: then its answer is yet to come.
    Erase,
}

/// What an effect asks of the mark of its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twin {
    /// What it means.
    pub id: TwinId,
    /// Whose it is: a bound may be drawn by actors. The same for all who bid for one mark.
    pub actor: ActorTag,
    /// Who wants it, for how long, and in whose place.
    pub bid: Bid,
}

/// What the store answers to a bid for a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The bidder holds it.
    Held,
    /// Another one does.
    Taken(Mark),
}

/// What the store answers to a claim, a renewal, a settlement or a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What the record machine decided, and when, on the store's clock.
    Decided {
        /// The decision.
        decision: Decision,
        /// The present of that decision.
        at: Timestamp,
        /// When the record entered the state that it is now in.
        since: Timestamp,
    },
    /// The record cannot be read: it is quarantined and refused, never taken for absent (L8).
    Corrupt,
    /// The key is unknown, and acknowledged records may have been lost since it was issued (T5).
    HistoryLost {
        /// Keys issued before this point and unknown are refused.
        barrier: Timestamp,
    },
}

/// A record with what listings show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A readable record.
    Record(Box<Record>, Label),
    /// It cannot be read (L8).
    Corrupt,
}

/// What a listing shows of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Under which it is stored.
    pub id: LookupId,
    /// What it says of itself.
    pub label: Label,
    /// The record, its outcome and its request left out (`Sealed` empty).
    pub record: Record,
}

/// Which records a listing shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Only those in doubt.
    pub in_doubt_only: bool,
    /// Only those of this key.
    pub key: Option<KeyTag>,
    /// Only those of this actor.
    pub actor: Option<ActorTag>,
}

/// Where a listing goes on: opaque to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCursor(pub u64);

/// Where reading the audit log goes on: the position of the last line read; 0 is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditCursor(pub u64);

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, newest key first.
    pub entries: Vec<Entry>,
    /// Records left out because they cannot be read (L8).
    pub corrupt: usize,
    /// Where the next page starts; `None` at the end.
    pub next: Option<PageCursor>,
}

/// What one round of sweeping did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Outcomes whose body went and whose key stays (T1).
    pub expired: u64,
    /// Keys forgotten.
    pub forgotten: u64,
    /// Claims whose lease had lapsed, now in doubt (L4).
    pub doubted: u64,
    /// Marks forgotten whose window had passed (P5).
    pub marks: u64,
    /// Whether records or marks are left that time has overtaken.
    pub more: bool,
}

/// What a store says of itself.
#[derive(Clone, Debug)]
pub struct Health {
    /// The store's kind: `memory`, `sqlite` …
    pub kind: &'static str,
    /// What survives an acknowledged operation: `nothing`, `process` or `power`; a shared store names what its
    /// database promises.
    pub durability: &'static str,
    /// Records held, by state: absent, claimed, done, in doubt, tombstone.
    pub records: [u64; 5],
    /// Bytes on disk or in memory, as far as known.
    pub bytes: u64,
    /// Keys issued before this point and unknown are refused (T5).
    pub history_barrier: Option<Timestamp>,
    /// What becomes of claims: it goes on counting, so that metrics are read without asking the store.
    pub tally: Arc<Tally>,
    /// How the way to the database fares, where there is one: it goes on counting like the tally.
    pub link: Option<Arc<Link>>,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAudit {
    /// When it was decided.
    pub at: Timestamp,
    /// The key it is about, where there was one.
    pub key: Option<KeyTag>,
    /// One JSON object, without a line break.
    pub json: String,
}

/// Why a store did not answer an operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not happen: refused before anything was written.
    #[error("store unavailable: {reason}")]
    Unavailable {
        /// A fixed text.
        reason: &'static str,
        /// The cause, where there is one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It may have happened: the answer was lost. Repeat it with the same attempt id, or treat it as unknown.
    #[error("the store's answer was lost: {reason}")]
    Unknown {
        /// A fixed text.
        reason: &'static str,
        /// The cause, where there is one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A bound is reached that passes by itself in a moment (S1): operations in a queue. It did not happen.
    #[error("store busy: {limit}")]
    Busy {
        /// The limit's name.
        limit: &'static str,
    },
    /// A bound is reached that lasts (S1): records in a memory store. It did not happen.
    #[error("store full: {limit}")]
    Full {
        /// The limit's name.
        limit: &'static str,
    },
}
