//! A server that is not the one of the record, settings that turn, and what opening says.

use mysql_async::prelude::Queryable as _;
use onceward_core::time::Timestamp;
use onceward_testbed::{Wire, mysql::Mysql as Server};

use super::kit::{Database, SECRET_CHECK, claim, id, mark, own, refused_for, stored, tell};
use crate::{
    mysql::{Mysql, MysqlError, MysqlOptions},
    port::{AuditCursor, StoreError},
    shared::backend::{Backend, Expected, Grant, Swap, Swapped},
};

fn ms(at: u64) -> Timestamp {
    Timestamp::from_ms(at)
}

fn judged(number: u64, barrier_ms: Option<u64>) -> Swap {
    Swap { grant: Some(Grant { barrier: barrier_ms.map(ms) }), ..claim(number, number) }
}

fn history(barrier_ms: u64) -> Swapped {
    Swapped::History { barrier: ms(barrier_ms) }
}

// covers: T5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_raises_the_barrier_in_the_claims_own_step() {
    let database = Database::new().await;
    let (store, other) = (database.open().await, database.open().await);
    assert_eq!(store.barrier(ms(50)).await.expect("read"), None);
    assert_eq!(store.exchange(vec![judged(1, None)].into(), ms(60)).await.expect("made"), [Swapped::Done]);

    database.tell("UPDATE onceward_books SET server = 'the primary that is gone'").await;
    // A new claim is refused, its neighbour that is known is answered, and a copy of an earlier one finds itself.
    let (known, copy) = (Swap { id: id(1), ..judged(3, None) }, judged(1, None));
    let refused = Swap { audit: Some(super::audit(2)), ..judged(2, None) };
    let answers = store.exchange(vec![refused, known].into(), ms(70)).await.expect("answered");
    assert_eq!(answers, [history(70), Swapped::Found(Some(stored(1)))]);
    assert_eq!(store.read_audit(AuditCursor(0), None, 9).await.expect("read"), []);
    assert_eq!(store.exchange(vec![copy].into(), ms(80)).await.expect("answered"), [Swapped::Done]);
    assert_eq!(store.fetch(vec![id(2)], false).await.expect("read"), [None]);

    // Once for all processes, and later than it no more.
    assert_eq!(other.exchange(vec![judged(2, None)].into(), ms(90)).await.expect("answered"), [history(70)]);
    assert_eq!(other.barrier(ms(95)).await.expect("read"), Some(ms(70)));
    assert_eq!(
        other.exchange(vec![judged(2, Some(70))].into(), ms(99)).await.expect("made"),
        [Swapped::Done]
    );
    let rows = store.fetch(vec![id(2)], false).await.expect("read");
    assert_eq!(rows[0].as_ref().map(|row| row.mark), Some(mark(2)));
    database.remove().await;
}

// covers: T5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_set_back_is_noticed_by_who_saw_it_further() {
    let database = Database::new().await;
    let (store, newcomer) = (database.open().await, database.open().await);
    store.survey().await.expect("surveyed");
    store.survey().await.expect("surveyed");
    database.tell("UPDATE onceward_books SET witness = witness - 1").await;
    // A process that was not there cannot tell, and a probe papers nothing over.
    assert_eq!(newcomer.exchange(vec![judged(1, None)].into(), ms(10)).await.expect("made"), [Swapped::Done]);
    store.survey().await.expect("surveyed");
    assert_eq!(store.exchange(vec![judged(2, None)].into(), ms(20)).await.expect("answered"), [history(20)]);
    assert_eq!(
        newcomer.exchange(vec![judged(2, None)].into(), ms(30)).await.expect("answered"),
        [history(20)]
    );
    assert_eq!(
        store.exchange(vec![judged(2, Some(20))].into(), ms(40)).await.expect("made"),
        [Swapped::Done]
    );
    database.remove().await;
}

// covers: T5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_raises_the_barrier_only_where_it_may_have_lost_something() {
    let mut server = own(&[]).await;
    let url = server.url("root", "onceward");
    let strict = MysqlOptions::new(&url, SECRET_CHECK);
    let lenient = MysqlOptions { strict: false, ..strict.clone() };
    let (sure, unsure) =
        (Mysql::open(&strict).await.expect("opened"), Mysql::open(&lenient).await.expect("opened"));
    assert_eq!(unsure.exchange(vec![judged(1, None)].into(), ms(10)).await.expect("made"), [Swapped::Done]);
    server.server().kill().expect("killed");
    server.start_again().expect("started");
    // Bytes went out on a connection of the dead server at the most once each.
    let again = |store: Mysql, swap: Swap, now_ms: u64| async move {
        let mut answer = store.exchange(vec![swap.clone()].into(), ms(now_ms)).await;
        for _ in 0..10 {
            if answer.is_ok() {
                break;
            }
            answer = store.exchange(vec![swap.clone()].into(), ms(now_ms)).await;
        }
        answer.expect("answered")
    };
    assert_eq!(again(sure, judged(2, None), 20).await, [Swapped::Done]);
    assert_eq!(again(unsure, judged(3, None), 30).await, [history(30)]);
}

