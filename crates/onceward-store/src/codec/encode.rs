//! Writing the stored form.

use std::time::Duration;

use onceward_core::{
    actor::{Label, LookupId},
    record::{
        AfterRetention, Attempt, DoubtReason, Inquiry, Interest, OnLapse, OnMismatch, Record, Sealed,
        Settlement, State, Terms, TombstoneKind,
    },
};

use super::{HEAD, OUTCOME, REQUEST, Row, SUM_BYTES, VERSION, sum};

/// Writes a record down; its answer or its request is moved, not copied.
pub(crate) fn encode(id: LookupId, record: Record, label: &Label) -> Row {
    let Record { fingerprint, epoch, state, since, claimed_at, terms, overruled, inquiry } = record;
    let mut head = Head(Vec::with_capacity(256));
    head.byte(VERSION);
    head.option(fingerprint, |head, fingerprint| head.bytes(&fingerprint.to_bytes()));
    head.number(epoch.0);
    let outcome = head.state(id, state);
    head.number(since.as_ms());
    head.number(claimed_at.as_ms());
    head.option(terms, Head::terms);
    head.option(overruled, Head::attempt);
    let request = head.inquiry(id, inquiry);
    head.text(label.tenant.as_str());
    head.bytes(label.actor.as_bytes());
    head.bytes(label.key.as_bytes());
    head.text(&label.effect);
    let sum: [u8; SUM_BYTES] = sum(HEAD, id, &head.0);
    head.bytes(&sum);
    // An effect whose answer is known has no request any more.
    Row { head: head.0, outcome: outcome.or(request) }
}

struct Head(Vec<u8>);

impl Head {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }

    fn duration(&mut self, duration: Duration) {
        self.number(duration.as_secs());
        self.bytes(&duration.subsec_nanos().to_be_bytes());
    }

    fn attempt(&mut self, attempt: Attempt) {
        self.number(attempt.epoch.0);
        self.bytes(&attempt.id.0);
    }

    fn terms(&mut self, terms: Terms) {
        let Terms { lease, on_lapse, retention, remember, after_retention, on_mismatch } = terms;
        self.duration(lease);
        self.byte(match on_lapse {
            OnLapse::Doubt => 0,
            OnLapse::Execute => 1,
        });
        self.duration(retention);
        self.duration(remember);
        self.byte(match after_retention {
            AfterRetention::Refuse => 0,
            AfterRetention::Execute => 1,
        });
        self.byte(match on_mismatch {
            OnMismatch::Refuse => 0,
            OnMismatch::Replay => 1,
        });
    }

    /// Writes the inquiry and gives back the request, whose sum it wrote.
    fn inquiry(&mut self, id: LookupId, inquiry: Option<Inquiry>) -> Option<Vec<u8>> {
        let Some(Inquiry { request: Sealed(bytes), looks, next_at, looker }) = inquiry else {
            self.byte(0);
            return None;
        };
        self.byte(1);
        self.bytes(&sum(REQUEST, id, &bytes));
        self.bytes(&looks.to_be_bytes());
        self.number(next_at.as_ms());
        self.option(looker, |head, looker| head.bytes(&looker.0));
        Some(bytes)
    }

    /// Writes the state and gives back the answer, whose sum it wrote.
    fn state(&mut self, id: LookupId, state: State) -> Option<Vec<u8>> {
        match state {
            State::Absent => {
                self.byte(0);
                None
            }
            State::Claimed { attempt, lease_until } => {
                self.byte(1);
                self.attempt(attempt);
                self.number(lease_until.as_ms());
                None
            }
            State::Done { attempt, outcome, how, expires_at } => {
                self.byte(2);
                self.attempt(attempt);
                let outcome = outcome.map(|Sealed(bytes)| bytes);
                self.option(outcome.as_deref(), |head, bytes| head.bytes(&sum(OUTCOME, id, bytes)));
                self.byte(match how {
                    Settlement::Answered => 0,
                    Settlement::AnsweredLate => 1,
                    Settlement::Vouched => 2,
                    Settlement::Diverged => 3,
                });
                self.number(expires_at.as_ms());
                outcome
            }
            State::InDoubt { attempt, reason, interest } => {
                self.byte(3);
                self.attempt(attempt);
                self.reason(reason);
                self.byte(match interest {
                    Interest::Wanted => 0,
                    Interest::Abandoned => 1,
                });
                None
            }
            State::Tombstone { kind, forget_at } => {
                self.byte(4);
                self.byte(match kind {
                    TombstoneKind::Expired => 0,
                    TombstoneKind::Cancelled => 1,
                });
                self.number(forget_at.as_ms());
                None
            }
        }
    }

    fn reason(&mut self, reason: DoubtReason) {
        match reason {
            DoubtReason::NoAnswer => self.byte(0),
            DoubtReason::AnswerCut => self.byte(1),
            DoubtReason::AmbiguousStatus(status) => {
                self.byte(2);
                self.bytes(&status.to_be_bytes());
            }
            DoubtReason::DeadlinePassed => self.byte(3),
            DoubtReason::LeaseLapsed => self.byte(4),
            DoubtReason::HolderGone => self.byte(5),
            DoubtReason::ShutDown => self.byte(6),
            DoubtReason::Panicked => self.byte(7),
        }
    }
}
