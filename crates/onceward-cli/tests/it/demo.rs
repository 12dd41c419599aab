//! `onceward demo`, as its user runs it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What the issue allows the demo.
const DEMO_TIME_MAX: Duration = Duration::from_mins(1);

/// How long the demo may take to start its proxy, or to clean up.
const STEP_TIME_MAX: Duration = Duration::from_secs(30);

/// A demo that nothing but its own temporary folder helps: no home, no configuration that it could read.
fn demo(temp: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onceward"));
    command.args(["demo", "--json"]).env_clear().env("TMPDIR", temp.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The processes whose command line names `folder`.
fn processes_of(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(name))
        .collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

const NOTHING: [String; 0] = [];

// covers: L1, L5, L6, L10, O3, O4, D1
#[test]
fn every_scenario_ends_with_one_order_in_hostile_surroundings() {
    let temp = tempfile::tempdir().unwrap();
    let surroundings = tempfile::tempdir().unwrap();
    fs::write(surroundings.path().join("onceward.toml"), "[nonsense]\nno = 1\n").unwrap();
    let begun = Instant::now();
    let output = demo(&temp)
        .current_dir(surroundings.path())
        .env("HOME", "/proc/no-such-home")
        .env("ONCEWARD_CONFIG", "/proc/no-such-file")
        .env("ONCEWARD_LISTEN", "192.0.2.1:1")
        .env("ONCEWARD_UPSTREAM_PROXY", "http://192.0.2.1:1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(begun.elapsed() < DEMO_TIME_MAX);

    let text = String::from_utf8(output.stdout).unwrap();
    let mut document: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    // How many of an impatient agent's orders a busy machine books in time is the only thing that is not fixed.
    for scenario in document["scenarios"].as_array_mut().unwrap() {
        if scenario["name"].as_str().unwrap().starts_with("slow success") {
            let orders = scenario["orders_without"].take().as_u64().unwrap();
            assert!((2..=4).contains(&orders), "{orders} orders of an impatient agent");
        }
    }
    let doubt = "outcome unknown: do not submit again";
    let expected: Vec<Value> = [
        ("slow success", 4, None, 0, "order 4711, replayed"),
        ("concurrent double submit", 5, Some(5), 0, "order 4711, replayed"),
        ("answer lost to the agent", 3, Some(3), 0, "order 4711, replayed"),
        ("dropped before the head", 3, Some(3), 1, doubt),
        ("dropped within the body", 3, Some(3), 1, doubt),
        ("proxy killed, restarted", 2, Some(2), 1, doubt),
        ("connection refused first", 3, Some(1), 0, "order 4711"),
    ]
    .into_iter()
    .flat_map(|(title, attempts, orders_without, in_doubt, told)| {
        ["http", "https"].map(|scheme| {
            json!({
                "name": format!("{title}, {scheme}"), "attempts": attempts, "orders_without": orders_without,
                "orders_with": 1, "in_doubt": in_doubt, "told": told,
            })
        })
    })
    .collect();
    assert_eq!(document, json!({"scenarios": expected, "ok": true}));
    assert_eq!(output.status.code(), Some(0));

    assert_eq!(names_in(temp.path()), NOTHING);
    assert_eq!(processes_of(temp.path()), NOTHING);
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let running = demo(&temp).spawn().unwrap();
    let deadline = Instant::now() + STEP_TIME_MAX;
    while processes_of(temp.path()).is_empty() {
        assert!(Instant::now() < deadline, "the demo started no proxy");
        thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        ("".into(), "".into())
    );
    assert_eq!(names_in(temp.path()), NOTHING);
    assert_eq!(processes_of(temp.path()), NOTHING);
}

#[test]
fn a_demo_that_cannot_begin_says_why() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(&temp).env("TMPDIR", temp.path().join("missing")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("onceward: cannot make a temporary folder: "), "{said}");
}
