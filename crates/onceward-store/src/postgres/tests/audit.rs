//! Audit lines of several writers, in the order in which a reader may rely on them.

use std::thread;

use onceward_testbed::postgres;

use super::*;
use crate::port::{AuditCursor, StoredAudit};

fn line(number: u64) -> StoredAudit {
    let at = Timestamp::from_ms(NOW_MS + number);
    StoredAudit {
        at,
        key: Some(KeyTag::from_bytes((number % 2).to_be_bytes())),
        json: format!("{{\"n\":{number}}}"),
    }
}

async fn read(store: &Postgres, after: u64, lines_max: usize) -> Vec<(AuditCursor, StoredAudit)> {
    store.read_audit(AuditCursor(after), None, lines_max).await.expect("the server answers")
}

// covers: A1
#[tokio::test]
async fn a_line_that_is_committed_late_is_not_read_past() {
    let (place, store) = fresh().await;
    // A writer that has its position, and not yet its commit.
    let (url, schema) = (place.url().to_owned(), place.schema().to_owned());
    let late = format!(
        "BEGIN; SELECT {schema}.append('{{5}}', ARRAY[NULL]::bytea[], '{{late}}');
         SELECT pg_advisory_lock(1, 1) IS NULL, pg_sleep(0.5); COMMIT"
    );
    let late = thread::spawn(move || postgres::execute(&url, &late));
    let writing =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1 AND objid = 1 AND granted";
    postgres::wait_until("the late writer", || place.execute(writing).is_ok_and(|count| count == "1"))
        .expect("it begins");
    store.append(vec![line(1)]).await.expect("the server answers");
    let texts: Vec<_> = read(&store, 0, 9).await.into_iter().map(|(_, line)| line.json).collect();
    assert_eq!(texts, ["late", r#"{"n":1}"#]);
    late.join().expect("no panic").expect("committed");
}

#[tokio::test]
async fn lines_are_read_on_from_any_position_and_trimmed_from_the_oldest_on() {
    let (_place, store) = fresh().await;
    store.append((0..6).map(line).collect()).await.expect("the server answers");
    let all = read(&store, 0, 9).await;
    assert_eq!(
        all.iter().map(|(_, line)| line.clone()).collect::<Vec<_>>(),
        (0..6).map(line).collect::<Vec<_>>()
    );
    assert_eq!(read(&store, all[1].0.0, 2).await, all[2..4]);
    let odd = store.read_audit(all[1].0, Some(KeyTag::from_bytes(1_u64.to_be_bytes())), 9).await;
    assert_eq!(odd.expect("the server answers"), [all[3].clone(), all[5].clone()]);
    let before = Timestamp::from_ms(NOW_MS + 3);
    for (lines_max, gone) in [(2, 2), (9, 1), (9, 0)] {
        assert_eq!(store.trim_audit(before, lines_max).await.expect("the server answers"), gone);
    }
    assert_eq!(read(&store, 0, 9).await, all[3..]);
}
