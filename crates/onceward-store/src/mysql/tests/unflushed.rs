//! Rows that everybody sees and that a crash takes back: between the two is each commit for a moment where there is no binary log.

use super::kit::{NOW, SECRET_CHECK, UNJUDGED, claim, id, mark, new_row, own, stored, tell};
use crate::{
    mysql::{Mysql, MysqlOptions},
    shared::backend::{Backend, Expected, Put, StoredRow, Swap, Swapped},
};

/// What finds a row without changing it.
enum Finds {
    Swap(Expected, Put),
    Look,
}

// covers: L1, S2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_found_survives_a_crash_before_it_is_answered() {
    // Nothing is written behind a commit but by another commit.
    let mut server = own(&["--skip-log-bin", "--innodb-flush-log-at-timeout=2700"]).await;
    let admin = server.url("root", "onceward");
    let options = MysqlOptions::new(&admin, SECRET_CHECK);
    // A claim that finds it, a copy of what put it, who bears it out, and who only looks.
    let finds = [
        Finds::Swap(Expected::Nothing, Put::Row(new_row(9))),
        Finds::Swap(Expected::Row(mark(1)), Put::Row(new_row(2))),
        Finds::Swap(Expected::Row(mark(2)), Put::Keep),
        Finds::Look,
    ];
    for (number, finds) in (0..).zip(finds) {
        let store = Mysql::open(&options).await.expect("opened");
        assert_eq!(store.exchange(vec![claim(number, 1)].into(), NOW).await.expect("made"), [Swapped::Done]);
        let row = StoredRow { mark: mark(2), ..stored(1) };
        let visible = format!(
            "SET GLOBAL innodb_flush_log_at_trx_commit = 0; UPDATE onceward_records SET mark = x'{:032x}' WHERE mark = x'{:032x}'; \
             SET GLOBAL innodb_flush_log_at_trx_commit = 1",
            u128::from_be_bytes(mark(2).0),
            u128::from_be_bytes(mark(1).0),
        );
        tell(&admin, &visible).await;
        match finds {
            Finds::Look => {
                assert_eq!(store.fetch(vec![id(number)], true).await.expect("read"), [Some(row.clone())]);
            }
            Finds::Swap(expected, put) => {
                let swap = Swap { id: id(number), expected, grant: Some(UNJUDGED), put, audit: None };
                let answers = store.exchange(vec![swap].into(), NOW).await.expect("answered");
                let found = if expected == Expected::Nothing {
                    Swapped::Found(Some(row.clone()))
                } else {
                    Swapped::Done
                };
                assert_eq!(answers, [found], "{number}");
            }
        }
        server.server().kill().expect("killed");
        server.start_again().expect("started");
        let store = Mysql::open(&options).await.expect("opened");
        assert_eq!(store.fetch(vec![id(number)], true).await.expect("read"), [Some(row)], "{number}");
        tell(&admin, "DELETE FROM onceward_records").await;
    }
}
