//! What is kept: looked through, exported, and erased.

use std::{net::SocketAddr, thread, time::Duration};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::kit::{Answer, Exchange, Home, Origin, Server, Then};

/// Two orders that are answered, and one whose answer is lost.
const ORDERS: [(&str, u16); 3] = [("order-1", 201), ("order-2", 201), ("order-3", 409)];

/// A gateway that took [`ORDERS`], looked at while it runs and stopped then.
fn with_orders(look: impl FnOnce(&Home, &Server)) -> Home {
    let home = Home::new();
    let origin = Origin::start(&[Then::Answer, Then::Answer, Then::Vanish]);
    let url = origin.url();
    let arguments = ["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", &url];
    let server = Server::start(&mut home.command(&arguments));
    for (key, status) in ORDERS {
        assert_eq!(order(server.address, key).status, status);
    }
    look(&home, &server);
    server.terminate();
    assert_eq!(server.ended().0, Some(0));
    home
}

fn order(address: SocketAddr, key: &str) -> Answer {
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\nidempotency-key: \"{key}\"\r\n\
         content-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
    );
    Exchange::start(address, &request).answer()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Does something to the store's file that no onceward does.
fn tampered(home: &Home, sql: &str) {
    let connection = Connection::open(home.join("onceward.db")).unwrap();
    assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
}

fn verified(home: &Home) -> (Option<i32>, Value) {
    let verified = home.run(&["store", "verify", "--json"]);
    (verified.code, serde_json::from_str(&verified.stdout).unwrap())
}

// covers: A1
#[test]
fn a_line_that_was_changed_in_the_log_is_found() {
    // waits: for the first seal, which is due after ten seconds; no process that ends before it looks for the last one
    let home = with_orders(|_, _| thread::sleep(Duration::from_secs(11)));
    let (code, sound) = verified(&home);
    assert_eq!((code, &sound["ok"], &sound["findings"]), (Some(0), &json!(true), &json!([])));
    let audit = &sound["audit"];
    assert_eq!((&audit["unsealed"], &audit["breaks"]), (&json!(0), &json!([])), "sealed at the end: {sound}");
    assert_eq!(audit["first_seal"], json!(1));

    tampered(
        &home,
        "UPDATE audit SET json = replace(json, '\"decision\":\"executed\"', '\"decision\":\"replayed\"')
         WHERE place = (SELECT min(place) FROM audit WHERE json LIKE '%executed%')",
    );
    let (code, changed) = verified(&home);
    assert_eq!((code, &changed["ok"]), (Some(1), &json!(false)), "{changed}");
    assert_eq!(changed["audit"]["breaks"][0]["flaw"], json!("altered"));
    let said = home.run(&["store", "verify"]).stdout;
    assert!(said.contains("are not those that seal 1 was made of: changed, removed or added"), "{said}");
}

/// Whatever a look through the file finds is said, also where SQLite itself is content.
// covers: L8
#[test]
fn a_record_that_is_damaged_or_misfiled_is_no_sound_store() {
    for (sql, finding) in [
        (
            "UPDATE records SET head = x'ff' WHERE place = (SELECT max(place) FROM records)",
            "cannot be read back",
        ),
        (
            "UPDATE records SET due_ms = 5 WHERE place = (SELECT max(place) FROM records)",
            "filed under what they are not",
        ),
        (
            "DELETE FROM records WHERE place = (SELECT max(place) FROM records)",
            "the counts that the store keeps",
        ),
    ] {
        let home = with_orders(|_, _| {});
        tampered(&home, sql);
        let (code, report) = verified(&home);
        assert_eq!((code, &report["ok"]), (Some(1), &json!(false)), "{sql}: {report}");
        let findings = report["findings"].to_string();
        assert!(findings.contains(finding), "{sql}: {findings}");
    }
}

// covers: A1
#[test]
fn effects_and_the_log_are_exported_as_json_lines() {
    with_orders(|home, _| {
        let exported = lines(&home.run(&["effects", "export"]).stdout);
        let listed = home.run(&["effects", "list", "--json"]).json();
        assert_eq!(json!(exported), listed["effects"], "the same, a line each");
        let of_one = lines(&home.run(&["effects", "export", "--key", "order-1"]).stdout);
        let states: Vec<&Value> = of_one.iter().map(|effect| &effect["state"]).collect();
        assert_eq!(states, [&json!("done")]);
        let audit = lines(&home.run(&["effects", "export", "--audit", "--key", "order-3"]).stdout);
        let decisions: Vec<&Value> = audit.iter().map(|line| &line["decision"]).collect();
        assert_eq!(decisions, [&json!("doubted")]);
        let all = home.run(&["effects", "export", "--audit"]).stdout;
        assert!(all.lines().count() > audit.len() && all.contains("\"executed\""), "{all}");
    });
}

/// An effect is shown with all of its log, however often it was repeated.
// covers: A1
#[test]
fn a_long_log_is_shown_whole() {
    const REPEATS: usize = 205;
    with_orders(|home, server| {
        for _ in 0..REPEATS {
            assert_eq!(order(server.address, "order-1").status, 201);
        }
        let replays = || {
            let shown = home.run(&["effects", "show", "order-1", "--json"]).json();
            let log = shown["effects"][0]["audit"].as_array().unwrap().clone();
            log.iter().filter(|line| line["decision"] == "replayed").count()
        };
        let mut looks = 0..100;
        while replays() < REPEATS && looks.next().is_some() {
            // waits: for the log's writer, which is not waited for by those whose decisions it writes down
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(replays(), REPEATS);
    });
}

// covers: T4
#[test]
fn an_actors_content_is_erased_and_nothing_runs_again() {
    with_orders(|home, server| {
        let listed = home.run(&["effects", "list", "--json"]).json();
        let of = |listed: &Value, state: &str| {
            let effects = listed["effects"].as_array().unwrap().clone();
            effects
                .into_iter()
                .find(|effect| effect["state"] == state && effect["effect"] != "GET /")
                .unwrap()
        };
        let actor = of(&listed, "in-doubt")["actor"].as_str().unwrap().to_owned();
        let erase = ["effects", "erase", "--actor", &actor, "--because", "asked for by post"];
        let unasked = home.run(&erase);
        assert_eq!(unasked.code, Some(2), "without a terminal nobody can say yes: {}", unasked.stderr);
        let erased = home.run(&[erase.as_slice(), &["--yes", "--json"]].concat()).json();
        assert_eq!(erased, json!({"actor": actor, "erased": 3, "running": 0, "unreadable": 0, "next": null}));
        let shown = home.run(&["effects", "show", "order-1", "--json"]).json();
        assert_eq!(shown["effects"][0]["outcome"], json!({"kind": "erased"}), "{shown}");
        assert_eq!(shown["effects"][0]["effect"]["effect"], json!(""));
        assert_eq!(order(server.address, "order-1").problem(), (409, "outcome-not-kept".to_owned()));
        assert_eq!(order(server.address, "order-3").problem(), (409, "outcome-unknown".to_owned()));
        let others = home.run(&["effects", "list", "--json", "--actor", "0000000000000000"]).json();
        assert_eq!(others["effects"], json!([]));
        let wrong = home.run(&["effects", "erase", "--actor", "ann", "--because", "x", "--yes"]);
        assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
        assert!(wrong.stderr.contains("16 hexadecimal digits"), "{}", wrong.stderr);
    });
}
