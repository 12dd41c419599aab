//! Seals the log while the engine runs.

use std::{sync::Arc, time::Duration};

use onceward_core::{secret::Secret, time::Timestamp};
use onceward_store::{AuditCursor, AuditLog, StoreError};

use super::{Chain, Meaning, PAGE_LINES, SEAL_TAG, seal_of};

/// How often a seal is due: a line that is younger may not be covered yet.
pub(crate) const SEAL_PERIOD: Duration = Duration::from_secs(10);

/// Another process' seal that is younger than this will do, while both go on.
pub(crate) const SEAL_AGE_MIN: Duration = Duration::from_secs(5);

/// How far one look goes back at first for the last seal, in positions of the log; twice as far each time.
const LOOK_BACK: u64 = 4_096;

/// Reads on in the log, and seals what came.
#[derive(Debug)]
pub(crate) struct Sealing {
    log: Arc<dyn AuditLog>,
    secret: Secret,
    /// How far it has read; `None` before the first round.
    read: Option<Read>,
}

#[derive(Debug)]
struct Read {
    chain: Chain,
    through: AuditCursor,
    /// When the last seal was made.
    sealed_at: Option<Timestamp>,
}

impl Sealing {
    pub(crate) fn new(log: Arc<dyn AuditLog>, secret: Secret) -> Self {
        Self { log, secret, read: None }
    }

    /// Whether it knows where the last seal is.
    pub(crate) fn has_begun(&self) -> bool {
        self.read.is_some()
    }

    /// Reads what came since the last round, and seals it unless the last seal is younger than `age_min`.
    ///
    /// A seal whose answer was lost may stand in the log or not; the next round finds out by reading.
    ///
    /// # Errors
    /// When the log does not answer; the next round goes on where this one ended.
    pub(crate) async fn round(&mut self, now: Timestamp, age_min: Duration) -> Result<(), StoreError> {
        let mut read = match self.read.take() {
            Some(read) => read,
            None => self.begin().await?,
        };
        let caught_up = catch_up(&*self.log, &mut read).await;
        let is_due = read.sealed_at.is_none_or(|at| now.since(at) >= age_min);
        let seal = is_due.then(|| read.chain.seal(now)).flatten();
        self.read = Some(read);
        caught_up?;
        match seal {
            Some(seal) => self.log.append(vec![seal]).await,
            None => Ok(()),
        }
    }

    /// Behind the last seal of the log, wherever that is.
    async fn begin(&self) -> Result<Read, StoreError> {
        let mut chain = Chain::new(self.secret.clone());
        let last = last_seal(&*self.log).await?;
        let Some((line_at, seal)) = last else {
            return Ok(Read { chain, through: AuditCursor(0), sealed_at: None });
        };
        chain.number = seal.seal;
        let through = AuditCursor(seal.through);
        chain.link = seal.link;
        Ok(Read { chain, through, sealed_at: Some(line_at) })
    }
}

async fn catch_up(log: &dyn AuditLog, read: &mut Read) -> Result<(), StoreError> {
    loop {
        let lines = log.read(read.through, None, PAGE_LINES).await?;
        for (place, line) in &lines {
            read.through = *place;
            if let Meaning::Seal(found) = read.chain.read(*place, line) {
                read.sealed_at = Some(line.at);
                if let Err(flaw) = found {
                    tracing::error!(
                        seal = read.chain.number,
                        ?flaw,
                        "the audit log was changed; run: onceward store verify"
                    );
                }
            }
        }
        if lines.len() < PAGE_LINES {
            return Ok(());
        }
    }
}

/// The last seal of the log, and when it was made, found without reading the log.
async fn last_seal(log: &dyn AuditLog) -> Result<Option<(Timestamp, super::Seal)>, StoreError> {
    let end = end_of(log).await?;
    let mut back = LOOK_BACK;
    loop {
        let mut after = AuditCursor(end.saturating_sub(back));
        let mut last = None;
        loop {
            let seals = log.read(after, Some(SEAL_TAG), PAGE_LINES).await?;
            let is_last_page = seals.len() < PAGE_LINES;
            after = seals.last().map_or(after, |(place, _)| *place);
            last = seals.into_iter().rev().find_map(|(_, line)| Some((line.at, seal_of(&line)?))).or(last);
            if is_last_page {
                break;
            }
        }
        if last.is_some() || back >= end {
            return Ok(last);
        }
        back = back.saturating_mul(2);
    }
}

/// The position of the log's last line, or one shortly before it; 0 where there is none.
async fn end_of(log: &dyn AuditLog) -> Result<u64, StoreError> {
    // Positions are opaque but ordered, so bisection finds the last; a store counts in 63 bits at the most.
    let (mut low, mut high) = (0, i64::MAX.unsigned_abs());
    while low < high {
        let middle = low + (high - low) / 2;
        match log.read(AuditCursor(middle), None, 1).await?.first() {
            Some((AuditCursor(place), _)) => low = *place,
            None => high = middle,
        }
    }
    Ok(low)
}
