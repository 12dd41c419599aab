//! Runs the command and what it talks to: a state directory, a server, an origin, a client.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything here may take; reached only by a failing test.
const STEP_TIME_MAX: Duration = Duration::from_secs(20);

/// Between two looks at a process that has no way to say that it ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What one run of the command left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The JSON line of a command that succeeded and had nothing to complain about.
    pub(crate) fn json(&self) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        assert_eq!(self.stdout.matches('\n').count(), 1, "one line: {:?}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// The command in surroundings that configure nothing.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onceward"));
    command.args(arguments).env_clear().env("HOME", "/proc/no-such-home").current_dir("/proc");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A state directory of its own.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The command over this state.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.arg("--state-dir").arg(self.0.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Starts a proxy and waits until it listens.
    pub(crate) fn serve(&self, flags: &[&str]) -> Server {
        let mut command = self.command(&["proxy", "--listen", "127.0.0.1:0", "--json"]);
        Server::start(command.args(flags))
    }
}

/// Does what may block for ever, on a thread that is left behind if it does.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    thread::spawn(move || done.send(work()));
    result.recv_timeout(STEP_TIME_MAX).expect("no result in time")
}

/// A child that does not outlive its test.
struct Guard(Child);

impl Guard {
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + STEP_TIME_MAX;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            // waits: for the exit of a child; the standard library has no wait with a deadline.
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

/// A running proxy or gateway.
pub(crate) struct Server {
    /// What it printed when it listened.
    pub(crate) start: Value,
    pub(crate) address: SocketAddr,
    child: Guard,
}

impl Server {
    /// Starts a server that prints JSON, and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = Guard(command.spawn().unwrap());
        let stdout = BufReader::new(child.0.stdout.take().unwrap());
        let line = in_time(move || stdout.lines().next());
        let Some(line) = line else {
            let status = child.wait();
            panic!("the server ended with {status}: {}", child.stderr());
        };
        let start: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let address = start["listening"].as_str().unwrap().split_once("://").unwrap().1.parse().unwrap();
        Self { start, address, child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Asks it to end, as a supervisor does.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Stops it where it is, as a debugger or a machine without memory does, and waits until each of its threads stands still.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        let deadline = Instant::now() + STEP_TIME_MAX;
        let stands_still = |thread: std::io::Result<std::fs::DirEntry>| {
            // A thread may end while it is looked at.
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            // The state stands behind the name, which is in parentheses (proc(5)).
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        while !std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().all(stands_still) {
            assert!(Instant::now() < deadline, "it does not stop");
            // waits: for a signal to reach every thread, which nobody announces.
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Lets it go on from there.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end: the exit code and what it said on standard error.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        (self.child.wait().code(), self.child.stderr())
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        const SIGKILL: i32 = 9;
        self.child.0.kill().unwrap();
        assert_eq!(self.child.wait().signal(), Some(SIGKILL));
    }

    /// Waits until it takes no more connections.
    pub(crate) fn await_closed(&self) {
        let deadline = Instant::now() + STEP_TIME_MAX;
        while TcpStream::connect(self.address).is_ok() {
            assert!(Instant::now() < deadline, "it still listens");
            // waits: for a listener to close, which nobody announces.
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Sends a keyed order to `origin` by way of this proxy.
    pub(crate) fn order(&self, origin: &Origin, key: &str) -> Exchange {
        self.order_accepting(origin, key, "application/json")
    }

    pub(crate) fn order_accepting(&self, origin: &Origin, key: &str, accept: &str) -> Exchange {
        let site = origin.address;
        Exchange::start(
            self.address,
            &format!(
                "POST http://{site}/order HTTP/1.1\r\nhost: {site}\r\nx-idem-key: {key}\r\naccept: {accept}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
                BODY.len()
            ),
        )
    }
}

/// What is ordered.
const BODY: &str = r#"{"tea":1}"#;

/// A request that was sent.
pub(crate) struct Exchange(TcpStream);

impl Exchange {
    pub(crate) fn start(address: SocketAddr, request: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Self::of(stream)
    }

    /// A request that was sent by other means.
    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(STEP_TIME_MAX)).unwrap();
        Self(stream)
    }

    /// Sends a request to a server that may be gone.
    pub(crate) fn try_start(address: SocketAddr, request: &str) -> Option<Self> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(STEP_TIME_MAX)).unwrap();
        stream.write_all(request.as_bytes()).ok()?;
        Some(Self(stream))
    }

    /// Reads the answer to the end of the connection.
    pub(crate) fn answer(self) -> Answer {
        self.answer_if_any().unwrap_or_else(|| panic!("no answer"))
    }

    /// The same, of a server that may end before it answers.
    pub(crate) fn answer_if_any(mut self) -> Option<Answer> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (line, fields) = head.split_once("\r\n").unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let fields = fields
            .lines()
            .map(|field| field.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Answer { status, fields, body: body.to_owned() })
    }
}

/// GETs an absolute `http://` address of an IP and a port, with no proxy in between.
pub(crate) fn get(url: &str) -> Answer {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    Exchange::start(address.parse().unwrap(), &request).answer()
}

/// An answer as it was on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status, and the last part of the problem's type.
    pub(crate) fn problem(&self) -> (u16, String) {
        let problem = self.json();
        let name = problem["type"].as_str().unwrap().rsplit('/').next().unwrap();
        (self.status, name.to_owned())
    }
}

/// What an origin does with an order that it booked.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Answers with the number of the order.
    Answer,
    /// Closes the connection without a word.
    Vanish,
    /// Answers when it is told to.
    Hold,
}

/// A shop: books every order that arrives, the n-th of them as its script says.
pub(crate) struct Origin {
    address: SocketAddr,
    booked: Receiver<usize>,
    go_on: Sender<()>,
}

impl Origin {
    pub(crate) fn start(script: &'static [Then]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (book, booked) = channel();
        let (go_on, told) = channel();
        // Ends with the script; a thread that waits for more is ended by the test process.
        thread::spawn(move || {
            for (number, then) in (1..).zip(script) {
                let (stream, _) = listener.accept().unwrap();
                read_order(&stream);
                if book.send(number).is_err() {
                    return;
                }
                match then {
                    Then::Vanish => {}
                    Then::Answer => answer(stream, number),
                    Then::Hold => match told.recv() {
                        Ok(()) => answer(stream, number),
                        Err(_) => return,
                    },
                }
            }
        });
        Self { address, booked, go_on }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next order: its number.
    pub(crate) fn booked(&self) -> usize {
        self.booked.recv_timeout(STEP_TIME_MAX).expect("no order in time")
    }

    /// How many orders came that nobody waited for.
    pub(crate) fn booked_besides(&self) -> usize {
        self.booked.try_iter().count()
    }

    pub(crate) fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }
}

fn read_order(stream: &TcpStream) {
    stream.set_read_timeout(Some(STEP_TIME_MAX)).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let mut body = vec![0; BODY.len()];
    reader.read_exact(&mut body).unwrap();
    assert_eq!(body, BODY.as_bytes());
}

fn answer(mut stream: TcpStream, number: usize) {
    let body = format!("order {number}");
    let head = "HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
}

/// The bytes of a file.
pub(crate) fn bytes_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
