//! The service behind the gateways: books every order that reaches it, under the key that came with it.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use onceward_sim::Chance;

/// How long a request may take to arrive; a gateway that is frozen may hold one back for longer, and then it did not.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a slow order takes, at the most.
const SLOW_MS_MAX: u64 = 400;

/// A service that listens for as long as its process lives.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

struct Books {
    chance: Chance,
    count: u64,
    by_key: HashMap<String, Vec<u64>>,
}

/// What becomes of an order's answer.
enum Then {
    Answer,
    AnswerSlowly(Duration),
    /// The connection ends without a word.
    Vanish,
}

impl Service {
    pub(crate) fn start(chance: Chance) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a service needs a port")?;
        let address = listener.local_addr().context("a service needs a port")?;
        let books = Arc::new(Mutex::new(Books { chance, count: 0, by_key: HashMap::new() }));
        let kept = Arc::clone(&books);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let books = Arc::clone(&kept);
                thread::spawn(move || serve(&stream, &books));
            }
        });
        Ok(Self { address, books })
    }

    /// The numbers that were booked under a key.
    pub(crate) fn bookings(&self, key: &str) -> Vec<u64> {
        lock(&self.books).by_key.get(key).cloned().unwrap_or_default()
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    // A booking is one step: whoever failed beside it left the books whole.
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Books what arrives whole. A request that breaks off is none.
fn serve(stream: &TcpStream, books: &Mutex<Books>) {
    let Ok(key) = arrived(stream) else { return };
    let (number, then) = book(books, key);
    match then {
        Then::Vanish => return,
        Then::Answer => {}
        Then::AnswerSlowly(time) => thread::sleep(time),
    }
    // A gateway that died meanwhile gets no answer.
    drop(answer(stream, number));
}

/// The key of a request whose body is there.
fn arrived(stream: &TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(ARRIVAL_TIME_MAX))?;
    let mut reader = BufReader::new(stream);
    let (mut key, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => value.trim().trim_matches('"').clone_into(&mut key),
            "content-length" => len = value.trim().parse()?,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; len])?;
    Ok(key)
}

fn book(books: &Mutex<Books>, key: String) -> (u64, Then) {
    let mut books = lock(books);
    books.count += 1;
    let number = books.count;
    books.by_key.entry(key).or_default().push(number);
    let then = match books.chance.below(10) {
        0 => Then::Vanish,
        1..=4 => Then::AnswerSlowly(Duration::from_millis(books.chance.below(SLOW_MS_MAX))),
        _ => Then::Answer,
    };
    (number, then)
}

fn answer(mut stream: &TcpStream, number: u64) -> std::io::Result<()> {
    let body = number.to_string();
    let head = "HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
