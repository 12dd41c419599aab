//! What a role may, what a server is, and what is refused.

use onceward_testbed::postgres::{self, Postgres as Server};

use super::*;

/// The URL of `role` at the same server.
fn as_role(url: &str, role: &str) -> String {
    url.replace("postgres@", &format!("{role}@"))
}

async fn refusal(options: PostgresOptions) -> String {
    let place = postgres_place(&options.url);
    begun(&options).await.expect_err("refused").to_string().replace(&place, "PLACE")
}

fn postgres_place(url: &str) -> String {
    url.split_once('@').and_then(|(_, rest)| rest.split_once('?')).expect("a URL of a test").0.to_owned()
}

#[tokio::test]
async fn a_role_without_rights_to_change_the_schema_uses_what_an_owner_made() {
    let place = shared().expect("a server");
    let (schema, role) = (place.schema(), format!("{}_app", place.schema()));
    // A role whose own settings would lose acknowledged commits, and the notices that say so.
    let make = format!(
        "CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET synchronous_commit = off; ALTER ROLE {role} SET client_min_messages = error"
    );
    place.execute(&make).expect("a role");
    let options = options(&as_role(place.url(), &role), schema);
    let refused = refusal(options.clone()).await;
    let expected = format!(
        "the schema {schema} at PLACE has seen 0 of 1 migrations, and this role may not apply them: run `onceward store migrate` \
         as one that may"
    );
    assert_eq!(refused, expected);

    place.execute(&options.migration_script(Some(&role)).expect("a script")).expect("applied");
    let store = begun(&options).await.expect("a store");
    put(&store, 1, 1).await;
    let line = crate::port::StoredAudit { at: now(), key: None, json: "{}".to_owned() };
    store.append(vec![line]).await.expect("appended");
    assert_eq!(store.trim_audit(Timestamp::from_ms(u64::MAX), 9).await.expect("trimmed"), 1);
    assert_eq!(store.survey().await.expect("surveyed").rows, [0, 1, 0, 0, 0]);
    assert_eq!(store.barrier(now()).await.expect("looked"), None);
    // A break raises the barrier under the same rights.
    place.execute(&format!("UPDATE {schema}.books SET timeline = timeline + 1")).expect("changed");
    assert_eq!(store.barrier(now()).await.expect("looked"), Some(now()));

    let settings = format!(
        "BEGIN; SELECT {schema}.durable(); SHOW synchronous_commit; SHOW client_min_messages; COMMIT; SHOW synchronous_commit"
    );
    let settings = postgres::execute(&options.url, &settings).expect("asked");
    assert_eq!(settings.split_whitespace().collect::<Vec<_>>(), ["on", "warning", "off"]);
    let clean = format!("DROP SCHEMA {schema} CASCADE; DROP ROLE {role}");
    drop(store);
    place.execute(&clean).expect("dropped");
}

#[tokio::test]
async fn migrations_are_applied_once_and_known_again() {
    let place = shared().expect("a server");
    let (schema, options) = (place.schema(), options(place.url(), place.schema()));
    // Two processes that start at once.
    let (one, other) = tokio::join!(options.migrate(), options.migrate());
    assert_eq!(one.expect("migrated") + other.expect("migrated"), 1);
    assert_eq!(options.migrate().await.expect("migrated"), 0);
    drop(begun(&options).await.expect("a store"));

    let other_secret = PostgresOptions { secret_check: [0; 32], ..options.clone() };
    let expected = format!(
        "the schema {schema} at PLACE was made under another secret: restore that secret, or name another schema"
    );
    assert_eq!(refusal(other_secret).await, expected);
    for (change, expected) in [
        (
            format!("ALTER TABLE {schema}.audit SET UNLOGGED"),
            format!(
                "PLACE has the table {schema}.audit as an unlogged one: run ALTER TABLE {schema}.audit SET LOGGED"
            ),
        ),
        (
            format!("UPDATE {schema}.migrations SET sha256 = '\\x00'"),
            format!(
                "the schema {schema} at PLACE was made by another migration 1 than this program's: use the program that made it"
            ),
        ),
        (
            format!("INSERT INTO {schema}.migrations VALUES (2, '\\x00')"),
            format!(
                "the schema {schema} at PLACE has seen 2 migrations, and this program knows 1: use the newer program"
            ),
        ),
    ] {
        place.execute(&change).expect("changed");
        assert_eq!(refusal(options.clone()).await, expected);
    }
}

