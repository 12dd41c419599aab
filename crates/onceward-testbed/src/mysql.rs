//! MariaDB, as a stand-in for both servers that speak its protocol: Debian packages no MySQL.

use std::{
    env, fs,
    io::Read,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::server::{Server, ServerError, free_address, system};

/// Names a server that is started for all tests, as `mysql://root@127.0.0.1:3306`.
const SHARED_URL: &str = "ONCEWARD_TEST_MYSQL_URL";

/// The server refuses to run as root, and is Debian's user then.
const USER: &str = "mysql";

/// Small, and as durable as the defaults: every commit is synced. Half-made handshakes (a look whether it serves) block no host.
const SETTINGS: &[&str] = &[
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=32M",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--performance-schema=OFF",
    "--max-connect-errors=1000000",
];

/// A server of its own data, with an administrator `root` who has no password.
#[derive(Debug)]
pub struct Mysql {
    server: Server,
    settings: Vec<String>,
    address: SocketAddr,
    directory: TempDir,
}

impl Mysql {
    /// Makes an empty data folder and starts a server on it, with further settings as its command line takes them
    /// (`--max-connections=5`).
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(settings: &[&str]) -> Result<Self, ServerError> {
        let directory = TempDir::with_prefix("onceward-mysql-").map_err(system("making a folder"))?;
        // The server's own user has to get through to its data, and to a folder for temporary tables: a server that starts deletes all
        // that it finds in the system's, those of others too.
        let temporary = directory.path().join("temporary");
        fs::create_dir(&temporary).map_err(system("making a folder"))?;
        for (path, mode) in [(directory.path(), 0o711), (&temporary, 0o777)] {
            let open = fs::Permissions::from_mode(mode);
            fs::set_permissions(path, open).map_err(system("opening a folder"))?;
        }
        let mut install = Command::new("mariadb-install-db");
        install.arg("--no-defaults").arg(format!("--datadir={}", directory.path().join("data").display()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        install
            .arg(format!("--tmpdir={}", temporary.display()))
            .arg("--innodb-log-file-size=32M")
            .args(user());
        let made = install.output().map_err(missing)?;
        if !made.status.success() {
            return Err(ServerError::Mute {
                program: "mariadb-install-db".to_owned(),
                finding: String::from_utf8_lossy(&made.stderr).into_owned(),
                log: directory.path().join("data"),
            });
        }
        let address = free_address()?;
        let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = serve(&directory, address, &settings)?;
        Ok(Self { server, settings, address, directory })
    }

    /// The address of a database there, for `user` (`root`, or `name:password`); none in particular where `database` is empty.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("mysql://{user}@{}/{database}", self.address)
    }

    /// Runs statements as the administrator, with the server's own client.
    ///
    /// # Errors
    /// When the client is not there, or the server refuses.
    pub fn execute(&self, statements: &str) -> Result<(), ServerError> {
        let port = self.address.port().to_string();
        let flags = ["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", "--port", &port];
        let run = Command::new("mariadb").args(flags).args(["--execute", statements]).status();
        match run.map_err(missing)? {
            status if status.success() => Ok(()),
            status => Err(system("running statements")(std::io::Error::other(format!(
                "mariadb ended with {status}"
            )))),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The process.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stop(&mut self) -> Result<ExitStatus, ServerError> {
        self.server.stop(Signal::TERM)
    }

    /// Starts it again on the same data and address, after it was killed or stopped.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<(), ServerError> {
        self.server = serve(&self.directory, self.address, &self.settings)?;
        Ok(())
    }
}

/// The server that tests share, or one for this process alone where none is named.
#[derive(Debug)]
pub struct SharedMysql {
    url: String,
    /// Kept for as long as it is used.
    _own: Option<Mysql>,
}

impl SharedMysql {
    /// The administrator's address of a database there; none in particular where `database` is empty.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.url)
    }
}

/// The server that `ONCEWARD_TEST_MYSQL_URL` names, or one for this process.
///
/// # Errors
/// When one has to be started and cannot be.
pub fn shared() -> Result<SharedMysql, ServerError> {
    if let Ok(url) = env::var(SHARED_URL) {
        return Ok(SharedMysql { url: url.trim_end_matches('/').to_owned(), _own: None });
    }
    let own = Mysql::start(&[])?;
    let url = own.url("root", "").trim_end_matches('/').to_owned();
    Ok(SharedMysql { url, _own: Some(own) })
}

fn serve(directory: &TempDir, address: SocketAddr, settings: &[String]) -> Result<Server, ServerError> {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut command = Command::new("mariadbd");
    command.arg("--no-defaults").arg(format!("--datadir={}", path("data")));
    // In the data folder, where the server's user may write.
    command.arg(format!("--socket={}", path("data/socket"))).arg(format!("--pid-file={}", path("data/pid")));
    command.arg(format!("--tmpdir={}", path("temporary")));
    command.arg(format!("--port={}", address.port())).args(SETTINGS).args(settings).args(user());
    Server::start(command, address, &directory.path().join("log"), || greets(address))
}

/// Whether it says the first word, as its protocol has it: a packet of version 10. While it starts it does not, or with an error.
fn greets(address: SocketAddr) -> bool {
    let greeting = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [.., version] = head;
        Ok(version)
    };
    greeting().is_ok_and(|version| version == 10)
}

fn user() -> Option<String> {
    geteuid().is_root().then(|| format!("--user={USER}"))
}

fn missing(source: std::io::Error) -> ServerError {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            ServerError::Missing { program: "mariadb-install-db".to_owned(), package: "mariadb-server" }
        }
        _ => system("starting mariadb-install-db")(source),
    }
}
