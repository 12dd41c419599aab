//! What is changed in a sealed log is seen, whatever it is, and nothing else is.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use onceward_store::{AuditLog, StoreFuture};

use super::{sealing::Sealing, *};

/// 2026-11-21T12:00:00Z.
const STARTED: Timestamp = Timestamp::from_ms(1_795_262_400_000);

/// A log whose positions have gaps, as those of a database do.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<(AuditCursor, StoredAudit)>>);

impl Log {
    fn lines(&self) -> Vec<(AuditCursor, StoredAudit)> {
        self.0.lock().unwrap().clone()
    }

    fn of(lines: Vec<(AuditCursor, StoredAudit)>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(lines)))
    }

    fn write(&self, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| self.push(line(number)));
    }

    fn push(&self, line: StoredAudit) {
        let mut lines = self.0.lock().unwrap();
        let last = lines.last().map_or(0, |(AuditCursor(place), _)| *place);
        lines.push((AuditCursor(last + 3), line));
    }
}

impl AuditLog for Log {
    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        lines.into_iter().for_each(|line| self.push(line));
        Box::pin(std::future::ready(Ok(())))
    }

    fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        let mut lines = self.lines();
        lines.retain(|(place, line)| *place > after && key.is_none_or(|key| line.key == Some(key)));
        lines.truncate(lines_max);
        Box::pin(std::future::ready(Ok(lines)))
    }

    fn trim(&self, _before: Timestamp, _lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn after(time: Duration) -> Timestamp {
    STARTED.after(time)
}

fn line(number: u64) -> StoredAudit {
    let json = format!(r#"{{"decision":"executed","number":{number}}}"#);
    StoredAudit { at: after(Duration::from_secs(number)), key: None, json }
}

fn sealing(log: &Arc<Log>) -> Sealing {
    Sealing::new(Arc::clone(log) as Arc<dyn AuditLog>, secret())
}

/// Twelve lines, a seal behind every four, ten seconds apart.
async fn sealed_log() -> Arc<Log> {
    let log = Arc::new(Log::default());
    let mut sealing = sealing(&log);
    for round in 0..3 {
        log.write(4 * round..4 * round + 4);
        sealing.round(after(Duration::from_secs(10 * (round + 1))), SEAL_AGE_MIN).await.unwrap();
    }
    log
}

async fn verified(log: &Log, retained_since: Timestamp) -> ChainReport {
    verify_chain(log, &secret(), retained_since, |_| {}).await.unwrap()
}

/// The flaws found, each with the number of its seal.
async fn flaws(log: &Log) -> Vec<(u64, Flaw)> {
    let report = verified(log, STARTED).await;
    report.breaks.into_iter().map(|broken| (broken.seal, broken.flaw)).collect()
}

/// The flaws of a sealed log after something was done to it.
async fn after_doing(change: impl FnOnce(&mut Vec<(AuditCursor, StoredAudit)>)) -> Vec<(u64, Flaw)> {
    let mut lines = sealed_log().await.lines();
    change(&mut lines);
    flaws(&Log::of(lines)).await
}

// covers: A1
#[tokio::test]
async fn an_untouched_log_is_whole() {
    let log = sealed_log().await;
    let report = verified(&log, STARTED).await;
    let last = report.last.clone().unwrap();
    assert_eq!((last.number, last.at), (3, after(Duration::from_secs(30))));
    let expected = ChainReport {
        lines: 15,
        seals: 3,
        first: Some(1),
        last: Some(last),
        unsealed: 0,
        breaks: Vec::new(),
    };
    assert_eq!(report, expected);
    log.write(90..92);
    assert_eq!(verified(&log, STARTED).await, ChainReport { lines: 17, unsealed: 2, ..expected });
}

// covers: A1
#[tokio::test]
async fn whatever_is_changed_below_a_seal_is_seen() {
    // Lines 0 to 3, seal 1 at index 4, lines 4 to 7, seal 2 at index 9, and so on.
    let reword = |lines: &mut Vec<(AuditCursor, StoredAudit)>| {
        lines[5].1.json = lines[5].1.json.replace("executed", "refused!");
    };
    assert_eq!(after_doing(reword).await, [(2, Flaw::Altered)]);
    let remove = |lines: &mut Vec<_>| drop(lines.remove(6));
    assert_eq!(after_doing(remove).await, [(2, Flaw::Altered)]);
    let insert = |lines: &mut Vec<_>| lines.insert(6, (AuditCursor(20), line(99)));
    assert_eq!(after_doing(insert).await, [(2, Flaw::Altered)]);
    let exchange = |lines: &mut Vec<(AuditCursor, StoredAudit)>| {
        let first = lines[5].1.clone();
        lines[5].1 = std::mem::replace(&mut lines[6].1, first);
    };
    assert_eq!(after_doing(exchange).await, [(2, Flaw::Altered)]);
    let move_over_a_seal = |lines: &mut Vec<(AuditCursor, StoredAudit)>| {
        let first = lines[8].1.clone();
        lines[8].1 = std::mem::replace(&mut lines[9].1, first);
    };
    // It is missing in the one stretch, and too many in the next.
    assert_eq!(after_doing(move_over_a_seal).await, [(2, Flaw::Altered), (3, Flaw::Altered)]);
    // A seal's own line is covered by the next one.
    let redate = |lines: &mut Vec<(AuditCursor, StoredAudit)>| {
        lines[4].1.json = lines[4].1.json.replace("2026-11-21", "2026-11-20");
    };
    assert_eq!(after_doing(redate).await, [(2, Flaw::Altered)]);
    let remove_seal = |lines: &mut Vec<_>| drop(lines.remove(9));
    assert_eq!(after_doing(remove_seal).await, [(3, Flaw::Missing { seals: 1 })]);
    let remove_stretch = |lines: &mut Vec<_>| drop(lines.drain(5..10));
    assert_eq!(after_doing(remove_stretch).await, [(3, Flaw::Missing { seals: 1 })]);
}

/// Who has no secret can write a seal, and none that fits.
// covers: A1
#[tokio::test]
async fn a_seal_of_another_secret_does_not_fit() {
    let log = Arc::new(Log::default());
    log.write(0..4);
    let strange = Arc::clone(&log) as Arc<dyn AuditLog>;
    Sealing::new(strange, Secret::new([8; 32]))
        .round(after(Duration::from_secs(9)), SEAL_AGE_MIN)
        .await
        .unwrap();
    assert_eq!(flaws(&log).await, [(1, Flaw::Altered)]);
}

/// Each process seals what it finds, by one rule, wherever it begins.
// covers: A1
#[tokio::test]
async fn processes_that_come_and_go_make_one_chain() {
    let log = Arc::new(Log::default());
    let mut sealings = [sealing(&log), sealing(&log)];
    for round in 0..40_u64 {
        log.write(3 * round..3 * round + 3);
        let now = after(Duration::from_secs(6 * round));
        for (index, sealing) in sealings.iter_mut().enumerate() {
            // A line may always come between what one reads and the seal that it writes.
            sealing.round(now, SEAL_AGE_MIN).await.unwrap();
            log.write(1_000 + round..1_001 + round + index as u64);
        }
        if round % 7 == 0 {
            sealings[0] = sealing(&log);
        }
    }
    let report = verified(&log, STARTED).await;
    assert_eq!((report.breaks, report.seals), (Vec::new(), 40));
}

/// Two that seal the same at the same time: the second seal is a line like others.
// covers: A1
#[tokio::test]
async fn a_number_that_is_taken_is_no_seal() {
    let log = Arc::new(Log::default());
    log.write(0..4);
    let (first, second) = (Chain::new(secret()), Chain::new(secret()));
    let seals = [first, second].map(|mut chain| {
        for (place, line) in log.lines() {
            assert_eq!(chain.read(place, &line), Meaning::Line);
        }
        chain.seal(after(Duration::from_secs(5))).unwrap()
    });
    seals.into_iter().for_each(|seal| log.push(seal));
    log.write(4..6);
    sealing(&log).round(after(Duration::from_secs(20)), SEAL_AGE_MIN).await.unwrap();
    let report = verified(&log, STARTED).await;
    assert_eq!((report.breaks, report.seals, report.unsealed), (Vec::new(), 2, 0));
}

// covers: A1
#[tokio::test]
async fn a_quiet_log_does_not_grow() {
    let log = sealed_log().await;
    let before = log.lines();
    let mut sealing = sealing(&log);
    for minute in 1..60 {
        sealing.round(after(Duration::from_secs(60 * minute)), SEAL_AGE_MIN).await.unwrap();
    }
    assert_eq!(log.lines(), before);
}

/// What is older than the time that the log is kept may have been trimmed, line by line.
// covers: A1
#[tokio::test]
async fn a_trimmed_beginning_is_no_break() {
    let mut lines = sealed_log().await.lines();
    lines.drain(..2);
    let log = Log::of(lines.clone());
    assert_eq!(flaws(&log).await, [(1, Flaw::Altered)]);
    assert_eq!(verified(&log, after(Duration::from_secs(11))).await.breaks, []);
    // Of the next stretch, too, where the seal before it is that old.
    lines.drain(..4);
    let log = Log::of(lines.clone());
    let report = verified(&log, after(Duration::from_secs(21))).await;
    assert_eq!((report.breaks, report.first), (Vec::new(), Some(2)));
    // What came later is judged all the same.
    lines.remove(5);
    let report = verified(&Log::of(lines), after(Duration::from_secs(15))).await;
    let flaws: Vec<_> = report.breaks.iter().map(|broken| (broken.seal, broken.flaw)).collect();
    assert_eq!(flaws, [(3, Flaw::Altered)]);
}

/// The last seal is found by bisection and by looking back, however far it is.
// covers: A1
#[tokio::test]
async fn a_new_process_goes_on_behind_the_last_seal_of_a_long_log() {
    let log = sealed_log().await;
    log.write(100..20_000);
    sealing(&log).round(after(Duration::from_hours(24)), SEAL_AGE_MIN).await.unwrap();
    let report = verified(&log, STARTED).await;
    assert_eq!((report.breaks, report.seals, report.unsealed), (Vec::new(), 4, 0));
    log.write(20_000..20_003);
    sealing(&log).round(after(Duration::from_hours(25)), SEAL_AGE_MIN).await.unwrap();
    let report = verified(&log, STARTED).await;
    assert_eq!((report.breaks, report.seals, report.unsealed), (Vec::new(), 5, 0));
}

/// A seal covers no more than can be kept in mind, and says so.
// covers: S1, A1
#[tokio::test]
async fn more_lines_than_one_seal_can_cover_are_reported() {
    let mut chain = Chain { unsealed_max: 3, ..Chain::new(secret()) };
    for place in 1..=4 {
        assert_eq!(chain.read(AuditCursor(place), &line(place)), Meaning::Line);
    }
    let seal = chain.seal(STARTED).unwrap();
    assert_eq!(chain.read(AuditCursor(5), &seal), Meaning::Seal(Err(Flaw::Overrun)));
    // Behind it the chain goes on as usual.
    assert_eq!(chain.seal(STARTED), None);
    chain.read(AuditCursor(6), &line(6));
    let next = chain.seal(STARTED).unwrap();
    assert_eq!(chain.read(AuditCursor(7), &next), Meaning::Seal(Ok(())));
}
