//! How clients are told to trust the authority.

use super::Authority;

/// What to set or run for one kind of client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustStep {
    /// Whom the step is for.
    pub client: &'static str,
    /// The shell line: an assignment, a command or an argument.
    pub line: String,
}

/// `certutil` asks for a nickname; the subject is unique to the installation, so it serves.
pub(super) fn steps(authority: &Authority) -> Vec<TrustStep> {
    let path = shell_quoted(&authority.cert_path().display().to_string());
    let spki = authority.spki_sha256_base64();
    let nickname = shell_quoted(authority.subject());
    vec![
        TrustStep { client: "Chromium", line: format!("--ignore-certificate-errors-spki-list={spki}") },
        TrustStep { client: "Node.js", line: format!("export NODE_EXTRA_CA_CERTS={path}") },
        // Both variables replace the default bundle: they serve programs whose whole traffic passes the proxy.
        TrustStep { client: "Python (ssl)", line: format!("export SSL_CERT_FILE={path}") },
        TrustStep { client: "Python (requests)", line: format!("export REQUESTS_CA_BUNDLE={path}") },
        TrustStep {
            client: "NSS (Chromium and Firefox profiles)",
            line: format!("certutil -d sql:\"$HOME/.pki/nssdb\" -A -t C,, -n {nickname} -i {path}"),
        },
    ]
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
