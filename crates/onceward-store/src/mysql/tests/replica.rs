//! A primary and its replica: which of them is refused, and what a fail-over costs.

use std::time::Duration;

use mysql_async::{Conn, prelude::Queryable};
use onceward_core::time::Timestamp;
use onceward_testbed::{Wire, mysql::Mysql as Server};

use super::kit::{NOW, SECRET_CHECK, claim, id, own, refused_for, stored, tell};
use crate::{
    mysql::{Mysql, MysqlError, MysqlOptions},
    port::StoreError,
    shared::backend::{Backend, Swap, Swapped},
};

async fn ask(url: &str, sql: &str) -> Option<u64> {
    let mut conn = Conn::from_url(url).await.expect("connected");
    let found = conn.query_first(sql).await.unwrap_or_default();
    conn.disconnect().await.expect("disconnected");
    found
}

fn refusal(opened: Result<Mysql, MysqlError>) -> String {
    match opened {
        Err(MysqlError::Unfit { finding, .. }) => finding,
        other => panic!("expected an unfit server, got {other:?}"),
    }
}

// covers: S3, T5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_answers_no_claim_that_its_primary_may_have_granted() {
    let mut primary = own(&["--server-id=1", "--log-bin=binlog", "--sync-binlog=1"]).await;
    let replica = Server::start(&["--server-id=2", "--log-bin=binlog", "--sync-binlog=1"]).expect("a server");
    let replica_admin = replica.url("root", "mysql");
    let follow = format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'root', MASTER_PASSWORD = '', \
         MASTER_USE_GTID = slave_pos",
        primary.address().port()
    );
    tell(&replica_admin, &follow).await;
    tell(&replica_admin, "START SLAVE").await;
    let wire = Wire::to(primary.address()).expect("a wire");
    let options = MysqlOptions::new(format!("mysql://root@{}/onceward", wire.address()), SECRET_CHECK);
    let store = Mysql::open(&options).await.expect("opened");
    assert_eq!(store.exchange(vec![claim(1, 1)].into(), NOW).await.expect("made"), [Swapped::Done]);
    let replicated = "SELECT COUNT(*) FROM onceward.onceward_records";
    while ask(&replica_admin, replicated).await != Some(1) {
        // waits: the replica's threads run by themselves
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // One that follows is none to write to, whether it would take writes or not.
    let directly = MysqlOptions::new(replica.url("root", "onceward"), SECRET_CHECK);
    assert_eq!(refusal(Mysql::open(&directly).await), "it follows another server");
    // Nor when it takes the place of the one that was opened.
    wire.lead_to(replica.address());
    wire.cut();
    refused_for(&store, "it follows another server").await;
    wire.lead_to(primary.address());
    tell(&replica_admin, "SET GLOBAL read_only = 1").await;
    assert_eq!(refusal(Mysql::open(&directly).await), "it is read-only");

    // What is acknowledged now, the replica never gets.
    tell(&replica_admin, "STOP SLAVE").await;
    assert_eq!(store.exchange(vec![claim(2, 2)].into(), NOW).await.expect("made"), [Swapped::Done]);
    primary.server().kill().expect("killed");
    tell(&replica_admin, "RESET SLAVE ALL").await;
    tell(&replica_admin, "SET GLOBAL read_only = 0").await;
    wire.lead_to(replica.address());
    wire.cut();
    let lost = Swap { id: id(2), ..claim(2, 3) };
    let mut answer = store.exchange(vec![lost.clone()].into(), NOW).await;
    while matches!(answer, Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. })) {
        answer = store.exchange(vec![lost.clone()].into(), NOW).await;
    }
    assert_eq!(answer.expect("answered"), [Swapped::History { barrier: Timestamp::from_ms(1_000) }]);
    let kept = claim(1, 4);
    assert_eq!(
        store.exchange(vec![kept].into(), NOW).await.expect("answered"),
        [Swapped::Found(Some(stored(1)))]
    );
}
