//! The database server's clock, kept on a local one (L9).
//!
//! Every process on one store has to mean the same by "now", or a lease that one of them granted would look lapsed to another. So the time
//! is the server's, asked for once a second and kept in between on a counter that neither steps nor stops with the machine's sleep.
//!
//! # Never ahead
//! A reading was taken at some moment before its answer came. The time since the answer, added to the reading, is therefore at or behind
//! the server's present, by no more than the round trip; of the latest few readings the one counts that makes the most of it. Who judges a
//! lease judges it late by as much. Who grants one grants it short by as much, which the holder bears: it uses four fifths of its lease by
//! its own counter (L12), and a reading that took longer than [`TRIP_MAX`] is not used.
//!
//! # Steps
//! A server's clock that is set, or that belongs to another server after a fail-over, jumps against the local counter. What jumped is
//! undone by a correction that is written down in the database, for all processes and for those that start later. Whoever sees the
//! step first replaces the correction; the others find it replaced, and their own time in order.
//! A process that has just started has no time of its own to compare with: it works only once it has seen that its first reading held
//! for longer than the others need to correct it ([`SETTLE`]).
//!
//! # Assumptions
//! - Counters of two machines drift apart by less than [`DRIFT_MAX_PPM`]; a server's clock that is slewed stays within that, too.
//! - Some process that knew the server's clock before a step asks for it within [`SETTLE`] after the step. Where none was running, none held
//!   a lease that could be freed.
//! - A process whose machine is stopped together with its counter (a paused virtual machine) sees a step that nobody else sees. It
//!   corrects, is contradicted by those who saw none, and takes their word; until its next reading its leases are short by the pause.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use onceward_core::time::Timestamp;
use tokio::sync::watch;

use super::{
    backend::ClockReading,
    resilience::{Guard, Repeat},
};
use crate::{
    clock::Uptime,
    port::{Clock, StoreError},
};

/// How often the server's clock is asked for.
pub(super) const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// How long a process that has started watches its first reading before it works: longer than another takes to notice a step.
pub(super) const SETTLE: Duration = Duration::from_millis(1_250);

/// How long an operation waits for that: for a second reading where the first one was in doubt, and less than an engine waits.
const SETTLED_WITHIN: Duration = Duration::from_secs(4);

/// What the server's clock may be off the local counter before that counts as a step: twice what two sound readings are apart at the
/// most, and below a fifth of the shortest sensible lease.
const STEP: Duration = Duration::from_secs(1);

/// How far two sound counters drift apart, in millionths; a crystal keeps 100, and slewing adds 500 (adjtimex(2)).
const DRIFT_MAX_PPM: i64 = 2_000;

/// A round trip that took longer says too little about when the server looked.
const TRIP_MAX: Duration = Duration::from_millis(500);

/// Readings of which the best counts: few, so that a server's clock that runs slow is followed.
const WINDOW: usize = 8;

/// Times that one reading is taken again because another process corrected at the same moment.
const CORRECTIONS_MAX: usize = 4;

/// The store's time: the server's, with its steps undone.
#[derive(Debug)]
pub(super) struct ServerTime {
    began: Uptime,
    /// What is added to the local counter, in milliseconds, to get the store's time.
    offset_ms: AtomicI64,
    view: Mutex<View>,
    settled: watch::Sender<bool>,
}

/// A reading, between two points of the local counter.
#[derive(Clone, Copy, Debug)]
struct Sample {
    sent_ms: i64,
    received_ms: i64,
    reading: ClockReading,
}

/// What one process knows of the server's clock.
#[derive(Debug, Default)]
struct View {
    /// Offsets of the latest readings.
    offsets: VecDeque<i64>,
    /// When the latest of them came, on the local counter.
    received_ms: i64,
    /// The correction that they were taken under.
    correction_ms: i64,
    /// The correction that this process wrote last.
    written_ms: Option<i64>,
}

/// What a reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// It took too long to say anything.
    Vague,
    /// The time goes on.
    Sound,
    /// The server's clock has stepped: this correction undoes it.
    Stepped { correction_ms: i64 },
}

/// What a process has of its own to hold a reading against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// An earlier reading that the latest one bears out, or the word of others.
    Kept,
    /// The latest one only.
    Begun,
}

impl Sample {
    /// What to add to the local counter for the store's time, if the server looked just before it answered: the least that it can be.
    fn offset_ms(&self) -> i64 {
        let ClockReading { server, correction_ms } = self.reading;
        millis(server).saturating_add(correction_ms).saturating_sub(self.received_ms)
    }

    fn trip_ms(&self) -> i64 {
        self.received_ms.saturating_sub(self.sent_ms)
    }
}

impl View {
    fn offset_ms(&self) -> Option<i64> {
        self.offsets.iter().max().copied()
    }

