//! `onceward check` against an origin that runs everything, and against the same behind the gateway.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc::channel},
    thread,
};

use onceward_drill::origin::{Reference, serve};
use serde_json::Value;

use crate::kit::{Home, Ran, Server, command, get, ran};

/// The reference origin on a thread of its own, which ends with the test process.
pub(crate) fn origin() -> SocketAddr {
    let (tell, told) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, Arc::new(Reference::new())).await.unwrap();
        });
    });
    told.recv().unwrap()
}

fn check(arguments: &[&str]) -> Ran {
    ran(command(&["check"]).args(arguments))
}

/// The one line of JSON that a check prints, whatever it found.
fn report(ran: &Ran) -> Value {
    assert_eq!((ran.stderr.as_str(), ran.stdout.matches('\n').count()), ("", 1), "{}", ran.stdout);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn names<'a>(report: &'a Value, result: &str) -> Vec<&'a str> {
    let cases = report["cases"].as_array().unwrap();
    let found = cases.iter().filter(|case| case["result"] == result);
    found.map(|case| case["name"].as_str().unwrap()).collect()
}

#[test]
fn a_server_that_runs_everything_fails_with_what_was_said() {
    let origin = origin();
    let url = format!("http://{origin}");
    let arguments = [url.as_str(), "--path", "/orders", "--profile", "idempot-js", "--yes"];
    let shown = check(&arguments);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(1), ""));
    let failure = format!(
        "\nFAIL a missing key is refused\n  status: 201, expected 400\n  > POST /orders HTTP/1.1\n  > Host: {origin}\n"
    );
    assert!(shown.stdout.contains(&failure), "{}", shown.stdout);

    let json = check(&[arguments.as_slice(), &["--json"]].concat());
    assert_eq!(json.code, Some(1));
    let report = report(&json);
    assert_eq!((&report["version"], &report["ok"]), (&1.into(), &false.into()));
    assert_eq!(
        (&report["subject"], &report["profile"]),
        (&format!("{url}/orders").into(), &"idempot-js".into())
    );
    assert_eq!(report["effects"], "by-answers");
    assert_eq!(names(&report, "pass"), [""; 0]);
    assert!(names(&report, "fail").contains(&"a_repeat_gets_the_first_answer"), "{report}");
}

#[test]
fn a_gateway_makes_the_same_server_pass() {
    let home = Home::new();
    let upstream = format!("http://{}", origin());
    let arguments =
        ["gateway", "--listen", "127.0.0.1:0", "--json", "--profile", "idempot-js", "--upstream", &upstream];
    let gateway = Server::start(&mut home.command(&arguments));
    let url = format!("http://{}/orders", gateway.address);
    let actors = ["--actor", "Authorization: Bearer a", "--other-actor", "Authorization: Bearer b"];
    let json =
        check(&[["--yes", "--json", "--profile", "idempot-js", url.as_str()].as_slice(), &actors].concat());
    assert_eq!(json.code, Some(0), "{}", json.stdout);
    let report = report(&json);
    assert_eq!((&report["ok"], &report["failed"]), (&true.into(), &0.into()));
    assert_eq!(
        names(&report, "pass"),
        [
            "a_missing_key_is_refused",
            "a_key_of_20_characters_is_refused",
            "a_key_of_21_characters_is_taken",
            "a_key_of_256_characters_is_refused",
            "a_key_with_a_comma_is_refused",
            "a_repeat_gets_the_first_answer",
            "a_repeat_is_marked",
            "another_body_is_unprocessable",
            "of_many_at_once_one_runs",
            "a_refusal_has_its_members",
            "a_refusal_is_markdown_for_an_agent",
        ]
    );
    assert!(!json.stdout.contains("Bearer"), "{}", json.stdout);
}

