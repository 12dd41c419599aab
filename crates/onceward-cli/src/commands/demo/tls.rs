//! Certificates: the shop's own, and whom the agent trusts.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Where every shop of the demo is: an address, so that no name has to be resolved.
pub(super) const SHOP_IP: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A certificate for [`SHOP_IP`], under an authority of its own that lives no longer than the demo.
pub(super) struct ShopCertificate {
    acceptor: TlsAcceptor,
    ca_file: PathBuf,
}

impl ShopCertificate {
    pub(super) fn issue(folder: &Path) -> anyhow::Result<Self> {
        let authority = CertifiedIssuer::self_signed(authority_params(), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = leaf_params().signed_by(&key, &authority)?;
        let ca_file = folder.join("shop-ca.pem");
        fs::write(&ca_file, authority.pem()).context("cannot write the shop's certificate")?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_file })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    pub(super) fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "onceward demo: the shop's CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "onceward demo: the shop");
    params.subject_alt_names = vec![SanType::IpAddress(SHOP_IP.into())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// A client that trusts what stands in `ca_file`, and nothing that the system trusts.
pub(super) fn trusting(ca_file: &Path) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