    /// Judges a reading, and goes by it where it is sound.
    fn see(&mut self, sample: &Sample) -> Finding {
        if sample.trip_ms() > duration_ms(TRIP_MAX) {
            return Finding::Vague;
        }
        let Some(known) = self.offset_ms() else {
            self.start_from(sample);
            return Finding::Sound;
        };
        let correction_ms = sample.reading.correction_ms;
        let off = sample.offset_ms().saturating_sub(known);
        let since_ms = sample.received_ms.saturating_sub(self.received_ms);
        let drift_ms = since_ms.saturating_mul(DRIFT_MAX_PPM) / 1_000_000;
        let bearable = duration_ms(STEP).saturating_add(drift_ms);
        if off.saturating_abs() <= bearable {
            if self.offsets.len() == WINDOW {
                self.offsets.pop_front();
            }
            self.offsets.push_back(sample.offset_ms());
            (self.received_ms, self.correction_ms) = (sample.received_ms, correction_ms);
            return Finding::Sound;
        }
        let contradicted = correction_ms != self.correction_ms && self.written_ms == Some(self.correction_ms);
        if contradicted {
            // Others saw no step where this process did: it is this one's counter that stood still.
            self.start_from(sample);
            return Finding::Sound;
        }
        Finding::Stepped { correction_ms: correction_ms.saturating_sub(off) }
    }

    fn start_from(&mut self, sample: &Sample) {
        *self = Self {
            offsets: VecDeque::from([sample.offset_ms()]),
            received_ms: sample.received_ms,
            correction_ms: sample.reading.correction_ms,
            written_ms: None,
        };
    }

    /// This process's correction stands. The time that it keeps is the one that it kept before.
    fn corrected(&mut self, correction_ms: i64) {
        (self.correction_ms, self.written_ms) = (correction_ms, Some(correction_ms));
    }
}

impl ServerTime {
    /// Starts from a first reading.
    pub(super) async fn start(guard: &Guard) -> Result<Self, StoreError> {
        let time = Self {
            began: Uptime::now(),
            offset_ms: AtomicI64::new(0),
            view: Mutex::default(),
            settled: watch::Sender::new(false),
        };
        for _ in 0..CORRECTIONS_MAX {
            let sample = time.ask(guard).await?;
            if time.take(&sample) == Finding::Sound {
                return Ok(time);
            }
        }
        let reason = "the database takes too long to say what time it is";
        Err(StoreError::Unavailable { reason, source: None })
    }

