//! What an executed effect leaves behind, and what makes it final (O1-O7, L5).

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use crate::{
    header::Cookies,
    record::{AfterRetention, DoubtReason, OnLapse, OnMismatch, Terms},
    time::Timestamp,
};

/// Header or trailer fields in their order, names lower-case, repeated names one line each.
pub type Fields = Vec<(Box<str>, Vec<u8>)>;

/// A finished answer as it is stored and replayed.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The status code.
    pub status: u16,
    /// The kept fields.
    pub fields: Fields,
    /// The content.
    pub content: Content,
    /// Trailer fields.
    pub trailers: Fields,
    /// When the request went to its origin: what a doubt page and a person ask first.
    pub sent_at: Timestamp,
}

/// Says which fields there are and none of their values: cookies and tokens are among them (K6).
impl core::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Outcome")
            .field("status", &self.status)
            .field("fields", &names)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

/// The content of a stored answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Every byte.
    Kept(Vec<u8>),
    /// It exceeded the limit and went by; the digest tells it from another (O7).
    NotKept {
        /// How many bytes went by.
        len: u64,
        /// SHA-256 of them.
        sha256: [u8; 32],
    },
    /// None, by method or status (HEAD, 204, 304); the length that the fields announced.
    None {
        /// `Content-Length` as the origin sent it.
        announced_len: Option<u64>,
    },
}

impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Kept(bytes) => write!(f, "Kept({} bytes)", bytes.len()),
            Self::NotKept { len, .. } => write!(f, "NotKept({len} bytes)"),
            Self::None { announced_len } => write!(f, "None({announced_len:?})"),
        }
    }
}

/// What proves that nothing happened at the origin (L5). There is no other ground for running an effect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Untouched {
    /// No connection to the origin came about.
    ConnectFailed,
    /// The TLS handshake failed.
    TlsFailed,
    /// The proxy in between refused the connection.
    ProxyHandshakeFailed,
    /// The address is one that may not be dialled (S5).
    TargetRefused,
    /// A limit of ours was reached before anything was sent (S1).
    LimitReached,
    /// The connection broke before a byte of the request was written.
    NothingWritten,
    /// HTTP/2 `REFUSED_STREAM` (RFC 9113, 8.7).
    StreamRefused,
    /// An HTTP/2 `GOAWAY` whose last stream lies below the request's (RFC 9113, 6.8).
    GoAwayBelow,
    /// The origin answered `Idempotency-Key-Consumed: false`.
    NotConsumed,
    /// The origin answered with a status that says that it did not act (O4).
    Declined(u16),
    /// The client's `Intent-Expires-At` had passed when its turn came (F5).
    IntentExpired,
    /// The handler said so, or its transaction rolled back.
    HandlerSaidSo,
}

impl Untouched {
    /// The proof's stable name, for metrics, listings and the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect-failed",
            Self::TlsFailed => "tls-failed",
            Self::ProxyHandshakeFailed => "proxy-handshake-failed",
            Self::TargetRefused => "target-refused",
            Self::LimitReached => "limit-reached",
            Self::NothingWritten => "nothing-written",
            Self::StreamRefused => "stream-refused",
            Self::GoAwayBelow => "goaway-below",
            Self::NotConsumed => "not-consumed",
            Self::Declined(_) => "declined",
            Self::IntentExpired => "intent-expired",
            Self::HandlerSaidSo => "handler-said-so",
        }
    }
}

/// What an execution without an answer proves about the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It did not happen.
    Untouched(Untouched),
    /// It may have.
    Unknown(DoubtReason),
}

/// What an answer says about the effect (O4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// It is over; the answer is its outcome.
    Final,
    /// Nothing happened; the key is free again.
    Released(Untouched),
    /// The answer does not say.
    Doubtful(DoubtReason),
}

/// What a route decides: the named choices of the protocol, one value a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a duplicate waits for the first one's outcome (W1).
    pub wait: Duration,
    /// How long a claim holds without being renewed (L3).
    pub lease: Duration,
    /// How long an effect may run before its holder gives up and doubts it (L12).
    pub run_time_max: Duration,
    /// How long an outcome is kept (T1).
    pub retention: Duration,
    /// How long a key is remembered after that (T1).
    pub remember: Duration,
    /// What a lapsed lease means (L4).
    pub on_lapse: OnLapse,
    /// What a retry after retention gets (T2).
    pub after_retention: AfterRetention,
    /// What another fingerprint under a known key gets (F6, B2).
    pub on_mismatch: OnMismatch,
    /// What a handler's panic means (O5).
    pub on_panic: OnPanic,
    /// What a request gets that the store does not take a claim for (S2).
    pub when_store_down: WhenStoreDown,
    /// How statuses are read (O4).
    pub statuses: Statuses,
    /// Statuses that the route calls final whatever [`Policy::statuses`] says.
    pub final_statuses: StatusSet,
    /// Statuses that the route calls proof that nothing happened, by its own word (L5).
    pub released_statuses: StatusSet,
    /// Statuses that leave open whether anything happened, where the route's contract would have a retry run again.
    pub doubtful_statuses: StatusSet,
    /// What becomes of `Set-Cookie` (O2).
    pub cookies: Cookies,
    /// How many bytes of an answer are kept (O7).
    pub outcome_bytes_max: usize,
    /// How many bytes of a guarded request are read before its claim (S6).
    pub request_bytes_max: usize,
}

