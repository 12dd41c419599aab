//! Several gateways over one database, with nothing else between them.

use std::time::{Duration, Instant};

use onceward_testbed::{
    mysql::Mysql,
    postgres::Postgres,
    redis::{Keeping, Redis},
};
use serde_json::json;

use crate::kit::{Answer, Exchange, Home, Origin, Server, Then};

/// Duplicates that are sent at once to each gateway.
const CROWD: usize = 100;

struct Fleet<'a> {
    home: &'a Home,
    store: &'a str,
    origin: Origin,
}

impl<'a> Fleet<'a> {
    fn before(home: &'a Home, store: &'a str, script: &'static [Then]) -> Self {
        Self { home, store, origin: Origin::start(script) }
    }

    /// One more gateway, with the deployment's secret and the database as all that it shares with the others.
    fn gateway(&self) -> Server {
        let flags =
            ["--store", self.store, "--upstream", &self.origin.url(), "--lease", "1s", "--wait", "10s"];
        let arguments = ["gateway", "--listen", "127.0.0.1:0", "--json"];
        Server::start(self.home.command(&arguments).args(flags))
    }

    fn run(&self, arguments: &[&str]) -> serde_json::Value {
        self.home.run(&[arguments, &["--store", self.store, "--json"]].concat()).json()
    }
}

fn order(server: &Server, key: &str) -> Exchange {
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
    );
    Exchange::start(server.address, &request)
}

fn shown(answer: &Answer) -> (u16, &str, Option<&str>) {
    (answer.status, &answer.body, answer.field("idempotent-replayed"))
}

/// What holds over every database that processes share.
fn several_gateways_are_one(store: &str) {
    let home = Home::new();
    assert_eq!(home.run(&["store", "migrate", "--store", store, "--json"]).json()["ok"], json!(true));
    let fleet = Fleet::before(&home, store, &[Then::Hold, Then::Answer, Then::Hold]);
    let (first, second) = (fleet.gateway(), fleet.gateway());

    // A repeat at the other gateway waits for the first one's end, and is woken by it.
    let held = order(&first, "one");
    assert_eq!(fleet.origin.booked(), 1);
    let waiting = order(&second, "one");
    // waits: for nothing that could be seen from outside; a repeat that comes later finds the answer and proves the rest the same
    std::thread::sleep(Duration::from_millis(300));
    fleet.origin.go_on();
    assert_eq!(shown(&held.answer()), (201, "order 1", None));
    let answered = Instant::now();
    assert_eq!(shown(&waiting.answer()), (201, "order 1", Some("true")));
    let woken = answered.elapsed();
    assert!(woken < Duration::from_millis(500), "it only looked again by itself, after {woken:?}");

    // A crowd at both doors: one of them runs, and all others are told.
    let crowd: Vec<Exchange> =
        (0..CROWD).flat_map(|_| [order(&first, "two"), order(&second, "two")]).collect();
    let answers: Vec<Answer> = crowd.into_iter().map(Exchange::answer).collect();
    let ran = answers.iter().filter(|answer| shown(answer) == (201, "order 2", None)).count();
    let told = answers.iter().filter(|answer| match answer.status {
        201 => shown(answer) == (201, "order 2", Some("true")),
        // More wait than a key has places.
        _ => answer.problem() == (409, "in-progress".to_owned()),
    });
    assert_eq!((ran, told.count(), fleet.origin.booked()), (1, 2 * CROWD - 1, 2));

    // A gateway dies with an effect under way: nobody else runs it, and a person ends the doubt.
    let lost = order(&first, "three");
    assert_eq!(fleet.origin.booked(), 3);
    first.kill();
    drop(lost);
    assert_eq!(order(&second, "three").answer().problem(), (409, "outcome-unknown".to_owned()));
    let third = fleet.gateway();
    assert_eq!(order(&third, "three").answer().problem(), (409, "outcome-unknown".to_owned()));
    let listed = fleet.run(&["effects", "list", "--in-doubt"]);
    assert_eq!(listed["effects"][0]["reason"], json!("lease-lapsed"), "{listed}");
    assert_eq!(fleet.run(&["store", "stats"])["records"]["in-doubt"], json!(1));
    let verdict = ["effects", "resolve", "three", "--happened", "--because", "looked at the books"];
    assert_eq!(fleet.run(&verdict)["result"], json!("resolved"));
    assert_eq!(order(&third, "three").answer().problem(), (409, "outcome-not-kept".to_owned()));
    assert_eq!(fleet.run(&["store", "verify"])["ok"], json!(true));
    assert_eq!(fleet.origin.booked_besides(), 0, "an order that nobody asked for");
}

// covers: L1, L4, W1, D1
#[test]
fn several_gateways_over_postgres_are_one() {
    let server = Postgres::start(&[]).unwrap();
    several_gateways_are_one(&server.url());
}

// covers: L1, L4, W1, D1
#[test]
fn several_gateways_over_mysql_are_one() {
    let server = Mysql::start(&[]).unwrap();
    server.execute("CREATE DATABASE shop").unwrap();
    several_gateways_are_one(&server.url("root", "shop"));
}

// covers: L1, L4, W1, D1
#[test]
fn several_gateways_over_redis_are_one() {
    let server = Redis::start(Keeping::Always, &[]).unwrap();
    several_gateways_are_one(&server.url());
}

#[test]
fn a_database_is_of_one_secret() {
    let server = Redis::start(Keeping::Always, &[]).unwrap();
    let store = server.url();
    let (home, stranger) = (Home::new(), Home::new());
    assert_eq!(home.run(&["store", "stats", "--store", &store, "--json"]).code, Some(0));
    let refused = stranger.run(&["store", "stats", "--store", &store]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(3), ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("secret"), "{}", refused.stderr);
}

#[test]
fn what_is_to_be_done_to_a_database_can_be_printed() {
    let home = Home::new();
    let printed =
        |store: &str| home.run(&["store", "migrate", "--print", "--role", "shop", "--store", store]);
    // Nobody is asked.
    let postgres = printed("postgres://nobody:hunter2@127.0.0.1:1/shop");
    assert_eq!((postgres.code, postgres.stderr.as_str()), (Some(0), ""));
    assert!(
        postgres.stdout.contains("CREATE TABLE") && postgres.stdout.contains("shop"),
        "{}",
        postgres.stdout
    );
    assert!(!postgres.stdout.contains("hunter2"));
    assert!(printed("mysql://nobody@127.0.0.1:1/shop").stdout.contains("CREATE TABLE"));
    assert_eq!(printed("redis://127.0.0.1:1").stdout, "-- this store has no tables to make\n");
}
