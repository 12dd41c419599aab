//! `onceward gateway` in front of a shop.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    thread,
};

use serde_json::{Value, json};

use crate::kit::{Answer, Exchange, Home, Origin, Server, Then, get, ran};

/// Starts a gateway before `upstream`, on any port.
fn gateway(home: &Home, upstream: &str, flags: &[&str]) -> Server {
    let arguments = ["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", upstream];
    Server::start(home.command(&arguments).args(flags))
}

/// Sends an order as curl does.
fn order(address: SocketAddr, path: &str, fields: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n{fields}\
         content-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
    );
    Exchange::start(address, &request).answer()
}

fn shown(answer: &Answer) -> (u16, &str, Option<&str>) {
    (answer.status, &answer.body, answer.field("idempotent-replayed"))
}

const KEY: &str = "idempotency-key: \"order-17\"\r\n";

// covers: O1, O3, A3
#[test]
fn an_order_that_is_sent_twice_is_booked_once() {
    let home = Home::new();
    let origin = Origin::start(&[Then::Answer, Then::Answer]);
    let server = gateway(&home, &origin.url(), &["--control", "127.0.0.1:0"]);
    let listening = format!("http://{}", server.address);
    assert_eq!(server.start["listening"], json!(listening));
    assert_eq!(server.start["upstreams"], json!([origin.url()]));
    assert_eq!(server.start["control_socket"], json!(home.join("onceward.db.control/socket")));
    let trial = format!("curl -i -X POST -H 'Idempotency-Key: try-1' -d a=1 {listening}/");
    assert_eq!(server.start["try"], json!(trial));

    assert_eq!(shown(&order(server.address, "/orders", KEY)), (201, "order 1", None));
    assert_eq!(origin.booked(), 1);
    assert_eq!(shown(&order(server.address, "/orders", KEY)), (201, "order 1", Some("true")));
    assert_eq!(shown(&order(server.address, "/orders", "")), (201, "order 2", None), "without a key");
    assert_eq!((origin.booked(), origin.booked_besides()), (2, 0));

    let control = server.start["control"].as_str().unwrap();
    let ready = ["/livez", "/readyz", "/healthz", "/metrics"].map(|path| get(&format!("{control}{path}")));
    assert_eq!(ready.each_ref().map(|answer| answer.status), [200; 4]);
    // The replay that was proven at the start is counted too.
    assert!(ready[3].body.contains("onceward_requests_total{outcome=\"replayed\"} 2\n"), "{}", ready[3].body);
    let contract = get(server.start["contract"].as_str().unwrap());
    assert_eq!(contract.json()["profile"], json!("onceward"));
    server.terminate();
    assert_eq!(
        server.ended(),
        (
            Some(0),
            "drained: 0 requests finished, 0 stopped and now in doubt, 0 connections and 0 tunnels cut\n"
                .to_owned()
        )
    );
}

// covers: D1, L6
#[test]
fn an_answer_that_was_lost_is_doubt_that_a_person_ends() {
    let home = Home::new();
    let origin = Origin::start(&[Then::Vanish]);
    let server = gateway(&home, &origin.url(), &[]);
    for _ in 0..2 {
        let refused = order(server.address, "/orders", KEY);
        assert_eq!(refused.problem(), (409, "outcome-unknown".to_owned()));
    }
    assert_eq!((origin.booked(), origin.booked_besides()), (1, 0));
    let listed = home.run(&["effects", "list", "--in-doubt", "--json"]).json();
    let effects: Vec<&Value> =
        listed["effects"].as_array().unwrap().iter().map(|effect| &effect["effect"]).collect();
    assert_eq!(effects, [&json!("POST http://shop.example/orders")]);
    let because = ["--because", "looked at the books", "--json"];
    let resolve = [["effects", "resolve", "order-17", "--happened"].as_slice(), &because].concat();
    assert_eq!(home.run(&resolve).code, Some(0));
}

#[test]
fn no_instance_that_is_well_is_no_readiness() {
    let home = Home::new();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = gateway(&home, &format!("http://{nowhere}"), &["--control", "127.0.0.1:0"]);
    let probe = |path: &str| get(&format!("{}{path}", server.start["control"].as_str().unwrap()));
    assert_eq!(probe("/readyz").status, 200);
    for _ in 0..3 {
        assert_eq!(order(server.address, "/orders", "").status, 502);
    }
    let reason = json!({"check": "upstream", "detail": "no instance of the service is well"});
    let unready = probe("/readyz");
    assert_eq!((unready.status, unready.json()["reasons"].clone()), (503, json!([reason])));
    assert_eq!(probe("/livez").status, 200);
    let metrics = probe("/metrics").body;
    for line in [
        "onceward_upstream_up{upstream=\"1\"} 0",
        "onceward_upstream_requests_total{upstream=\"1\"} 3",
        "onceward_upstream_connect_failures_total{upstream=\"1\"} 3",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} in {metrics}");
    }
}

