//! `onceward proxy` and `onceward effects`, beside each other and one after the other.

use serde_json::{Value, json};

use crate::kit::{Answer, Home, Origin, Then, get};

/// The page of `effects list --in-doubt`, each effect as (what, state, reason).
fn in_doubt(home: &Home) -> Vec<(String, String, String)> {
    let page = home.run(&["effects", "list", "--in-doubt", "--json"]).json();
    assert_eq!((&page["corrupt"], &page["next"]), (&json!(0), &Value::Null));
    page["effects"].as_array().unwrap().iter().map(told).collect()
}

fn told(effect: &Value) -> (String, String, String) {
    let text = |name: &str| effect[name].as_str().unwrap_or_default().to_owned();
    (text("effect"), text("state"), text("reason"))
}

/// The one effect of a key, by `effects show`.
fn shown(home: &Home, key: &str) -> Value {
    let mut shown = home.run(&["effects", "show", key, "--json"]).json();
    let effects = shown["effects"].as_array_mut().unwrap();
    assert_eq!(effects.len(), 1, "{effects:?}");
    effects.remove(0)
}

/// Ends a doubt on the command line: what became of it.
fn resolve(home: &Home, key: &str, verdict: &str) -> Value {
    home.run(&["effects", "resolve", key, verdict, "--because", "looked at the shop's books", "--json"])
        .json()["result"]
        .take()
}

fn order_of(origin: &Origin, answer: &Answer) -> String {
    assert_eq!(origin.booked_besides(), 0, "an order that nobody asked for");
    format!("{} {}", answer.status, answer.body)
}

// covers: B7
#[test]
fn says_how_each_client_is_pointed_at_it() {
    let home = Home::new();
    let server = home.serve(&[]);
    let start = server.start.clone();
    let address = format!("http://{}", server.address);
    let ca_file = home.join("ca/ca-cert.pem");
    let ca_file = ca_file.to_str().unwrap();
    let authority = home.run(&["ca", "show", "--json"]).json();
    let spki = authority["spki_sha256"].as_str().unwrap();
    let flag = format!("--ignore-certificate-errors-spki-list={spki}");
    let bypass = "--proxy-bypass-list=<-loopback>";
    assert_eq!(
        start,
        json!({
            "listening": address,
            "control": null,
            "ca_file": ca_file,
            "spki_sha256": spki,
            "chromium_flag": flag,
            "starts": {
                "Playwright": format!("chromium.launch({{ proxy: {{ server: '{address}' }}, args: ['{flag}'] }})"),
                "Puppeteer": format!("puppeteer.launch({{ args: ['--proxy-server={address}', '{bypass}', '{flag}'] }})"),
                "Selenium": format!(
                    "for arg in ('--proxy-server={address}', '{bypass}', '{flag}'): options.add_argument(arg)"
                ),
                "browser-use": format!("Browser(proxy=ProxySettings(server='{address}'), args=['{flag}'])"),
                "curl": format!("curl --proxy {address} --cacert '{ca_file}' -H 'x-idem-key: order-1' https://…"),
            },
        })
    );
}

// covers: D1, D2, D3, D4
#[test]
fn a_lost_answer_is_told_listed_and_ended_by_a_verdict_that_it_happened() {
    let home = Home::new();
    let server = home.serve(&[]);
    let origin = Origin::start(&[Then::Vanish, Then::Answer]);

    let lost = server.order(&origin, "order-17").answer();
    assert_eq!(origin.booked(), 1);
    assert_eq!(lost.problem(), (409, "outcome-unknown".to_owned()));
    assert!(lost.field("retry-after").is_some(), "{lost:?}");
    let problem = lost.json();
    assert!(problem["next_action"].as_str().is_some_and(|action| !action.is_empty()), "{problem}");

    let status = get(problem["status_url"].as_str().unwrap());
    assert_eq!((status.status, status.field("content-type")), (200, Some("application/json")));
    let effect = status.json();
    assert_eq!((&effect["state"], &effect["reason"]), (&json!("in-doubt"), &json!("no-answer")));

    // The running server has the store open, so what is listed came from it, and is the same.
    let mut listed = home.run(&["effects", "list", "--in-doubt", "--json"]).json();
    assert_eq!(listed["effects"].take(), json!([effect]));

    let retried = server.order(&origin, "order-17").answer();
    assert_eq!(retried.problem(), (409, "outcome-unknown".to_owned()));

    assert_eq!(resolve(&home, "order-17", "--happened"), "resolved");
    assert_eq!(in_doubt(&home), []);
    let detail = shown(&home, "order-17");
    assert_eq!(
        (&detail["effect"]["state"], &detail["effect"]["how"], &detail["outcome"]),
        (&json!("done"), &json!("vouched"), &json!({"kind": "vouched"}))
    );
    let log = detail["audit"].as_array().unwrap();
    assert!(log.last().unwrap().to_string().contains("looked at the shop's books"), "{log:?}");

    let after = server.order(&origin, "order-17").answer();
    assert_eq!(after.problem(), (409, "outcome-not-kept".to_owned()));
    assert_eq!(origin.booked_besides(), 0);
}

