//! Erases what is kept of an actor's content (T4).

use onceward_core::{
    actor::ActorTag,
    record::{Decision, Denial},
};
use onceward_store::{Entry, EntryFilter, PageCursor, Reply, Resolution, ResolutionChange, StoreError};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::engine::Engine;

/// Records that one call visits at the most, so that a caller sees it get on.
const RECORDS_MAX: usize = 1_000;

/// Erasures under way at once: enough that a store that gathers operations writes many with one sync.
const AT_ONCE_MAX: usize = 64;

/// What one call erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Records of which no content is left.
    pub erased: u64,
    /// Effects that run: their answers will be kept, so that it takes another round once they are over.
    pub running: u64,
    /// Records that cannot be read, of whichever actor (L8): what they hold stays, sealed.
    pub unreadable: u64,
    /// Where the next call goes on; `None` at the end.
    pub next: Option<PageCursor>,
}

/// What the audit log says of it.
#[derive(Debug, Serialize)]
struct ErasedLine<'a> {
    time: String,
    decision: &'static str,
    actor: String,
    erased: u64,
    running: u64,
    unreadable: u64,
    evidence: &'a str,
}

/// What became of one record.
enum Fate {
    Erased,
    Running,
    Unreadable,
}

impl Engine {
    /// Erases the answers, kept requests and wordings of an actor's effects, up to 1,000 records a call, and writes down that it was done, and
    /// by whose word; what happened stays known, so that nothing runs again. What stays of a record are times, states and keyed digests.
    ///
    /// The audit log keeps what it has: it names actors and keys by their tags, and effects by method and address.
    ///
    /// # Errors
    /// When the store does not answer. Some records may be erased then, and not in the audit log; the same call again is safe, and
    /// writes it down.
    pub async fn erase(
        &self,
        actor: ActorTag,
        after: Option<PageCursor>,
        evidence: &str,
    ) -> Result<Erased, StoreError> {
        let filter = EntryFilter { actor: Some(actor), ..EntryFilter::default() };
        let page = self.list(filter, after, RECORDS_MAX).await?;
        let unreadable = page.corrupt as u64;
        let mut erased = Erased { unreadable, next: page.next, ..Erased::default() };
        let mut entries = page.entries.into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < AT_ONCE_MAX
                && let Some(entry) = entries.next()
            {
                under_way.spawn(self.clone().erase_one(entry));
            }
            // One that panicked is not counted, and not erased as far as anybody knows.
            match under_way.join_next().await {
                Some(fate) => erased.count(fate.unwrap_or(Ok(Fate::Unreadable))?),
                None => break,
            }
        }
        let at = self.now();
        let line = ErasedLine {
            time: at.to_string(),
            decision: "erased",
            actor: actor.to_string(),
            erased: erased.erased,
            running: erased.running,
            unreadable: erased.unreadable,
            evidence,
        };
        self.write_down(at, &line).await?;
        Ok(erased)
    }

    async fn erase_one(self, Entry { id, label, .. }: Entry) -> Result<Fate, StoreError> {
        let records = &self.0.records;
        let resolution = Resolution { id, change: ResolutionChange::Erase, label, audit: None };
        let reply = records.once("resolve", records.store.resolve(resolution)).await?;
        Ok(match reply {
            Reply::Decided { decision: Decision::Refuse(Denial::InProgress), .. } => Fate::Running,
            Reply::Decided { .. } => Fate::Erased,
            Reply::Corrupt | Reply::HistoryLost { .. } => Fate::Unreadable,
        })
    }
}

impl Erased {
    fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Erased => self.erased += 1,
            Fate::Running => self.running += 1,
            Fate::Unreadable => self.unreadable += 1,
        }
    }
}
