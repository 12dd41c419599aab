//! A gateway that is frozen past its lease with a claim in its hands, and goes on after that as if no time had passed.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use onceward_testbed::{
    postgres::Postgres,
    redis::{Keeping, Redis},
};
use serde_json::json;

use crate::kit::{Exchange, Home, Origin, Server, Then};

const LEASE: Duration = Duration::from_secs(1);

/// How long anything here may take; reached only by a failing test.
const STEP_TIME_MAX: Duration = Duration::from_secs(20);

/// How long a connect waits in a queue that may be full. On loopback one that has a place stands at once.
const QUEUE_LOOK: Duration = Duration::from_millis(250);

/// Gateways before one service over one store.
struct Fleet {
    home: Home,
    store: Option<String>,
    upstream: String,
}

impl Fleet {
    fn gateway(&self) -> Server {
        let mut command = self.home.command(&["gateway", "--listen", "127.0.0.1:0", "--json"]);
        command.args(["--upstream", &self.upstream, "--connect-time-max", "60s", "--wait", "10s"]);
        command.args(["--lease", &format!("{}s", LEASE.as_secs())]);
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        Server::start(&mut command)
    }

    fn run(&self, arguments: &[&str]) -> serde_json::Value {
        let store: &[&str] = match &self.store {
            Some(store) => &["--store", store],
            None => &[],
        };
        self.home.run(&[arguments, store, &["--json"]].concat()).json()
    }

    /// Waits until an effect is claimed.
    fn await_claim(&self) {
        let began = Instant::now();
        while self.run(&["effects", "list"])["effects"][0]["state"] != json!("claimed") {
            assert!(began.elapsed() < STEP_TIME_MAX, "nothing is claimed");
        }
    }

    /// Whoever can still be asked tells the repeat that nobody knows; where the frozen one alone has the store, the lease lapses unseen.
    fn await_lapse(&self, other: Option<&Server>, key: &str) {
        match other {
            Some(other) => {
                assert_eq!(order(other, key).answer().problem(), (409, "outcome-unknown".to_owned()));
            }
            // waits: for a lease to lapse that nobody can look at.
            None => std::thread::sleep(2 * LEASE),
        }
    }

    fn resolve(&self, key: &str, verdict: &str) {
        let verdict = ["effects", "resolve", key, verdict, "--because", "looked at the books"];
        assert_eq!(self.run(&verdict)["result"], json!("resolved"));
    }
}

fn order(server: &Server, key: &str) -> Exchange {
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
    );
    Exchange::start(server.address, &request)
}

/// A service whose queue of connections is full: whoever connects next waits in the kernel, and is not told.
struct Jam {
    listener: TcpListener,
    address: SocketAddr,
    queued: Vec<TcpStream>,
}

impl Jam {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        loop {
            match TcpStream::connect_timeout(&address, QUEUE_LOOK) {
                Ok(stream) => queued.push(stream),
                Err(full) if full.kind() == ErrorKind::TimedOut => break,
                Err(other) => panic!("{other}"),
            }
        }
        Self { listener, address, queued }
    }

    /// Takes the connections that were in the queue, and then the one that waited for a place in it. A kernel asks again after seconds, and
    /// completes the connection also while the process that wanted it is frozen.
    fn clear(&mut self) -> TcpStream {
        let own: Vec<SocketAddr> = self.queued.iter().map(|stream| stream.local_addr().unwrap()).collect();
        loop {
            let (stream, peer) = self.listener.accept().unwrap();
            if !own.contains(&peer) {
                return stream;
            }
        }
    }
}

