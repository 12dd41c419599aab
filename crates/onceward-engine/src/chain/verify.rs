//! Reads a whole log and checks every seal in it.

use onceward_core::{secret::Secret, time::Timestamp};
use onceward_store::{AuditCursor, AuditLog, StoreError};

use super::{Chain, Flaw, Meaning, PAGE_LINES};

/// What a look through an audit log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// Lines looked at, seals among them.
    pub lines: u64,
    /// Seals that cover what stands before them.
    pub seals: u64,
    /// The first seal in the log. What it covers is not judged where it is not number 1, since what stood before it was trimmed.
    pub first: Option<u64>,
    /// The last seal in the log: whoever noted a later one knows that the log was cut off.
    pub last: Option<LastSeal>,
    /// Lines that no seal covers yet.
    pub unsealed: u64,
    /// Where the chain is broken; empty where all is well.
    pub breaks: Vec<ChainBreak>,
}

/// The seal at the end of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeal {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Its link, in hexadecimal digits.
    pub link: String,
}

/// A seal that does not say what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainBreak {
    /// Its number.
    pub seal: u64,
    /// When it was made.
    pub at: Timestamp,
    /// When the seal before it was made: the change is in what was written between the two.
    pub since: Option<Timestamp>,
    /// What is wrong.
    pub flaw: Flaw,
}

/// Reads `log` from its beginning to its end and checks its chain under the deployment's secret.
///
/// What is older than `retained_since` may have been trimmed, line by line, and is not judged. `progress` is told how many lines
/// were read, now and then.
///
/// # Errors
/// When the log does not answer.
pub async fn verify_chain(
    log: &dyn AuditLog,
    secret: &Secret,
    retained_since: Timestamp,
    mut progress: impl FnMut(u64),
) -> Result<ChainReport, StoreError> {
    let mut chain = Chain::new(secret.clone());
    let mut report = ChainReport::default();
    let mut after = AuditCursor(0);
    loop {
        let lines = log.read(after, None, PAGE_LINES).await?;
        for (place, line) in &lines {
            after = *place;
            report.lines += 1;
            if let Meaning::Seal(found) = chain.read(*place, line) {
                report.sealed(&chain, line.at, found, retained_since);
            }
        }
        progress(report.lines);
        if lines.len() < PAGE_LINES {
            // The last seal itself is covered by the next one, which comes with the next line.
            let own_line = usize::from(chain.number > 0);
            report.unsealed = chain.unsealed.len().saturating_sub(own_line) as u64;
            return Ok(report);
        }
    }
}

impl ChainReport {
    fn sealed(&mut self, chain: &Chain, at: Timestamp, found: Result<(), Flaw>, retained_since: Timestamp) {
        let since = self.last.as_ref().map(|last| last.at);
        // A stretch is whole if what came before it is still kept; of a log's first, its own seal must tell.
        let is_whole = match since {
            Some(since) => since >= retained_since,
            None => chain.number == 1 && at >= retained_since,
        };
        match found {
            Ok(()) => self.seals += 1,
            Err(flaw) if is_whole => self.breaks.push(ChainBreak { seal: chain.number, at, since, flaw }),
            Err(_) => {}
        }
        self.first = self.first.or(Some(chain.number));
        self.last = Some(LastSeal { number: chain.number, at, link: chain.link.clone() });
    }
}
