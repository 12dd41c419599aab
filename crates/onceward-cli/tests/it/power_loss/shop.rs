//! A shop behind a recorded gateway, its customers, and the ledger of its orders. The ledger is kept here, in another process than the
//! gateway's: what the gateway's disk loses, it knows.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::{image::Begun, record};
use crate::kit::{Answer, Exchange, Server, command, ran};

/// Below it, an answer is kept for a moment only.
const BRIEF: &str = "brief";

const ROUTES: &str = "[[route]]\npath = \"/brief/{key}\"\nretention = \"1s\"\n";

/// What the recorded gateway takes for its machine's boot. Whoever opens an image finds another one, as after a loss of power.
const BOOT: &str = "00000000-0000-4000-8000-000000000001\n";

/// Keys that begin so are not answered before [`Orders::release`].
const HELD: &str = "held";

/// An order that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: String,
    pub(crate) epoch: u64,
}

/// The ledger.
#[derive(Clone, Default)]
pub(crate) struct Orders(Arc<Mutex<Booked>>);

#[derive(Default)]
struct Booked {
    orders: Vec<Order>,
    /// What each was answered, by key.
    answers: BTreeMap<String, String>,
    /// Orders that are not answered yet.
    held: Vec<(TcpStream, String)>,
}

impl Orders {
    /// Opens a shop that books what arrives, for as long as the test process lives.
    pub(crate) fn open() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let orders = Self::default();
        let booking = orders.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let booking = booking.clone();
                thread::spawn(move || booking.serve(stream.unwrap()));
            }
        });
        (orders, address)
    }

    fn serve(&self, stream: TcpStream) {
        let Some(order) = read_order(&stream) else { return };
        let mut booked = self.0.lock().unwrap();
        let (number, key) = (booked.orders.len() + 1, order.key.clone());
        booked.orders.push(order);
        let answer = format!("order {number} of {key}{}", ", with tea".repeat(number % 64));
        booked.answers.insert(key.clone(), answer.clone());
        if is_held(&key) {
            return booked.held.push((stream, key));
        }
        drop(booked);
        reply(stream, &key, &answer);
    }

    /// Answers what was held.
    pub(crate) fn release(&self) {
        let Booked { held, answers, .. } = &mut *self.0.lock().unwrap();
        for (stream, key) in held.drain(..) {
            reply(stream, &key, &answers[&key]);
        }
    }

    pub(crate) fn all(&self) -> Vec<Order> {
        self.0.lock().unwrap().orders.clone()
    }

    fn await_held(&self, count: usize) {
        while self.0.lock().unwrap().held.len() < count {
            // waits: for requests to arrive, each on a thread of its own.
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Reads a request to its end. `None` where its sender died before that.
fn read_order(stream: &TcpStream) -> Option<Order> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).ok()? > 2 {}
    let field = |name| field(&head, name);
    let mut body = vec![0; field("content-length")?.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let epoch = field("onceward-epoch")?.parse().unwrap();
    Some(Order { key: field("idempotency-key")?.to_owned(), epoch })
}

/// The value of a field in a head, or in the first part of one.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let is_meant = |line: &&str| line.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
    let line = head.lines().find(is_meant)?;
    line.get(name.len()..)?.strip_prefix(':').map(str::trim)
}

/// A gateway that died does not hear it.
fn reply(mut stream: TcpStream, key: &str, answer: &str) {
    let head = format!("HTTP/1.1 201 Created\r\nx-order: {key}\r\nconnection: close");
    drop(write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()));
}

/// Where an order under this key goes.
fn path(key: &str) -> String {
    if key.contains(BRIEF) { format!("/brief/{key}") } else { format!("/orders/{key}") }
}

/// Whether the answer to this key is kept for a moment only.
pub(crate) fn is_brief(key: &str) -> bool {
    key.contains(BRIEF)
}

/// Whether the shop answers this key only when it is told to.
pub(crate) fn is_held(key: &str) -> bool {
    key.starts_with(HELD)
}

/// Asks a gateway for an order. `None` where it died before it answered.
pub(crate) fn order(gateway: SocketAddr, key: &str) -> Option<Answer> {
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\n\
         content-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}",
        path(key)
    );
    Exchange::try_start(gateway, &request)?.answer_if_any()
}

/// The command over a state directory in `root`.
pub(crate) fn gateway(root: &Path, shop: SocketAddr) -> std::process::Command {
    let routes = root.with_extension("toml");
    fs::write(&routes, ROUTES).unwrap();
    let mut command = command(&["gateway", "--listen", "127.0.0.1:0", "--json", "--wait", "0s"]);
    command.args(["--upstream", &format!("http://{shop}"), "--config"]).arg(routes);
    command.arg("--state-dir").arg(root.join("state"));
    command
}

/// What was promised by the time of a record, as the gateway's own sending shows it: never earlier than it was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promises {
    /// Requests that were sent to the shop, oldest first.
    pub(crate) sent: Vec<Order>,
    /// Keys whose answers were sent to customers.
    pub(crate) answered: Vec<String>,
}

