//! nginx and HAProxy, each before a service that notes what it gets to read.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, timeout},
};

use super::{kit::DEADLINE, recorder::Recorder};

/// How long a server may be silent before it counts as waiting for more: it and its service are on this machine.
const SILENCE: Duration = Duration::from_millis(400);

/// The servers, until dropped.
pub(super) struct Servers {
    all: [Server; 2],
    _folder: tempfile::TempDir,
}

struct Server {
    name: &'static str,
    address: SocketAddr,
    service: Recorder,
    _process: Child,
}

impl Servers {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (nginx, haproxy) = (Recorder::open().await, Recorder::open().await);
        let (nginx_address, haproxy_address) = (free_address().await, free_address().await);
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {};", path(what)))
            .join("\n");
        let text = format!(
            "daemon off; master_process off; pid {pid}; error_log stderr crit;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen {nginx_address};\n\
             location / {{ proxy_pass {service}; proxy_http_version 1.1;\n\
             proxy_set_header Host $http_host; proxy_set_header Connection \"\"; }} }} }}\n",
            pid = path("nginx.pid"),
            service = nginx.url(),
        );
        fs::write(path("nginx.conf"), text).unwrap();
        let text = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
             frontend front\n bind {haproxy_address}\n default_backend back\n\
             backend back\n server service {}\n",
            haproxy.address,
        );
        fs::write(path("haproxy.cfg"), text).unwrap();
        let all = [
            Server {
                name: "nginx",
                address: nginx_address,
                service: nginx,
                _process: process("nginx", &["-e", "stderr", "-c", &path("nginx.conf")]),
            },
            Server {
                name: "haproxy",
                address: haproxy_address,
                service: haproxy,
                _process: process("haproxy", &["-db", "-q", "-f", &path("haproxy.cfg")]),
            },
        ];
        for server in &all {
            server.listens().await;
        }
        Self { all, _folder: folder }
    }

    /// What each of them makes of the bytes of a connection.
    pub(super) async fn readings(&self, bytes: &[u8]) -> Vec<(&'static str, Vec<String>)> {
        let [one, other] = &self.all;
        let (one, other) = tokio::join!(one.reading(bytes), other.reading(bytes));
        vec![one, other]
    }
}

impl Server {
    async fn listens(&self) {
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(self.address).await.is_err() {
            assert!(Instant::now() < deadline, "{} does not listen", self.name);
            // waits: for a process that does not say when it listens.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn reading(&self, bytes: &[u8]) -> (&'static str, Vec<String>) {
        self.service.forget();
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let mut received = [0; 4096];
        // waits: a server that took the last request for part of another one's body says nothing for ever.
        while let Ok(Ok(1..)) = timeout(SILENCE, client.read(&mut received)).await {}
        (self.name, self.service.told())
    }
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Debian keeps servers where users do not look.
fn process(name: &str, arguments: &[&str]) -> Child {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(name);
    command.args(arguments).env("PATH", path).kill_on_drop(true).stdin(Stdio::null());
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}; `cargo xtask test rust` installs it"))
}
