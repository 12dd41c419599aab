//! TLS towards the server: whom each mode takes for it.

use std::{
    error::Error,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use onceward_testbed::postgres::{Postgres as Server, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// Writes a file that the server's user alone may read.
fn write(server: &Server, name: &str, text: &str) {
    let (file, owner) = (server.data().join(name), fs::metadata(server.data()).expect("the server's folder"));
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("kept secret");
    chown(&file, Some(owner.uid()), Some(owner.gid())).expect("given away");
}

/// A server with a certificate of `authority` for 127.0.0.1.
fn encrypted(authority: &CertifiedIssuer<'_, KeyPair>) -> Server {
    let server = Server::start(&[]).expect("a server");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    write(&server, "server.crt", &certificate.pem());
    write(&server, "server.key", &key.serialize_pem());
    server.execute("ALTER SYSTEM SET ssl = on").expect("set");
    server.execute("SELECT pg_reload_conf()").expect("reloaded");
    wait_until("the setting", || server.execute("SHOW ssl").is_ok_and(|ssl| ssl == "on"))
        .expect("taken over");
    server
}

fn saved(directory: &Path, name: &str, authority: &CertifiedIssuer<'_, KeyPair>) -> String {
    let path = directory.join(name);
    fs::write(&path, authority.pem()).expect("written");
    path.to_str().expect("a plain path").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_trusts_whom_it_says() {
    let (known, unknown, directory) = (authority(), authority(), TempDir::new().expect("a folder"));
    let (right, wrong) =
        (saved(directory.path(), "right.pem", &known), saved(directory.path(), "wrong.pem", &unknown));
    let server = encrypted(&known);
    let plain = server.url();
    let sessions = "SELECT count(*) FILTER (WHERE s.ssl), count(*) FROM pg_stat_activity AS a JOIN pg_stat_ssl AS s USING (pid) \
                    WHERE a.application_name = 'onceward'";
    let base = plain.replace("?sslmode=disable", "?sslmode=");
    for (mode, encrypted) in [
        ("disable".to_owned(), "0|3"),
        ("require".to_owned(), "3|3"),
        (format!("verify-full&sslrootcert={right}"), "3|3"),
    ] {
        let store = at(&format!("{base}{mode}")).await;
        put_at_last(&store, 1).await;
        wait_until("all connections", || server.execute(sessions).is_ok_and(|found| found == encrypted))
            .expect(&mode);
        drop(store);
        wait_until("no connection", || server.execute(sessions).is_ok_and(|found| found == "0|0"))
            .expect(&mode);
    }
    let named = base.replace("127.0.0.1", "localhost");
    for mode in
        [format!("{base}verify-full&sslrootcert={wrong}"), format!("{named}verify-full&sslrootcert={right}")]
    {
        let error = begun(&options(&mode, "onceward")).await.expect_err("refused");
        let (mut said, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            said = format!("{said}: {error}");
            cause = error.source();
        }
        assert!(said.contains("gives no connection") && said.contains("certificate"), "{said}");
    }
}