// covers: S3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_turns_read_only_or_weaker_is_refused_at_once() {
    let server = own(&[]).await;
    let (url, admin) = (server.url("root", "onceward"), server.url("root", "mysql"));
    let options = MysqlOptions::new(&url, SECRET_CHECK);
    let store = Mysql::open(&options).await.expect("opened");
    let turns = [
        ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
        ("SET GLOBAL innodb_flush_log_at_trx_commit = 2", "SET GLOBAL innodb_flush_log_at_trx_commit = 1"),
    ];
    for (number, (turn, back)) in (0..).zip(turns) {
        tell(&admin, turn).await;
        let refused = store.exchange(vec![judged(number, None)].into(), ms(10)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{turn}: {refused:?}");
        let unread = store.fetch(vec![id(number)], false).await;
        assert!(matches!(unread, Err(StoreError::Unavailable { .. })), "{turn}: {unread:?}");
        let unopened = Mysql::open(&options).await.expect_err(turn);
        assert!(matches!(unopened, MysqlError::Unfit { .. }), "{turn}: {unopened:?}");
        tell(&admin, back).await;
        assert_eq!(
            store.exchange(vec![judged(number, None)].into(), ms(10)).await.expect("made"),
            [Swapped::Done],
            "{back}"
        );
    }
    // A weaker server is taken where that was chosen, and called what it is.
    tell(&admin, "SET GLOBAL innodb_flush_log_at_trx_commit = 2").await;
    let lenient = MysqlOptions { strict: false, ..options };
    let store = Mysql::open(&lenient).await.expect("opened");
    assert_eq!(store.survey().await.expect("surveyed").durability, "process");
}

/// Whatever opening refuses is refused as well when it is met later, on a connection that is made anew.
// covers: S3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_place_of_the_one_that_was_opened_has_to_be_as_sound() {
    let sound = own(&[]).await;
    let weaker = Server::start(&["--innodb-doublewrite=OFF"]).expect("a server");
    let smaller = Server::start(&["--max-allowed-packet=1M"]).expect("a server");
    for server in [&weaker, &smaller] {
        tell(&server.url("root", "mysql"), "CREATE DATABASE onceward").await;
        let options = MysqlOptions::new(server.url("root", "onceward"), SECRET_CHECK);
        let taken = MysqlOptions { strict: false, outcome_bytes_max: 1 << 10, ..options };
        drop(Mysql::open(&taken).await.expect("opened"));
    }
    let wire = Wire::to(sound.address()).expect("a wire");
    let options = MysqlOptions::new(format!("mysql://root@{}/onceward", wire.address()), SECRET_CHECK);
    let store = Mysql::open(&options).await.expect("opened");
    assert_eq!(store.exchange(vec![judged(1, None)].into(), ms(10)).await.expect("made"), [Swapped::Done]);
    for (server, finding) in [(&weaker, "innodb_doublewrite = OFF"), (&smaller, "packets of 1048576 bytes")] {
        wire.lead_to(server.address());
        wire.cut();
        refused_for(&store, finding).await;
    }
    wire.lead_to(sound.address());
    assert_eq!(store.exchange(vec![judged(2, None)].into(), ms(20)).await.expect("made"), [Swapped::Done]);
    // The same server, and the records of others in place of ours.
    tell(&sound.url("root", "onceward"), "UPDATE onceward_books SET secret_check = REPEAT('x', 32)").await;
    wire.cut();
    refused_for(&store, "another deployment's").await;
    assert!(store.fetch(vec![id(1)], true).await.is_err());
}

// covers: S3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_certainly_this_deployments_store_is_not_opened() {
    let database = Database::new().await;
    drop(database.open().await);
    let mut options = database.options();
    options.secret_check = [1; 32];
    assert!(matches!(Mysql::open(&options).await, Err(MysqlError::OtherSecret { .. })));
    let large = MysqlOptions { outcome_bytes_max: 1 << 30, ..database.options() };
    assert!(matches!(Mysql::open(&large).await, Err(MysqlError::Packet { .. })));
    database.tell("INSERT INTO onceward_migrations VALUES (2, x'00')").await;
    assert!(matches!(database.try_open().await, Err(MysqlError::Newer { found: 2, known: 1, .. })));
    database.tell("DELETE FROM onceward_migrations WHERE number = 2").await;
    database.tell("UPDATE onceward_migrations SET sha256 = x'00'").await;
    assert!(matches!(database.try_open().await, Err(MysqlError::MigrationDiffers { number: 1, .. })));
    database.remove().await;
}

