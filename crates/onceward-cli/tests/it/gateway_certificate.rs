//! The certificate of `onceward gateway`, while it serves.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};

use crate::{
    gateway_supervised::{Manager, hang_up},
    kit::{Home, Server},
};

/// How long a step may take; reached only by a failing test.
const STEP_TIME_MAX: Duration = Duration::from_secs(20);

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a new certificate for `shop.example` and its key.
    fn write(&self, certificate: &Path, key: &Path) {
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        fs::write(certificate, params.signed_by(&own, &self.0).unwrap().pem()).unwrap();
        fs::write(key, own.serialize_pem()).unwrap();
    }

    fn dial(&self, address: SocketAddr) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("shop.example").unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(STEP_TIME_MAX)).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut client = Client(BufReader::new(StreamOwned::new(connection, socket)));
        client.ask();
        client
    }
}

/// A connection that stays open.
struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Client {
    /// Asks for what the gateway itself answers.
    fn ask(&mut self) {
        let request = b"GET /.well-known/idempotency HTTP/1.1\r\nhost: shop.example\r\n\r\n";
        self.0.get_mut().write_all(request).unwrap();
        let (mut line, mut len) = (String::new(), 0);
        self.0.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                len = value.trim_end().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; len]).unwrap();
    }

    /// The certificate that it was shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.0.get_ref().conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

#[test]
fn a_new_certificate_is_served_upon_a_signal_and_upon_a_change_and_a_broken_one_is_not() {
    let home = Home::new();
    let (file, key) = (home.join("cert.pem"), home.join("key.pem"));
    let authority = Authority::new();
    authority.write(&file, &key);
    let manager = Manager::at(home.join("notify"));
    let flags = ["gateway", "--listen", "127.0.0.1:0", "--json", "--upstream", "http://127.0.0.1:1"];
    let mut command = home.command(&flags);
    command.arg("--tls-cert").arg(&file).arg("--tls-key").arg(&key);
    let server = Server::start(command.env("NOTIFY_SOCKET", &manager.name));
    assert_eq!(manager.told().unwrap(), "READY=1");
    let reloaded = || {
        hang_up(&server);
        assert_eq!([(); 2].map(|()| manager.told().unwrap()), ["RELOADING=1", "READY=1"]);
        authority.dial(server.address).shown()
    };

    let mut old = authority.dial(server.address);
    authority.write(&file, &key);
    let second = reloaded();
    assert_ne!(second, old.shown());
    old.ask();

    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(reloaded(), second, "half a certificate is none");

    authority.write(&file, &key);
    let deadline = Instant::now() + STEP_TIME_MAX;
    while authority.dial(server.address).shown() == second {
        assert!(Instant::now() < deadline, "the change is not seen");
        // waits: for the gateway's next look at the files, which nobody announces.
        thread::sleep(Duration::from_millis(100));
    }
    old.ask();

    drop(old);
    server.terminate();
    let (code, said) = server.ended();
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "the certificate was read again; all else needs a restart",
        "the new certificate is not taken; the old one stays",
        "the certificate was exchanged",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}
