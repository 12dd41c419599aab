//! One operation on one record: decide over the row as this process knows it, and have the database put the new row in its place if it
//! is still that one; where it is not, decide again.

use onceward_core::{
    actor::{Label, LookupId},
    record::{Decision, Event, Record, State},
    time::Timestamp,
};

use super::{
    Core,
    backend::{Expected, Grant, Mark, NewRow, Put, StoredRow, Swap},
    gather::{Booking, Outcome},
    known::KnownRow,
    resilience::Repeat,
};
use crate::{
    codec::{self, Row},
    port::{Claim, Reply, Resolution, StoreError, StoredAudit},
    step::{Change, Kind, Loss, Step},
};

/// Times that one operation decides anew because another process changed the row in between. Few processes meet at one key, and each
/// time one of them got on; who fails this often is refused for the moment, and nothing of it happened.
pub(super) const ROUNDS_MAX: usize = 16;

/// What is asked about one record.
#[derive(Debug)]
pub(super) enum Question {
    /// To run.
    Claim(Claim),
    /// A renewal or a settlement.
    Told { id: LookupId, event: Event },
    /// A verdict, a cancellation, or a look that begins.
    Resolution { id: LookupId, event: Event, label: Label, audit: Option<StoredAudit> },
}

impl From<Resolution> for Question {
    fn from(Resolution { id, change, label, audit }: Resolution) -> Self {
        Self::Resolution { id, event: change.event(), label, audit }
    }
}

impl Question {
    fn id(&self) -> LookupId {
        match self {
            Self::Claim(claim) => claim.id,
            Self::Told { id, .. } | Self::Resolution { id, .. } => *id,
        }
    }

    fn audit(&self) -> Option<&StoredAudit> {
        match self {
            Self::Resolution { audit, .. } => audit.as_ref(),
            Self::Claim(_) | Self::Told { .. } => None,
        }
    }
}

/// What is stored under an id, as a row says it.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one operation, and most operations find a record"
)]
pub(super) enum View {
    Nothing,
    Record(KnownRow),
    /// It stays as it is, for whoever can make sense of it (L8).
    Unreadable(Mark),
}

impl View {
    pub(super) fn of(id: LookupId, row: Option<StoredRow>) -> Self {
        let Some(StoredRow { mark, head, outcome }) = row else { return Self::Nothing };
        match codec::decode(id, &head, outcome) {
            Ok((record, label)) => Self::Record(KnownRow { mark, record, label }),
            Err(codec::Unreadable) => Self::Unreadable(mark),
        }
    }

    fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(row) => Some(&row.record),
            Self::Nothing | Self::Unreadable(_) => None,
        }
    }
}

/// How a view was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// The database said so after the question was asked: an answer that writes nothing may be given from it.
    Seen,
    /// This process remembers it, or guesses: the database has to bear it out.
    Assumed,
}

/// What a view comes to.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) reply: Reply,
    pub(super) before: Option<Kind>,
    pub(super) after: Option<Kind>,
    expected: Expected,
    grant: Option<Grant>,
    change: Change,
    lost: Option<Loss>,
    /// The row that was judged, where it is there to stay.
    kept: Option<KnownRow>,
}

impl Judged {
    /// Whether it leaves a record that may be written without having read the answer that it kept.
    pub(super) fn is_of_age(&self) -> bool {
        match &self.change {
            Change::Keep => false,
            Change::Forget => true,
            Change::Put(record, _) => !matches!(record.state, State::Done { .. }),
        }
    }

    /// Whether it makes a claim that was not there.
    fn executes(&self) -> bool {
        matches!(
            (&self.reply, &self.change),
            (Reply::Decided { decision: Decision::Execute(_), .. }, Change::Put(..))
        )
    }
}

impl Core {
    /// Answers a question, in as many round trips as it takes: one where the view that it starts from is right.
    pub(super) async fn answer(&self, question: Question) -> Result<Reply, StoreError> {
        self.ready().await?;
        let id = question.id();
        let (mut view, mut basis) = match (self.gatherer.known(id), &question) {
            (Some(known), _) => (View::Record(known), Basis::Assumed),
            // Most keys are new.
            (None, Question::Claim(_)) => (View::Nothing, Basis::Assumed),
            (None, Question::Told { .. } | Question::Resolution { .. }) => {
                (self.look(id).await?, Basis::Seen)
            }
        };
        for _ in 0..ROUNDS_MAX {
            let judged = self.judge(&question, view);
            if basis == Basis::Seen && matches!(judged.change, Change::Keep) && question.audit().is_none() {
                return Ok(self.kept(id, judged));
            }
            let expected = judged.expected;
            let (swap, booking, reply) = self.swap(id, judged, question.audit().cloned())?;
            let outcome = self.gatherer.ask(swap, booking)?.answer().await?;
            if outcome == Outcome::Done {
                return Ok(reply);
            }
            self.gatherer.forget(id);
            (view, basis) = (self.met(id, expected, outcome).await?, Basis::Seen);
        }
        Err(StoreError::Busy { limit: "swap_rounds_max" })
    }

