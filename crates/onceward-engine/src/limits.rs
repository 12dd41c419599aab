//! The engine's bounds (S1).

use std::time::Duration;

/// Bounds of one engine; every one has a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Duplicates that may wait for one key; past it 409 `in-progress` at once (W2).
    pub waiters_per_key_max: usize,
    /// Duplicates that may wait in all; past it 409 `in-progress` at once (W2).
    pub waiters_max: usize,
    /// Of these, those of one actor, by default half; past it 409 `in-progress` at once, while others wait (W2).
    pub waiters_per_actor_max: usize,
    /// Keyed requests under way at once; past it 503 `overloaded`.
    pub calls_max: usize,
    /// Of these, those of one actor, by default half; past it 503 `overloaded`, while others are served.
    pub calls_per_actor_max: usize,
    /// How long one store operation may take before its answer counts as lost.
    pub store_time_max: Duration,
    /// How long an answer waits for its outcome to be stored before the caller gets it marked (O6).
    pub settle_patience: Duration,
    /// How long storing an outcome is tried on after that; a late one still completes its record (L13).
    pub settle_time_max: Duration,
    /// Records that one round of sweeping visits (T3).
    pub sweep_records_max: usize,
    /// How often a round of sweeping begins.
    pub sweep_period: Duration,
    /// How long audit events are kept (A1).
    pub audit_retention: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiters_per_key_max: 64,
            waiters_max: 4_096,
            waiters_per_actor_max: 2_048,
            calls_max: 16_384,
            calls_per_actor_max: 8_192,
            store_time_max: Duration::from_secs(5),
            settle_patience: Duration::from_secs(5),
            settle_time_max: Duration::from_secs(5 * 60),
            sweep_records_max: 200,
            sweep_period: Duration::from_secs(1),
            audit_retention: Duration::from_secs(400 * 24 * 60 * 60),
        }
    }
}
