//! The job that looks.

use std::{error::Error, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use onceward_core::{
    record::{Attempt, AttemptId, Decision, Inquiry, Record, State},
    time::Timestamp,
};
use onceward_store::{Entry, EntryFilter, Reply, Resolution, ResolutionChange, StoreError, Stored};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{Doubtful, Look, Pace, Resolver, Sight};
use crate::{
    audit::AuditEvent,
    engine::Engine,
    operator::{Finding, Resolved},
};

/// Records in doubt that are listed at once.
const PAGE_ENTRIES_MAX: usize = 100;

/// The looking of one process.
#[derive(Debug)]
pub(crate) struct Job {
    engine: Engine,
    resolvers: Vec<Arc<dyn Resolver>>,
    pace: Pace,
    looks_free: Arc<Semaphore>,
}

/// What was made of all looks of one turn.
struct Found {
    finding: Option<Finding>,
    /// What each resolver saw that looked.
    evidence: String,
}

impl Job {
    pub(crate) fn new(engine: Engine, resolvers: Vec<Arc<dyn Resolver>>, pace: Pace) -> Arc<Self> {
        let looks_free = Arc::new(Semaphore::new(pace.looks_max));
        Arc::new(Self { engine, resolvers, pace, looks_free })
    }

    /// Looks until the engine closes.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut is_alerted = false;
        loop {
            let roused = self.engine.0.doubted.notified();
            let oldest = tokio::select! {
                oldest = self.round() => oldest,
                () = self.engine.0.closing.cancelled() => return,
            };
            match oldest {
                Ok(oldest) => self.note_oldest(oldest, &mut is_alerted),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn Error, "effects in doubt not listed");
                }
            }
            tokio::select! {
                () = self.engine.0.closing.cancelled() => return,
                () = roused => {}
                () = sleep(self.pace.period) => {}
            }
        }
    }

    /// Begins a look at each doubt whose turn it is, and says since when the oldest one lasts.
    async fn round(self: &Arc<Self>) -> Result<Option<Timestamp>, StoreError> {
        let mut oldest: Option<Timestamp> = None;
        if self.engine.0.tally.in_doubt() == 0 {
            return Ok(oldest);
        }
        let mut after = None;
        loop {
            let filter = EntryFilter { in_doubt_only: true, ..EntryFilter::default() };
            let page = self.engine.list(filter, after, PAGE_ENTRIES_MAX).await?;
            for entry in page.entries {
                let since = entry.record.since;
                oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
                self.begin(entry).await;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(oldest),
            }
        }
    }

    async fn begin(self: &Arc<Self>, entry: Entry) {
        let now = self.engine.now();
        let is_due = entry.record.inquiry.as_ref().is_some_and(|inquiry| now >= inquiry.next_at);
        if self.resolvers.is_empty() || !is_due || now.since(entry.record.since) > self.pace.age_max {
            return;
        }
        // Never closed.
        let Ok(permit) = Arc::clone(&self.looks_free).acquire_owned().await else { return };
        let job = Arc::clone(self);
        self.engine.0.housekeeping.spawn(async move {
            let closing = job.engine.0.closing.clone();
            tokio::select! {
                looked = job.look(&entry) => if let Err(error) = looked {
                    tracing::warn!(error = &error as &dyn Error, "an effect in doubt was not looked at");
                },
                () = closing.cancelled() => {}
            }
            drop(permit);
        });
    }

    /// One turn: every resolver in order, until one knows.
    async fn look(&self, entry: &Entry) -> Result<(), StoreError> {
        let State::InDoubt { attempt, .. } = entry.record.state else { return Ok(()) };
        let Some(now) = self.granted(entry, attempt).await? else { return Ok(()) };
        // Read behind the grant, so that what is judged is what the grant was about.
        let Some(Stored::Record(record, _)) = self.engine.get(entry.id).await? else { return Ok(()) };
        let Some(doubt) = self.doubtful(entry, &record, attempt, now) else { return Ok(()) };
        let Found { finding, evidence } = self.ask_all(&doubt, &record).await?;
        if let Some(finding) = finding {
            let judged = attempt.epoch;
            let resolved = self.engine.resolve(entry.id, &entry.label, finding, judged, &evidence).await?;
            if resolved != Resolved::Applied {
                tracing::info!(?resolved, attempt = %attempt.id, "a verdict came too late");
            }
        } else if !evidence.is_empty() {
            let at = self.engine.now();
            let looked = AuditEvent {
                epoch: Some(attempt.epoch.0),
                evidence: Some(&evidence),
                ..AuditEvent::new("looked", &entry.label, at)
            };
            self.engine.0.audit.send(looked.line(entry.label.key, at));
        }
        Ok(())
    }

    /// When the store granted this process the look, if it did.
    async fn granted(&self, entry: &Entry, attempt: Attempt) -> Result<Option<Timestamp>, StoreError> {
        let mut id = [0; 16];
        let mut chance = [0];
        let entropy = &*self.engine.0.entropy;
        if let Err(error) = entropy.fill(&mut id).and_then(|()| entropy.fill(&mut chance)) {
            tracing::error!(error = &error as &dyn Error, "no random source");
            return Ok(None);
        }
        let looks = entry.record.inquiry.as_ref().map_or(0, |inquiry| inquiry.looks).saturating_add(1);
        let [chance] = chance;
        let change = ResolutionChange::Inquire {
            judged: attempt.epoch,
            looker: AttemptId(id),
            pause: self.pace.pause_after(looks, self.resolvers.len(), chance),
        };
        let resolution = Resolution { id: entry.id, change, label: entry.label.clone(), audit: None };
        let records = &self.engine.0.records;
        match records.once("resolve", records.store.resolve(resolution)).await? {
            Reply::Decided { decision: Decision::Settled, at, .. } => Ok(Some(at)),
            // Another process looks, or nothing is in doubt any more.
            Reply::Decided { .. } | Reply::Corrupt | Reply::HistoryLost { .. } => Ok(None),
        }
    }

    fn doubtful(&self, entry: &Entry, record: &Record, judged: Attempt, now: Timestamp) -> Option<Doubtful> {
        let State::InDoubt { attempt, reason, .. } = record.state else { return None };
        let Inquiry { request, looks, .. } = record.inquiry.as_ref()?;
        if attempt != judged {
            return None;
        }
        match self.engine.open_request(entry, request) {
            Ok(request) => Some(Doubtful {
                id: entry.id,
                attempt,
                reason,
                claimed_at: record.claimed_at,
                doubted_at: record.since,
                now,
                looks: *looks,
                request,
            }),
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "a kept request does not open");
                None
            }
        }
    }

    async fn ask_all(&self, doubt: &Doubtful, record: &Record) -> Result<Found, StoreError> {
        let mut seen: Vec<String> = Vec::new();
        for resolver in &self.resolvers {
            let Look { sight, evidence } = self.ask(&**resolver, doubt).await;
            if sight == Sight::NotMine {
                continue;
            }
            self.engine.0.telemetry.count_look(resolver.name(), sight.as_str());
            let note = |what: &str| format!("{} saw {}{what}: {evidence}", resolver.name(), sight.as_str());
            let finding = match &sight {
                Sight::Happened(outcome) => Some(Finding::Happened(outcome.clone())),
                Sight::Multiple => Some(Finding::Multiple),
                Sight::Never => Some(Finding::Absent),
                Sight::Nothing { settling } => {
                    // Asked behind the look: a fail-over in between counts, too.
                    let barrier = self.engine.health().await?.history_barrier;
                    let shows_from = record.absence_shows_from(barrier, *settling);
                    if shows_from.is_some_and(|shows_from| doubt.now >= shows_from) {
                        Some(Finding::Absent)
                    } else {
                        seen.push(note(", too early for a verdict"));
                        continue;
                    }
                }
                Sight::NotMine | Sight::Unclear => None,
            };
            seen.push(note(""));
            if finding.is_some() {
                return Ok(Found { finding, evidence: seen.join("; ") });
            }
        }
        Ok(Found { finding: None, evidence: seen.join("; ") })
    }

    /// One look of one resolver, which can neither hang nor fell the job.
    async fn ask(&self, resolver: &dyn Resolver, doubt: &Doubtful) -> Look {
        let looking = AssertUnwindSafe(async { resolver.look(doubt).await }).catch_unwind();
        match timeout(self.pace.look_time_max, looking).await {
            Ok(Ok(look)) => look,
            Ok(Err(_)) => Look::unclear("the resolver panicked"),
            Err(_) => Look::unclear("no answer in time"),
        }
    }

    fn note_oldest(&self, oldest: Option<Timestamp>, is_alerted: &mut bool) {
        let age = oldest.map_or(std::time::Duration::ZERO, |oldest| self.engine.now().since(oldest));
        self.engine.0.telemetry.set_oldest_doubt(age);
        let is_old = oldest.is_some() && age >= self.pace.alert_age;
        if is_old && !*is_alerted {
            tracing::warn!(
                age_s = age.as_secs(),
                "an effect is in doubt for long: `onceward effects list --in-doubt` shows it, `onceward effects resolve` ends it"
            );
        }
        *is_alerted = is_old;
    }
}
