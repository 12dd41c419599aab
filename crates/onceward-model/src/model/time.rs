//! Time: it jumps from one moment at which something may change to the next.

use onceward_core::record::{Event, Record, State};

use super::{Onceward, exchange::close};
use crate::{
    scene::{Breach, Phase, Scene, Wire, holder},
    world::{Deadline, FAR_MS, LEASE_MS, REMEMBER_MS, RENEWAL_MS, RETENTION_MS, Sweeping},
};

impl Onceward {
    /// The next moment at which time changes something.
    pub(super) fn next_moment_ms(&self, scene: &Scene) -> Option<u64> {
        let mut moments_ms = Vec::with_capacity(12);
        self.record_moments(&scene.record, &mut moments_ms);
        moments_ms.extend(scene.settled_at_ms());
        for call in &scene.calls {
            match call.phase {
                Phase::Holding | Phase::Sent => {
                    moments_ms.extend([call.deadline_ms.saturating_sub(RENEWAL_MS), call.deadline_ms]);
                }
                Phase::Claiming | Phase::Disowning => moments_ms.push(call.deadline_ms),
                Phase::Idle | Phase::Checked | Phase::Concluding(_) | Phase::Over => {}
            }
            if let Wire::Flying { until_ms: Some(until_ms) } = call.wire {
                moments_ms.push(until_ms);
            }
        }
        let next_ms = moments_ms.into_iter().filter(|moment_ms| *moment_ms > scene.now_ms).min()?;
        // Nobody sleeps for as long as keys are remembered.
        let is_busy = scene.calls.iter().any(|call| call.is_under_way());
        let is_age = next_ms - scene.now_ms > REMEMBER_MS / 2;
        (!(is_age && is_busy)).then_some(next_ms)
    }

    fn record_moments(&self, record: &Record, moments_ms: &mut Vec<u64>) {
        match record.state {
            State::Absent => moments_ms.extend(record.due_at().map(|due_at| due_at.as_ms())),
            State::Claimed { lease_until, .. } => {
                let until_ms = lease_until.as_ms();
                moments_ms.extend([until_ms.saturating_sub(LEASE_MS / 2), until_ms]);
            }
            State::InDoubt { .. } => {}
            State::Done { expires_at, .. } => {
                moments_ms.extend([expires_at.as_ms(), expires_at.as_ms() + REMEMBER_MS]);
            }
            State::Tombstone { forget_at, .. } => moments_ms.push(forget_at.as_ms()),
        }
        if self.world.rules.sweeping == Sweeping::Everything && holder(record).is_some() {
            moments_ms.push(record.since.as_ms() + RETENTION_MS);
        }
    }

    pub(super) fn pass(&self, scene: &mut Scene) {
        let Some(next_ms) = self.next_moment_ms(scene) else { return };
        if next_ms - scene.now_ms >= FAR_MS {
            scene.letter = None;
        }
        scene.now_ms = next_ms;
        for call in self.calls() {
            let Some(state) = scene.calls.get_mut(usize::from(call)) else { continue };
            if matches!(state.wire, Wire::Flying { until_ms: Some(until_ms) } if next_ms >= until_ms) {
                state.wire = Wire::Gone;
            }
            // Its socket is closed when its holder's own deadline passes, and no later (L12).
            let is_over = state.phase == Phase::Sent && next_ms >= state.deadline_ms;
            if is_over && self.world.rules.deadline != Deadline::Ignored {
                close(scene, call);
            }
        }
        let is_finished = matches!(scene.record.state, State::Done { .. } | State::Tombstone { .. });
        if is_finished && super::swept(scene).is_blank() {
            scene.is_forgotten = true;
        }
    }

    pub(super) fn sweep(&self, scene: &mut Scene) {
        if self.is_purge_due(scene) {
            if holder(&scene.record).is_some() {
                scene.breach.get_or_insert(Breach::UnfinishedSwept);
            }
            scene.record = Record::absent();
        } else {
            self.on(scene, Event::Swept);
        }
    }

    /// Whether a sweep that spares nothing would delete the key.
    fn is_purge_due(&self, scene: &Scene) -> bool {
        let due_ms = scene.record.since.as_ms() + RETENTION_MS;
        self.world.rules.sweeping == Sweeping::Everything
            && !scene.record.is_blank()
            && scene.now_ms >= due_ms
    }
}