    /// What is stored instead of what a swap was to leave.
    async fn met(&self, id: LookupId, expected: Expected, outcome: Outcome) -> Result<View, StoreError> {
        match (outcome, expected) {
            (Outcome::Found(row), _) => Ok(View::of(id, row)),
            (Outcome::History { barrier }, Expected::Nothing) => {
                self.raise(barrier);
                Ok(View::Nothing)
            }
            (Outcome::History { barrier }, Expected::Row(_)) => {
                self.raise(barrier);
                self.look(id).await
            }
            (Outcome::Done, _) => self.look(id).await,
        }
    }

    pub(super) async fn look(&self, id: LookupId) -> Result<View, StoreError> {
        let rows = self.guard.run(Repeat::Always, |backend| backend.fetch(vec![id], true)).await?;
        Ok(View::of(id, rows.into_iter().next().flatten()))
    }

    fn judge(&self, question: &Question, view: View) -> Judged {
        let (now, barrier) = (self.time.now(), self.barrier());
        let expected = match &view {
            View::Nothing => Expected::Nothing,
            View::Record(row) => Expected::Row(row.mark),
            View::Unreadable(mark) => Expected::Row(*mark),
        };
        let refused = |reply| Judged {
            reply,
            before: None,
            after: None,
            expected,
            grant: None,
            change: Change::Keep,
            lost: None,
            kept: None,
        };
        if let View::Unreadable(_) = view {
            return refused(Reply::Corrupt);
        }
        let (event, label) = match question {
            Question::Claim(claim) => {
                if let Some(lost) = claim.lost_behind(barrier, view.record(), now) {
                    return refused(lost);
                }
                (claim.event(self.epochs.grant(now)), Some(&claim.label))
            }
            Question::Told { event, .. } => (event.clone(), None),
            Question::Resolution { event, label, .. } => (event.clone(), Some(label)),
        };
        let judged = step(view, expected, event, label, now);
        let grant = judged.executes().then_some(Grant { barrier });
        Judged { grant, ..judged }
    }

    /// The answer that writes nothing.
    fn kept(&self, id: LookupId, judged: Judged) -> Reply {
        let Judged { reply, kept, .. } = judged;
        if let (true, Some(row)) = (is_holders(&reply), kept) {
            self.gatherer.remember(id, row);
        }
        reply
    }

    /// What the database is asked for, and what that means once it stands.
    pub(super) fn swap(
        &self,
        id: LookupId,
        judged: Judged,
        audit: Option<StoredAudit>,
    ) -> Result<(Swap, Booking, Reply), StoreError> {
        let Judged { reply, expected, grant, change, lost, .. } = judged;
        let mut booking = Booking { lost, held: None };
        let put = match change {
            Change::Keep => Put::Keep,
            Change::Forget => Put::Nothing,
            Change::Put(record, label) => {
                if is_holders(&reply) && matches!(record.state, State::Claimed { .. }) {
                    booking.held = Some((record.clone(), label.clone()));
                }
                let (kind, due_at) = (Kind::of(&record.state), record.due_at());
                let Row { head, outcome } = codec::encode(id, record, &label);
                let (key, actor, mark) = (label.key, label.actor, self.entropy.mark()?);
                Put::Row(NewRow { mark, kind, due_at, key, actor, head, outcome })
            }
        };
        Ok((Swap { id, expected, grant, put, audit }, booking, reply))
    }
}

/// What one event makes of a view that can be read.
pub(super) fn step(
    view: View,
    expected: Expected,
    event: Event,
    label: Option<&Label>,
    now: Timestamp,
) -> Judged {
    let (found, kept) = match view {
        View::Record(row) => {
            // Kept beside the step only where this process may come to hold it: a claim, which is small.
            let kept = matches!(row.record.state, State::Claimed { .. }).then(|| row.clone());
            (Some((row.record, row.label)), kept)
        }
        View::Nothing | View::Unreadable(_) => (None, None),
    };
    let Step { reply, change, before, after, lost } = Step::of(found, event, label, now);
    Judged { reply, before, after, expected, grant: None, change, lost, kept }
}

/// Whether this is told to the holder of a claim, and to nobody else.
fn is_holders(reply: &Reply) -> bool {
    match reply {
        Reply::Decided { decision, .. } => {
            matches!(decision, Decision::Execute(_) | Decision::Renewed(_))
        }
        Reply::Corrupt | Reply::HistoryLost { .. } => false,
    }
}