/// What a handler's panic means (O5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// The effect is in doubt.
    Doubt,
    /// The 500 that the caller gets is the outcome.
    Final,
}

/// What a request gets that the store does not take a claim for (S2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStoreDown {
    /// 503 `store-unavailable`: nothing is sent without a claim.
    Closed,
    /// It goes through unguarded and its answer says so: it may happen more than once, and is neither recorded nor replayed.
    Open,
}

impl WhenStoreDown {
    /// The choice as settings and contracts write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// A set of status codes between 100 and 599, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusSet([u64; 8]);

impl StatusSet {
    /// No status.
    pub const NONE: Self = Self([0; 8]);

    /// The set with `first` to `last` in it as well; codes outside 100 to 599 are none and are left out.
    #[must_use]
    pub const fn with(mut self, first: u16, last: u16) -> Self {
        let mut status = first;
        while status <= last && status <= 599 {
            if let Some((word, bit)) = Self::place(status)
                && let Some((_, rest)) = self.0.split_at_mut_checked(word)
                && let Some(bits) = rest.first_mut()
            {
                *bits |= bit;
            }
            status += 1;
        }
        self
    }

    /// Whether a status is in it.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        Self::place(status)
            .and_then(|(word, bit)| self.0.get(word).map(|bits| bits & bit != 0))
            .unwrap_or(false)
    }

    const fn place(status: u16) -> Option<(usize, u64)> {
        match status {
            100..=599 => {
                let index = (status - 100) as usize;
                Some((index / 64, 1 << (index % 64)))
            }
            _ => None,
        }
    }
}

/// How an answer's status is read (O4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// The handler itself answers: 2xx, 3xx, 4xx and 5xx are its verdict, except the ones that say that it did not act.
    Handler,
    /// The answer comes from an origin beyond our control, perhaps through its own proxies.
    ///
    /// 502, 503 and 504 may come from something in between while the effect happened. So may 408 and 421: the shop that booked and
    /// then timed out writing its answer says 408, and no specification makes it proof.
    Upstream,
}

impl Policy {
    /// What the forward proxy does: the key lets a drifted body replay, cookies are kept, only proof releases.
    #[must_use]
    pub const fn forward_proxy() -> Self {
        Self {
            wait: Duration::from_secs(60),
            on_mismatch: OnMismatch::Replay,
            statuses: Statuses::Upstream,
            cookies: Cookies::Keep,
            ..Self::middleware()
        }
    }

    /// What a middleware in front of its own handler does.
    #[must_use]
    pub const fn middleware() -> Self {
        Self {
            wait: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            run_time_max: Duration::from_secs(15 * 60),
            retention: Duration::from_secs(24 * 60 * 60),
            remember: Duration::from_secs(400 * 24 * 60 * 60),
            on_lapse: OnLapse::Doubt,
            after_retention: AfterRetention::Refuse,
            on_mismatch: OnMismatch::Refuse,
            on_panic: OnPanic::Doubt,
            when_store_down: WhenStoreDown::Closed,
            statuses: Statuses::Handler,
            final_statuses: StatusSet::NONE,
            released_statuses: StatusSet::NONE,
            doubtful_statuses: StatusSet::NONE,
            cookies: Cookies::Drop,
            outcome_bytes_max: 1024 * 1024,
            request_bytes_max: 16 * 1024 * 1024,
        }
    }

    /// The part that goes into the record at its claim.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms {
            lease: self.lease,
            on_lapse: self.on_lapse,
            retention: self.retention,
            remember: self.remember,
            after_retention: self.after_retention,
            on_mismatch: self.on_mismatch,
        }
    }

    /// How much of a lease its holder uses: it gives up before anybody else can think that it has (L12).
    #[must_use]
    pub fn lease_usable(&self) -> Duration {
        self.lease * 4 / 5
    }

    /// Reads what a complete answer says about the effect (O4).
    ///
    /// `consumed` is the answer's `Idempotency-Key-Consumed`, which outranks every status: the origin itself says which.
    #[must_use]
    pub fn finality(&self, status: u16, consumed: Option<bool>) -> Finality {
        match consumed {
            Some(true) => return Finality::Final,
            Some(false) => return Finality::Released(Untouched::NotConsumed),
            None => {}
        }
        if self.final_statuses.contains(status) {
            return Finality::Final;
        }
        if self.released_statuses.contains(status) {
            return Finality::Released(Untouched::Declined(status));
        }
        if self.doubtful_statuses.contains(status) {
            return Finality::Doubtful(DoubtReason::AmbiguousStatus(status));
        }
        match (self.statuses, status) {
            (_, 401 | 403 | 407 | 425 | 429) | (Statuses::Handler, 408 | 421) => {
                Finality::Released(Untouched::Declined(status))
            }
            (Statuses::Upstream, 408 | 421 | 502 | 503 | 504) => {
                Finality::Doubtful(DoubtReason::AmbiguousStatus(status))
            }
            (Statuses::Handler | Statuses::Upstream, _) => Finality::Final,
        }
    }
}
