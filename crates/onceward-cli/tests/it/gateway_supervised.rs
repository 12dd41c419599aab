//! `onceward gateway` and the service manager that has started it.

use std::{
    io,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::PathBuf,
    process::Command,
    time::Duration,
};

use crate::kit::{Exchange, Home, Origin, Server, Then, ran};

/// How long a notice may take; reached only by a failing test.
const NOTICE_TIME_MAX: Duration = Duration::from_secs(20);

/// A service manager's end of what it is told.
pub(crate) struct Manager {
    socket: UnixDatagram,
    /// What `NOTIFY_SOCKET` says.
    pub(crate) name: String,
}

impl Manager {
    fn bound(address: &SocketAddr, name: String) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(NOTICE_TIME_MAX)).unwrap();
        Self { socket, name }
    }

    /// With a socket in the file system.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self::bound(&SocketAddr::from_pathname(&path).unwrap(), path.into_os_string().into_string().unwrap())
    }

    /// With a socket that has no file.
    fn abstractly() -> Self {
        let name = format!("onceward-test-{}", std::process::id());
        Self::bound(&SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}"))
    }

    /// What it is told next.
    pub(crate) fn told(&self) -> io::Result<String> {
        let mut notice = [0; 64];
        let len = self.socket.recv(&mut notice)?;
        Ok(String::from_utf8(notice[..len].to_vec()).unwrap())
    }

    /// Reads up to this notice.
    fn await_told(&self, expected: &str) {
        while self.told().unwrap() != expected {}
    }
}

/// Asks a server to read its files again.
pub(crate) fn hang_up(server: &Server) {
    let killed = Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap();
    assert!(killed.success());
}

fn command(home: &Home, upstream: &str) -> Command {
    home.command(&["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", upstream])
}

#[test]
fn the_service_manager_follows_it_from_start_to_end() {
    let home = Home::new();
    for manager in [Manager::at(home.join("notify")), Manager::abstractly()] {
        let mut command = command(&home, "http://127.0.0.1:1");
        let server = Server::start(command.env("NOTIFY_SOCKET", &manager.name));
        assert_eq!(manager.told().unwrap(), "READY=1");
        hang_up(&server);
        assert_eq!([(); 2].map(|()| manager.told().unwrap()), ["RELOADING=1", "READY=1"]);
        server.terminate();
        assert_eq!(manager.told().unwrap(), "STOPPING=1");
        assert_eq!(server.ended().0, Some(0));
        manager.socket.set_nonblocking(true).unwrap();
        assert_eq!(manager.told().unwrap_err().kind(), io::ErrorKind::WouldBlock, "that was all");
    }
}

#[test]
fn the_watchdog_hears_of_it_up_to_its_end() {
    let home = Home::new();
    let manager = Manager::at(home.join("notify"));
    let origin = Origin::start(&[Then::Hold]);
    let mut command = command(&home, &origin.url());
    let server = Server::start(command.env("NOTIFY_SOCKET", &manager.name).env("WATCHDOG_USEC", "100000"));
    manager.await_told("READY=1");
    assert_eq!([(); 3].map(|()| manager.told().unwrap()), ["WATCHDOG=1"; 3]);
    let order = Exchange::start(
        server.address,
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\nidempotency-key: order-17\r\n\
         content-length: 9\r\nconnection: close\r\n\r\n{\"tea\":1}",
    );
    assert_eq!(origin.booked(), 1);
    server.terminate();
    manager.await_told("STOPPING=1");
    assert_eq!([(); 3].map(|()| manager.told().unwrap()), ["WATCHDOG=1"; 3], "it drains");
    origin.go_on();
    assert_eq!(order.answer().status, 201);
    assert_eq!(server.ended().0, Some(0));
}

#[test]
fn a_manager_that_is_gone_stops_nobody_and_one_that_makes_no_sense_does() {
    let home = Home::new();
    let gone = home.join("gone");
    let mut gateway = command(&home, "http://127.0.0.1:1");
    let server = Server::start(gateway.env("NOTIFY_SOCKET", &gone));
    server.terminate();
    let (code, said) = server.ended();
    assert_eq!(code, Some(0));
    assert!(said.contains("the service manager was not told"), "{said}");

    // Its port is taken: it is not to come so far.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let mut gateway = home.command(&["gateway", "--listen", &listen, "--upstream", "http://127.0.0.1:1"]);
    let refused = ran(gateway.env("NOTIFY_SOCKET", "notify"));
    assert_eq!(
        (refused.code, refused.stderr.trim_end()),
        (Some(2), "onceward: NOTIFY_SOCKET=notify: neither a path nor an abstract name")
    );
}
