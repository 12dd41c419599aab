//! One audit event a decision (A1), queued and appended in batches beside the records.

use std::{sync::Arc, time::Duration};

use onceward_core::{
    actor::{KeyTag, Label},
    intent::StoredIntent,
    time::Timestamp,
};
use onceward_store::{AuditLog, StoreError, StoredAudit};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{engine::Engine, telemetry::Telemetry};

/// Events: how many may wait to be appended. Past it they are counted as lost, since a stuck log must not stop a refusal.
const QUEUE_EVENTS_MAX: usize = 16_384;

/// Events: how many go into one append.
const BATCH_EVENTS_MAX: usize = 512;

/// How long the writer pauses after a failed append before it tries the same batch again.
const APPEND_PAUSE: Duration = Duration::from_millis(200);

/// What ties a decision to what the caller said of its request (A1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// `X-Request-Id`.
    pub request_id: Option<String>,
    /// `X-Agent-Run-Id`.
    pub run_id: Option<String>,
    /// The trace id of `traceparent` (W3C Trace Context).
    pub trace_id: Option<String>,
    /// The digest of what it means, where it sent one (F5).
    pub intent: Option<StoredIntent>,
}

/// One decision, as it is written to the log and exported as a JSON line.
#[derive(Debug, Serialize)]
pub(crate) struct AuditEvent<'a> {
    pub(crate) time: String,
    pub(crate) decision: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) actor: String,
    pub(crate) key: String,
    pub(crate) effect: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) drifted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) twin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) earlier_key: Option<String>,
    pub(crate) latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<String>,
}

impl<'a> AuditEvent<'a> {
    pub(crate) fn new(decision: &'a str, label: &'a Label, at: Timestamp) -> Self {
        Self {
            time: at.to_string(),
            decision,
            tenant: label.tenant.as_str(),
            actor: label.actor.to_string(),
            key: label.key.to_string(),
            effect: &label.effect,
            epoch: None,
            status: None,
            reason: None,
            drifted: false,
            evidence: None,
            twin: None,
            earlier_key: None,
            latency_ms: 0,
            request_id: None,
            run_id: None,
            trace_id: None,
            intent: None,
        }
    }

    pub(crate) fn traced(self, trace: &'a Trace) -> Self {
        Self {
            request_id: trace.request_id.as_deref(),
            run_id: trace.run_id.as_deref(),
            trace_id: trace.trace_id.as_deref(),
            intent: trace.intent.map(|intent| intent.to_string()),
            ..self
        }
    }

    pub(crate) fn line(&self, key: KeyTag, at: Timestamp) -> StoredAudit {
        // Strings and numbers only: serialising cannot fail, and a line that did would still name its time and key.
        let json = serde_json::to_string(self).unwrap_or_else(|_| String::from("{}"));
        StoredAudit { at, key: Some(key), json }
    }
}

impl Engine {
    /// Writes down what an operator did to more than one key, and waits until it stands; `line` has texts and numbers only.
    pub(crate) async fn write_down(&self, at: Timestamp, line: &impl Serialize) -> Result<(), StoreError> {
        // Such a line has a JSON form: serialising cannot fail.
        let json = serde_json::to_string(line).unwrap_or_else(|_| String::from("{}"));
        let line = StoredAudit { at, key: None, json };
        self.0.records.once("audit-append", self.0.audit_log.append(vec![line])).await
    }
}

/// The sending end of the audit queue.
#[derive(Clone, Debug)]
pub(crate) struct AuditQueue {
    sender: mpsc::Sender<StoredAudit>,
    telemetry: Arc<Telemetry>,
}

impl AuditQueue {
    /// A queue and the task that empties it into `log`; once `ended`, the task writes what is queued and ends.
    pub(crate) fn new(
        log: Arc<dyn AuditLog>,
        telemetry: Arc<Telemetry>,
        ended: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(QUEUE_EVENTS_MAX);
        (Self { sender, telemetry }, write(receiver, log, ended))
    }

    pub(crate) fn send(&self, line: StoredAudit) {
        if self.sender.try_send(line).is_err() {
            self.telemetry.count_audit_lost();
            tracing::warn!("audit event lost: the queue is full");
        }
    }
}

async fn write(mut receiver: mpsc::Receiver<StoredAudit>, log: Arc<dyn AuditLog>, ended: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        let received = tokio::select! {
            received = receiver.recv_many(&mut batch, BATCH_EVENTS_MAX) => received,
            () = ended.cancelled(), if !receiver.is_closed() => {
                receiver.close();
                continue;
            }
        };
        if received == 0 {
            return;
        }
        // An append is all or none, so a batch whose answer was lost may stand twice; it never goes missing.
        while let Err(error) = log.append(batch.clone()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "audit append failed");
            tokio::time::sleep(APPEND_PAUSE).await;
        }
        batch.clear();
    }
}