// covers: S3
#[tokio::test]
async fn a_role_that_cannot_write_or_sees_the_past_is_refused() {
    let place = shared().expect("a server");
    for (number, (setting, expected)) in [
        (
            "default_transaction_read_only = on",
            "PLACE is read-only: turn default_transaction_read_only off for this role and database",
        ),
        (
            "default_transaction_isolation = 'repeatable read'",
            r#"PLACE isolates transactions as "repeatable read": set default_transaction_isolation to 'read committed' for this role"#,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let role = format!("{}_{number}", place.schema());
        place.execute(&format!("CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET {setting}")).expect("a role");
        assert_eq!(refusal(options(&as_role(place.url(), &role), place.schema())).await, expected);
        place.execute(&format!("DROP ROLE {role}")).expect("dropped");
    }
}

// covers: S3
#[tokio::test]
async fn a_server_that_does_not_sync_is_refused_or_called_what_it_is() {
    let mut server = Server::start(&[("fsync", "off")]).expect("a server");
    let strict = options(&server.url(), "onceward");
    let expected = "PLACE runs with fsync off and may lose everything with its machine: turn it on, or give strictness up";
    assert_eq!(refusal(strict.clone()).await, expected);
    let lenient = PostgresOptions { strict: false, ..strict };
    let store = begun(&lenient).await.expect("a store");
    assert_eq!(store.survey().await.expect("surveyed").durability, "process");
    assert_eq!(store.barrier(now()).await.expect("looked"), None);
    drop(store);
    server.stop().expect("stopped");
    server.start_again().expect("started");
    let store = begun(&lenient).await.expect("a store");
    assert_eq!(store.barrier(now()).await.expect("looked"), Some(now()));
}

// covers: S3
#[tokio::test]
async fn a_server_that_becomes_weaker_than_it_was_at_opening_is_refused() {
    let server = Server::start(&[]).expect("a server");
    let store = at(&server.url()).await;
    put(&store, 1, 1).await;
    for (setting, of) in [("off", 2), ("on", 3)] {
        server.execute(&format!("ALTER SYSTEM SET fsync = {setting}")).expect("set");
        server.execute("SELECT pg_reload_conf()").expect("reloaded");
        match setting {
            "off" => refused_as(&store, "Unsynced").await,
            _ => put_at_last(&store, of).await,
        }
    }
}

// covers: S1
#[tokio::test]
async fn a_server_without_a_free_connection_costs_no_more_than_a_refusal() {
    let place = shared().expect("a server");
    let role = format!("{}_few", place.schema());
    place.execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER")).expect("a role");
    let options = options(&as_role(place.url(), &role), place.schema());
    let store = begun(&options).await.expect("a store");
    put(&store, 1, 1).await;
    // Superusers know no limit: without their rights, and with every connection gone, no new one is given.
    let end = format!(
        "ALTER ROLE {role} NOSUPERUSER CONNECTION LIMIT 0;
         SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{role}'"
    );
    place.execute(&end).expect("ended");
    let refused = loop {
        match store.exchange(vec![swap(2, NOTHING, Put::Row(row(2)))].into(), now()).await {
            // On a connection whose end has not come through yet.
            Err(crate::StoreError::Unknown { .. }) => {}
            other => break other.expect_err("no connection"),
        }
    };
    assert!(matches!(refused, crate::StoreError::Unavailable { .. }), "{refused:?}");
    let error = begun(&options).await.expect_err("refused").to_string();
    assert_eq!(error, format!("{} gives no connection", postgres_place(place.url())));
    place.execute(&format!("ALTER ROLE {role} SUPERUSER CONNECTION LIMIT -1")).expect("allowed");
    put_at_last(&store, 2).await;
    drop(store);
    place.execute(&format!("DROP SCHEMA {} CASCADE; DROP ROLE {role}", place.schema())).expect("dropped");
}
