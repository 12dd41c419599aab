//! What an operator, a resolver or the owner of a key does beside the traffic (D2-D5, T3).

use std::time::Duration;

use onceward_core::{
    actor::{KeyTag, Label, LookupId},
    key::Key,
    outcome::Outcome,
    record::{Alarm, Decision, Denial, Epoch, Sealed, State, Verdict},
    time::Timestamp,
};
use onceward_store::{
    AuditCursor, Entry, EntryFilter, Health, Page, PageCursor, Reply, Resolution, ResolutionChange,
    StoreError, Stored, StoredAudit,
};
use zeroize::Zeroizing;

use crate::{
    audit::AuditEvent,
    engine::Engine,
    seal::{OpenError, SealContext},
};

/// What an operator or resolver says of an effect in doubt (D3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It happened, with this answer where one is known.
    Happened(Option<Box<Outcome>>),
    /// It did not happen and never will: nothing of the first request is still on its way.
    Absent,
    /// It happened more than once; its answer is none.
    Multiple,
}

impl Finding {
    /// The verdict's stable name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Happened(_) => "happened",
            Self::Absent => "absent",
            Self::Multiple => "multiple",
        }
    }
}

/// What became of a verdict or a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It stands.
    Applied,
    /// The record refused it.
    Denied(Denial),
    /// The effect was over before; its answer stands (D5).
    AlreadyDone,
    /// The record cannot be read (L8).
    Corrupt,
}