    /// Watches the first reading for long enough, then goes on reading, for as long as it is polled.
    pub(super) async fn keep(&self, guard: &Guard) {
        tokio::time::sleep(SETTLE).await;
        loop {
            match self.sample(guard).await {
                Ok(Standing::Kept) => drop(self.settled.send_replace(true)),
                Ok(Standing::Begun) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the database's clock was not read"
                    );
                }
            }
            tokio::time::sleep(SAMPLE_PERIOD).await;
        }
    }

    /// Waits until this process may rely on its time.
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        if *self.settled.borrow() {
            return Ok(());
        }
        let mut settling = self.settled.subscribe();
        match tokio::time::timeout(SETTLED_WITHIN, settling.wait_for(|settled| *settled)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(StoreError::Unavailable {
                reason: "the database's clock has not been seen for long enough to go by it",
                source: None,
            }),
        }
    }

    /// Reads the server's clock once, and undoes its step where it made one.
    async fn sample(&self, guard: &Guard) -> Result<Standing, StoreError> {
        for _ in 0..CORRECTIONS_MAX {
            let sample = self.ask(guard).await?;
            let correction_ms = match self.take(&sample) {
                Finding::Sound => return Ok(Standing::Kept),
                Finding::Vague => break,
                Finding::Stepped { correction_ms } => correction_ms,
            };
            if !*self.settled.borrow() {
                // It is not for a newcomer to say what the time is.
                return Ok(self.restart(&sample));
            }
            let seen_ms = sample.reading.correction_ms;
            tracing::warn!(
                by_ms = seen_ms.saturating_sub(correction_ms),
                "the database server's clock stepped"
            );
            let corrected =
                guard.run(Repeat::Always, |backend| backend.correct_clock(seen_ms, correction_ms)).await?;
            if corrected {
                self.lock().corrected(correction_ms);
                guard.link().clock_steps.add(1);
            }
            // Looked at again either way: what another process wrote, or what this one did.
        }
        let reason = "no reading of the database's clock was of use";
        Err(StoreError::Unavailable { reason, source: None })
    }

    async fn ask(&self, guard: &Guard) -> Result<Sample, StoreError> {
        // Each try has its own start: a reading that was repeated would look like one that took long.
        let asked = guard.run(Repeat::Always, |backend| {
            let sent_ms = self.local_ms();
            let reading = backend.clock();
            Box::pin(async move { Ok((sent_ms, reading.await?)) })
        });
        let (sent_ms, reading) = asked.await?;
        Ok(Sample { sent_ms, received_ms: self.local_ms(), reading })
    }

    fn take(&self, sample: &Sample) -> Finding {
        let mut view = self.lock();
        let finding = view.see(sample);
        self.publish(&view);
        finding
    }

    /// Goes by another reading than before: by the correction that others wrote meanwhile, or by a step that nobody has undone yet.
    fn restart(&self, sample: &Sample) -> Standing {
        let mut view = self.lock();
        let is_corrected = view.correction_ms != sample.reading.correction_ms;
        view.start_from(sample);
        self.publish(&view);
        if is_corrected { Standing::Kept } else { Standing::Begun }
    }

    fn publish(&self, view: &View) {
        if let Some(offset_ms) = view.offset_ms() {
            self.offset_ms.store(offset_ms, Ordering::Relaxed);
        }
    }

    fn local_ms(&self) -> i64 {
        duration_ms(self.began.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        // Each change of the view is whole before the next await, so a poisoned lock is still good.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ServerTime {
    /// May go back by a little where a window of readings moves on; [`crate::clock::StoreTime`] does not.
    fn now(&self) -> Timestamp {
        let now_ms = self.local_ms().saturating_add(self.offset_ms.load(Ordering::Relaxed));
        Timestamp::from_ms(u64::try_from(now_ms).unwrap_or_default())
    }
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_ms()).unwrap_or(i64::MAX)
}

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Server and local counter are an hour apart at first.
    const APART_MS: i64 = 3_600_000;

    /// A reading that came at `received_ms` of the local counter, of a server that is `ahead_ms` further ahead than at first.
    fn sample(received_ms: i64, ahead_ms: i64, correction_ms: i64) -> Sample {
        let server_ms = u64::try_from(APART_MS + received_ms + ahead_ms).expect("after 1970");
        let reading = ClockReading { server: Timestamp::from_ms(server_ms), correction_ms };
        Sample { sent_ms: received_ms - 10, received_ms, reading }
    }

    fn view() -> View {
        let mut view = View::default();
        assert_eq!(view.see(&sample(1_000, 0, 0)), Finding::Sound);
        view
    }

    // covers: L9
    #[test]
    fn the_best_of_the_latest_readings_counts() {
        let mut view = view();
        // Readings that were long under way say less than the server's clock shows by now.
        assert_eq!(view.see(&sample(2_000, -400, 0)), Finding::Sound);
        assert_eq!(view.see(&sample(3_000, 300, 0)), Finding::Sound);
        assert_eq!(view.see(&sample(4_000, -100, 0)), Finding::Sound);
        assert_eq!(view.offset_ms(), Some(APART_MS + 300));
        // The best is forgotten once it is old, so that a slower clock is followed.
        for second in 0..8 {
            assert_eq!(view.see(&sample(5_000 + second * 1_000, -200, 0)), Finding::Sound);
        }
        assert_eq!(view.offset_ms(), Some(APART_MS - 200));
        let slow = Sample { sent_ms: 12_000, ..sample(12_501, 0, 0) };
        assert_eq!(view.see(&slow), Finding::Vague);
    }

    // covers: L9
    #[test]
    fn a_step_is_undone_to_the_millisecond_and_drift_is_not() {
        for (received_ms, ahead_ms, correction_ms) in
            [(2_000, 1_003, -1_003), (2_000, -3_000_000, 3_000_000), (2_000, 86_400_000, -86_400_000)]
        {
            let mut view = view();
            let stepped = view.see(&sample(received_ms, ahead_ms, 0));
            assert_eq!(stepped, Finding::Stepped { correction_ms });
            // Its time is what it was, and bears out the correction.
            assert_eq!(view.offset_ms(), Some(APART_MS));
            view.corrected(correction_ms);
            assert_eq!(view.see(&sample(received_ms + 1, ahead_ms, correction_ms)), Finding::Sound);
        }
        // An hour without a reading: two counters may be 7.2 s apart by then, and are not told to step.
        assert_eq!(view().see(&sample(3_601_000, 7_000, 0)), Finding::Sound);
        assert_eq!(view().see(&sample(3_601_000, 9_000, 0)), Finding::Stepped { correction_ms: -9_000 });
    }

    /// A machine that was paused thinks that the server stepped; the others think that its correction is wrong. They have their way.
    // covers: L9
    #[test]
    fn who_is_contradicted_takes_the_others_word() {
        let (mut paused, mut other) = (view(), view());
        // It missed half a minute: its counter stands at 2 s when the others' stands at 32 s.
        let wrong = Finding::Stepped { correction_ms: -30_000 };
        assert_eq!(paused.see(&sample(2_000, 30_000, 0)), wrong);
        paused.corrected(-30_000);
        assert_eq!(paused.see(&sample(2_001, 30_000, -30_000)), Finding::Sound);
        assert_eq!(other.see(&sample(32_500, 0, -30_000)), Finding::Stepped { correction_ms: 0 });
        other.corrected(0);
        assert_eq!(other.see(&sample(32_501, 0, 0)), Finding::Sound);
        assert_eq!(paused.see(&sample(3_000, 30_000, 0)), Finding::Sound);
        assert_eq!(paused.offset_ms(), Some(APART_MS + 30_000));
        // From there on it sees a true step like the others.
        assert_eq!(paused.see(&sample(4_000, 35_000, 0)), Finding::Stepped { correction_ms: -5_000 });
    }
}
