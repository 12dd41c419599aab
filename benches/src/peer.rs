//! The origin, and the gateways before it: each one process on one core, set up as its manual advises for speed.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    server::Server,
    stand::{Stand, free_address, pinned},
};

const ORIGIN: &str = include_str!("../peers/origin.conf");
const NGINX: &str = include_str!("../peers/nginx.conf");
const HAPROXY: &str = include_str!("../peers/haproxy.cfg");

const WIDE_BUFFERS: &str = "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_max_temp_file_size 0;";

/// How clients speak to a server. Gateways speak HTTP/1.1 without TLS to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http1,
    /// Without TLS, with prior knowledge.
    Http2,
    /// HTTP/1.1 over TLS.
    Tls,
}

/// Who stands between the load and the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    Haproxy,
    /// With the buffers that it comes with.
    Nginx,
    /// With buffers that a large answer flows through, and none of it spilt to the disk.
    NginxWide,
    Onceward,
}

/// nginx, which answers at once.
pub(crate) fn origin(stand: &Stand, core: usize, wire: Wire) -> Result<Server> {
    nginx(stand, core, ORIGIN, wire, None)
}

impl Gateway {
    /// Starts it on the server's core.
    pub(crate) fn start(self, stand: &Stand, wire: Wire, origin: SocketAddr) -> Result<Server> {
        match self {
            Self::Haproxy => haproxy(stand, wire, origin),
            Self::Nginx => {
                nginx(stand, stand.server_core, &NGINX.replace("{buffers}", ""), wire, Some(origin))
            }
            Self::NginxWide => {
                let page = NGINX.replace("{buffers}", WIDE_BUFFERS);
                nginx(stand, stand.server_core, &page, wire, Some(origin))
            }
            Self::Onceward => onceward(stand, wire, origin),
        }
    }
}

fn nginx(stand: &Stand, core: usize, page: &str, wire: Wire, origin: Option<SocketAddr>) -> Result<Server> {
    let (address, folder) = (free_address()?, stand.folder()?);
    let listen = match wire {
        Wire::Http1 => address.to_string(),
        Wire::Http2 => format!("{address} http2"),
        Wire::Tls => format!("{address} ssl"),
    };
    let settings = filled(page, stand, folder.path(), &listen, origin)?;
    let mut command = pinned(core, "nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(folder.path()).arg("-c").arg(settings);
    Server::start(command, address, folder)
}

fn haproxy(stand: &Stand, wire: Wire, origin: SocketAddr) -> Result<Server> {
    let (address, folder) = (free_address()?, stand.folder()?);
    let listen = match wire {
        Wire::Http1 => address.to_string(),
        Wire::Http2 => format!("{address} proto h2"),
        Wire::Tls => format!("{address} ssl crt {}", stand.shared().join("both.pem").display()),
    };
    let settings = filled(HAPROXY, stand, folder.path(), &listen, Some(origin))?;
    let mut command = pinned(stand.server_core, "haproxy");
    command.arg("-db").arg("-f").arg(settings);
    Server::start(command, address, folder)
}

/// As its users get it without further words, with records in memory.
fn onceward(stand: &Stand, wire: Wire, origin: SocketAddr) -> Result<Server> {
    let (address, folder) = (free_address()?, stand.folder()?);
    let mut command = pinned(stand.server_core, &stand.onceward);
    command.arg("gateway").arg("--upstream").arg(format!("http://{origin}"));
    command.arg("--listen").arg(address.to_string()).arg("--store").arg("memory:");
    command.arg("--state-dir").arg(folder.path().join("state"));
    if wire == Wire::Tls {
        command.arg("--tls-cert").arg(stand.shared().join("chain.pem"));
        command.arg("--tls-key").arg(stand.shared().join("key.pem"));
    }
    Server::start(command, address, folder)
}

/// Writes a peer's settings with their blanks filled, and returns where.
fn filled(
    page: &str,
    stand: &Stand,
    folder: &Path,
    listen: &str,
    origin: Option<SocketAddr>,
) -> Result<PathBuf> {
    let page = page
        .replace("{folder}", &folder.display().to_string())
        .replace("{shared}", &stand.shared().display().to_string())
        .replace("{listen}", listen)
        .replace("{origin}", &origin.map_or_else(String::new, |origin| origin.to_string()));
    let path = folder.join("settings");
    fs::write(&path, page).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// What the servers of a run share: a certificate for TLS, and the large answer.
pub(crate) fn lay_out(stand: &Stand, download_bytes: u64) -> Result<()> {
    let folder = stand.shared();
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args([
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]);
    openssl.args(["-keyout", "key.pem", "-out", "chain.pem"]);
    let made = openssl.stdin(Stdio::null()).output().context("openssl")?;
    if !made.status.success() {
        bail!("openssl ended with {}: {}", made.status, String::from_utf8_lossy(&made.stderr));
    }
    // haproxy takes both from one file.
    let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
    fs::write(folder.join("both.pem"), read("chain.pem")? + &read("key.pem")?).context("both.pem")?;
    let large = fs::File::create(folder.join("large")).context("the large answer")?;
    large.set_len(download_bytes).context("the large answer")
}
