//! A process that has no file descriptor left, and has some again (S1, L5).

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread,
    time::Duration,
};

use crate::kit::{Exchange, Home, Origin, Server, Then};

/// What tells that a head was accepted, and its body is waited for.
const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The standard streams, which are open.
const NONE: &str = "3";

/// How long it is watched while it can accept nothing.
const WATCHED_FOR: Duration = Duration::from_millis(500);

/// Clock ticks of `/proc/PID/stat` in a second (USER_HZ, time(7)), on every Linux that Rust runs on.
const TICKS_PER_S: u64 = 100;

/// Lets it open no descriptor of this number or a higher one; those that it has stay.
fn limit(server: &Server, descriptors: &str) {
    let limit = format!("--nofile={descriptors}:");
    let set = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &limit]).status().unwrap();
    assert!(set.success());
}

/// Clock ticks that it has worked.
fn worked(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // utime and stime, the 14th and 15th of all (proc(5)).
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// With a descriptor for the request and none for the site, it sends nothing, says so, and forgets nothing that it held.
fn it_goes_on(server: &Server, origin: &Origin, order: impl Fn(&str) -> String) {
    assert_eq!(Exchange::start(server.address, &order("before")).answer().body, "order 1");
    assert_eq!(origin.booked(), 1);

    let request = order("one").replace("connection: close", "connection: close\r\nexpect: 100-continue");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut early = TcpStream::connect(server.address).unwrap();
    write!(early, "{head}\r\n\r\n").unwrap();
    let mut accepted = [0; CONTINUE.len()];
    early.read_exact(&mut accepted).unwrap();
    assert_eq!(&accepted, CONTINUE);
    limit(server, NONE);
    early.write_all(body.as_bytes()).unwrap();
    let refused = Exchange::of(early).answer();
    assert_eq!(refused.problem(), (502, "upstream-unreachable".to_owned()));
    assert_eq!(refused.json()["effect"], "none", "nothing was sent");

    let late: Vec<Exchange> =
        (0..8).map(|number| Exchange::start(server.address, &order(&format!("late-{number}")))).collect();
    let ticks = worked(server);
    // waits: to see what it does while it can do nothing.
    thread::sleep(WATCHED_FOR);
    let busy = (worked(server) - ticks) * 1_000 / TICKS_PER_S;
    assert!(u128::from(busy) < WATCHED_FOR.as_millis() / 2, "{busy} ms of work over a failing accept");

    limit(server, "1024");
    let answers: Vec<u16> = late.into_iter().map(|late| late.answer().status).collect();
    assert_eq!(answers, [201; 8]);
    assert_eq!(Exchange::start(server.address, &order("one")).answer().body, "order 10");
    assert_eq!(Exchange::start(server.address, &order("before")).answer().body, "order 1", "the same answer");
    assert_eq!(origin.booked_besides(), 9);
}

const ANSWERS: [Then; 11] = [Then::Answer; 11];

// covers: S1, L5
#[test]
fn a_gateway_without_descriptors_sends_nothing_and_goes_on() {
    let (home, origin) = (Home::new(), Origin::start(&ANSWERS));
    let mut command = home.command(&["gateway", "--listen", "127.0.0.1:0", "--json"]);
    let server = Server::start(command.args(["--upstream", &origin.url()]));
    it_goes_on(&server, &origin, |key| {
        format!(
            "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\naccept: application/json\r\n\
             idempotency-key: {key}\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
        )
    });
}

// covers: S1, L5
#[test]
fn a_proxy_without_descriptors_sends_nothing_and_goes_on() {
    let (home, origin) = (Home::new(), Origin::start(&ANSWERS));
    let server = home.serve(&[]);
    let site = origin.url();
    it_goes_on(&server, &origin, |key| {
        format!(
            "POST {site}/order HTTP/1.1\r\nhost: {}\r\nx-idem-key: {key}\r\naccept: application/json\r\n\
             content-type: application/json\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}",
            site.trim_start_matches("http://")
        )
    });
}
