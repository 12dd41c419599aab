//! What the protocol says of one key, written down a second time and as shortly as it goes.
//!
//! From the protocol's pages (L, D, T, F6), not from the record machine: where the two disagree, one of them has it wrong. Attempts are
//! compared whole, so the model relies on the store for nothing but that epochs differ.

use onceward_core::record::{Attempt, Epoch};

use super::kit::{LEASE, REMEMBER, RETENTION};

/// What may be said about a key; times, and words that carry no decision, are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Runs, as a new attempt.
    Run,
    /// Runs, as this attempt already does.
    RunAs(Attempt),
    Replay(Option<u8>),
    Wait,
    KeyReused,
    InDoubt,
    InProgress,
    Expired,
    Cancelled,
    NotInDoubt,
    Renewed,
    Settled,
    Stale,
    Alarm,
    Unchanged,
}

#[derive(Clone, Copy, Debug)]
enum Life {
    /// Never claimed, or forgotten.
    Blank,
    Released {
        until: u64,
    },
    Claimed {
        until: u64,
    },
    Done {
        body: Option<u8>,
        answered: bool,
        until: u64,
    },
    InDoubt {
        abandoned: bool,
    },
    Expired {
        until: u64,
    },
    Cancelled {
        until: u64,
    },
}

/// One key. `safe` says that its route runs again after a lapse (L4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Oracle {
    life: Life,
    safe: bool,
    asked: Option<u8>,
    holder: Option<Attempt>,
    overruled: Option<Attempt>,
}

const LEASE_MS: u64 = LEASE.as_millis() as u64;
const RETENTION_MS: u64 = RETENTION.as_millis() as u64;
const REMEMBER_MS: u64 = REMEMBER.as_millis() as u64;

impl Oracle {
    pub(super) fn new(safe: bool) -> Self {
        Self { life: Life::Blank, safe, asked: None, holder: None, overruled: None }
    }

    /// T1: what is settled goes in its time, and with the record all that was known of it. L7: nothing else does.
    fn age(&mut self, now: u64) {
        if let Life::Done { until, .. } = self.life
            && now >= until
        {
            self.life = Life::Expired { until: until + REMEMBER_MS };
        }
        if let Life::Released { until } | Life::Expired { until } | Life::Cancelled { until } = self.life
            && now >= until
        {
            *self = Self::new(self.safe);
        }
    }

    /// L4: a lapsed claim is a doubt, unless its route is safe to run again.
    fn lapse(&mut self, now: u64) {
        if !self.safe {
            self.give_up(now);
        }
    }

    /// What ends a lapsed claim ends it on any route.
    fn give_up(&mut self, now: u64) {
        if matches!(self.life, Life::Claimed { until } if now >= until) {
            self.life = Life::InDoubt { abandoned: false };
        }
    }

    /// L1, L4, L11, F6, T2. After `Run` the model is told who runs, by [`runs`](Self::runs).
    pub(super) fn claim(&mut self, now: u64, attempt: [u8; 16], asked: u8) -> Said {
        self.age(now);
        let stands = !matches!(self.life, Life::Blank | Life::Released { .. });
        if stands && self.asked.is_some_and(|first| first != asked) {
            return Said::KeyReused;
        }
        match self.life {
            Life::Blank | Life::Released { .. } => Said::Run,
            Life::Claimed { until } if now < until => match self.holder {
                Some(holder) if holder.id.0 == attempt => Said::RunAs(holder),
                Some(_) | None => Said::Wait,
            },
            Life::Claimed { .. } if self.safe => Said::Run,
            Life::Claimed { .. } | Life::InDoubt { .. } => {
                self.lapse(now);
                Said::InDoubt
            }
            Life::Done { body, .. } => Said::Replay(body),
            Life::Expired { .. } => Said::Expired,
            Life::Cancelled { .. } => Said::Cancelled,
        }
    }

    pub(super) fn runs(&mut self, now: u64, attempt: Attempt, asked: u8) {
        (self.life, self.holder, self.asked) =
            (Life::Claimed { until: now + LEASE_MS }, Some(attempt), Some(asked));
    }

    /// L3: a lapsed lease is not revived.
    pub(super) fn renew(&mut self, now: u64, attempt: Attempt) -> Said {
        self.age(now);
        match self.life {
            Life::Claimed { until } if self.holder == Some(attempt) && now < until => {
                self.life = Life::Claimed { until: until.max(now + LEASE_MS) };
                Said::Renewed
            }
            Life::Claimed { .. } if self.holder == Some(attempt) => {
                self.lapse(now);
                Said::Stale
            }
            _ => Said::Stale,
        }
    }

