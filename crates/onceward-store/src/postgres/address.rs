//! Where the server is, as whom it is asked, and how the way there is secured: what a URL says.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Roots, TlsError, Trust};
use crate::url::percent_decoded;

/// Until a connection stands. Far above any round trip, and short enough that a fail-over is not spent waiting for the dead.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);

/// Idle time before the system asks whether the other end is still there; 2 h by default.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// How long sent bytes may stay unacknowledged by the other end's system.
const UNACKNOWLEDGED_TIME_MAX: Duration = Duration::from_secs(15);

/// Why a URL is not used. Neither says anything of the URL but the names of its options, since it may hold a password.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddressError {
    #[error("the URL is not one of Postgres: write postgres://user@host:5432/database?sslmode=verify-full")]
    Url,
    #[error("the URL's sslmode is {0:?}: use disable, prefer, require or verify-full")]
    SslMode(String),
    #[error("the server's certificate cannot be checked")]
    Tls(#[from] TlsError),
}

/// A server, or several of which one takes writes.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// `host:port/database`, for messages.
    pub(super) place: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("place", &self.place).finish_non_exhaustive()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(AddressError::Url);
        }
        let (base, options) = url.split_once('?').unwrap_or((url, ""));
        let (mut ssl_mode, mut roots, mut rest) = ("prefer", Roots::System, Vec::new());
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = mode,
                Some(("sslrootcert", "system")) => roots = Roots::System,
                Some(("sslrootcert", path)) => {
                    let path = percent_decoded(path).ok_or(AddressError::Url)?;
                    roots = Roots::File(PathBuf::from(path));
                }
                Some(_) | None => rest.push(option),
            }
        }
        // The driver's own errors may quote the URL.
        let parsed = Config::from_str(&format!("{base}?{}", rest.join("&")));
        let mut config = parsed.ok().ok_or(AddressError::Url)?;
        let (mode, trust) = match ssl_mode {
            "disable" => (SslMode::Disable, Trust::Anyone),
            "prefer" => (SslMode::Prefer, Trust::Anyone),
            "require" => (SslMode::Require, Trust::Anyone),
            "verify-full" => (SslMode::Require, Trust::Certified(roots)),
            other => return Err(AddressError::SslMode(other.to_owned())),
        };
        config.ssl_mode(mode);
        settle(&mut config);
        let place = place(&config);
        Ok(Self { tls: tls::connector(&trust)?, place, config })
    }
}

/// Sets what the URL leaves open.
fn settle(config: &mut Config) {
    if config.get_application_name().is_none() {
        config.application_name("onceward");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIME_MAX);
    }
    config.keepalives_idle(KEEPALIVE_IDLE);
    config.tcp_user_timeout(UNACKNOWLEDGED_TIME_MAX);
    // One host is asked what it is, so that a replica is called a replica. Of several, the one is looked for that takes writes.
    if config.get_hosts().len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(number, host)| {
        let port = ports.get(number).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    format!("{}/{}", hosts.collect::<Vec<_>>().join(","), config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        url.parse::<Address>().expect_err("refused").to_string()
    }

    #[test]
    fn a_place_names_hosts_and_database_and_no_secret() {
        let address: Address =
            "postgres://ann:hidden@one:1111,two:2222/orders?sslmode=disable".parse().expect("a URL");
        assert_eq!(address.place, "one:1111,two:2222/orders");
        assert_eq!(format!("{address:?}"), r#"Address { place: "one:1111,two:2222/orders", .. }"#);
        assert_eq!(address.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    }

    // covers: K6
    #[test]
    fn a_refused_url_is_not_quoted() {
        let refused = [
            "postgres://ann:hidden@host:nan/orders",
            "postgres://ann:hidden@host/orders?hidden=1",
            "ann:hidden@host",
        ];
        for url in refused {
            assert!(refusal(url).starts_with("the URL is not one of Postgres"), "{url}");
        }
        assert_eq!(
            refusal("postgres://host/orders?sslmode=verify"),
            r#"the URL's sslmode is "verify": use disable, prefer, require or verify-full"#
        );
    }

    #[test]
    fn a_missing_certificate_file_is_named() {
        let error = "postgres://host/orders?sslmode=verify-full&sslrootcert=%2Fno%2Fca.pem"
            .parse::<Address>()
            .expect_err("refused");
        let cause = std::error::Error::source(&error).expect("a cause");
        assert_eq!(cause.to_string(), "could not read certificates from /no/ca.pem");
    }
}