impl Promises {
    pub(crate) fn take(&mut self, event: &record::Event<'_>) {
        let record::Event::Sent(bytes) = event else { return };
        let head = String::from_utf8_lossy(bytes);
        if head.starts_with("POST ") {
            let key = field(&head, "idempotency-key").unwrap().to_owned();
            self.sent.push(Order { key, epoch: field(&head, "onceward-epoch").unwrap().parse().unwrap() });
        } else if head.starts_with("HTTP/1.1 201 ") {
            self.answered.push(field(&head, "x-order").unwrap().to_owned());
        }
    }
}

/// A gateway's life on a disk, written down.
pub(crate) struct Recording {
    /// Holds the recorded directory `root`, the record and the recorder.
    home: TempDir,
    pub(crate) begun: Begun,
    pub(crate) record: Vec<u8>,
    /// What the shop answered, by key.
    pub(crate) answers: BTreeMap<String, String>,
}

/// What a gateway goes through while it is recorded.
pub(crate) struct Life {
    home: TempDir,
    begun: Begun,
    recorder: PathBuf,
    shop: SocketAddr,
    orders: Orders,
    durability: &'static str,
    asked: AtomicUsize,
}

impl Life {
    /// On a disk that holds nothing but what `prepare` puts on it.
    pub(crate) fn new(durability: &'static str, prepare: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("root");
        fs::create_dir(&root).unwrap();
        prepare(&root);
        fs::write(home.path().join("boot"), BOOT).unwrap();
        let (begun, recorder) = (Begun::read(&root), record::build_recorder(home.path()));
        let (orders, shop) = Orders::open();
        Self { home, begun, recorder, shop, orders, durability, asked: AtomicUsize::new(0) }
    }

    /// Starts the gateway, to die after so many records.
    pub(crate) fn start(&self, records_max: Option<usize>) -> Server {
        let at = |name| self.home.path().join(name);
        let mut command = gateway(&at("root"), self.shop);
        command.args(["--durability", self.durability]).env("LD_PRELOAD", &self.recorder);
        command.env("RECORDED_DIRECTORY", at("root")).env("RECORD", at("record"));
        command.env("RECORDED_BOOT", at("boot"));
        if let Some(records_max) = records_max {
            command.env("RECORDS_MAX", records_max.to_string());
        }
        Server::start(&mut command)
    }

    /// Orders from `customers` customers at once, until there were `count` or the gateway dies. Each fourth answer is kept for a moment only.
    pub(crate) fn trade(&self, gateway: &Server, customers: usize, count: usize) {
        let end = self.asked.load(Ordering::Relaxed) + count;
        thread::scope(|scope| {
            for _ in 0..customers {
                scope.spawn(|| {
                    loop {
                        let number = self.asked.fetch_add(1, Ordering::Relaxed);
                        let kind = if number % 4 == 3 { BRIEF } else { "tea" };
                        if number >= end || !self.ask(gateway.address, &format!("{kind}-{number}")) {
                            return;
                        }
                    }
                });
            }
        });
    }

    /// Holds `count` orders up at the shop while `meanwhile` happens, and answers them then.
    pub(crate) fn hold(&self, gateway: &Server, count: usize, meanwhile: impl FnOnce()) {
        let begun = self.asked.fetch_add(count, Ordering::Relaxed);
        thread::scope(|scope| {
            for number in begun..begun + count {
                scope.spawn(move || self.ask(gateway.address, &format!("{HELD}-{number}")));
            }
            self.orders.await_held(count);
            meanwhile();
            self.orders.release();
        });
    }

    /// Waits until answers that are kept for a moment have been swept.
    pub(crate) fn await_sweep(&self) {
        let state = self.home.path().join("root/state");
        let is_swept = || {
            let listed = ran(command(&["effects", "list", "--json", "--state-dir"]).arg(&state)).json();
            listed["effects"].as_array().unwrap().iter().any(|effect| effect["state"] == "tombstone")
        };
        while !is_swept() {
            // waits: for the retention and the sweep, of a second each, which nobody announces.
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether an order was answered.
    fn ask(&self, gateway: SocketAddr, key: &str) -> bool {
        let Some(answer) = order(gateway, key) else { return false };
        let booked = self.orders.0.lock().unwrap().answers.get(key).cloned();
        assert_eq!((answer.status, Some(answer.body)), (201, booked), "{key}");
        true
    }

    /// Ends the gateway in order.
    pub(crate) fn stop(gateway: Server) {
        gateway.terminate();
        assert_eq!(gateway.ended().0, Some(0));
    }

    pub(crate) fn recorded(self) -> Recording {
        let Self { home, begun, orders, .. } = self;
        let record = fs::read(home.path().join("record")).unwrap();
        let Booked { orders, answers, .. } = std::mem::take(&mut *orders.0.lock().unwrap());
        assert_eq!(orders.len(), answers.len(), "a key happened twice");
        Recording { home, begun, record, answers }
    }
}

impl Recording {
    pub(crate) fn root(&self) -> PathBuf {
        self.home.path().join("root").canonicalize().unwrap()
    }
}
