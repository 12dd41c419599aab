//! Redis: a server, a master with a replica and Sentinels, and a Cluster.

mod cluster;
mod watched;

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

pub use self::{cluster::Cluster, watched::Watched};
use crate::server::{Server, ServerError, free_address, system};

/// The Debian package of the server.
const PACKAGE: &str = "redis-server";

/// Another server program that is started instead, such as `valkey-server`.
const PROGRAM_VARIABLE: &str = "ONCEWARD_TEST_REDIS_SERVER";

/// Where the test door says which server all tests may share.
const URL_VARIABLE: &str = "ONCEWARD_TEST_REDIS_URL";

/// How long a server may take for something that it was asked for.
const WAIT_TIME_MAX: Duration = Duration::from_secs(30);

const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How long until a server of a Cluster, or one that Sentinels watch, is taken for gone: short, for tests wait for it.
const DOWN_AFTER_MS: &str = "1000";

/// The setting of a port that speaks TLS.
const TLS_PORT: &str = "--tls-port";

/// How a server keeps what it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In an append-only file that is synced before each answer.
    Always,
    /// In an append-only file that is synced each second.
    EverySecond,
    /// Nowhere.
    Nothing,
}

impl Keeping {
    const fn arguments(self) -> [&'static str; 6] {
        match self {
            Self::Always => ["--appendonly", "yes", "--appendfsync", "always", "--save", ""],
            Self::EverySecond => ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
            Self::Nothing => ["--appendonly", "no", "--appendfsync", "no", "--save", ""],
        }
    }
}

/// A server of one's own. Dropping it kills it.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    address: SocketAddr,
    keeping: Keeping,
    settings: Vec<String>,
    directory: TempDir,
}

impl Redis {
    /// Starts an empty server, with `settings` beside the usual ones: names with `--` and values in turn.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(keeping: Keeping, settings: &[&str]) -> Result<Self, ServerError> {
        let address = free_address()?;
        let directory = TempDir::with_prefix("onceward-redis-").map_err(system("making a directory"))?;
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect::<Vec<_>>();
        let server = serve(&directory, address, keeping, &settings)?;
        Ok(Self { server, address, keeping, settings, directory })
    }

    /// Starts an empty server that speaks TLS alone, under a certificate for `localhost`; says it, too, in PEM.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start_with_tls(keeping: Keeping) -> Result<(Self, String), ServerError> {
        let failed = |error: rcgen::Error| system("making a certificate")(io::Error::other(error));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(failed)?;
        let directory = TempDir::with_prefix("onceward-redis-").map_err(system("making a directory"))?;
        let (certificate, key) = (directory.path().join("certificate.pem"), directory.path().join("key.pem"));
        let written = fs::write(&certificate, made.cert.pem());
        written
            .and_then(|()| fs::write(&key, made.signing_key.serialize_pem()))
            .map_err(system("writing a certificate"))?;
        let address = free_address()?;
        let settings = [
            [TLS_PORT.to_owned(), address.port().to_string()],
            ["--port".to_owned(), "0".to_owned()],
            ["--tls-cert-file".to_owned(), certificate.display().to_string()],
            ["--tls-key-file".to_owned(), key.display().to_string()],
            ["--tls-auth-clients".to_owned(), "no".to_owned()],
        ];
        let settings = settings.concat();
        let server = serve(&directory, address, keeping, &settings)?;
        Ok((Self { server, address, keeping, settings, directory }, made.cert.pem()))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// What it keeps on disk.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Starts it again, at the same address, on what it left behind. It has to have ended.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<(), ServerError> {
        self.server = serve(&self.directory, self.address, self.keeping, &self.settings)?;
        Ok(())
    }

    /// Ends it without a warning, and starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.server.kill()?;
        self.start_again()
    }

    /// Ends it in order (SIGTERM).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn shut_down(&mut self) -> Result<(), ServerError> {
        self.server.stop(Signal::TERM).map(drop)
    }

    /// Asks it for something, as a client would.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, command: &[&str]) -> io::Result<String> {
        ask(self.address, command)
    }

    /// As [`Redis::ask`], with any bytes; gives all strings of its answer.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn converse(&self, command: &[&[u8]]) -> io::Result<Vec<Vec<u8>>> {
        converse(self.address, command)
    }

    /// Makes it a replica of another one, and waits until it has all of it.
    ///
    /// # Errors
    /// When it does not become one in time.
    pub fn follow(&self, master: &Self) -> io::Result<()> {
        let (host, port) = (master.address.ip().to_string(), master.address.port().to_string());
        self.ask(&["REPLICAOF", &host, &port])?;
        until(|| Ok(self.ask(&["INFO", "replication"])?.contains("master_link_status:up")))?;
        // Only one that has said how far it is counts as a replica.
        let own = format!("port={},state=online", self.address.port());
        until(|| Ok(master.ask(&["INFO", "replication"])?.contains(&own)))
    }
}

