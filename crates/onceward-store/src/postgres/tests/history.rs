//! What a server's history does to what is granted.

use onceward_testbed::postgres::{Postgres as Server, wait_until};

use super::*;
use crate::{
    StoreError,
    postgres::{PostgresError, Promotion, exchange::Seen},
};

/// A barrier raised at the store's time of these tests.
const RAISED: Swapped = Swapped::History { barrier: Timestamp::from_ms(NOW_MS) };

/// Makes every commit of `server` wait for the standby `name`.
fn synchronise(server: &Server, name: &str) {
    let settings = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
    server.execute(&settings).expect("set");
    server.execute("SELECT pg_reload_conf()").expect("reloaded");
    let set = || server.execute("SHOW synchronous_standby_names").is_ok_and(|set| set == name);
    wait_until("the setting", set).expect("taken over");
}

fn caught_up(primary: &Server) {
    let behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_flush_lsn()";
    wait_until("the standby", || primary.execute(behind).is_ok_and(|count| count == "1")).expect("caught up");
}

// covers: T5
#[tokio::test]
async fn a_claim_that_a_promotion_lost_is_not_granted_again() {
    let mut primary = Server::start(&[]).expect("a server");
    let wire = Wire::to(primary.address()).expect("a wire");
    let store = at(&through(&wire)).await;
    let stream = Wire::to(primary.address()).expect("a wire");
    let standby = primary.standby_by(stream.address(), "one", &[]).expect("a standby");
    put(&store, 1, 1).await;
    caught_up(&primary);
    // What is sent to the standby from here on does not arrive.
    stream.swallow();
    put(&store, 2, 2).await;
    primary.kill().expect("killed");
    standby.promote().expect("promoted");
    wire.lead_to(standby.address());

    let again = vec![swap(1, NOTHING, Put::Row(row(11))), swap(2, NOTHING, Put::Row(row(12)))];
    let swapped = loop {
        match store.exchange(again.clone().into(), now()).await {
            Ok(swapped) => break swapped,
            Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. }) => {
                tokio::task::yield_now().await
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(swapped, [Swapped::Found(Some(kept(1))), RAISED]);
    // Who knows the barrier is served; who judged by an older one is not.
    let barrier = Some(Timestamp::from_ms(NOW_MS));
    assert_eq!(store.barrier(Timestamp::from_ms(NOW_MS + 9)).await.expect("looked"), barrier);
    let judged = Swap { grant: Some(Grant { barrier }), ..swap(3, NOTHING, Put::Row(row(3))) };
    let batch = vec![judged, swap(4, NOTHING, Put::Row(row(4)))];
    assert_eq!(exchanged(&store, batch).await, [Swapped::Done, RAISED]);
}

// covers: T5
#[tokio::test]
async fn a_promotion_that_was_declared_to_keep_all_raises_nothing() {
    let mut primary = Server::start(&[]).expect("a server");
    let wire = Wire::to(primary.address()).expect("a wire");
    let options = PostgresOptions { promotion: Promotion::KeepsAll, ..options(&through(&wire), "onceward") };
    let refused = begun(&options).await.expect_err("no standby yet");
    assert!(matches!(refused, PostgresError::Unreplicated { .. }), "{refused}");
    let standby = primary.standby("one", &[]).expect("a standby");
    synchronise(&primary, "one");
    let store = begun(&options).await.expect("a store");
    put(&store, 1, 1).await;
    primary.kill().expect("killed");
    standby.promote().expect("promoted");
    wire.lead_to(standby.address());
    // The standby was copied before the setting was made, so it waits for none itself, and the next promotion would lose something.
    refused_as(&store, "Unreplicated").await;
    let _next = standby.standby("two", &[]).expect("a standby");
    synchronise(&standby, "two");
    put_at_last(&store, 2).await;
    assert_eq!(fetched(&store, 1).await, Some(kept(1)));
    assert_eq!(store.barrier(now()).await.expect("looked"), None);
}

// covers: T5
#[tokio::test]
async fn a_primary_that_was_superseded_grants_nothing_to_who_knows_its_successor() {
    let primary = Server::start(&[]).expect("a server");
    let wire = Wire::to(primary.address()).expect("a wire");
    let store = at(&through(&wire)).await;
    let standby = primary.standby("one", &[]).expect("a standby");
    caught_up(&primary);
    standby.promote().expect("promoted");
    wire.lead_to(standby.address());
    wire.cut();
    // The claim is judged by no barrier, so a server that has not been looked at for long refuses it, once it has been reached.
    let claim = || vec![swap(1, NOTHING, Put::Row(row(1)))];
    while store.exchange(claim().into(), now()).await.ok().is_none_or(|swapped| swapped != [RAISED]) {
        tokio::task::yield_now().await;
    }
    wire.lead_to(primary.address());
    wire.cut();
    loop {
        match store.exchange(claim().into(), now()).await {
            Err(StoreError::Unavailable { source: Some(source), .. })
                if source.to_string().contains("superseded") =>
            {
                break;
            }
            Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. }) => {
                tokio::task::yield_now().await
            }
            // On the connection that the cut has not reached yet.
            Ok(swapped) if swapped == [RAISED] => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(primary.execute("SELECT count(*) FROM onceward.records").expect("asked"), "0");
}

// covers: T5
#[tokio::test]
async fn a_server_that_starts_again_on_its_own_disk_has_lost_nothing() {
    let mut server = Server::start(&[]).expect("a server");
    let store = at(&server.url()).await;
    put(&store, 1, 1).await;
    server.kill().expect("killed");
    server.start_again().expect("started");
    put_at_last(&store, 2).await;
    assert_eq!(fetched(&store, 1).await, Some(kept(1)));
    assert_eq!(store.barrier(now()).await.expect("looked"), None);
}

// covers: T5
#[tokio::test]
async fn a_log_that_went_back_and_a_table_loaded_anew_raise_the_barrier() {
    let (place, store) = fresh().await;
    let schema = place.schema();
    let seen = async |change: &dyn Fn()| {
        change();
        store.barrier(now()).await.expect("looked")
    };
    assert_eq!(seen(&|| {}).await, None);
    let rewind = || {
        let Seen { timeline, .. } = store.seen();
        store.note(Seen { timeline, lsn: i64::MAX }, true);
    };
    assert_eq!(seen(&rewind).await, Some(now()));
    // Once is enough: what was seen is forgotten with the history that it was of.
    let later = Timestamp::from_ms(NOW_MS + 1);
    assert_eq!(store.barrier(later).await.expect("looked"), Some(now()));
    let load = format!(
        "BEGIN; ALTER TABLE {schema}.records RENAME TO old; CREATE TABLE {schema}.records (LIKE {schema}.old INCLUDING ALL);
         INSERT INTO {schema}.records OVERRIDING SYSTEM VALUE SELECT * FROM {schema}.old; COMMIT"
    );
    place.execute(&load).expect("loaded");
    assert_eq!(store.barrier(later).await.expect("looked"), Some(later));
}

// covers: S3
#[tokio::test]
async fn a_replica_is_refused_at_first_and_when_it_becomes_one() {
    let primary = Server::start(&[]).expect("a server");
    let wire = Wire::to(primary.address()).expect("a wire");
    let store = at(&through(&wire)).await;
    put(&store, 1, 1).await;
    let standby = primary.standby("one", &[]).expect("a standby");
    let refused = begun(&options(&standby.url(), "onceward")).await.expect_err("refused").to_string();
    assert_eq!(refused, format!("{}/postgres is a replica: name its primary", standby.address()));
    // The same address now leads to the replica.
    wire.lead_to(standby.address());
    wire.cut();
    let error = loop {
        match store.fetch(vec![id(1)], false).await {
            Err(error) if format!("{error:?}").contains("Replica") => break error,
            // The old connection's end has not come through yet.
            Err(_) | Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    wire.lead_to(primary.address());
    put_at_last(&store, 2).await;
}

/// What was known may be what was lost, too: a row may be back as it was before others were granted on it.
// covers: T5, L5
#[tokio::test]
async fn a_row_is_granted_anew_by_who_knows_of_the_loss_only() {
    let (_place, store) = fresh().await;
    for number in 1..=3 {
        put(&store, number, number).await;
    }
    let Seen { timeline, .. } = store.seen();
    store.note(Seen { timeline, lsn: i64::MAX }, true);
    let moved = |of, seen, by| Swap { grant: None, ..swap(of, Expected::Row(mark(seen)), Put::Row(row(by))) };
    let granted = |of, seen, by, barrier| Swap { grant: Some(Grant { barrier }), ..moved(of, seen, by) };
    // What grants nothing goes by its row, and settles nothing.
    assert_eq!(exchanged(&store, vec![moved(1, 1, 11)]).await, [Swapped::Done]);
    let batch = vec![granted(2, 2, 12, None), moved(3, 3, 13), granted(1, 1, 21, None)];
    assert_eq!(exchanged(&store, batch).await, [RAISED, Swapped::Done, Swapped::Found(Some(kept(11)))]);
    assert_eq!(fetched(&store, 2).await, Some(kept(2)));
    let barrier = Some(now());
    assert_eq!(exchanged(&store, vec![granted(2, 2, 12, barrier)]).await, [Swapped::Done]);
    // A copy of what was granted finds itself, whatever it was judged by.
    assert_eq!(exchanged(&store, vec![granted(2, 2, 12, None)]).await, [Swapped::Done]);
    assert_eq!(fetched(&store, 2).await, Some(kept(12)));
}
