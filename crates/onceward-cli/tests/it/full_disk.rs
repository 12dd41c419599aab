//! A disk that is full under the file of the store, and has room again.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::kit::{Answer, Exchange, Home, Origin, Server, Then};

/// How long a test waits for what a gateway does by itself once there is room: it tries twice a second.
const NOTICE_TIME_MAX: Duration = Duration::from_secs(60);

/// The command in a process whose writes past a limit fail, and do not kill it (RLIMIT_FSIZE). That needs no rights, and SQLite meets it
/// wherever it writes: at its log, at the file and at a checkpoint.
fn limited(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    limited.env_clear().env("HOME", "/proc/no-such-home").current_dir("/proc");
    // What it complains of goes where there is always room.
    limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    limited
}

/// From now on no file of the gateway's takes a byte.
fn fill(gateway: &Server) {
    limit(gateway, "--fsize=1:unlimited");
}

/// There is room again.
fn clear(gateway: &Server) {
    limit(gateway, "--fsize=unlimited");
}

fn limit(gateway: &Server, limit: &str) {
    let set = Command::new("prlimit").args(["--pid", &gateway.pid().to_string(), limit]).status().unwrap();
    assert!(set.success());
}

struct Shop<'a> {
    home: &'a Home,
    origin: Origin,
}

impl Shop<'_> {
    fn gateway(&self) -> Server {
        let mut command = self.home.command(&["gateway", "--listen", "127.0.0.1:0", "--json"]);
        command.args(["--upstream", &self.origin.url(), "--wait", "0s"]);
        Server::start(&mut limited(&command))
    }
}

fn order(server: &Server, key: &str) -> Exchange {
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
    );
    Exchange::start(server.address, &request)
}

fn told(answer: &Answer) -> (u16, &str, Option<&str>) {
    (answer.status, &answer.body, answer.field("intent-status"))
}

// covers: S2, O6, L10, L13
#[test]
fn a_full_disk_loses_nothing_and_repeats_nothing() {
    let home = Home::new();
    let origin = Origin::start(&[Then::Answer, Then::Hold, Then::Answer, Then::Hold, Then::Answer]);
    let shop = Shop { home: &home, origin };
    let gateway = shop.gateway();
    assert_eq!(told(&order(&gateway, "before").answer()), (201, "order 1", Some("committed")));
    let held = order(&gateway, "held");
    assert_eq!((shop.origin.booked(), shop.origin.booked()), (1, 2));

    fill(&gateway);
    shop.origin.go_on();
    assert_eq!(told(&held.answer()), (201, "order 2", Some("unknown")), "it happened, and is not recorded");
    assert_eq!(order(&gateway, "refused").answer().problem(), (503, "store-unavailable".to_owned()));
    let again = order(&gateway, "held").answer().problem();
    let is_refused =
        [(409, "in-progress".to_owned()), (503, "store-unavailable".to_owned())].contains(&again);
    assert!(is_refused, "{again:?}");
    assert_eq!(
        told(&order(&gateway, "before").answer()),
        (201, "order 1", Some("replayed")),
        "reading needs no room"
    );
    assert_eq!(shop.origin.booked_besides(), 0, "sent without a claim");

    clear(&gateway);
    // The outcome is still tried to be stored, and what was refused may run.
    let began = Instant::now();
    while told(&order(&gateway, "held").answer()) != (201, "order 2", Some("replayed")) {
        assert!(began.elapsed() < NOTICE_TIME_MAX, "it was not stored");
        // waits: for the gateway's next try to store an outcome, which it tells nobody.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(told(&order(&gateway, "refused").answer()), (201, "order 3", Some("committed")));
    assert_eq!(shop.origin.booked(), 3);

    // The process dies before there is room: what it could not write down is in doubt.
    let lost = order(&gateway, "lost");
    assert_eq!(shop.origin.booked(), 4);
    fill(&gateway);
    shop.origin.go_on();
    assert_eq!(told(&lost.answer()), (201, "order 4", Some("unknown")));
    // The limit goes with it.
    gateway.kill();
    let gateway = shop.gateway();
    assert_eq!(order(&gateway, "lost").answer().problem(), (409, "outcome-unknown".to_owned()));
    for (key, body) in [("before", "order 1"), ("held", "order 2"), ("refused", "order 3")] {
        assert_eq!(told(&order(&gateway, key).answer()), (201, body, Some("replayed")));
    }
    assert_eq!(told(&order(&gateway, "after").answer()), (201, "order 5", Some("committed")));
    assert_eq!((shop.origin.booked(), shop.origin.booked_besides()), (5, 0));
    assert_eq!(home.run(&["store", "verify", "--json"]).json()["ok"], json!(true));
}