/// A migration that was cut off after any of its statements is completed by the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_goes_on_where_it_was_cut_off() {
    let database = Database::new().await;
    let store = database.open().await;
    assert_eq!(store.exchange(vec![judged(1, None)].into(), ms(1)).await.expect("made"), [Swapped::Done]);
    for lost in ["onceward_audit", "onceward_alive"] {
        database.tell(&format!("DROP TABLE {lost}")).await;
        database.tell("DELETE FROM onceward_migrations").await;
        let (first, second) = (database.options(), database.options());
        let (first, second) = tokio::join!(first.migrate(), second.migrate());
        let applied = first.expect("migrated") + second.expect("migrated");
        assert_eq!(applied, 1, "one of the two did it");
        let store = database.open().await;
        assert_eq!(store.fetch(vec![id(1)], true).await.expect("read"), [Some(stored(1))]);
    }
    database.remove().await;
}

/// The role that the printed rights make can do everything but change the schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_rights_are_enough() {
    let server = own(&[]).await;
    let admin = server.url("root", "onceward");
    tell(&admin, "CREATE DATABASE shop").await;
    tell(&admin, "CREATE USER clerk@'%' IDENTIFIED BY 'pass-word'").await;
    let owner = MysqlOptions::new(server.url("root", "shop"), SECRET_CHECK);
    let sql = owner.migration_script(Some("clerk@'%'")).expect("printed");
    let code: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    for statement in code.join("\n").split(';').filter(|statement| !statement.trim().is_empty()) {
        tell(&server.url("root", "shop"), statement).await;
    }
    let clerk = MysqlOptions::new(server.url("clerk:pass-word", "shop"), SECRET_CHECK);
    let store = Mysql::open(&clerk).await.expect("opened");
    assert_eq!(store.exchange(vec![judged(1, None)].into(), ms(1)).await.expect("made"), [Swapped::Done]);
    let gone = Swap {
        id: id(1),
        expected: Expected::Row(mark(1)),
        grant: None,
        put: crate::shared::backend::Put::Nothing,
        audit: Some(super::audit(1)),
    };
    assert_eq!(store.exchange(vec![gone].into(), ms(1)).await.expect("deleted"), [Swapped::Done]);
    store.survey().await.expect("surveyed");
    store.barrier(ms(1)).await.expect("settled");
    assert!(store.correct_clock(0, 1).await.expect("corrected"));
    store.quarantine(id(1), mark(1)).await.expect("quarantined");
    assert_eq!(store.trim_audit(ms(2), 5).await.expect("trimmed"), 1);
    let denied = clerk.migrate().await.expect_err("no right");
    assert!(matches!(denied, MysqlError::Refused { .. }), "{denied:?}");
    tell(&admin, "DELETE FROM shop.onceward_migrations").await;
    let incomplete = Mysql::open(&clerk).await.expect_err("no right");
    assert!(matches!(incomplete, MysqlError::NotMigrated { number: 1, .. }), "{incomplete:?}");
    assert!(!format!("{denied:?} {clerk:?} {store:?}").contains("pass-word"));
}

/// Outcomes beyond 64 kB and 16 MB are kept whole where the server's packets take them, and refused by themselves where not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_outcome_is_kept_whole_or_refused_alone() {
    let server = own(&["--max-allowed-packet=64M", "--innodb-log-file-size=128M"]).await;
    let store =
        Mysql::open(&MysqlOptions::new(server.url("root", "onceward"), SECRET_CHECK)).await.expect("opened");
    let with = |number: u64, bytes: usize| {
        let mut swap = judged(number, None);
        if let crate::shared::backend::Put::Row(row) = &mut swap.put {
            row.outcome = Some((0..bytes).map(|place| (place % 251) as u8).collect());
        }
        swap
    };
    let sizes = [70_000, 17 << 20, 40 << 20, 20 << 20, 1_000];
    let batch = (0..).zip(sizes).map(|(number, bytes)| with(number, bytes)).collect();
    let answers = store.exchange(batch, ms(1)).await.expect("exchanged");
    let refused = Swapped::Full { limit: "max_allowed_packet" };
    assert_eq!(answers, [Swapped::Done, Swapped::Done, refused, Swapped::Done, Swapped::Done]);
    for (number, bytes) in (0..).zip(sizes) {
        let row = store.fetch(vec![id(number)], true).await.expect("read").remove(0);
        let kept = row.and_then(|row| row.outcome).map(|outcome| outcome.len());
        assert_eq!(kept, (number != 2).then_some(bytes), "{number}");
    }
}

