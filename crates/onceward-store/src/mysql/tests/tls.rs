//! The way to a server that proves who it is.

use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::{
    super::MysqlError,
    kit::{SECRET_CHECK, own, tell},
};
use crate::mysql::{Mysql, MysqlOptions};

// covers: S3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_trusted_by_its_certificate() {
    let directory = TempDir::new().expect("a folder");
    let path = |name: &str| directory.path().join(name);
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
    fs::write(path("server.pem"), certificate.pem()).expect("written");
    fs::write(path("key.pem"), key.serialize_pem()).expect("written");
    // The server's own user reads them.
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("opened");
    let settings = [
        format!("--ssl-cert={}", path("server.pem").display()),
        format!("--ssl-key={}", path("key.pem").display()),
    ];
    let server = own(&settings.each_ref().map(String::as_str)).await;
    tell(&server.url("root", "mysql"), "CREATE USER clerk@'%' REQUIRE SSL").await;
    tell(&server.url("root", "mysql"), "GRANT ALL ON onceward.* TO clerk@'%'").await;

    let opened = async |parameters: String| {
        let url = format!("{}?{parameters}", server.url("clerk", "onceward"));
        Mysql::open(&MysqlOptions::new(url, SECRET_CHECK)).await
    };
    let authority = format!("ssl-ca={}", path("server.pem").display());
    opened(format!("ssl-mode=VERIFY_IDENTITY&{authority}")).await.expect("the named authority's");
    opened(format!("ssl-mode=VERIFY_CA&{authority}")).await.expect("the named authority's");
    opened("ssl-mode=REQUIRED".to_owned()).await.expect("encrypted for whomever");
    for refused in ["ssl-mode=DISABLED", "ssl-mode=VERIFY_IDENTITY", "ssl-mode=VERIFY_CA"] {
        let error = opened(refused.to_owned()).await.expect_err(refused);
        assert!(matches!(error, MysqlError::Unreachable { .. }), "{refused}: {error:?}");
    }
}
