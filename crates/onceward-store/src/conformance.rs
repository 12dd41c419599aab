//! What every store has to pass: one case for each promise, and random histories against an independent model.
//!
//! # For a store of your own
//! The suite is for whoever implements [`Store`] and [`AuditLog`], in this repository or not:
//!
//! 1. Depend on this crate twice, the second time with its feature `conformance` among the `[dev-dependencies]`, and on `tokio` with
//!    `macros` and `rt-multi-thread`.
//! 2. Describe the store once, as a [`Subject`]: how it is made, fresh and empty, on a [`ManualClock`]; what its process's death leaves of it;
//!    what it puts outside of its memory; and how one of its records is damaged. What it has to be told is what the cases cannot know.
//! 3. Let [`conformance_suite!`](crate::conformance_suite) make a test of each case.
//!
//! Each test gets a subject of its own, so cases may run beside each other; where they share a server, each subject needs a database or
//! a prefix of its own. Cases move the clock by hand, expect nothing of any other time, and run on a runtime with several threads.
//!
//! A case is one promise under the id that the [protocol](https://github.com/onceward/onceward/blob/main/docs/protocol.md) gives it, and says
//! by its name what must be so. `random_histories_agree_with_the_model` plays what no case thought of: a failing history is shrunk, and
//! printed with its seed. What the suite cannot show is what the store promises of power cuts, of its network and of its own server's fail-over: those
//! need the real thing, killed. [`Faulty`](crate::Faulty) helps where the store is *used*.
//!
//! ```
//! use std::sync::Arc;
//!
//! use onceward_core::{actor::LookupId, time::Timestamp};
//! use onceward_store::{
//!     AuditLog, ManualClock, Memory, MemoryLimits, Store,
//!     conformance::{Damage, STARTED_MS, Subject, Survival},
//! };
//!
//! // The store under test; here the one that this crate has in memory.
//! struct Mine {
//!     store: Arc<Memory>,
//!     clock: Arc<ManualClock>,
//! }
//!
//! fn empty(clock: &Arc<ManualClock>) -> Arc<Memory> {
//!     Arc::new(Memory::new(MemoryLimits::default(), clock.clone()))
//! }
//!
//! async fn subject() -> Mine {
//!     let clock = Arc::new(ManualClock::standing_at(Timestamp::from_ms(STARTED_MS)));
//!     Mine { store: empty(&clock), clock }
//! }
//!
//! impl Subject for Mine {
//!     fn store(&self) -> Arc<dyn Store> {
//!         self.store.clone()
//!     }
//!
//!     fn audit(&self) -> Arc<dyn AuditLog> {
//!         self.store.clone()
//!     }
//!
//!     fn clock(&self) -> Arc<ManualClock> {
//!         self.clock.clone()
//!     }
//!
//!     async fn crash(&mut self) -> Survival {
//!         self.store = empty(&self.clock);
//!         Survival::Nothing
//!     }
//!
//!     fn bytes(&self) -> Vec<u8> {
//!         Vec::new()
//!     }
//!
//!     async fn damage(&mut self, _id: LookupId) -> Damage {
//!         Damage::Impossible
//!     }
//! }
//!
//! onceward_store::conformance_suite!(subject);
//! ```
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the suite's result"
)]

mod doubt;
mod holding;
mod inquiry;
mod keeping;
mod kit;
mod listing;
mod model;
mod oracle;
mod twins;

use std::{future::Future, sync::Arc};

use onceward_core::actor::LookupId;

pub use self::{doubt::*, holding::*, inquiry::*, keeping::*, listing::*, model::*, twins::*};
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

    /// Ends the store as the death of its process would, and starts another one on what that left behind. Nothing is closed, released or told
    /// to anybody first, and the clock stands where it stood.
    fn crash(&mut self) -> impl Future<Output = Survival> + Send;

    /// Everything that it has put outside of its memory so far; nothing where it keeps no such thing.
    fn bytes(&self) -> Vec<u8>;

    /// Flips one bit of a record's stored form, behind the store's back.
    fn damage(&mut self, id: LookupId) -> impl Future<Output = Damage> + Send;
}

/// What a subject's clock is set to, in milliseconds: 2023-11-14T22:13:20Z.
pub const STARTED_MS: u64 = 1_700_000_000_000;

/// What a crash leaves of acknowledged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// All of them, and what the dead process had claimed is in doubt at once (L10): nobody else can hold it.
    Records,
    /// All of them. What the dead process had claimed stays claimed until its lease has lapsed (L4): the store serves several
    /// processes, and cannot tell a dead one from a slow one.
    Leases,
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

/// Makes a `#[tokio::test]` of each case, for the subject that an `async fn` without arguments makes. The tests stand where the macro is
/// used: a module of its own keeps those of two subjects apart. See [`conformance`](crate::conformance).
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
            a_request_is_kept_until_its_effect_is_known
            one_looks_at_a_time
            nobody_looks_where_nothing_is_in_doubt
            erasing_leaves_nothing_but_the_fact
            each_claim_that_is_lost_is_counted_once
            an_answer_expires_and_its_key_is_forgotten_later
            a_sweep_spares_what_is_unsettled
            a_sweep_goes_in_bounded_rounds_from_the_oldest_on
            an_epoch_never_returns
            unknown_keys_behind_the_barrier_are_refused
            a_barrier_is_raised_by_hand_and_never_falls
            a_damaged_record_is_refused_and_kept
            raw_keys_and_actors_are_nowhere
            health_counts_what_is_held
            a_listing_shows_each_record_once_the_newest_first
            a_listing_can_be_narrowed
            one_of_many_simultaneous_bids_takes_a_mark
            a_bid_may_be_repeated
            a_mark_is_taken_over_only_from_the_holder_that_was_seen
            a_mark_is_free_once_its_window_has_passed
            marks_are_forgotten_in_bounded_rounds
            a_mark_is_no_record
            a_mark_outlives_what_its_holder_outlives
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
