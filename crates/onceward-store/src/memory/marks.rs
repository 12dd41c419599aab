//! Which effect was last let through for what it means (P5).

use std::collections::{BTreeMap, BTreeSet};

use onceward_core::{
    actor::ActorTag,
    time::Timestamp,
    twin::{Mark, TwinId},
};

/// Marks, and the order in which their windows pass. Trees, since a table that doubles would leave up to half of its room empty.
///
/// Invariant: each mark stands once in `due`.
#[derive(Debug, Default)]
pub(super) struct Marks {
    found: BTreeMap<TwinId, (Mark, ActorTag)>,
    due: BTreeSet<(Timestamp, TwinId)>,
}

impl Marks {
    pub(super) fn get(&self, id: TwinId) -> Option<Mark> {
        self.found.get(&id).map(|(mark, _)| *mark)
    }

    pub(super) fn put(&mut self, id: TwinId, actor: ActorTag, mark: Mark) {
        if let Some((former, _)) = self.found.insert(id, (mark, actor)) {
            self.due.remove(&(former.until, id));
        }
        self.due.insert((mark.until, id));
    }

    /// Whether the window of any has passed.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due.first().is_some_and(|(until, _)| *until <= now)
    }

    /// Forgets the mark whose window passes first; says whose it was.
    pub(super) fn forget_oldest(&mut self) -> Option<ActorTag> {
        let (_, id) = self.due.pop_first()?;
        self.found.remove(&id).map(|(_, actor)| actor)
    }
}
