//! The audit log's hash chain (A1): a seal stands in the log every few seconds, and each one covers what came since the one before.
//!
//! A seal is a line of the log itself. Its `link` is a digest, under the deployment's secret, of the seal before it and of every line in between,
//! so a line that is changed, taken out, put in or moved breaks the chain at the next seal, and nobody without the secret can mend it.
//! Lines behind the last seal are not covered yet, and a log that was cut off behind a seal looks whole: whoever notes the last
//! seal's number elsewhere sees that, too.
//!
//! Every process of a store seals by the same rule, from what it reads in the log. Where two did at once, the second seal says a
//! number that is taken; it is a line like others then.

mod sealing;
mod verify;

use std::collections::VecDeque;

use onceward_core::{actor::KeyTag, secret::Secret, time::Timestamp};
use onceward_store::{AuditCursor, StoredAudit};
use serde::{Deserialize, Serialize};

pub(crate) use self::sealing::{SEAL_AGE_MIN, SEAL_PERIOD, Sealing};
pub use self::verify::{ChainBreak, ChainReport, LastSeal, verify_chain};

/// Under which seals are found, as lines about a key are. No key has this tag but by a chance of 2^-64.
const SEAL_TAG: KeyTag = KeyTag::from_bytes(*b"\0sealed\0");

/// Lines: how many may wait for a seal; 40 bytes each are kept in mind of them. What is beyond is never covered.
const UNSEALED_LINES_MAX: usize = 1_000_000;

/// Lines that one look at the log asks for.
const PAGE_LINES: usize = 1_000;

/// A seal, as its line in the log says it.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    time: String,
    decision: SealedDecision,
    /// Its place in the chain, from 1.
    seal: u64,
    /// How many lines it covers: the oldest that no seal before it does.
    lines: usize,
    /// Where the last line that it covers stands.
    through: u64,
    /// The chain's digest up to it, in hexadecimal digits.
    link: String,
}

/// The one decision that a seal's line is about.
#[derive(Debug, Serialize, Deserialize)]
enum SealedDecision {
    #[serde(rename = "sealed")]
    Sealed,
}

/// Why a seal does not say what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Seals before it are gone.
    Missing {
        /// How many.
        seals: u64,
    },
    /// What it covers is not what stands there.
    Altered,
    /// More lines came before it than one seal can cover.
    Overrun,
}

/// What a line is to the chain.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// It waits to be covered.
    Line,
    /// It covers what came before it, rightly or not.
    Seal(Result<(), Flaw>),
}

/// The chain up to a point of the log: what the next seal has to say.
#[derive(Debug)]
struct Chain {
    secret: Secret,
    /// The last seal's number; 0 before the first.
    number: u64,
    /// The last seal's link; empty before the first.
    link: String,
    /// Where the lines stand that no seal covers yet, and their digests, oldest first.
    unsealed: VecDeque<(AuditCursor, [u8; 32])>,
    /// Lines that are kept in mind at the most; and whether there were more.
    unsealed_max: usize,
    overrun: bool,
}

impl Chain {
    /// The beginning of a log.
    fn new(secret: Secret) -> Self {
        Self {
            secret,
            number: 0,
            link: String::new(),
            unsealed: VecDeque::new(),
            unsealed_max: UNSEALED_LINES_MAX,
            overrun: false,
        }
    }

    /// Goes on behind one more line of the log.
    fn read(&mut self, place: AuditCursor, line: &StoredAudit) -> Meaning {
        let meaning = match seal_of(line) {
            // A number that is taken: somebody sealed at the same time, and came second.
            Some(seal) if seal.seal > self.number => Meaning::Seal(self.follow(seal)),
            Some(_) | None => Meaning::Line,
        };
        if self.unsealed.len() < self.unsealed_max {
            let digest = self.secret.digest("audit-line").field(line.json.as_bytes()).finish();
            self.unsealed.push_back((place, digest));
        } else {
            self.overrun = true;
        }
        meaning
    }

    /// Takes a seal for what it says, and says whether that is right; the chain goes on behind it either way.
    fn follow(&mut self, seal: Seal) -> Result<(), Flaw> {
        let through = AuditCursor(seal.through);
        let covered = self.unsealed.partition_point(|(place, _)| *place <= through);
        let missing = seal.seal - self.number - 1;
        let found = if missing > 0 {
            Err(Flaw::Missing { seals: missing })
        } else if self.overrun {
            Err(Flaw::Overrun)
        } else if seal.lines != covered || seal.link != self.link_over(covered, through) {
            Err(Flaw::Altered)
        } else {
            Ok(())
        };
        self.number = seal.seal;
        self.link = seal.link;
        self.unsealed.drain(..covered);
        self.overrun = false;
        found
    }

    /// The line that seals what is unsealed; `None` where that is nothing but the last seal itself.
    fn seal(&self, at: Timestamp) -> Option<StoredAudit> {
        let lines = self.unsealed.len();
        let through = self.unsealed.back()?.0;
        // A log in which nothing happens would grow by a seal of the last seal for ever.
        if lines == 1 && self.number > 0 {
            return None;
        }
        let number = self.number.checked_add(1)?;
        let seal = Seal {
            time: at.to_string(),
            decision: SealedDecision::Sealed,
            seal: number,
            lines,
            through: through.0,
            link: self.link_over(lines, through),
        };
        let json = serde_json::to_string(&seal).ok()?;
        Some(StoredAudit { at, key: Some(SEAL_TAG), json })
    }

    /// What the next seal's link is where it covers the first `lines` lines, the last of which stands at `through`.
    fn link_over(&self, lines: usize, AuditCursor(through): AuditCursor) -> String {
        let digest = self.secret.digest("audit-chain").field(self.link.as_bytes());
        let mut digest = digest.field(&self.number.to_be_bytes()).field(&through.to_be_bytes());
        self.unsealed.iter().take(lines).for_each(|(_, line)| digest.update(line));
        digest.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The seal that a line is; `None` for every other line.
fn seal_of(line: &StoredAudit) -> Option<Seal> {
    (line.key == Some(SEAL_TAG)).then(|| serde_json::from_str(&line.json).ok()).flatten()
}

#[cfg(test)]
mod tests;
