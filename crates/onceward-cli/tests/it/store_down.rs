//! A gateway whose database goes away and comes back: what its closed routes refuse, and its open ones let through.

use std::{
    fs::{self, File},
    time::{Duration, Instant},
};

use onceward_testbed::{
    postgres::Postgres,
    redis::{Keeping, Redis},
};
use serde_json::{Value, json};

use crate::kit::{Answer, Exchange, Home, Origin, Server, Then, get};

/// How long a test waits for what a gateway notices by itself.
const NOTICE_TIME_MAX: Duration = Duration::from_secs(60);

/// How many keys are tried until the gateway has noticed.
const KEYS_MAX: usize = 64;

const ROUTES: &str = "[[route]]\npath = \"/likes\"\nwhen_store_down = \"open\"\n";

struct Shop {
    home: Home,
    origin: Origin,
    gateway: Server,
    control: String,
}

impl Shop {
    fn over(store: &str) -> Self {
        let (home, origin) = (Home::new(), Origin::start(&[Then::Answer; 2 * KEYS_MAX]));
        fs::write(home.join("my.toml"), ROUTES).unwrap();
        let mut command = home.command(&["gateway", "--listen", "127.0.0.1:0", "--json"]);
        command.arg("--config").arg(home.join("my.toml")).args([
            "--upstream",
            &origin.url(),
            "--store",
            store,
        ]);
        command.args(["--control", "127.0.0.1:0"]);
        // A pipe that nobody reads would stop it when it has much to complain about.
        command.stderr(File::create(home.join("log")).unwrap());
        let gateway = Server::start(&mut command);
        let control = gateway.start["control"].as_str().unwrap().to_owned();
        Self { home, origin, gateway, control }
    }

    fn post(&self, path: &str, key: &str) -> Answer {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n\
             idempotency-key: {key}\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
        );
        Exchange::start(self.gateway.address, &request).answer()
    }

    /// Likes under ever new keys until one is answered so; its key. What was not, was refused.
    fn liked(&self, status: &str) -> String {
        let tried = (0..KEYS_MAX).map(|number| format!("{status}-{number}"));
        let mut refused = Vec::new();
        for key in tried {
            let answer = self.post("/likes", &key);
            match (answer.status, answer.field("intent-status")) {
                (201, Some(told)) if told == status => return key,
                (201, told) => assert_ne!(status, "unguarded", "guarded by a store that is away: {told:?}"),
                _ => refused.push(answer.problem()),
            }
        }
        panic!("no answer is `{status}`: {refused:?}");
    }

    /// Waits until the audit log, which is kept in the database, has lines like this of one key.
    fn written_down(&self, decision: &str) -> Vec<Value> {
        let token = fs::read_to_string(self.home.join("control-token")).unwrap();
        let (_, address) = self.control.split_once("://").unwrap();
        let request = format!(
            "GET /v1/audit HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            token.trim()
        );
        let began = Instant::now();
        loop {
            let answer = Exchange::start(address.parse().unwrap(), &request).answer();
            let lines = answer.body.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let lines: Vec<Value> = lines.filter(|line| line["decision"] == json!(decision)).collect();
            if !lines.is_empty() {
                return lines;
            }
            assert!(began.elapsed() < NOTICE_TIME_MAX, "{answer:?}");
            // waits: for the writer of the audit log, which tells nobody.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn counted(&self) -> Option<u64> {
        let metrics = get(&format!("{}/metrics", self.control)).body;
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix("onceward_requests_total{outcome=\"unguarded\"} ").map(str::to_owned)
        });
        line.map(|count| count.parse().unwrap())
    }
}

fn replayed(answer: &Answer) -> Option<&str> {
    answer.field("idempotent-replayed")
}

/// What holds over every database that goes away: `kill` takes it, `start_again` brings it back on what it left.
fn an_open_route_goes_on_without<S>(mut server: S, store: &str, kill: fn(&mut S), start_again: fn(&mut S)) {
    let shop = Shop::over(store);
    assert_eq!(shop.post("/likes", "before").status, 201);
    assert_eq!(shop.post("/orders", "before-order").status, 201);
    assert_eq!((shop.origin.booked(), shop.origin.booked(), shop.counted()), (1, 2, None));
    kill(&mut server);

    // Closed: refused, nothing sent.
    let refused = shop.post("/orders", "closed");
    assert_eq!(
        (refused.problem(), refused.field("retry-after")),
        ((503, "store-unavailable".into()), Some("2"))
    );
    assert_eq!(shop.origin.booked_besides(), 0);
    // Open: through, marked as such, and forgotten.
    let key = shop.liked("unguarded");
    let again = shop.post("/likes", &key);
    assert_eq!((again.status, again.field("intent-status")), (201, Some("unguarded")));
    assert_eq!((replayed(&again), again.field("idempotency-key-consumed")), (None, None));
    assert_eq!((shop.origin.booked_besides(), shop.counted()), (2, Some(2)), "each of them reached the shop");
    assert_eq!(shop.post("/orders", "closed").problem(), (503, "store-unavailable".into()));

    start_again(&mut server);
    let key = shop.liked("committed");
    let booked = shop.origin.booked_besides();
    assert_eq!(replayed(&shop.post("/likes", &key)), Some("true"));
    assert_eq!(replayed(&shop.post("/likes", "before")), Some("true"));
    assert_eq!(replayed(&shop.post("/orders", "before-order")), Some("true"));
    assert_eq!(shop.post("/orders", "closed").status, 201, "nothing was left of it");
    assert_eq!((shop.origin.booked_besides(), booked > 0), (1, true));
    // What happened meanwhile is written down once there is where.
    let lines = shop.written_down("unguarded");
    assert!(lines.iter().all(|line| line["reason"] == json!("store-unavailable")), "{lines:?}");
    assert!(lines.iter().all(|line| line["effect"] == json!("POST http://shop.example/likes")), "{lines:?}");
    let log = fs::read_to_string(shop.home.join("log")).unwrap();
    assert!(log.contains("the store is down: a request goes through unguarded"), "{log}");
}

// covers: S2, A1, A2, C2
#[test]
fn an_open_route_goes_on_while_postgres_is_away() {
    let server = Postgres::start(&[]).unwrap();
    let store = server.url();
    an_open_route_goes_on_without(
        server,
        &store,
        |server| server.kill().unwrap(),
        |server| server.start_again().unwrap(),
    );
}

// covers: S2, A1, A2, C2
#[test]
fn an_open_route_goes_on_while_redis_is_away() {
    let server = Redis::start(Keeping::Always, &[]).unwrap();
    let store = server.url();
    an_open_route_goes_on_without(
        server,
        &store,
        |server| server.process().kill().unwrap(),
        |server| server.start_again().unwrap(),
    );
}
