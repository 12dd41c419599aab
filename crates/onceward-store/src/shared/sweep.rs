//! Visits what time has overtaken (T3). Every process sweeps; where two visit one record, one of them does it and the other passes on.

use std::time::Duration;

use onceward_core::{actor::LookupId, record::Event};

use super::{
    Core,
    backend::{Expected, Mark, StoredRow},
    change::{View, step},
    gather::{Asked, Outcome},
    known::KnownRow,
    resilience::Repeat,
};
use crate::{
    codec,
    port::{StoreError, Swept},
    step::Kind,
};

/// Rows that one sweep visits at most, whatever it was asked: 100 to 200 a round leave room for claims beside it.
const SWEEP_RECORDS_MAX: usize = 200;

/// How often the sweep counts what is in doubt. It may cost the database a look at many rows.
const DOUBTS_PERIOD: Duration = Duration::from_secs(5);

/// A row under way to what time made of it.
struct Visit {
    before: Option<Kind>,
    after: Option<Kind>,
    asked: Asked,
}

impl Core {
    pub(super) async fn sweep(&self, records_max: usize) -> Result<Swept, StoreError> {
        self.ready().await?;
        let records_max = records_max.min(SWEEP_RECORDS_MAX);
        let now = self.time.now();
        let due = self.guard.run(Repeat::Always, |backend| backend.due(now, records_max + 1)).await?;
        let mut swept = Swept { more: due.len() > records_max, ..Swept::default() };
        let mut visits = Vec::with_capacity(records_max);
        for (id, row) in due.into_iter().take(records_max) {
            visits.extend(self.visit(id, row).await?);
        }
        for Visit { before, after, asked } in visits {
            // Where it is not done, somebody else was here meanwhile.
            if let (Outcome::Done, Some(before)) = (asked.answer().await?, before) {
                swept.count(before, after);
            }
        }
        self.count_doubts().await?;
        Ok(swept)
    }

    /// Begins to swap one record for what time made of it, or a mark for nothing.
    async fn visit(&self, id: LookupId, row: StoredRow) -> Result<Option<Visit>, StoreError> {
        if codec::is_mark(&row.head) {
            let asked = self.forget_mark(id, &row)?;
            return Ok(Some(Visit { before: Some(Kind::Mark), after: None, asked }));
        }
        let StoredRow { mark, head, .. } = row;
        let read = match codec::decode_head(id, &head) {
            Ok((record, _)) if record.inquiry.is_some() => match self.whole(id, mark).await? {
                Some(StoredRow { head, outcome, .. }) => codec::decode(id, &head, outcome),
                None => return Ok(None),
            },
            read => read,
        };
        let (record, label) = match read {
            Ok(read) => read,
            Err(codec::Unreadable) => {
                self.guard.run(Repeat::Always, |backend| backend.quarantine(id, mark)).await?;
                return Ok(None);
            }
        };
        let view = View::Record(KnownRow { mark, record, label });
        let judged = step(view, Expected::Row(mark), Event::Swept, None, self.time.now());
        if !judged.is_of_age() {
            return Ok(None);
        }
        let (before, after) = (judged.before, judged.after);
        let (swap, booking, _) = self.swap(id, judged, None)?;
        Ok(Some(Visit { before, after, asked: self.gatherer.ask(swap, booking)? }))
    }

    /// A row with the request that it keeps, which stays with the record that time makes of it; `None` where somebody changed it meanwhile.
    async fn whole(&self, id: LookupId, seen: Mark) -> Result<Option<StoredRow>, StoreError> {
        let rows = self.guard.run(Repeat::Always, |backend| backend.fetch(vec![id], true)).await?;
        Ok(rows.into_iter().next().flatten().filter(|row| row.mark == seen))
    }

    /// Counts what is in doubt, now and then: it is one number for all processes, and each of them shows it.
    async fn count_doubts(&self) -> Result<(), StoreError> {
        if self.doubts_counted.is_due(DOUBTS_PERIOD) {
            self.survey().await?;
        }
        Ok(())
    }
}
