//! Reading the stored form: strictly, to the last byte.

use std::time::Duration;

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{
        AfterRetention, Attempt, AttemptId, DoubtReason, Epoch, Inquiry, Interest, OnLapse, OnMismatch,
        Record, Sealed, Settlement, State, Terms, TombstoneKind,
    },
    time::Timestamp,
};

use super::{HEAD, SUM_BYTES, Unreadable, VERSION, VERSION_UNASKED, sum};

/// The record without its answer and its request, its label, and the sum that the one or the other must have.
type Read = (Record, Label, Option<[u8; SUM_BYTES]>);

pub(super) fn head(id: LookupId, head: &[u8]) -> Result<Read, Unreadable> {
    let (body, expected) = head.split_last_chunk::<SUM_BYTES>().ok_or(Unreadable)?;
    if sum(HEAD, id, body) != *expected {
        return Err(Unreadable);
    }
    let mut rest = Rest(body);
    let read = rest.record().ok_or(Unreadable)?;
    if rest.0.is_empty() { Ok(read) } else { Err(Unreadable) }
}

/// What is left to read. Each method takes its part off the front, or nothing where that is not well-formed.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_ms)
    }

    fn text(&mut self) -> Option<&str> {
        let bytes = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        str::from_utf8(text).ok()
    }

    /// A part behind a tag byte: the outer `None` says that it is not well-formed.
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn duration(&mut self) -> Option<Duration> {
        let seconds = self.number()?;
        let nanos = u32::from_be_bytes(self.array()?);
        (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
    }

    fn attempt(&mut self) -> Option<Attempt> {
        Some(Attempt { epoch: Epoch(self.number()?), id: AttemptId(self.array()?) })
    }

    fn record(&mut self) -> Option<Read> {
        let version = self.byte()?;
        if !matches!(version, VERSION | VERSION_UNASKED) {
            return None;
        }
        let fingerprint =
            self.option(|rest| Fingerprint::from_bytes(&rest.array::<{ Fingerprint::LEN }>()?).ok())?;
        let epoch = Epoch(self.number()?);
        let (state, outcome_sum) = self.state()?;
        let since = self.time()?;
        let claimed_at = self.time()?;
        let terms = self.option(Self::terms)?;
        let overruled = self.option(Self::attempt)?;
        let asked = if version == VERSION_UNASKED { None } else { self.option(Self::inquiry)? };
        let (inquiry, request_sum) = asked.unzip();
        // An effect whose answer is known has no request any more.
        if inquiry.is_some() && !matches!(state, State::Claimed { .. } | State::InDoubt { .. }) {
            return None;
        }
        let label = Label {
            tenant: Tenant::named(self.text()?),
            actor: ActorTag::from_bytes(self.array()?),
            key: KeyTag::from_bytes(self.array()?),
            effect: self.text()?.to_owned(),
        };
        let record = Record { fingerprint, epoch, state, since, claimed_at, terms, overruled, inquiry };
        Some((record, label, outcome_sum.or(request_sum)))
    }

    fn terms(&mut self) -> Option<Terms> {
        Some(Terms {
            lease: self.duration()?,
            on_lapse: match self.byte()? {
                0 => OnLapse::Doubt,
                1 => OnLapse::Execute,
                _ => return None,
            },
            retention: self.duration()?,
            remember: self.duration()?,
            after_retention: match self.byte()? {
                0 => AfterRetention::Refuse,
                1 => AfterRetention::Execute,
                _ => return None,
            },
            on_mismatch: match self.byte()? {
                0 => OnMismatch::Refuse,
                1 => OnMismatch::Replay,
                _ => return None,
            },
        })
    }

    fn state(&mut self) -> Option<(State, Option<[u8; SUM_BYTES]>)> {
        let state = match self.byte()? {
            0 => State::Absent,
            1 => State::Claimed { attempt: self.attempt()?, lease_until: self.time()? },
            2 => return self.done(),
            3 => State::InDoubt {
                attempt: self.attempt()?,
                reason: self.reason()?,
                interest: match self.byte()? {
                    0 => Interest::Wanted,
                    1 => Interest::Abandoned,
                    _ => return None,
                },
            },
            4 => State::Tombstone {
                kind: match self.byte()? {
                    0 => TombstoneKind::Expired,
                    1 => TombstoneKind::Cancelled,
                    _ => return None,
                },
                forget_at: self.time()?,
            },
            _ => return None,
        };
        Some((state, None))
    }

    fn done(&mut self) -> Option<(State, Option<[u8; SUM_BYTES]>)> {
        let attempt = self.attempt()?;
        let outcome_sum = self.option(Self::array)?;
        let how = match self.byte()? {
            0 => Settlement::Answered,
            1 => Settlement::AnsweredLate,
            2 => Settlement::Vouched,
            3 => Settlement::Diverged,
            _ => return None,
        };
        let outcome = outcome_sum.map(|_| Sealed(Vec::new()));
        Some((State::Done { attempt, outcome, how, expires_at: self.time()? }, outcome_sum))
    }

    fn inquiry(&mut self) -> Option<(Inquiry, [u8; SUM_BYTES])> {
        let request_sum = self.array()?;
        let inquiry = Inquiry {
            request: Sealed(Vec::new()),
            looks: u32::from_be_bytes(self.array()?),
            next_at: self.time()?,
            looker: self.option(|rest| rest.array().map(AttemptId))?,
        };
        Some((inquiry, request_sum))
    }

    fn reason(&mut self) -> Option<DoubtReason> {
        Some(match self.byte()? {
            0 => DoubtReason::NoAnswer,
            1 => DoubtReason::AnswerCut,
            2 => DoubtReason::AmbiguousStatus(u16::from_be_bytes(self.array()?)),
            3 => DoubtReason::DeadlinePassed,
            4 => DoubtReason::LeaseLapsed,
            5 => DoubtReason::HolderGone,
            6 => DoubtReason::ShutDown,
            7 => DoubtReason::Panicked,
            _ => return None,
        })
    }
}
