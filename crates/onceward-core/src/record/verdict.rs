//! What a record already says of an attempt that somebody judges (D3).

use super::{Epoch, Record, Settlement, State, TombstoneKind, Verdict};

impl Record {
    /// Whether an attempt of this epoch is known here: the latest one, or one that a verdict of absence overruled.
    #[must_use]
    pub fn knows(&self, judged: Epoch) -> bool {
        self.epoch == judged || self.overruled.is_some_and(|attempt| attempt.epoch == judged)
    }

    /// Whether a verdict about an attempt says what is known already, whoever found out: its holder, another verdict, or the same one before.
    ///
    /// Such a verdict changes nothing and contradicts nothing. That it happened is contradicted by its having happened more than once.
    #[must_use]
    pub fn bears_out(&self, verdict: &Verdict, judged: Epoch) -> bool {
        let is_latest = self.epoch == judged;
        match (verdict, &self.state) {
            (Verdict::Happened(_), State::Done { how, .. }) => {
                is_latest
                    && match how {
                        Settlement::Answered | Settlement::AnsweredLate | Settlement::Vouched => true,
                        Settlement::Diverged => false,
                    }
            }
            (Verdict::Happened(_), State::Tombstone { kind: TombstoneKind::Expired, .. }) => is_latest,
            (Verdict::Multiple(_), State::Done { how, .. }) => is_latest && *how == Settlement::Diverged,
            // The latest attempt was released, with proof or by a verdict, and the key perhaps cancelled then.
            (Verdict::Absent, State::Absent | State::Tombstone { kind: TombstoneKind::Cancelled, .. }) => {
                self.knows(judged)
            }
            (Verdict::Absent, State::Claimed { .. } | State::Done { .. } | State::InDoubt { .. })
            | (Verdict::Absent, State::Tombstone { kind: TombstoneKind::Expired, .. }) => {
                !is_latest && self.knows(judged)
            }
            (
                Verdict::Happened(_) | Verdict::Multiple(_),
                State::Absent | State::Claimed { .. } | State::InDoubt { .. } | State::Tombstone { .. },
            )
            | (Verdict::Unknown, _) => false,
        }
    }
}