impl Engine {
    /// Lists records, newest key first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> Result<Page, StoreError> {
        let records = &self.0.records;
        records.once("scan", records.store.scan(filter, after, entries_max)).await
    }

    /// Reads one record, with its sealed outcome.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn get(&self, id: LookupId) -> Result<Option<Stored>, StoreError> {
        self.0.records.once("get", self.0.records.store.get(id)).await
    }

    /// The tag under which a key is listed.
    #[must_use]
    pub fn key_tag(&self, key: &Key) -> KeyTag {
        KeyTag::of(&self.0.secret, key)
    }

    /// The audit log, oldest first, of one key where `key` names one.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn audit(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> Result<Vec<(AuditCursor, StoredAudit)>, StoreError> {
        self.0.records.once("audit-read", self.0.audit_log.read(after, key, lines_max)).await
    }

    /// What the store says of itself.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn health(&self) -> Result<Health, StoreError> {
        self.0.records.once("health", self.0.records.store.health()).await
    }

    /// Opens the outcome of a listed record, read anew.
    ///
    /// # Errors
    /// When it does not open under this deployment's secret.
    pub fn open(&self, entry: &Entry, outcome: &Sealed) -> Result<Outcome, OpenError> {
        self.0.sealer.open(&SealContext::of(entry.id, &entry.label), outcome)
    }

    /// Applies a verdict to an effect in doubt; the audit log has it with its evidence in the same step (D3, D4).
    ///
    /// `judged` is the epoch of the attempt that the finding is about, as it was read with the record: where another attempt is in
    /// doubt by now, the verdict is refused.
    ///
    /// # Errors
    /// When the store does not answer; whether the verdict stands is then unknown, and it may be repeated (L11).
    pub async fn resolve(
        &self,
        id: LookupId,
        label: &Label,
        finding: Finding,
        judged: Epoch,
        evidence: &str,
    ) -> Result<Resolved, StoreError> {
        let name = finding.as_str();
        let verdict = match finding {
            Finding::Happened(None) => Verdict::Happened(None),
            Finding::Happened(Some(outcome)) => Verdict::Happened(Some(self.seal(id, label, &outcome)?)),
            Finding::Absent => Verdict::Absent,
            Finding::Multiple => Verdict::Multiple(None),
        };
        let event = AuditEvent {
            epoch: Some(judged.0),
            reason: Some(name),
            evidence: Some(evidence),
            ..AuditEvent::new("resolved", label, self.now())
        };
        let change = ResolutionChange::Verdict { verdict, judged };
        let resolved = self.change(id, label, change, &event).await?;
        if resolved == Resolved::Applied {
            self.0.telemetry.count_resolution(name);
        }
        Ok(resolved)
    }

    /// Cancels a key: what has not run never will, what is in doubt stays so and is marked abandoned (D5).
    ///
    /// # Errors
    /// When the store does not answer; the cancellation may be repeated.
    pub async fn cancel(
        &self,
        id: LookupId,
        label: &Label,
        remember: Duration,
        evidence: &str,
    ) -> Result<Resolved, StoreError> {
        let event =
            AuditEvent { evidence: Some(evidence), ..AuditEvent::new("cancelled", label, self.now()) };
        self.change(id, label, ResolutionChange::Cancel { remember }, &event).await
    }

    /// Opens what was kept of the request of a listed record, read anew.
    pub(crate) fn open_request(
        &self,
        entry: &Entry,
        request: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.0.sealer.open_request(&SealContext::of(entry.id, &entry.label), request)
    }

    fn seal(&self, id: LookupId, label: &Label, outcome: &Outcome) -> Result<Sealed, StoreError> {
        let sealed = self.0.sealer.seal(&SealContext::of(id, label), outcome, &*self.0.entropy);
        sealed.map_err(|error| StoreError::Unavailable {
            reason: "the outcome cannot be sealed",
            source: Some(Box::new(error)),
        })
    }

    async fn change(
        &self,
        id: LookupId,
        label: &Label,
        change: ResolutionChange,
        event: &AuditEvent<'_>,
    ) -> Result<Resolved, StoreError> {
        let audit = event.line(label.key, self.now());
        let is_cancellation = matches!(change, ResolutionChange::Cancel { .. });
        let resolution = Resolution { id, change, label: label.clone(), audit: Some(audit) };
        let reply = self.0.records.once("resolve", self.0.records.store.resolve(resolution)).await?;
        self.0.waiters.wake(id);
        let resolved = read_reply(&reply);
        // A cancellation of what is in doubt is noted there (D5), though the caller is told that it may have happened.
        let stands = resolved == Resolved::Applied
            || is_cancellation && matches!(resolved, Resolved::Denied(Denial::InDoubt { .. }));
        if !stands {
            // The line of the same step says what was asked for; this one, that it does not stand.
            let at = self.now();
            let refused = AuditEvent {
                epoch: event.epoch,
                reason: event.reason,
                ..AuditEvent::new("resolution-refused", label, at)
            };
            self.0.audit.send(refused.line(label.key, at));
        }
        Ok(resolved)
    }

    /// Sweeps until nothing is left that time has overtaken, in bounded batches (T3), and trims the audit log.
    pub(crate) async fn sweep(&self) {
        let records = &self.0.records;
        let records_max = self.0.limits.sweep_records_max;
        loop {
            match records.once("sweep", records.store.sweep(records_max)).await {
                Ok(swept) => {
                    self.0.telemetry.count_swept(swept);
                    if !swept.more || self.is_closing() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "sweep failed");
                    return;
                }
            }
        }
        let retention_ms = u64::try_from(self.0.limits.audit_retention.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_ms(self.now().as_ms().saturating_sub(retention_ms));
        loop {
            match records.once("audit-trim", self.0.audit_log.trim(before, records_max)).await {
                Ok(trimmed) if trimmed >= records_max as u64 && !self.is_closing() => {
                    tokio::task::yield_now().await;
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "audit log not trimmed");
                    return;
                }
            }
        }
    }
}

fn read_reply(reply: &Reply) -> Resolved {
    match reply {
        Reply::Decided { decision: Decision::Settled | Decision::Unchanged, .. } => Resolved::Applied,
        Reply::Decided { decision: Decision::Refuse(denial), .. } => Resolved::Denied(*denial),
        Reply::Decided { decision: Decision::Replay { .. }, .. } => Resolved::AlreadyDone,
        Reply::Decided {
            decision:
                Decision::Execute(_)
                | Decision::Wait { .. }
                | Decision::Compare(_)
                | Decision::Renewed(_)
                | Decision::Stale(Alarm::None | Alarm::EffectAfterRelease),
            ..
        }
        | Reply::Corrupt
        | Reply::HistoryLost { .. } => Resolved::Corrupt,
    }
}

/// The state's stable name, for listings and the wire.
#[must_use]
pub const fn state_name(state: &State) -> &'static str {
    match state {
        State::Absent => "absent",
        State::Claimed { .. } => "claimed",
        State::Done { .. } => "done",
        State::InDoubt { .. } => "in-doubt",
        State::Tombstone { .. } => "tombstone",
    }
}