/// A server without room for another connection refuses, and nothing has happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_connections_to_spare_is_unavailable() {
    // One more is kept by the server for its administrator.
    let server = own(&["--max-connections=10"]).await;
    let admin = server.url("root", "mysql");
    tell(&admin, "CREATE USER clerk@'%'").await;
    tell(&admin, "GRANT ALL ON onceward.* TO clerk@'%'").await;
    let url = server.url("clerk", "onceward");
    let store = Mysql::open(&MysqlOptions::new(&url, SECRET_CHECK)).await.expect("opened");
    let mut others = Vec::new();
    while let Ok(conn) = mysql_async::Conn::from_url(&url).await {
        others.push(conn);
    }
    let refused = store.exchange(vec![judged(1, None)].into(), ms(1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    for conn in others {
        conn.disconnect().await.expect("disconnected");
    }
    let mut answer = store.exchange(vec![judged(1, None)].into(), ms(1)).await;
    while matches!(answer, Err(StoreError::Unavailable { .. })) {
        answer = store.exchange(vec![judged(1, None)].into(), ms(1)).await;
    }
    assert_eq!(answer.expect("made"), [Swapped::Done]);
}

/// What was known may be what was lost, too: a row may be back as it was before others were granted on it.
// covers: T5, L5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_granted_anew_by_who_knows_of_the_loss_only() {
    let database = Database::new().await;
    let store = database.open().await;
    let made = (1..=3).map(|number| judged(number, None)).collect();
    assert_eq!(store.exchange(made, ms(10)).await.expect("made"), vec![Swapped::Done; 3]);
    database.tell("UPDATE onceward_books SET server = 'the primary that is gone'").await;
    let granted = |of, seen, by, barrier_ms| Swap {
        id: id(of),
        expected: Expected::Row(mark(seen)),
        ..judged(by, barrier_ms)
    };
    let moved = |of, seen, by| Swap { grant: None, ..granted(of, seen, by, None) };
    // What grants nothing goes by its row, and settles nothing.
    assert_eq!(store.exchange([moved(1, 1, 11)].into(), ms(20)).await.expect("moved"), [Swapped::Done]);
    let batch = [granted(2, 2, 12, None), moved(3, 3, 13), granted(1, 1, 21, None)];
    let answers = store.exchange(batch.into(), ms(30)).await.expect("answered");
    assert_eq!(answers, [history(30), Swapped::Done, Swapped::Found(Some(stored(11)))]);
    assert_eq!(store.fetch(vec![id(2)], true).await.expect("read"), [Some(stored(2))]);
    let sure = [granted(2, 2, 12, Some(30))];
    assert_eq!(store.exchange(sure.into(), ms(40)).await.expect("moved"), [Swapped::Done]);
    // A copy of what was granted finds itself, whatever it was judged by.
    let copy = [granted(2, 2, 12, None)];
    assert_eq!(store.exchange(copy.into(), ms(50)).await.expect("answered"), [Swapped::Done]);
    assert_eq!(store.fetch(vec![id(2)], true).await.expect("read"), [Some(stored(12))]);
    database.remove().await;
}

/// How many times the server was told to change rows in place, as the row about the store is.
async fn updates(url: &str) -> u64 {
    let mut conn = mysql_async::Conn::from_url(url).await.expect("connected");
    let counted = conn.query_first("SHOW GLOBAL STATUS LIKE 'Com_update'").await;
    let counted: Option<(String, u64)> = counted.expect("answered");
    conn.disconnect().await.expect("disconnected");
    counted.expect("a count").1
}

/// A batch that grants nothing meets another server, whose settings are too weak as well: the break is left for a grant to find.
// covers: T5, S3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_grants_nothing_papers_no_fail_over_over() {
    let server = own(&[]).await;
    let (url, admin) = (server.url("root", "onceward"), server.url("root", "mysql"));
    let store = Mysql::open(&MysqlOptions::new(&url, SECRET_CHECK)).await.expect("opened");
    assert_eq!(store.exchange([judged(1, None)].into(), ms(10)).await.expect("made"), [Swapped::Done]);
    tell(&url, "UPDATE onceward_books SET server = 'the primary that is gone'").await;
    tell(&admin, "SET GLOBAL innodb_flush_log_at_trx_commit = 2").await;
    let settled = Swap { id: id(1), expected: Expected::Row(mark(1)), grant: None, ..claim(2, 2) };
    let before = updates(&admin).await;
    let refused = store.exchange([settled.clone()].into(), ms(20)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    // Not even tried: by then the settings could be sound again.
    assert_eq!(updates(&admin).await, before);
    tell(&admin, "SET GLOBAL innodb_flush_log_at_trx_commit = 1").await;
    assert_eq!(store.exchange([settled].into(), ms(30)).await.expect("moved"), [Swapped::Done]);
    assert_eq!(store.exchange([judged(3, None)].into(), ms(40)).await.expect("answered"), [history(40)]);
}
