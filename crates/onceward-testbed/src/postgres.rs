//! Postgres: a server, its standbys, and a pooler before it.

use std::{
    env, fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server::{Server, ServerError, free_address, system};

/// The Debian package of the server.
const PACKAGE: &str = "postgresql";

/// Where the test door says which server all tests may share.
const URL_VARIABLE: &str = "ONCEWARD_TEST_POSTGRES_URL";

/// Settings of every server here: small, and as durable as by default.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("shared_buffers", "64MB"),
    ("max_connections", "60"),
    ("max_wal_size", "4GB"),
    ("wal_keep_size", "256MB"),
];

/// How long a server may take for something that it was asked for.
const WAIT_TIME_MAX: Duration = Duration::from_secs(30);

const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// A server of one's own. Dropping it kills it.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    address: SocketAddr,
    settings: Vec<(String, String)>,
    directory: TempDir,
}

impl Postgres {
    /// Starts a server on an empty cluster, with `settings` beside the usual ones.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        let directory = directory()?;
        run(Command::new("cp").arg("-a").arg(template()?).arg(data(&directory)))?;
        Self::serve(directory, settings)
    }

    /// Starts a standby, which follows this server under `name`, from a copy made now.
    ///
    /// # Errors
    /// When the copy cannot be made or the standby does not start.
    pub fn standby(&self, name: &str, settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        self.standby_by(self.address, name, settings)
    }

    /// Starts a standby that reaches this server at `way`, over a wire for instance.
    ///
    /// # Errors
    /// When the copy cannot be made or the standby does not start.
    pub fn standby_by(
        &self,
        way: SocketAddr,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<Self, ServerError> {
        let directory = directory()?;
        let source = format!("host={} port={} user=postgres application_name={name}", way.ip(), way.port());
        let mut copy = as_owner(program("pg_basebackup")?);
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        run(copy.arg("--dbname").arg(source).arg("--pgdata").arg(data(&directory)))?;
        Self::serve(directory, settings)
    }

    fn serve(directory: TempDir, settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        let address = free_address()?;
        let own = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let server = launch(&directory, address, &own)?;
        Ok(Self { server, address, settings: own, directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as the owner of everything in it.
    #[must_use]
    pub fn url(&self) -> String {
        url_at(self.address)
    }

    /// Runs statements, and gives what they print.
    ///
    /// # Errors
    /// When the server refuses them.
    pub fn execute(&self, statements: &str) -> Result<String, ServerError> {
        execute(&self.url(), statements)
    }

    /// Ends the server without a warning, as the loss of its process would, and waits until none of its processes is left.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        let sessions = self.sessions();
        self.server.kill()?;
        // They would notice by themselves, in a while; until they are gone no server starts on their memory.
        for session in sessions {
            if kill_process(session, Signal::KILL).is_ok() {
                wait_until("the end of a session", || ended(session))?;
            }
        }
        Ok(())
    }

    /// Freezes the server with all of its sessions.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.server.pause()?;
        self.signal_sessions(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&self) -> Result<(), ServerError> {
        self.signal_sessions(Signal::CONT)?;
        self.server.resume()
    }

    /// Shuts it down in order: sessions are ended, and everything is written.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(&mut self) -> Result<(), ServerError> {
        self.server.stop(Signal::INT).map(drop)
    }

    /// Starts it again, at the same address, on what it left behind.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<(), ServerError> {
        self.server = launch(&self.directory, self.address, &self.settings)?;
        Ok(())
    }

    /// Makes a standby a primary, and waits until it is one.
    ///
    /// # Errors
    /// When it does not become one.
    pub fn promote(&self) -> Result<(), ServerError> {
        self.execute("SELECT pg_promote(true, 30)").map(drop)
    }

    /// Where its files are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data(&self.directory)
    }

    fn signal_sessions(&self, signal: Signal) -> Result<(), ServerError> {
        for session in self.sessions() {
            match kill_process(session, signal) {
                // It has just ended.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(system("signalling a session")(error.into())),
            }
        }
        Ok(())
    }

    /// The server's own children.
    fn sessions(&self) -> Vec<Pid> {
        let first_line = fs::read_to_string(self.data().join("postmaster.pid"));
        let server = first_line.ok().and_then(|text| text.lines().next().map(str::to_owned));
        let Some(server) = server else { return Vec::new() };
        let children = format!("/proc/{server}/task/{server}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)).collect()
    }
}

/// A pooler in transaction mode. Dropping it kills it.
#[derive(Debug)]
pub struct Bouncer {
    server: Server,
    _directory: TempDir,
}

impl Bouncer {
    /// Starts a pooler before the server at `target`, which gives it up to `sessions` sessions.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn before(target: SocketAddr, sessions: u32) -> Result<Self, ServerError> {
        let program = PathBuf::from("/usr/sbin/pgbouncer");
        if !program.exists() {
            return Err(ServerError::Missing { program: "pgbouncer".to_owned(), package: "pgbouncer" });
        }
        let (directory, address) = (directory()?, free_address()?);
        let users = directory.path().join("users");
        let settings = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {sessions}\n",
            target.ip(),
            target.port(),
            address.ip(),
            address.port(),
            users.display()
        );
        let file = directory.path().join("settings");
        fs::write(&users, "\"postgres\" \"\"\n").map_err(system("writing a pooler's users"))?;
        fs::write(&file, settings).map_err(system("writing a pooler's settings"))?;
        let mut command = as_owner(program);
        command.arg(file);
        let server = Server::start(command, address, &directory.path().join("log"), || true)?;
        Ok(Self { server, _directory: directory })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        url_at(self.server.address())
    }
}

