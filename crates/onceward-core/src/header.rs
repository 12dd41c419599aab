//! Which header fields travel, which are kept with an outcome, and the names of our own (O2, O3, C2).

/// The wire names of the fields that onceward reads or writes, lower-case.
pub mod name {
    /// The client's name for one logical action (draft-ietf-httpapi-idempotency-key-header-07).
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// Whether an effect happened under the key: `true` or `false` (C2, L5).
    pub const IDEMPOTENCY_KEY_CONSUMED: &str = "idempotency-key-consumed";
    /// Marks an answer that was given before (O3).
    pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
    /// How the answer stands to the effect (C2).
    pub const INTENT_STATUS: &str = "intent-status";
    /// Digest of what the client means to write (F5).
    pub const INTENT_SHA256: &str = "intent-sha256";
    /// The state of the data that a write was decided upon (P2).
    pub const PRECONDITION_SNAPSHOT: &str = "precondition-snapshot";
    /// The state of the data that an answer shows (P2).
    pub const SNAPSHOT: &str = "snapshot";
    /// The fencing token that a guarded request runs under, for its origin (L2, L14).
    pub const ONCEWARD_EPOCH: &str = "onceward-epoch";
    /// The slug of a refusal's problem type, where the answer has no room for a problem.
    pub const ONCEWARD_PROBLEM: &str = "onceward-problem";
    /// Until when the client means it (F5).
    pub const INTENT_EXPIRES_AT: &str = "intent-expires-at";
    /// The token by which a caller says that it wants an effect once more; a refusal offers it under the same name (P5).
    pub const EFFECT_CONFIRM: &str = "effect-confirm";
}

/// How an answer stands to the effect: the values of `Intent-Status` (C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentStatus {
    /// The effect happened now.
    Committed,
    /// It happened before; this is its answer again.
    Replayed,
    /// The key stands for another request.
    Mismatch,
    /// It runs at this moment.
    InProgress,
    /// Nobody knows.
    Unknown,
    /// Its owner cancelled it.
    Cancelled,
    /// Its answer was kept for its time.
    Expired,
    /// The request went through without a claim: nothing is remembered of it, and a retry would run again (S2).
    Unguarded,
}

impl IntentStatus {
    /// The value on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Replayed => "replayed",
            Self::Mismatch => "mismatch",
            Self::InProgress => "in-progress",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unguarded => "unguarded",
        }
    }
}

/// Whether a field (lower-case) belongs to one connection and travels no further (RFC 9110, 7.6.1; RFC 9113, 8.2.2).
///
/// Fields that `Connection` names are hop-by-hop, too; the caller knows those.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What becomes of `Set-Cookie` in a stored outcome (O2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// Kept, one line each: the browser may have missed it.
    Keep,
    /// Dropped: another caller's session must not come out of a replay.
    Drop,
}

/// Whether a field (lower-case) of an answer is kept with the outcome and replayed (O2).
#[must_use]
pub fn is_kept(name: &str, cookies: Cookies) -> bool {
    let personal_to_one_exchange = matches!(
        name,
        "date"
            | "server-timing"
            | "www-authenticate"
            | "authentication-info"
            // Framing is made anew for each answer; the stored length is the body's own.
            | "content-length"
            // Ours, which a replay sets to its own values.
            | name::IDEMPOTENT_REPLAYED
            | name::IDEMPOTENCY_KEY_CONSUMED
            | name::INTENT_STATUS
            | "age"
    );
    let cookie = name == "set-cookie" && cookies == Cookies::Drop;
    !personal_to_one_exchange && !cookie && !is_hop_by_hop(name)
}
