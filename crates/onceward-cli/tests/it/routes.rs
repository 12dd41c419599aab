//! What a table `[[route]]` of the file says, seen at the gateway.

use std::{fs, net::SocketAddr, thread, time::Duration};

use jiff::Timestamp;
use serde_json::json;

use crate::{
    check::origin,
    kit::{Answer, Exchange, Home, Server, get, ran},
};

const ROUTES: &str = r#"
[[route]]
path = "/kept"
keep_headers = ["Location", "x-part"]

[[route]]
path = "/bare"
keep_headers = []
cookies = "keep"

[[route]]
path = "/over"
retention = "0s"

[[route]]
path = "/again"
retention = "0s"
after_retention = "execute"

[[route]]
path = "/slow"
lease = "1h"

[[route]]
path = "/rpc"
key_member = "$.params['key']"

[[route]]
path = "/twins"
twin_fields = ["$.cart", "$.amount"]
twin_window = "5m"
"#;

/// A gateway with these routes before the reference origin.
fn gateway(home: &Home) -> (Server, String) {
    let file = home.join("routes.toml");
    fs::write(&file, ROUTES).unwrap();
    let upstream = format!("http://{}", origin());
    let mut command =
        home.command(&["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", &upstream]);
    (Server::start(command.arg("--config").arg(file)), upstream)
}

