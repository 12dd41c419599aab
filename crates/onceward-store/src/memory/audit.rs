//! The audit log of a store that forgets: a ring.

use std::collections::VecDeque;

use onceward_core::{actor::KeyTag, time::Timestamp};

use crate::port::{AuditCursor, StoredAudit};

#[derive(Debug)]
pub(super) struct AuditRing {
    lines: VecDeque<StoredAudit>,
    lines_max: usize,
    /// Lines that went from the front: the position of the first one kept, less one.
    gone: u64,
}

impl AuditRing {
    pub(super) fn new(lines_max: usize) -> Self {
        Self { lines: VecDeque::new(), lines_max, gone: 0 }
    }

    pub(super) fn append(&mut self, line: StoredAudit) {
        self.lines.push_back(line);
        while self.lines.len() > self.lines_max {
            self.lines.pop_front();
            self.gone += 1;
        }
    }

    pub(super) fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> Vec<(AuditCursor, StoredAudit)> {
        let skipped = usize::try_from(after.0.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        (self.gone + 1..)
            .map(AuditCursor)
            .zip(&self.lines)
            .skip(skipped)
            .filter(|(_, line)| key.is_none_or(|key| line.key == Some(key)))
            .take(lines_max)
            .map(|(cursor, line)| (cursor, line.clone()))
            .collect()
    }

    pub(super) fn trim(&mut self, before: Timestamp, lines_max: usize) -> u64 {
        let old = self.lines.iter().take(lines_max).take_while(|line| line.at < before).count();
        self.lines.drain(..old);
        self.gone += old as u64;
        old as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ms: u64) -> StoredAudit {
        StoredAudit { at: Timestamp::from_ms(ms), key: None, json: format!("{{\"at\":{ms}}}") }
    }

    // covers: S1
    #[test]
    fn a_full_ring_drops_its_oldest_line_and_keeps_positions() {
        let mut ring = AuditRing::new(2);
        (1..=3).for_each(|ms| ring.append(line(ms)));
        let kept = vec![(AuditCursor(2), line(2)), (AuditCursor(3), line(3))];
        assert_eq!(ring.read(AuditCursor(0), None, 10), kept);
        assert_eq!(ring.read(AuditCursor(2), None, 10), kept[1..]);
    }
}
