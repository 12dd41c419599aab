//! The rows of the claims that this process holds, so that renewing and settling one takes one round trip.

use std::collections::{HashMap, VecDeque};

use onceward_core::{
    actor::{Label, LookupId},
    record::Record,
};

use super::backend::Mark;

/// Rows remembered at once: as many as an engine runs calls (16,384). One that is forgotten costs its claim a round trip.
const ROWS_MAX: usize = 16_384;

/// A row as this process wrote it, or saw it last.
#[derive(Clone, Debug)]
pub(super) struct KnownRow {
    pub(super) mark: Mark,
    pub(super) record: Record,
    pub(super) label: Label,
}

/// Rows by id, those forgotten first that were remembered first.
///
/// What is here is an assumption and never an answer: every use of it names the row's mark to the database, which says whether the row is
/// still that one.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: HashMap<LookupId, (u64, KnownRow)>,
    /// In the order of remembering; an entry whose number is not its row's is of an earlier time.
    order: VecDeque<(u64, LookupId)>,
    next: u64,
}

impl Known {
    pub(super) fn get(&self, id: LookupId) -> Option<KnownRow> {
        self.rows.get(&id).map(|(_, row)| row.clone())
    }

    pub(super) fn remember(&mut self, id: LookupId, row: KnownRow) {
        self.rows.insert(id, (self.next, row));
        self.order.push_back((self.next, id));
        self.next += 1;
        if self.order.len() > 2 * ROWS_MAX {
            let rows = &self.rows;
            self.order.retain(|(number, id)| rows.get(id).is_some_and(|(latest, _)| latest == number));
        }
        while self.rows.len() > ROWS_MAX
            && let Some((number, oldest)) = self.order.pop_front()
        {
            if self.rows.get(&oldest).is_some_and(|(latest, _)| *latest == number) {
                self.rows.remove(&oldest);
            }
        }
    }

    pub(super) fn forget(&mut self, id: LookupId) {
        self.rows.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use onceward_core::actor::{ActorTag, KeyTag, Tenant};

    use super::*;

    fn id(number: usize) -> LookupId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        LookupId::from_bytes(id)
    }

    fn row(mark: u8) -> KnownRow {
        let label = Label {
            tenant: Tenant::single(),
            actor: ActorTag::from_bytes([0; 8]),
            key: KeyTag::from_bytes([0; 8]),
            effect: String::new(),
        };
        KnownRow { mark: Mark([mark; 16]), record: Record::absent(), label }
    }

    // covers: S1
    #[test]
    fn the_oldest_rows_go_and_what_was_renewed_counts_as_new() {
        let mut known = Known::default();
        known.remember(id(0), row(1));
        known.remember(id(1), row(1));
        known.remember(id(0), row(2));
        for number in 2..=ROWS_MAX {
            known.remember(id(number), row(1));
        }
        assert_eq!(known.get(id(0)).map(|row| row.mark), Some(Mark([2; 16])));
        assert!(known.get(id(1)).is_none());
        // One claim that lasts, and many short ones behind it: neither list grows.
        for number in 0..5 * ROWS_MAX {
            known.remember(id(ROWS_MAX + 1 + number), row(1));
            known.forget(id(ROWS_MAX + 1 + number));
        }
        assert!(known.rows.len() <= ROWS_MAX && known.order.len() <= 2 * ROWS_MAX);
    }
}