/// A schema's name of one's own on a server that others may use, too. Dropping it drops the schema.
#[derive(Debug)]
pub struct Place {
    url: String,
    schema: String,
    /// `None` where the server is somebody else's.
    _server: Option<Postgres>,
}

/// A place on the server that the environment names, or on one started for it.
///
/// # Errors
/// When no server can be started.
pub fn shared() -> Result<Place, ServerError> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let schema = format!("test_{}_{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    match env::var(URL_VARIABLE) {
        Ok(url) => Ok(Place { url, schema, _server: None }),
        Err(_) => {
            let server = Postgres::start(&[])?;
            Ok(Place { url: server.url(), schema, _server: Some(server) })
        }
    }
}

impl Place {
    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The schema, which is not made yet.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Runs statements, and gives what they print.
    ///
    /// # Errors
    /// When the server refuses them.
    pub fn execute(&self, statements: &str) -> Result<String, ServerError> {
        execute(&self.url, statements)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A server that is gone has no schema left.
        drop(self.execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)));
    }
}

/// Runs statements at `url`, and gives what they print: columns divided by `|`, no headings.
///
/// # Errors
/// When the server refuses them.
pub fn execute(url: &str, statements: &str) -> Result<String, ServerError> {
    let mut command = Command::new(program("psql")?);
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    run(command.arg("--dbname").arg(url).arg("--command").arg(statements))
}

/// Waits until `done`, half a minute at the most.
///
/// # Errors
/// When it takes longer.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) -> Result<(), ServerError> {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > WAIT_TIME_MAX {
            return Err(system(&format!("waiting for {what}"))(ErrorKind::TimedOut.into()));
        }
        thread::sleep(LOOK_PERIOD);
    }
    Ok(())
}

fn url_at(address: SocketAddr) -> String {
    format!("postgres://postgres@{address}/postgres?sslmode=disable")
}

fn data(directory: &TempDir) -> PathBuf {
    directory.path().join("data")
}

fn launch(
    directory: &TempDir,
    address: SocketAddr,
    settings: &Vec<(String, String)>,
) -> Result<Server, ServerError> {
    let mut command = as_owner(program("postgres")?);
    command.arg("-D").arg(data(directory)).arg("-p").arg(address.port().to_string());
    for (name, value) in SETTINGS {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let url = url_at(address);
    Server::start(command, address, &directory.path().join("log"), || execute(&url, "SELECT 1").is_ok())
}

/// A folder that the server's user may use.
fn directory() -> Result<TempDir, ServerError> {
    let directory = TempDir::new().map_err(system("making a folder"))?;
    if let Some((user, group)) = owner() {
        chown(directory.path(), Some(user), Some(group)).map_err(system("giving a folder away"))?;
    }
    Ok(directory)
}

/// An empty cluster, made once on this machine and copied for each server.
fn template() -> Result<PathBuf, ServerError> {
    let initdb = program("initdb")?;
    let mark = initdb.to_string_lossy().replace('/', "-");
    let base = env::temp_dir().join(format!("onceward-testbed{mark}-{}", rustix::process::getuid().as_raw()));
    fs::create_dir_all(&base).map_err(system("making a folder"))?;
    if let Some((user, group)) = owner() {
        chown(&base, Some(user), Some(group)).map_err(system("giving a folder away"))?;
    }
    let lock = fs::File::create(base.join("lock")).map_err(system("opening a lock"))?;
    lock.lock().map_err(system("locking a template"))?;
    let (template, unfinished) = (base.join("data"), base.join("unfinished"));
    if !template.exists() {
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(system("clearing a folder")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut make = as_owner(initdb);
        make.args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        run(make.arg("--pgdata").arg(&unfinished))?;
        fs::rename(&unfinished, &template).map_err(system("keeping a template"))?;
    }
    Ok(template)
}

/// A program of Postgres: Debian keeps them in a folder for each version.
fn program(name: &str) -> Result<PathBuf, ServerError> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).max();
    newest.ok_or_else(|| ServerError::Missing { program: name.to_owned(), package: PACKAGE })
}

/// `program`, run by the user that Debian makes for it where this one is root, whom Postgres refuses.
fn as_owner(program: PathBuf) -> Command {
    let Some((user, group)) = owner() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups").arg(program);
    command
}

/// User and group of Debian's Postgres, where this process is root.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let home = fs::metadata("/var/lib/postgresql").ok()?;
    Some((home.uid(), home.gid()))
}

/// Runs a command to its end, and gives what it prints.
fn run(command: &mut Command) -> Result<String, ServerError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .current_dir("/")
        .output()
        .map_err(system(&format!("starting {program}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(system(&format!("running {program}"))(io::Error::other(said)))
}

/// Whether a process is gone, but for what its parent has not asked for (proc(5), `stat`).
fn ended(process: Pid) -> bool {
    let stat = Path::new("/proc").join(process.as_raw_nonzero().to_string()).join("stat");
    fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z "))
}