/// Frozen between its claim and its request: the connection that it asked for stands when it goes on, and its lease has lapsed.
fn nothing_is_sent_after_the_lease(store: Option<String>) {
    let mut jam = Jam::new();
    let fleet = Fleet { home: Home::new(), upstream: format!("http://{}", jam.address), store };
    let holder = fleet.gateway();
    let other = fleet.store.is_some().then(|| fleet.gateway());
    let held = order(&holder, "one");
    fleet.await_claim();
    holder.freeze();
    let mut stream = jam.clear();
    fleet.await_lapse(other.as_ref(), "one");
    holder.thaw();

    let mut sent = Vec::new();
    stream.set_read_timeout(Some(STEP_TIME_MAX)).unwrap();
    let ended = stream.read_to_end(&mut sent);
    let is_closed = ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    assert_eq!((is_closed, String::from_utf8_lossy(&sent).as_ref()), (true, ""), "sent after its lease");
    assert_eq!(held.answer().problem(), (409, "outcome-unknown".to_owned()));
    let asked = other.as_ref().unwrap_or(&holder);
    assert_eq!(order(asked, "one").answer().problem(), (409, "outcome-unknown".to_owned()));
    jam.listener.set_nonblocking(true).unwrap();
    let besides = jam.listener.accept().map(|(_, peer)| peer).map_err(|error| error.kind());
    assert_eq!(besides, Err(ErrorKind::WouldBlock), "nobody sends what is in doubt");
    // The books show no order, so that the next request makes the first one.
    fleet.resolve("one", "--absent");
    let listed = fleet.run(&["effects", "list"]);
    assert_eq!(listed["effects"][0]["state"], json!("absent"), "{listed}");
}

/// Frozen while the service works: the answer is there when it goes on, and comes too late.
fn one_effect_at_the_most(store: Option<String>) {
    let origin = Origin::start(&[Then::Hold, Then::Answer]);
    let fleet = Fleet { home: Home::new(), upstream: origin.url(), store };
    let holder = fleet.gateway();
    let other = fleet.store.is_some().then(|| fleet.gateway());
    let held = order(&holder, "two");
    assert_eq!(origin.booked(), 1);
    holder.freeze();
    origin.go_on();
    fleet.await_lapse(other.as_ref(), "two");
    holder.thaw();

    assert_eq!(held.answer().problem(), (409, "outcome-unknown".to_owned()));
    let asked = other.as_ref().unwrap_or(&holder);
    assert_eq!(order(asked, "two").answer().problem(), (409, "outcome-unknown".to_owned()));
    assert_eq!(order(&holder, "two").answer().problem(), (409, "outcome-unknown".to_owned()));
    fleet.resolve("two", "--happened");
    assert_eq!(order(asked, "two").answer().problem(), (409, "outcome-not-kept".to_owned()));
    assert_eq!(origin.booked_besides(), 0, "a second effect");
    assert_eq!(order(&holder, "three").answer().status, 201, "it goes on with what is new");
    assert_eq!(origin.booked(), 2);
}

// covers: L4, L12, D1, D3
#[test]
fn a_frozen_holder_over_sqlite_sends_nothing_after_its_lease() {
    nothing_is_sent_after_the_lease(None);
}

// covers: L4, L12, D1, D3
#[test]
fn a_holder_over_sqlite_that_is_frozen_at_work_leaves_one_effect() {
    one_effect_at_the_most(None);
}

// covers: L2, L4, L12, D1, D3
#[test]
fn a_frozen_holder_over_postgres_sends_nothing_after_its_lease() {
    let server = Postgres::start(&[]).unwrap();
    nothing_is_sent_after_the_lease(Some(server.url()));
}

// covers: L2, L4, L12, D1, D3
#[test]
fn a_holder_over_postgres_that_is_frozen_at_work_leaves_one_effect() {
    let server = Postgres::start(&[]).unwrap();
    one_effect_at_the_most(Some(server.url()));
}

// covers: L2, L4, L12, D1, D3
#[test]
fn a_frozen_holder_over_redis_sends_nothing_after_its_lease() {
    let server = Redis::start(Keeping::Always, &[]).unwrap();
    nothing_is_sent_after_the_lease(Some(server.url()));
}
