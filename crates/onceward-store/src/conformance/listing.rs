//! Cases of listings and of the audit log.

use std::collections::BTreeSet;

use onceward_core::{
    actor::ActorTag,
    record::{Decision, DoubtReason, Sealed, State},
    time::Timestamp,
};

use super::{
    STARTED_MS, Subject,
    kit::{answer, decision, granted, id, key_tag, label},
};
use crate::port::{AuditCursor, AuditLog, Entry, EntryFilter, Settle, Store, StoredAudit};

/// All entries under a filter, page by page.
async fn listed(store: &dyn Store, filter: &EntryFilter, entries_max: usize) -> Vec<Entry> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(filter.clone(), after, entries_max).await.expect("the store answers");
        assert!(page.entries.len() <= entries_max, "{} entries", page.entries.len());
        entries.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return entries,
        }
    }
}

/// Paging loses nothing and repeats nothing, and leaves answers out.
pub async fn a_listing_shows_each_record_once_the_newest_first<S: Subject>(subject: S) {
    let store = subject.store();
    let mut made = Vec::new();
    for key in 0..50 {
        let holder = granted(&*store, key, 1).await;
        if key % 2 == 0 {
            let end = Settle::Complete(answer());
            assert_eq!(decision(store.settle(id(key), holder, end).await), Decision::Settled);
        }
        made.push(id(key));
    }
    made.reverse();
    for entries_max in [1, 7, 50, 100] {
        let entries = listed(&*store, &EntryFilter::default(), entries_max).await;
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, made);
        let bodies = entries.iter().filter(|entry| match &entry.record.state {
            State::Done { outcome, .. } => *outcome != Some(Sealed(Vec::new())),
            State::Absent | State::Claimed { .. } | State::InDoubt { .. } | State::Tombstone { .. } => false,
        });
        assert_eq!(bodies.count(), 0);
        assert_eq!(entries[0].label, label(49));
    }
}

/// By state, by key, by actor, and by all of them.
pub async fn a_listing_can_be_narrowed<S: Subject>(subject: S) {
    let store = subject.store();
    for key in 0..30 {
        let holder = granted(&*store, key, 1).await;
        if key % 5 == 0 {
            let end = Settle::Doubt(DoubtReason::NoAnswer);
            assert_eq!(decision(store.settle(id(key), holder, end).await), Decision::Settled);
        }
    }
    let everything = EntryFilter::default;
    let actor = Some(ActorTag::from_bytes(0_u64.to_be_bytes()));
    let rows: [(EntryFilter, Vec<u64>); 4] = [
        (EntryFilter { in_doubt_only: true, ..everything() }, vec![0, 5, 10, 15, 20, 25]),
        (EntryFilter { key: Some(key_tag(7)), ..everything() }, vec![7]),
        (EntryFilter { actor, ..everything() }, (0..30).step_by(3).collect()),
        (EntryFilter { in_doubt_only: true, actor, key: None }, vec![0, 15]),
    ];
    for (filter, keys) in rows {
        let found: BTreeSet<_> = listed(&*store, &filter, 4).await.iter().map(|entry| entry.id).collect();
        assert_eq!(found, keys.into_iter().map(id).collect(), "{filter:?}");
    }
}

fn line(number: u64, key: Option<u64>) -> StoredAudit {
    let at = Timestamp::from_ms(STARTED_MS + number);
    StoredAudit { at, key: key.map(key_tag), json: format!(r#"{{"n":{number},"of":"ö"}}"#) }
}

async fn read(audit: &dyn AuditLog, after: u64, key: Option<u64>, lines_max: usize) -> Vec<StoredAudit> {
    let lines = audit.read(AuditCursor(after), key.map(key_tag), lines_max).await.expect("the log answers");
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Lines come back as they went in, from any position, of one key or of all.
// covers: A1
pub async fn audit_lines_come_back_in_order<S: Subject>(subject: S) {
    let audit = subject.audit();
    let lines: Vec<_> = (0..9).map(|number| line(number, (number != 4).then_some(number % 2))).collect();
    audit.append(lines[..5].to_vec()).await.expect("the log answers");
    audit.append(lines[5..].to_vec()).await.expect("the log answers");
    assert_eq!(read(&*audit, 0, None, 100).await, lines);
    let odd: Vec<_> = [1, 3, 5, 7].map(|number| line(number, Some(1))).into();
    assert_eq!(read(&*audit, 0, Some(1), 100).await, odd);
    let mut after = AuditCursor::default();
    for expected in lines.chunks(4) {
        let page = audit.read(after, None, 4).await.expect("the log answers");
        after = page.last().expect("a line").0;
        assert_eq!(page.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), expected);
    }
    assert_eq!(read(&*audit, after.0, None, 4).await, []);
}

/// Old lines go in bounded rounds, and positions stay what they were.
// covers: A1
pub async fn audit_lines_are_trimmed_from_the_oldest_on<S: Subject>(subject: S) {
    let audit = subject.audit();
    audit.append((0..9).map(|number| line(number, None)).collect()).await.expect("the log answers");
    let before = audit.read(AuditCursor(0), None, 100).await.expect("the log answers");
    let limit = Timestamp::from_ms(STARTED_MS + 6);
    assert_eq!(audit.trim(limit, 4).await.expect("the log answers"), 4);
    assert_eq!(audit.trim(limit, 4).await.expect("the log answers"), 2);
    assert_eq!(audit.trim(limit, 4).await.expect("the log answers"), 0);
    assert_eq!(audit.read(AuditCursor(0), None, 100).await.expect("the log answers"), before[6..]);
    // A position, once read, never comes back for another line.
    let end = before[8].0;
    audit.trim(Timestamp::from_ms(u64::MAX), 100).await.expect("the log answers");
    audit.append(vec![line(9, None)]).await.expect("the log answers");
    assert_eq!(read(&*audit, end.0, None, 100).await, [line(9, None)]);
}
