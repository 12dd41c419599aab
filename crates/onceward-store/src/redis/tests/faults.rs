//! What is refused at opening and while a server runs, and servers that fail.

use super::*;
use crate::port::StoredAudit;

/// Each weakness is refused by name, and taken where it was said that it may be.
// covers: S3
#[tokio::test]
async fn a_server_that_cannot_keep_the_promise_is_refused() {
    let everysec = server(Keeping::EverySecond);
    let power = RedisOptions { durability: RedisDurability::Power, ..options(&everysec.url()) };
    assert!(matches!(refused(power).await, RedisConnectError::NotSynced));
    everysec.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).expect("set");
    let RedisConnectError::Evicts { policy } = refused(options(&everysec.url())).await else {
        panic!("evicts")
    };
    assert_eq!(policy, "allkeys-lru");
    let nothing = server(Keeping::Nothing);
    assert!(matches!(refused(options(&nothing.url())).await, RedisConnectError::NoPersistence));
    for url in [everysec.url(), nothing.url()] {
        let lax = RedisOptions { strict: false, ..options(&url) };
        assert!(lax.connect().await.is_ok(), "{url}");
    }
    let other = RedisOptions { secret_check: [1; 32], strict: false, ..options(&nothing.url()) };
    assert!(matches!(refused(other).await, RedisConnectError::OtherSecret));
}

/// A user of the server's access list, and a server that forbids its settings to be read.
// covers: K6
#[tokio::test]
async fn a_login_is_used_and_never_shown() {
    let server = server(Keeping::Always);
    server
        .ask(&["ACL", "SETUSER", "shop", "on", ">pa:ssw0rd", "~onceward:*", "+@all", "-config"])
        .expect("a user");
    let url = format!("redis://shop:pa%3Assw0rd@{}", server.address());
    let power = RedisOptions { durability: RedisDurability::Power, ..options(&url) };
    assert!(matches!(refused(power.clone()).await, RedisConnectError::NotSynced), "what cannot be read");
    let trusting = RedisOptions { unread_settings: super::super::UnreadSettings::Trust, ..power };
    assert!(!format!("{trusting:?}").contains("ssw0rd"));
    let database = trusting.connect().await.expect("trusted");
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    assert!(!format!("{database:?}").contains("ssw0rd"));
    let wrong = format!("redis://shop:wr0ng@{}", server.address());
    let error = refused(options(&wrong)).await;
    assert!(!format!("{error:?} {error}").contains("wr0ng"));
}

/// A right that only some changes need: refused before any of them is cut in its middle, and nothing is written.
// covers: S3
#[tokio::test]
async fn a_user_without_the_rights_of_the_scripts_is_refused_by_their_names() {
    let server = server(Keeping::Always);
    let login = format!("redis://shop:word@{}", server.address());
    let rows = [
        (["+@all", "-zadd"].as_slice(), "~onceward:*", "ZADD"),
        (&["+@all", "-zrem", "-del"], "~onceward:*", "DEL, ZREM"),
        (&["+@all", "-zrevrangebyscore"], "~onceward:*", "ZREVRANGEBYSCORE"),
    ];
    for (rights, keys, expected) in rows {
        let user = ["ACL", "SETUSER", "shop", "reset", "on", ">word", keys];
        assert_eq!(server.ask(&[&user, rights].concat()).expect("asked").trim(), "OK");
        let RedisConnectError::Rights { commands } = refused(options(&login)).await else {
            panic!("{rights:?}")
        };
        assert_eq!(commands, expected);
    }
    assert_eq!(server.ask(&["DBSIZE"]).expect("counted").trim(), "0");
    // What the scripts use, and no more.
    let rights = "+evalsha +script|load +info +config|get +select +time +exists +get +getrange +set +del +hget \
                  +hmget +hset +zadd +zcount +zmscore +zrange +zrangebyscore +zrem +zremrangebyrank +zrevrange +zrevrangebyscore \
                  +zscore";
    let user = ["ACL", "SETUSER", "shop", "reset", "on", ">word", "~onceward:*"];
    let rights: Vec<_> = rights.split_whitespace().collect();
    assert_eq!(server.ask(&[&user, rights.as_slice()].concat()).expect("asked").trim(), "OK");
    let database = open(&login).await;
    let line = StoredAudit { at: NOW, key: None, json: "{}".to_owned() };
    let claimed = Swap { audit: Some(line), ..claim(1, 1) };
    assert_eq!(exchanged(&database, claimed).await, Swapped::Done);
    let ended = Swap { expected: Expected::Row(mark(1)), put: Put::Nothing, ..claim(1, 1) };
    assert_eq!(exchanged(&database, ended).await, Swapped::Done);
    database.survey().await.expect("a survey");
}