/// What a stranger's answers can prove of onceward's own promises, the heads that it refuses among them.
// covers: K1 K2 L1 O1 O3 S6
#[test]
fn the_gateway_keeps_onceward_promises_that_answers_can_prove() {
    let home = Home::new();
    let upstream = format!("http://{}", origin());
    let arguments = ["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", &upstream];
    let gateway = Server::start(&mut home.command(&arguments));
    let url = format!("http://{}/orders", gateway.address);
    let actors = ["--actor", "Authorization: Bearer a", "--other-actor", "Authorization: Bearer b"];
    let json = check(&[["--yes", "--json", url.as_str()].as_slice(), &actors].concat());
    let report = report(&json);
    assert_eq!((names(&report, "fail"), names(&report, "not-observable")), (vec![], vec![]));
    assert_eq!(json.code, Some(0));
    let is_head = |case: &&Value| case["covers"] == serde_json::json!(["S6"]) && case["result"] != "pass";
    let left_out: Vec<&Value> = report["cases"].as_array().unwrap().iter().filter(is_head).collect();
    let [only] = left_out.as_slice() else { panic!("{left_out:#?}") };
    assert_eq!(only["name"], "a_field_that_overrides_the_method_is_refused");
    assert_eq!(only["why"], "needs the reference origin behind the server");
}

#[test]
fn nothing_is_sent_without_consent() {
    let origin = origin();
    let refused = check(&[&format!("http://{origin}/orders")]);
    let said = format!("onceward: this sends hundreds of requests that write to http://{origin}/orders; ");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.starts_with(&said), "{}", refused.stderr);
    // What nobody marked is counted under no name.
    assert_eq!(get(&format!("http://{origin}/effects?run=")).body, r#"{"calls":0,"effects":0}"#);
}

#[test]
fn a_wrong_command_line_says_what_is_wrong() {
    for (arguments, said) in [
        (["http://127.0.0.1:1"].as_slice(), "onceward: name an operation that writes: --path /orders"),
        (&["http://127.0.0.1:1", "--path", "orders"], "onceward: --path orders: a path begins with /"),
        (
            &["127.0.0.1:1/orders"],
            "onceward: 127.0.0.1:1/orders: the address is not http://HOST or https://HOST",
        ),
        (&["http://a/b", "--header", "no-colon"], "onceward: a field is written as 'NAME: VALUE'"),
        (&["http://a/b", "--body", "/nowhere"], "onceward: /nowhere is neither JSON nor a file: "),
        (&["https://a/b", "--ca", "/nowhere"], "onceward: /nowhere: root certificates cannot be read: "),
        (&["http://a/b", "--profile", "nobodys"], "error: invalid value 'nobodys' for '--profile <NAME>'"),
    ] {
        let wrong = check(&[arguments, &["--yes"]].concat());
        assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(wrong.stderr.starts_with(said), "{}", wrong.stderr);
    }
}

#[test]
fn a_server_that_cannot_be_judged_is_told_from_one_that_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    drop(listener);
    let gone = check(&[&url, "--yes"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(1), ""));
    assert!(gone.stderr.starts_with(&format!("onceward: {url} does not answer: ")), "{}", gone.stderr);

    let url = format!("http://{}/orders", origin());
    let declined = check(&[&url, "--yes", "--header", "x-drill: status=404"]);
    let said = format!(
        "onceward: POST {url} under a fresh key was answered 404; name a path and a body that it accepts\n"
    );
    assert_eq!((declined.code, declined.stderr.as_str()), (Some(2), said.as_str()));
}

#[test]
fn credentials_come_from_the_environment_too() {
    let url = format!("http://{}/orders", origin());
    let mut command = command(&["check", &url, "--yes", "--json", "--profile", "ucp"]);
    command.env("ONCEWARD_CHECK_ACTOR", "Authorization: Bearer a");
    command.env("ONCEWARD_CHECK_OTHER_ACTOR", "Authorization: Bearer b");
    let report = report(&ran(&mut command));
    assert_eq!(names(&report, "pass"), ["a_key_is_its_clients_own", "another_key_is_another_request"]);
}

#[test]
fn the_command_explains_itself() {
    let help = check(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.contains("Usage: onceward check [OPTIONS] <URL>"), "{}", help.stdout);
    assert!(
        help.stdout.contains("onceward check http://127.0.0.1:8080 --path /orders --yes"),
        "{}",
        help.stdout
    );
}
