//! The marks of twins (P5): rows of their own kind among the records, behind the same swaps. Nothing else of a record's life is theirs: they
//! are no grant, so no break in history is looked for, and listings and counts pass them by.

use onceward_core::{
    actor::{KeyTag, LookupId},
    twin::TwinId,
};

use super::{
    Core,
    backend::{Expected, NewRow, Put, StoredRow, Swap},
    change::ROUNDS_MAX,
    gather::{Asked, Booking, Outcome},
};
use crate::{
    codec,
    port::{Marked, StoreError, Twin},
    step::Kind,
};

/// Under which a mark lies: the digests of both are of different purposes, so that no record has this id.
fn row_id(twin: TwinId) -> LookupId {
    LookupId::from_bytes(*twin.as_bytes())
}

/// Nobody looks a mark up by it; spread, so that no index has one entry for all.
fn key_tag(twin: TwinId) -> KeyTag {
    let [a, b, c, d, e, f, g, h, ..] = *twin.as_bytes();
    KeyTag::from_bytes([a, b, c, d, e, f, g, h])
}

impl Core {
    pub(super) async fn mark_twin(&self, twin: Twin) -> Result<Marked, StoreError> {
        self.ready().await?;
        let id = row_id(twin.id);
        // Most meanings are new.
        let (mut found, mut expected) = (None, Expected::Nothing);
        for _ in 0..ROUNDS_MAX {
            let (marked, put) = Marked::of(twin.bid.on(found, self.time.now()));
            let Some(mark) = put else { return Ok(marked) };
            let row = NewRow {
                mark: self.entropy.mark()?,
                kind: Kind::Mark,
                due_at: Some(mark.until),
                key: key_tag(twin.id),
                actor: twin.actor,
                head: codec::encode_mark(id, mark),
                outcome: None,
            };
            let swap = Swap { id, expected, grant: None, put: Put::Row(row), audit: None };
            match self.gatherer.ask(swap, Booking::default())?.answer().await? {
                Outcome::Done => return Ok(marked),
                // One that cannot be read stops nobody (port).
                Outcome::Found(row) => {
                    found = row.as_ref().and_then(|row| codec::decode_mark(id, &row.head).ok());
                    expected = row.map_or(Expected::Nothing, |row| Expected::Row(row.mark));
                }
                Outcome::History { barrier } => self.raise(barrier),
            }
        }
        Err(StoreError::Busy { limit: "swap_rounds_max" })
    }

    /// Begins to forget a mark whose window has passed.
    pub(super) fn forget_mark(&self, id: LookupId, row: &StoredRow) -> Result<Asked, StoreError> {
        let expected = Expected::Row(row.mark);
        let swap = Swap { id, expected, grant: None, put: Put::Nothing, audit: None };
        self.gatherer.ask(swap, Booking::default())
    }
}