    /// L2, L13.
    pub(super) fn complete(&mut self, now: u64, attempt: Attempt, body: u8) -> Said {
        self.age(now);
        match self.life {
            Life::Claimed { .. } | Life::InDoubt { .. } if self.holder == Some(attempt) => {
                self.life = Life::Done { body: Some(body), answered: true, until: now + RETENTION_MS };
                Said::Settled
            }
            Life::Done { answered: true, .. } if self.holder == Some(attempt) => Said::Settled,
            _ if self.overruled == Some(attempt) => Said::Alarm,
            _ => Said::Stale,
        }
    }

    /// L5, D5: what was abandoned in doubt is cancelled, not free.
    fn free(&mut self, now: u64) {
        self.life = match self.life {
            Life::InDoubt { abandoned: true } => Life::Cancelled { until: now + REMEMBER_MS },
            _ if self.overruled.is_some() => Life::Released { until: now + REMEMBER_MS },
            _ => Life::Released { until: now + RETENTION_MS },
        };
    }

    pub(super) fn release(&mut self, now: u64, attempt: Attempt) -> Said {
        self.age(now);
        match self.life {
            Life::Claimed { .. } | Life::InDoubt { .. } if self.holder == Some(attempt) => {
                self.free(now);
                Said::Settled
            }
            Life::Released { .. } if self.holder == Some(attempt) => Said::Settled,
            _ => Said::Stale,
        }
    }

    pub(super) fn doubt(&mut self, now: u64, attempt: Attempt) -> Said {
        self.age(now);
        match self.life {
            Life::Claimed { .. } if self.holder == Some(attempt) => {
                self.life = Life::InDoubt { abandoned: false };
                Said::Settled
            }
            Life::InDoubt { .. } if self.holder == Some(attempt) => Said::Settled,
            _ => Said::Stale,
        }
    }

    /// D3, L11: of the judged attempt alone, and the same again when it is repeated.
    pub(super) fn found(&mut self, now: u64, verdict: Found, judged: Epoch) -> Said {
        self.age(now);
        let is_judged = |attempt: Option<Attempt>| attempt.is_some_and(|attempt| attempt.epoch == judged);
        let (holds, was_overruled) = (is_judged(self.holder), is_judged(self.overruled));
        match verdict {
            Found::Happened(_) | Found::Absent if holds => self.give_up(now),
            Found::Happened(_) | Found::Absent | Found::Unknown => self.lapse(now),
        }
        match (self.life, verdict) {
            (_, Found::Absent) if was_overruled => Said::Settled,
            _ if !holds => Said::NotInDoubt,
            (Life::InDoubt { .. }, Found::Happened(body)) => {
                self.life = Life::Done { body, answered: false, until: now + RETENTION_MS };
                Said::Settled
            }
            (Life::InDoubt { .. }, Found::Absent) => {
                self.overruled = self.holder;
                self.free(now);
                Said::Settled
            }
            (Life::InDoubt { .. }, Found::Unknown) => Said::Unchanged,
            (Life::Claimed { .. }, _) => Said::InProgress,
            (Life::Done { answered: false, .. }, Found::Happened(_)) => Said::Settled,
            _ => Said::NotInDoubt,
        }
    }

    /// D5.
    pub(super) fn cancel(&mut self, now: u64) -> Said {
        self.age(now);
        self.give_up(now);
        match self.life {
            Life::Blank | Life::Released { .. } => {
                self.life = Life::Cancelled { until: now + REMEMBER_MS };
                Said::Settled
            }
            Life::Claimed { .. } => Said::InProgress,
            Life::Done { body, .. } => Said::Replay(body),
            Life::InDoubt { .. } => {
                self.life = Life::InDoubt { abandoned: true };
                Said::InDoubt
            }
            Life::Expired { .. } => Said::Expired,
            Life::Cancelled { .. } => Said::Settled,
        }
    }

    /// T3: a sweep changes nothing that an arrival would not have found changed.
    pub(super) fn sweep(&mut self, now: u64) {
        self.age(now);
        self.lapse(now);
    }
}

/// What a resolver says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Happened(Option<u8>),
    Absent,
    Unknown,
}
