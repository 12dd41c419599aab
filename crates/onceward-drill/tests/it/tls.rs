//! Servers behind TLS: whose certificates are taken, and both versions of HTTP.

use std::sync::Arc;

use onceward_core::profile::Profile;
use onceward_drill::{Suite, Trust, Unfit, suite};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::servers::guarded_behind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_judged_under_its_own_root_over_both_versions() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let server = guarded_behind(acceptor, Profile::ucp()).await;
    let ucp = Suite::named("ucp").unwrap();
    for trust in [Trust::PlatformAnd(vec![root.der().clone()]), Trust::Anything] {
        let report = suite::run(&server.subject_trusting(&trust), ucp, |_| ()).await.unwrap();
        assert!(report.is_ok(), "{}", report.text());
    }
    let unfit = suite::run(&server.subject_trusting(&Trust::Platform), ucp, |_| ()).await.unwrap_err();
    assert!(matches!(&unfit, Unfit::Unreachable { why, .. } if why.contains("certificate")), "{unfit}");
}