// covers: D2, D3
#[test]
fn after_the_verdict_absent_a_retry_runs_once() {
    let home = Home::new();
    let server = home.serve(&[]);
    let origin = Origin::start(&[Then::Vanish, Then::Answer, Then::Answer]);

    let lost = server.order(&origin, "order-18").answer();
    assert_eq!((origin.booked(), lost.problem()), (1, (409, "outcome-unknown".to_owned())));
    assert_eq!(resolve(&home, "order-18", "--absent"), "resolved");

    let retried = server.order(&origin, "order-18").answer();
    assert_eq!(origin.booked(), 2);
    assert_eq!(order_of(&origin, &retried), "201 order 2");
    let replayed = server.order(&origin, "order-18").answer();
    assert_eq!(order_of(&origin, &replayed), "201 order 2");
    assert_eq!(replayed.field("idempotent-replayed"), Some("true"));

    // What is settled takes no second verdict.
    let again = home.run(&["effects", "resolve", "order-18", "--absent", "--because", "x"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""), "{}", again.stderr);
    assert_eq!(shown(&home, "order-18")["effect"]["how"], "answered");
}

// covers: D5
#[test]
fn a_cancelled_doubt_stays_and_is_marked_abandoned() {
    let home = Home::new();
    let server = home.serve(&[]);
    let origin = Origin::start(&[Then::Vanish, Then::Answer]);
    let lost = server.order(&origin, "order-19").answer();
    assert_eq!((origin.booked(), lost.problem()), (1, (409, "outcome-unknown".to_owned())));

    let mut cancelled = home.run(&["effects", "cancel", "order-19", "--because", "gone", "--json"]).json();
    assert_eq!(cancelled["result"].take(), "abandoned");
    let effect = &shown(&home, "order-19")["effect"];
    assert_eq!((&effect["state"], &effect["interest"]), (&json!("in-doubt"), &json!("abandoned")));
    let retried = server.order(&origin, "order-19").answer();
    assert_eq!(retried.status, 409);
    assert_eq!(origin.booked_besides(), 0);
}

#[test]
fn without_a_server_the_same_commands_open_the_store_themselves() {
    let home = Home::new();
    let server = home.serve(&[]);
    let origin = Origin::start(&[Then::Vanish]);
    let lost = server.order(&origin, "order-20").answer();
    assert_eq!((origin.booked(), lost.status), (1, 409));
    let beside = home.run(&["effects", "list", "--json"]);
    server.terminate();
    let (code, said) = server.ended();
    assert_eq!(code, Some(0), "{said}");

    assert_eq!(home.run(&["effects", "list", "--json"]), beside);
    assert_eq!(resolve(&home, "order-20", "--happened"), "resolved");
    assert_eq!(in_doubt(&home), []);

    let missing = Home::new().run(&["effects", "list"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(3), ""));
    assert!(missing.stderr.starts_with("onceward: there is no store at "), "{}", missing.stderr);
}

// covers: L6
#[test]
fn on_sigterm_a_request_under_way_ends_and_is_answered() {
    let home = Home::new();
    let server = home.serve(&[]);
    let origin = Origin::start(&[Then::Hold]);
    let order = server.order(&origin, "order-21");
    assert_eq!(origin.booked(), 1);
    server.terminate();
    server.await_closed();
    origin.go_on();
    assert_eq!(order_of(&origin, &order.answer()), "201 order 1");
    let drained =
        "drained: 1 requests finished, 0 stopped and now in doubt, 0 connections and 0 tunnels cut\n";
    assert_eq!(server.ended(), (Some(0), drained.to_owned()));
    assert_eq!(shown(&home, "order-21")["effect"]["state"], "done");
}

// covers: L6, B3, D1
#[test]
fn what_outlasts_the_patience_is_told_in_doubt_and_counted() {
    let home = Home::new();
    let server = home.serve(&["--drain-patience", "500ms"]);
    let origin = Origin::start(&[Then::Hold]);
    let order = server.order_accepting(&origin, "order-22", "text/html");
    assert_eq!(origin.booked(), 1);
    server.terminate();
    let page = order.answer();
    assert_eq!(page.status, 409);
    assert!(page.field("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
    assert!(page.body.trim_end().ends_with("</html>"), "{page:?}");
    let drained = "drained: 0 requests finished, 1 stopped and now in doubt, 0 connections and 0 tunnels cut";
    let (code, said) = server.ended();
    assert_eq!((code, said.lines().last()), (Some(1), Some(drained)), "{said}");
    let effect = &shown(&home, "order-22")["effect"];
    assert_eq!(effect["state"], "in-doubt");
}

// covers: L10
#[test]
fn what_a_killed_server_left_is_in_doubt_at_the_next_start() {
    let home = Home::new();
    let server = home.serve(&[]);
    let origin = Origin::start(&[Then::Hold, Then::Answer]);
    let _order = server.order(&origin, "order-23");
    assert_eq!(origin.booked(), 1);
    server.kill();

    let server = home.serve(&[]);
    let [(effect, state, reason)] = <[_; 1]>::try_from(in_doubt(&home)).unwrap();
    assert!(effect.starts_with("POST http://127.0.0.1:"), "{effect}");
    assert_eq!((state.as_str(), reason.as_str()), ("in-doubt", "holder-gone"));
    let retried = server.order(&origin, "order-23").answer();
    assert_eq!(retried.problem(), (409, "outcome-unknown".to_owned()));
    assert_eq!(origin.booked_besides(), 0);
}

// covers: S5
#[test]
fn the_proxys_own_address_tells_a_state_and_offers_no_control() {
    let home = Home::new();
    let server = home.serve(&[]);
    let address = format!("http://{}", server.address);
    let unknown = "0".repeat(64);
    let statuses = [
        "/",
        "/problems/outcome-unknown",
        &format!("/effects/{unknown}"),
        "/v1/effects",
        "/v1/store",
        "/metrics",
    ]
    .map(|path| get(&format!("{address}{path}")).status);
    assert_eq!(statuses, [200, 200, 404, 404, 404, 404]);
}
