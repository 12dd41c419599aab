//! What every store has to pass: one case for each promise, and random histories against an independent model.
//!
//! A store's tests describe it once, as a [`Subject`], and let [`conformance_suite!`](crate::conformance_suite) make a test of each
//! case. Cases move the subject's clock by hand and expect nothing of any other time.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the suite's result"
)]

mod doubt;
mod holding;
mod keeping;
mod kit;
mod listing;
mod model;
mod oracle;

use std::{future::Future, sync::Arc};

use onceward_core::actor::LookupId;

pub use self::{doubt::*, holding::*, keeping::*, listing::*, model::*};
use crate::{
    clock::ManualClock,
    port::{AuditLog, Store},
};

/// A store under test, fresh and empty, and what can be done to it from outside.
pub trait Subject: Send + Sync + 'static {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Its audit log.
    fn audit(&self) -> Arc<dyn AuditLog>;

    /// The clock that it was made with, standing at [`STARTED_MS`] or later.
    fn clock(&self) -> Arc<ManualClock>;

    /// Ends the store as the death of its process would, and starts another one on what that left behind.
    fn crash(&mut self) -> impl Future<Output = Survival> + Send;

    /// Everything that it has put outside of its memory so far; nothing where it keeps no such thing.
    fn bytes(&self) -> Vec<u8>;

    /// Flips one bit of a record's stored form.
    fn damage(&mut self, id: LookupId) -> impl Future<Output = Damage> + Send;
}

/// What a subject's clock is set to, in milliseconds: 2023-11-14T22:13:20Z.
pub const STARTED_MS: u64 = 1_700_000_000_000;

/// What a crash leaves of acknowledged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// All of them.
    Records,
    /// None, and the history barrier says so (T5).
    Nothing,
}

/// Whether a store has a stored form that can be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It has, and one of its bits is flipped now.
    Done,
    /// Its records are nowhere but in memory.
    Impossible,
}

/// Makes a `#[tokio::test]` of each case, for the subject that an `async fn` without arguments makes.
///
/// ```text
/// mod suite {
///     onceward_store::conformance_suite!(super::subject);
/// }
/// ```
#[macro_export]
macro_rules! conformance_suite {
    ($subject:path) => {
        $crate::conformance_suite! { @cases $subject:
            one_of_many_simultaneous_claims_wins
            who_does_not_hold_a_claim_changes_nothing
            a_refused_duplicate_changes_nothing
            a_fingerprint_of_another_version_is_asked_for
            a_renewal_extends_the_lease
            a_lapsed_lease_is_doubted_by_the_next_arrival
            a_lapsed_lease_is_doubted_by_the_sweep
            a_lapsed_lease_runs_again_where_that_is_safe
            a_clock_that_steps_back_frees_no_lease
            a_released_key_runs_again_under_a_higher_epoch
            every_step_may_be_repeated
            an_operation_whose_asker_goes_away_is_whole
            a_crash_leaves_no_claim_behind
            a_late_answer_ends_a_doubt
            an_effect_after_a_verdict_of_absence_raises_the_alarm
            a_verdict_ends_a_doubt_and_only_a_doubt
            a_delayed_verdict_frees_no_later_attempt
            a_repeated_verdict_says_the_same_again
            a_cancelled_key_never_runs
            a_verdict_is_written_with_its_evidence
            each_claim_that_is_lost_is_counted_once
            an_answer_expires_and_its_key_is_forgotten_later
            a_sweep_spares_what_is_unsettled
            a_sweep_goes_in_bounded_rounds_from_the_oldest_on
            an_epoch_never_returns
            unknown_keys_behind_the_barrier_are_refused
            a_damaged_record_is_refused_and_kept
            raw_keys_and_actors_are_nowhere
            health_counts_what_is_held
            a_listing_shows_each_record_once_the_newest_first
            a_listing_can_be_narrowed
            audit_lines_come_back_in_order
            audit_lines_are_trimmed_from_the_oldest_on
            random_histories_agree_with_the_model
        }
    };
    (@cases $subject:path: $($case:ident)+) => {$(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $case() {
            $crate::conformance::$case($subject().await).await;
        }
    )+};
}