fn sent(address: SocketAddr, path: &str, fields: &str, body: &str) -> Exchange {
    let head = format!("POST {path} HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n");
    let rest = format!("{fields}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    Exchange::start(address, &format!("{head}{rest}"))
}

const KEY: &str = "idempotency-key: order-17\r\n";

/// An order under a key of its path's own.
fn order(address: SocketAddr, path: &str) -> Answer {
    sent(address, path, &format!("idempotency-key: order{path}\r\n"), "{}").answer()
}

// covers: O2
#[test]
fn a_repeat_has_the_fields_that_its_route_keeps() {
    const TOLD: [&str; 6] = ["content-type", "location", "etag", "x-part", "set-cookie", "x-origin"];
    let home = Home::new();
    let (server, _) = gateway(&home);
    let fields = |path: &str| {
        let (first, again) = (order(server.address, path), order(server.address, path));
        assert_eq!(TOLD.map(|name| first.field(name).is_some()), [true; 6], "{path}");
        assert_eq!((again.field("idempotent-replayed"), &again.body), (Some("true"), &first.body), "{path}");
        TOLD.into_iter().filter(|name| again.field(name).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(fields("/kept"), ["content-type", "location", "x-part"]);
    assert_eq!(fields("/bare"), ["content-type", "set-cookie"]);
    assert_eq!(fields("/others"), ["content-type", "location", "etag", "x-part", "x-origin"]);
}

// covers: T2
#[test]
fn a_route_says_what_a_retry_after_its_retention_gets() {
    let home = Home::new();
    let (server, _) = gateway(&home);
    assert_eq!(order(server.address, "/over").status, 201);
    assert_eq!(order(server.address, "/over").problem(), (409, "key-expired".to_owned()));
    let [first, again] = ["/again"; 2].map(|path| order(server.address, path));
    assert_eq!([first.status, again.status], [201; 2]);
    assert_ne!(first.body, again.body, "it ran again");
}

// covers: L3
#[test]
fn a_route_says_how_long_its_claims_hold() {
    let home = Home::new();
    let (server, upstream) = gateway(&home);
    let held = sent(server.address, "/slow", &format!("{KEY}x-drill: hold\r\nx-drill-run: a\r\n"), "{}");
    while get(&format!("{upstream}/effects?run=a")).json()["calls"] != json!(1) {
        // waits: for the origin to begin, which it tells nobody.
        thread::sleep(Duration::from_millis(5));
    }
    let ask = format!(
        "GET /.well-known/idempotency/effects HTTP/1.1\r\nhost: shop.example\r\n{KEY}connection: close\r\n\r\n"
    );
    let state = Exchange::start(server.address, &ask).answer().json();
    let time = |name: &str| state[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(state["state"], json!("claimed"), "{state}");
    // Claimed a moment ago, and not renewed before a third of it is over.
    assert_eq!(time("expires_at").duration_since(time("sent_at")).as_secs(), 60 * 60, "{state}");
    get(&format!("{upstream}/release?run=a"));
    assert_eq!(held.answer().status, 201);
}

// covers: K1
#[test]
fn a_route_says_which_member_of_a_body_is_the_key() {
    let home = Home::new();
    let (server, _) = gateway(&home);
    let call = |body: &str| sent(server.address, "/rpc", "", body).answer();
    let [first, again] = [r#"{"params":{"key":"k","tea":1}}"#; 2].map(call);
    assert_eq!((first.status, again.body), (201, first.body));
    assert_eq!(again.status, 201);
    assert_eq!(call(r#"{"params":{"key":"k","tea":2}}"#).problem(), (422, "key-reused".to_owned()));
    assert_eq!(call(r#"{"params":{"key":7}}"#).problem(), (400, "key-invalid".to_owned()));
}

// covers: P5
#[test]
fn a_route_says_by_which_fields_it_tells_what_a_request_means() {
    let home = Home::new();
    let (server, upstream) = gateway(&home);
    let order = |key: &str, confirm: Option<&str>| {
        let confirm = confirm.map(|token| format!("effect-confirm: {token}\r\n")).unwrap_or_default();
        let fields = format!("idempotency-key: {key}\r\nx-drill-run: twins\r\n{confirm}");
        sent(server.address, "/twins", &fields, r#"{"cart":"c1","amount":5}"#).answer()
    };
    let calls = || get(&format!("{upstream}/effects?run=twins")).json()["calls"].clone();
    assert_eq!((order("one", None).status, calls()), (201, json!(1)));
    let refused = order("two", None);
    assert_eq!((refused.problem(), calls()), ((409, "possible-duplicate".to_owned()), json!(1)));
    let problem = refused.json();
    let until = |name: &str| problem["earlier"][name].as_str().unwrap().parse::<Timestamp>().unwrap();
    let window = until("until").duration_since(until("sent_at")).as_secs();
    // Both are to the second, and the mark was taken a moment after the claim.
    assert!((300..=301).contains(&window), "{problem}");
    assert_eq!(problem["earlier"]["state"], json!("done"), "{problem}");
    let token = problem["confirm"].as_str().unwrap();
    assert_eq!(order("three", Some(token)).problem(), (409, "possible-duplicate".to_owned()));
    assert_eq!((order("two", Some(token)).status, calls()), (201, json!(2)));
    assert_eq!((order("two", Some(token)).status, calls()), (201, json!(2)));
}

#[test]
fn a_file_of_routes_is_checked_and_printed_without_an_upstream() {
    let home = Home::new();
    let file = home.join("routes.toml");
    let path = file.to_str().unwrap();
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let ran = ran(&mut home.command(&["config", "check", "--config", path]));
        (ran.code, ran.stderr.trim_end().replace(path, "FILE"))
    };
    assert_eq!(check(ROUTES), (Some(0), String::new()));
    let printed = home.run(&["config", "print", "--json", "--config", path]).json();
    let of = |name: &str| (printed[name]["value"].clone(), printed[name]["from"].clone());
    assert_eq!(of("route.1.keep_headers"), (json!("Location,x-part"), json!(format!("{path}:2"))));
    assert_eq!(of("route.2.keep_headers").0, json!(""));
    assert_eq!(of("route.4.after_retention").0, json!("execute"));
    assert_eq!(of("route.5.lease").0, json!("1h"));
    assert_eq!(of("route.6.key_member").0, json!("$.params['key']"));
    assert_eq!(of("route.7.twin_fields").0, json!("$.cart,$.amount"));
    assert_eq!(of("route.7.twin_window").0, json!("5m"));
    let wrong = [
        (
            "lease = \"15\"",
            "lease = \"15\": \"15\" is no time; write a number and ms, s, m, h or d, such as 90s",
        ),
        (
            "lease = \"900ms\"",
            "lease = \"900ms\": a lease of less than a second lapses while a busy machine looks away",
        ),
        ("after_retention = \"forget\"", "after_retention = \"forget\": expected `refuse` or `execute`"),
        (
            "keep_headers = [\"a b\"]",
            "keep_headers = \"a b\": \"a b\" is no field name: invalid HTTP header name",
        ),
        (
            "keep_headers = [\"ETag\", \"Date\"]",
            "keep_headers = \"ETag,Date\": `date` belongs to one answer and is never kept",
        ),
        (
            "keep_headers = \"set-cookie\"",
            "keep_headers = \"set-cookie\": `cookies` says what becomes of `set-cookie`",
        ),
        (
            "key_member = \"$..key\"",
            "key_member = \"$..key\": expected one member by names and indexes, such as `$.params.key`: \
             path can select several values at byte 1",
        ),
        (
            "key_member = \"key\"",
            "key_member = \"key\": expected one member by names and indexes, such as `$.params.key`: \
             path does not begin with $ at byte 0",
        ),
        (
            "twin_fields = [\"$.a\", \"$.b[*]\"]",
            "twin_fields = \"$.a,$.b[*]\": `$.b[*]` does not lead to one value by names and indexes, such as \
             `$.cart`: path can select several values at byte 3",
        ),
        ("twin_fields = []", "twin_fields = \"\": no field is named"),
        (
            "twin_fields = [\"$.a\"]\ntwin_window = \"32d\"",
            "twin_fields = \"$.a\": a window lasts some time, and 31 days at the most",
        ),
        ("twin_window = \"5m\"", "`twin_window` needs `twin_fields`"),
    ];
    for (line, expected) in wrong {
        let said = check(&format!("[[route]]\npath = \"/\"\n{line}\n"));
        assert_eq!(said, (Some(2), format!("onceward: FILE:1: {expected}")));
    }
}