/// A server that tests share, and what the keys of this one begin with.
#[derive(Debug)]
pub struct Place {
    url: String,
    prefix: String,
    address: Option<SocketAddr>,
    _server: Option<Redis>,
}

/// A place on the server that the environment names, or on one started for it. Its keys are left there.
///
/// # Errors
/// When no server can be started.
pub fn shared() -> Result<Place, ServerError> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("test-{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    match env::var(URL_VARIABLE) {
        Ok(url) => {
            let address = url.strip_prefix("redis://").and_then(|address| address.parse().ok());
            Ok(Place { url, prefix, address, _server: None })
        }
        Err(_) => {
            let server = Redis::start(Keeping::Always, &[])?;
            Ok(Place { url: server.url(), prefix, address: Some(server.address), _server: Some(server) })
        }
    }
}

impl Place {
    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Asks the server for something; gives all strings of its answer.
    ///
    /// # Errors
    /// When it does not answer, or the URL is not of an address alone.
    pub fn converse(&self, command: &[&[u8]]) -> io::Result<Vec<Vec<u8>>> {
        converse(self.address.ok_or(io::ErrorKind::InvalidInput)?, command)
    }
}

fn program() -> String {
    env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| "redis-server".to_owned())
}

fn serve(
    directory: &TempDir,
    address: SocketAddr,
    keeping: Keeping,
    settings: &[String],
) -> Result<Server, ServerError> {
    let mut command = Command::new(program());
    command.arg("--port").arg(address.port().to_string()).args(["--bind", "127.0.0.1", "--dir"]);
    command.arg(directory.path()).args(["--repl-diskless-sync-delay", "0"]);
    command.args(keeping.arguments()).args(settings);
    let log = directory.path().join("server.log");
    // While it loads its data it serves nothing but this error. Under TLS it is not asked.
    let tls = settings.iter().any(|setting| setting == TLS_PORT);
    let serves = || tls || ask(address, &["PING"]).is_ok_and(|answer| !answer.starts_with("LOADING"));
    Server::start(command, address, &log, serves).map_err(installed)
}

/// Names the package of a program that is not there.
fn installed(error: ServerError) -> ServerError {
    match error {
        ServerError::System { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            ServerError::Missing { program: program(), package: PACKAGE }
        }
        other => other,
    }
}

/// Asks a server for something: the strings of its answer, a line each, or the text of its refusal.
fn ask(address: SocketAddr, command: &[&str]) -> io::Result<String> {
    let command = command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
    let strings = converse(address, &command)?;
    Ok(strings.iter().map(|string| format!("{}\n", String::from_utf8_lossy(string))).collect())
}

/// Asks a server for something: all strings of its answer.
fn converse(address: SocketAddr, command: &[&[u8]]) -> io::Result<Vec<Vec<u8>>> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(WAIT_TIME_MAX))?;
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend_from_slice(word);
        bytes.extend(b"\r\n");
    }
    stream.write_all(&bytes)?;
    let mut strings = Vec::new();
    read(&mut BufReader::new(stream), &mut strings)?;
    Ok(strings)
}

/// Reads one value of RESP2, and all values in it.
fn read(reader: &mut impl BufRead, strings: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let text = line.strip_suffix(b"\r\n").ok_or_else(malformed)?;
    let (kind, text) = text.split_first().ok_or_else(malformed)?;
    let count =
        || std::str::from_utf8(text).ok().and_then(|digits| digits.parse::<i64>().ok()).ok_or_else(malformed);
    match kind {
        b'*' => (0..count()?).try_for_each(|_| read(reader, strings)),
        b'$' => {
            let Ok(length) = usize::try_from(count()?) else { return Ok(()) };
            let mut string = vec![0; length + 2];
            reader.read_exact(&mut string)?;
            string.truncate(length);
            strings.push(string);
            Ok(())
        }
        _ => {
            strings.push(text.to_vec());
            Ok(())
        }
    }
}

/// Waits until something is so.
fn until(mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > WAIT_TIME_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(LOOK_PERIOD);
    }
    Ok(())
}