/// A policy that changes while the server runs: nothing new runs, while what runs ends.
// covers: S3
#[tokio::test]
async fn nothing_new_runs_while_the_server_may_evict() {
    let server = server(Keeping::Always);
    let database = open(&server.url()).await;
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]).expect("set");
    for server in database.calls.links.all() {
        server.look().await.expect("looked");
    }
    let Swapped::Refused { reason } = exchanged(&database, claim(2, 1)).await else { panic!("refused") };
    assert!(reason.contains("maxmemory-policy"), "{reason}");
    assert_eq!(exchanged(&database, claim(1, 2)).await, Swapped::Found(Some(stored(&row(1, 1, 0)))));
    let again = Swap { expected: Expected::Row(mark(1)), ..claim(1, 2) };
    assert_eq!(exchanged(&database, again.clone()).await, Swapped::Refused { reason });
    assert_eq!(exchanged(&database, Swap { grant: None, ..again }).await, Swapped::Done);
}

/// A full server refuses before it writes anything; what is there can still be deleted.
// covers: S2
#[tokio::test]
async fn a_full_server_does_nothing_by_halves() {
    let server = server(Keeping::Always);
    let database = open(&server.url()).await;
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]).expect("set");
    let batch = (1..100).map(|number| claim(number, 2)).collect();
    for swapped in database.exchange(batch, NOW).await.expect("answers") {
        assert_eq!(swapped, Swapped::Unavailable { reason: "the server's memory is full" });
    }
    let deleted = Swap { expected: Expected::Row(mark(1)), put: Put::Nothing, ..claim(1, 1) };
    assert_eq!(exchanged(&database, deleted).await, Swapped::Done);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).expect("set");
    let survey = database.survey().await.expect("a survey");
    assert_eq!(survey.rows, [0; 5]);
    for number in 1..100 {
        assert_eq!(exchanged(&database, claim(number, 3)).await, Swapped::Done, "{number}");
    }
}

/// A server that hangs: the answer is lost, and the swap may have happened. Asked again it finds itself.
// covers: L11
#[tokio::test]
async fn a_swap_whose_answer_was_lost_finds_itself() {
    let mut server = server(Keeping::Always);
    let database = open(&server.url()).await;
    server.process().pause().expect("paused");
    let lost = exchanged(&database, claim(1, 1)).await;
    assert!(matches!(lost, Swapped::Unknown { .. }), "{lost:?}");
    server.process().resume().expect("resumed");
    assert_eq!(persistently(&database, claim(1, 1)).await, Swapped::Done);
    assert_eq!(exchanged(&database, claim(1, 2)).await, Swapped::Found(Some(stored(&row(1, 1, 0)))));
}

/// A server that is not there: nothing happened, and when it comes back all goes on.
// covers: S2
#[tokio::test]
async fn a_server_that_is_away_is_unavailable_until_it_is_back() {
    let mut server = server(Keeping::Always);
    let database = open(&server.url()).await;
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    server.process().kill().expect("killed");
    // The first may meet the broken connection; from then on it is clear that there is no server.
    drop(exchanged(&database, claim(2, 1)).await);
    for _ in 0..3 {
        let answer = exchanged(&database, claim(2, 1)).await;
        assert!(matches!(answer, Swapped::Unavailable { .. }), "{answer:?}");
    }
    server.start_again().expect("started");
    assert_eq!(persistently(&database, claim(2, 1)).await, Swapped::Done);
    assert_eq!(fetched(&database, 1).await, Some(stored(&row(1, 1, 0))));
}

/// Fewer replicas have it than were asked for: whether it lasts is unknown.
#[tokio::test]
async fn what_too_few_replicas_have_is_unknown() {
    let settings = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"];
    let master = Redis::start(Keeping::Always, &settings).expect("a server");
    let mut replica = server(Keeping::Always);
    replica.follow(&master).expect("a replica");
    let database = RedisOptions { replicas_to_wait: 1, ..options(&master.url()) };
    let database = database.connect().await.expect("a sound server");
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    replica.process().pause().expect("paused");
    let unsure = exchanged(&database, claim(2, 1)).await;
    assert_eq!(unsure, Swapped::Unknown { reason: "too few replicas have it" });
    replica.process().resume().expect("resumed");
    assert_eq!(persistently(&database, claim(2, 1)).await, Swapped::Done);
}

/// A replica is no place for records, whoever names it.
#[tokio::test]
async fn a_replica_is_refused() {
    let (master, replica) = (server(Keeping::Always), server(Keeping::Always));
    replica.follow(&master).expect("a replica");
    let RedisConnectError::Unavailable { finding, .. } = refused(options(&replica.url())).await else {
        panic!("unavailable")
    };
    assert_eq!(finding, "the server is a replica");
}
