//! The second guard, by what a request means: one mark a meaning, held by the effect that was last let through for it (P5).

use onceward_core::{
    actor::KeyTag,
    record::{Attempt, Precedent, Seen},
    refusal::{Duplicate, Earlier, Effect, Refusal, Sent},
    twin::{Bid, CONFIRMATION_TIME, Confirmation, Confirmed, Holder, Mark},
};
use onceward_store::{Marked, StoreError, Stored, Twin};
use tokio::time::Instant;

use crate::{
    call::{Consent, TwinGuard, Twins},
    drive::{Drive, store_unavailable},
    engine::OVERLOAD_RETRY_AFTER,
    moment::Moment,
    seal::SealContext,
};

/// Times that one call finds that the holder of its mark changed while it looked. Each time somebody else got on; who meets this many at
/// once is sent away for the moment.
const TAKEOVERS_MAX: usize = 4;

/// What the audit log says of a request's meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwinNote {
    pub(crate) became: &'static str,
    /// The key of the effect that it met.
    pub(crate) earlier: Option<KeyTag>,
}

impl Drive {
    /// Has this attempt hold the mark of its meaning, for as long as its route says, before its effect runs; or says why it may not run.
    ///
    /// Called under a claim that was sent at `sent`. Nothing is sent meanwhile, so whoever is refused here may release it.
    pub(crate) async fn take_mark(&mut self, attempt: Attempt, sent: Moment) -> Result<(), Refusal> {
        let guard = match self.call.twins {
            Twins::Ignored => return Ok(()),
            Twins::Unread => {
                self.note("unread", None);
                return Ok(());
            }
            Twins::Sought(guard) => guard,
        };
        let holder = Holder { id: self.id, epoch: attempt.epoch };
        let usable = self.call.policy.lease_usable();
        let deadline = sent.on_timer(usable).min(Instant::now() + self.engine.0.limits.store_time_max);
        let mut replaces = None;
        for _ in 0..TAKEOVERS_MAX {
            let bid = Bid { holder, window: guard.window, replaces };
            let twin = Twin { id: guard.id, actor: self.label.actor, bid };
            match self.engine.0.records.mark_twin(twin, deadline).await.map_err(unmarked)? {
                // By its own clock the holder may have lost its claim meanwhile (L12).
                Marked::Held if sent.is_ago(usable, &*self.engine.0.clock) => {
                    return Err(store_unavailable(Effect::None));
                }
                Marked::Held => return Ok(()),
                Marked::Taken(mark) => {
                    self.pass(&guard, mark).await?;
                    replaces = Some(mark.holder);
                }
            }
        }
        Err(Refusal::Overloaded { retry_after: OVERLOAD_RETRY_AFTER })
    }

    /// Whether this call may take the place of the effect that holds its mark.
    async fn pass(&mut self, guard: &TwinGuard, mark: Mark) -> Result<(), Refusal> {
        let Some(earlier) = self.earlier(mark).await? else {
            self.note("superseded", None);
            return Ok(());
        };
        let confirmed = Confirmed { twin: guard.id, own: self.id, holder: mark.holder };
        let (secret, now) = (&self.engine.0.secret, self.engine.now());
        let sent = match guard.consent {
            Consent::Token(token) if token.confirms(secret, &confirmed, now) => {
                self.note("confirmed", earlier.key);
                return Ok(());
            }
            Consent::Token(_) | Consent::Unreadable => Sent::NoGood,
            Consent::None => Sent::Nothing,
        };
        let confirmation = Confirmation::issue(secret, &confirmed, now.after(CONFIRMATION_TIME));
        self.note("refused", earlier.key);
        Err(Refusal::PossibleDuplicate(Box::new(Duplicate { earlier, confirmation, sent })))
    }

    /// The effect that holds a mark, where it stands in the way.
    async fn earlier(&self, mark: Mark) -> Result<Option<Earlier>, Refusal> {
        let records = &self.engine.0.records;
        let id = mark.holder.id;
        let unread =
            Earlier { id, key: None, seen: Seen::Unreadable, sent_at: mark.since, until: mark.until };
        let (record, label) = match records.once("get", records.store.get(id)).await.map_err(unmarked)? {
            None => return Ok(None),
            Some(Stored::Corrupt) => return Ok(Some(unread)),
            Some(Stored::Record(record, label)) => (record, label),
        };
        let sent_at = record.claimed_at;
        let seen = match record.precedent(self.engine.now()) {
            Precedent::None => return Ok(None),
            Precedent::Stands(seen) => seen,
            Precedent::Answered(outcome) => {
                match self.engine.0.sealer.open(&SealContext::of(id, &label), &outcome) {
                    Ok(outcome) if Precedent::stands_by_status(outcome.status) => Seen::Done,
                    Ok(_) => return Ok(None),
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "stored outcome not readable"
                        );
                        Seen::Unreadable
                    }
                }
            }
        };
        Ok(Some(Earlier { key: Some(label.key), seen, sent_at, ..unread }))
    }

    fn note(&mut self, became: &'static str, earlier: Option<KeyTag>) {
        self.twin = Some(TwinNote { became, earlier });
    }
}

/// A store that does not say who holds a mark lets nobody through: nothing was sent.
fn unmarked(error: StoreError) -> Refusal {
    match error {
        StoreError::Busy { .. } | StoreError::Full { .. } => {
            Refusal::Overloaded { retry_after: OVERLOAD_RETRY_AFTER }
        }
        StoreError::Unavailable { .. } | StoreError::Unknown { .. } => store_unavailable(Effect::None),
    }
}