// covers: K3
#[test]
fn routes_of_the_file_decide_before_the_flags() {
    let home = Home::new();
    let file = home.join("my.toml");
    let text = "[[route]]\npath = \"/webhooks/{*rest}\"\nguard = false\n\n\
                [[route]]\npath = \"/orders\"\nmethods = [\"POST\"]\nretention = \"7d\"\nfinal = [503, \"520-529\"]\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let origin = Origin::start(&[Then::Answer, Then::Answer]);
    let server = gateway(&home, &origin.url(), &["--require-key", "--config", file]);
    assert_eq!(order(server.address, "/webhooks/a", "").status, 201);
    assert_eq!(order(server.address, "/orders", "").status, 201);
    assert_eq!(order(server.address, "/carts", "").problem(), (400, "key-missing".to_owned()));
    assert_eq!([origin.booked(), origin.booked()], [1, 2]);

    let printed = home.run(&["config", "print", "--json", "--config", file]).json();
    assert_eq!(printed["route.2.final"], json!({"value": "503,520-529", "from": format!("{file}:5")}));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let home = Home::new();
    let file = home.join("my.toml");
    let file = file.to_str().unwrap();
    let said = |text: &str, flags: &[&str]| {
        fs::write(file, text).unwrap();
        let ran =
            ran(home.command(&["config", "check", "--config", file, "--upstream", "http://a:1"]).args(flags));
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{}", ran.stderr);
        ran.stderr.trim_end().replace(file, "FILE")
    };
    let cases = [
        (
            "[[route]]\npth = \"/\"\n",
            "onceward: FILE:2: unknown setting `pth` of a route; did you mean `path`?",
        ),
        ("[route]\npath = \"/\"\n", "onceward: FILE:1: `route` is a list of tables; write [[route]]"),
        ("[[route]]\nwait = \"1s\"\n", "onceward: FILE:1: a route needs a `path`"),
        (
            "[[route]]\npath = \"/\"\nscope = \"all\"\n",
            "onceward: FILE:1: scope = \"all\": expected `actor` or `route`",
        ),
        (
            "[[route]]\npath = \"/\"\nmethods = [\"post\"]\n",
            "onceward: FILE:1: `post` is not a method: write it in capitals, as `POST`",
        ),
        (
            "[[route]]\npath = \"/\"\nfinal = [99]\n",
            "onceward: FILE:1: final = \"99\": \"99\" is no status from 100 to 599",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(text, &[]), expected);
    }
    let flags = [
        (["--tls-cert", "a.pem"], "onceward: gateway.tls_cert needs gateway.tls_key"),
        (
            ["--trusted-proxy", "10.0.0.0/40"],
            "onceward: gateway.trusted_proxy = \"10.0.0.0/40\" (from --trusted-proxy): 10.0.0.0/40: \
             the network is not written as ADDRESS or ADDRESS/BITS",
        ),
        (
            ["--health-interval", "0s"],
            "onceward: gateway.health_interval = \"0s\" (from --health-interval): an instance cannot be asked all the time",
        ),
    ];
    for (flags, expected) in flags {
        assert_eq!(said("", &flags), expected);
    }
    let nowhere = home.run(&["gateway"]);
    assert_eq!(
        (nowhere.code, nowhere.stderr.trim_end()),
        (
            Some(2),
            "onceward: gateway.upstream = \"\" (from default): where is the service? Name it with --upstream http://127.0.0.1:3000"
        )
    );
}

// covers: L6
#[test]
fn on_sigterm_an_order_is_seen_to_its_end_whose_client_is_gone() {
    let home = Home::new();
    let origin = Origin::start(&[Then::Hold]);
    let server = gateway(&home, &origin.url(), &[]);
    let mut client = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n{KEY}\
         content-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    client.write_all(head.as_bytes()).unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    client.write_all(b"{\"tea\":1}").unwrap();
    assert_eq!(origin.booked(), 1);
    // With the rest of `100 Continue` unread it is reset, so that no connection is left to wait for.
    drop(client);
    server.terminate();
    server.await_closed();
    origin.go_on();
    let drained =
        "drained: 1 requests finished, 0 stopped and now in doubt, 0 connections and 0 tunnels cut\n";
    assert_eq!(server.ended(), (Some(0), drained.to_owned()));
    let shown = home.run(&["effects", "show", "order-17", "--json"]).json();
    assert_eq!(shown["effects"][0]["effect"]["state"], "done", "{shown}");
}

// covers: O3, L6
#[test]
fn a_new_gateway_takes_over_from_the_old_one_on_the_same_port() {
    let home = Home::new();
    let origin = Origin::start(&[Then::Answer]);
    let old = gateway(&home, &origin.url(), &["--reuse-port"]);
    let address = old.address;
    assert_eq!(shown(&order(address, "/orders", KEY)), (201, "order 1", None));
    let mut command = home.command(&["gateway", "--json", "--reuse-port", "--upstream", &origin.url()]);
    command.args(["--listen", &address.to_string()]);
    let starting = thread::spawn(move || Server::start(&mut command));
    old.terminate();
    assert_eq!(old.ended().0, Some(0));
    let new = starting.join().unwrap();
    assert_eq!(new.address, address);
    assert_eq!(shown(&order(address, "/orders", KEY)), (201, "order 1", Some("true")));
}

#[test]
fn a_socket_of_the_service_manager_is_taken_over() {
    let home = Home::new();
    let origin = Origin::start(&[Then::Answer]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let own = home.command(&["gateway", "--json", "--upstream", &origin.url()]);
    let mut command = Command::new("/bin/sh");
    // sd_listen_fds(3): the first socket is descriptor 3, and the variables name the process.
    command.args(["-c", "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\""]);
    command.arg(own.get_program()).args(own.get_args()).env_clear().env("HOME", "/proc/no-such-home");
    command.stdin(OwnedFd::from(listener)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let server = Server::start(&mut command);
    assert_eq!(server.address, address);
    assert_eq!(order(address, "/orders", KEY).status, 201);
}
