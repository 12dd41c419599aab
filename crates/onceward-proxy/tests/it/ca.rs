//! The authority's folder and the certificates that it signs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use onceward_proxy::ca::{Authority, CaError, Format};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

// covers: B7
#[test]
fn an_authority_is_made_once_and_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state/ca");
    let made = Authority::load_or_create(&folder).unwrap();
    let found = Authority::load_or_create(&folder).unwrap();

    assert_eq!(made.cert_der(), found.cert_der());
    assert_eq!(made.subject(), found.subject());
    assert_eq!(made.not_after(), found.not_after());
    assert_eq!(
        (mode(&folder), mode(&folder.join("ca-key.pem")), mode(made.cert_path())),
        (0o700, 0o600, 0o644)
    );
    assert_eq!(fs::read(found.cert_path()).unwrap(), found.export(Format::Pem));
}

// covers: B7
#[test]
fn the_certificate_is_a_ca_of_this_installation_only() {
    let parent = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(&parent.path().join("one")).unwrap();
    let other = Authority::load_or_create(&parent.path().join("two")).unwrap();
    assert_ne!(authority.subject(), other.subject());

    let der = authority.export(Format::Der);
    let (rest, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(rest.is_empty());
    let subject = certificate.subject().to_string();
    let suffix = authority.subject().strip_prefix("onceward CA ").unwrap();
    assert_eq!(suffix.len(), 8);
    assert_eq!(subject, format!("O=onceward, CN=onceward CA {suffix}"));

    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());

    let year = Duration::from_hours(365 * 24);
    let now = SystemTime::now();
    assert!(authority.not_after() > now + 9 * year && authority.not_after() <= now + 10 * year);
    let age = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed()
        - certificate.validity().not_before.timestamp();
    assert!((86_400..86_460).contains(&age), "{age}");

    let digest = Sha256::digest(certificate.tbs_certificate.subject_pki.raw);
    let spki = base64::engine::general_purpose::STANDARD.encode(digest);
    assert_eq!(authority.spki_sha256_base64(), spki);
    assert_eq!(authority.fingerprint().len(), 32 * 3 - 1);
}

// covers: B7
#[test]
fn each_client_is_told_how_to_trust() {
    let parent = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(&parent.path().join("it's")).unwrap();
    let path = authority.cert_path().display().to_string().replace('\'', r"'\''");
    let lines: Vec<String> = authority.trust_steps().into_iter().map(|step| step.line).collect();
    let expected = [
        format!("--ignore-certificate-errors-spki-list={}", authority.spki_sha256_base64()),
        format!("export NODE_EXTRA_CA_CERTS='{path}'"),
        format!("export SSL_CERT_FILE='{path}'"),
        format!("export REQUESTS_CA_BUNDLE='{path}'"),
        format!("certutil -d sql:\"$HOME/.pki/nssdb\" -A -t C,, -n '{}' -i '{path}'", authority.subject()),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn processes_that_start_at_once_share_one_authority() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("ca");
    // Each thread locks a file of its own opening, as a process would.
    let certificates: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| Authority::load_or_create(&folder))).collect();
        starts.into_iter().map(|start| start.join().unwrap().unwrap().export(Format::Der)).collect()
    });
    assert!(certificates.iter().all(|certificate| *certificate == certificates[0]));
}

// covers: B7
#[test]
fn a_key_that_others_may_read_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("ca");
    Authority::load_or_create(&folder).unwrap();
    let key = folder.join("ca-key.pem");
    set_mode(&key, 0o644);
    let error = Authority::load_or_create(&folder).unwrap_err();
    assert!(
        matches!(&error, CaError::Exposed { path, mode: 0o644, wanted: 0o600 } if *path == key),
        "{error}"
    );

    set_mode(&key, 0o600);
    set_mode(&folder, 0o777);
    let error = Authority::load_or_create(&folder).unwrap_err();
    assert!(
        matches!(&error, CaError::Exposed { path, mode: 0o777, wanted: 0o700 } if *path == folder),
        "{error}"
    );
}

#[test]
fn what_a_crash_leaves_is_completed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("ca");
    let before = Authority::load_or_create(&folder).unwrap();
    fs::remove_file(before.cert_path()).unwrap();
    fs::write(folder.join("ca-cert.tmp"), "-----BEGIN").unwrap();

    let after = Authority::load_or_create(&folder).unwrap();
    assert_eq!(after.spki_sha256_base64(), before.spki_sha256_base64());
    assert!(!folder.join("ca-cert.tmp").exists());
}

#[test]
fn a_pair_that_does_not_fit_is_diagnosed() {
    let parent = tempfile::tempdir().unwrap();
    let (one, two) = (parent.path().join("one"), parent.path().join("two"));
    Authority::load_or_create(&one).unwrap();
    Authority::load_or_create(&two).unwrap();
    let (key, certificate) = (one.join("ca-key.pem"), one.join("ca-cert.pem"));

    fs::copy(two.join("ca-cert.pem"), &certificate).unwrap();
    let error = Authority::load_or_create(&one).unwrap_err();
    assert!(matches!(&error, CaError::Mismatch { certificate: path } if *path == certificate), "{error}");

    fs::write(&certificate, "no certificate").unwrap();
    let error = Authority::load_or_create(&one).unwrap_err();
    assert!(matches!(&error, CaError::Certificate { path, .. } if *path == certificate), "{error}");

    fs::write(&key, "no key").unwrap();
    let error = Authority::load_or_create(&one).unwrap_err();
    assert!(matches!(&error, CaError::Key { path, .. } if *path == key), "{error}");

    fs::remove_file(&key).unwrap();
    let error = Authority::load_or_create(&one).unwrap_err();
    assert!(matches!(&error, CaError::KeyMissing { certificate: path } if *path == certificate), "{error}");
}
