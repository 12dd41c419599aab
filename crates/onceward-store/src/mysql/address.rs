//! The URL of a database: whom it names, how the way there is secured, and how it is written without its password.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};

use super::open_error::MysqlError;

/// After how long of silence the system asks whether the server's machine is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);

/// Where the database is.
#[derive(Clone)]
pub(super) struct Address {
    opts: Opts,
    database: String,
}

/// How the way to the server is secured: the words of MySQL's own clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    /// Not at all.
    Disabled,
    /// Encrypted; anyone may be at the other end.
    Required,
    /// Encrypted; the certificate is one that the authority signed, for whatever name.
    VerifyCa,
    /// Encrypted; the certificate is the named server's.
    VerifyIdentity,
}

/// What stands behind the URL's question mark.
#[derive(Debug, Default)]
struct Parameters {
    tls: Option<Tls>,
    authority: Option<PathBuf>,
    certificate: Option<PathBuf>,
    private_key: Option<PathBuf>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&format_args!("{self}")).finish()
    }
}

impl fmt::Display for Address {
    /// Without the password, and without the user's name: it tells nobody where the database is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mysql://{}:{}/{}", self.opts.ip_or_hostname(), self.opts.tcp_port(), self.database)
    }
}

impl Address {
    /// Reads `mysql://user:password@host:port/database?ssl-mode=..&ssl-ca=..&ssl-cert=..&ssl-key=..`.
    pub(super) fn parse(url: &str) -> Result<Self, MysqlError> {
        let refused = |reason: String| MysqlError::Url { reason };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        // MariaDB's own scheme is its name.
        let base =
            base.strip_prefix("mariadb://").map_or_else(|| base.to_owned(), |rest| format!("mysql://{rest}"));
        let parameters = Parameters::parse(query)?;
        // The driver's text names a scheme or a part of the URL at the most, and no part that holds the password.
        let opts = Opts::from_url(&base).map_err(|error| refused(error.to_string()))?;
        let Some(database) = opts.db_name().map(str::to_owned) else {
            return Err(refused(
                "it names no database; write mysql://user:password@host:3306/database".to_owned(),
            ));
        };
        let tls = parameters.tls.unwrap_or(if is_local(opts.ip_or_hostname()) {
            Tls::Disabled
        } else {
            Tls::VerifyIdentity
        });
        let opts = OptsBuilder::from_opts(opts)
            // A server must not name a path on this machine to go on with.
            .prefer_socket(Some(false))
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE_TIME))
            .client_found_rows(true)
            .stmt_cache_size(Some(0))
            .ssl_opts(parameters.ssl_opts(tls)?);
        Ok(Self { opts: opts.into(), database })
    }

    pub(super) fn opts(&self) -> Opts {
        self.opts.clone()
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }
}

/// Whether the way there does not leave this machine. The driver's own test takes addresses for names.
fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, MysqlError> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "ssl-mode" => parameters.tls = Some(Tls::parse(&value)?),
                "ssl-ca" => parameters.authority = Some(PathBuf::from(value.as_ref())),
                "ssl-cert" => parameters.certificate = Some(PathBuf::from(value.as_ref())),
                "ssl-key" => parameters.private_key = Some(PathBuf::from(value.as_ref())),
                _ => {
                    let reason = format!(
                        "it has a parameter {name:?}; known are ssl-mode, ssl-ca, ssl-cert and ssl-key"
                    );
                    return Err(MysqlError::Url { reason });
                }
            }
        }
        Ok(parameters)
    }

    fn ssl_opts(self, tls: Tls) -> Result<Option<SslOpts>, MysqlError> {
        let refused = |reason: &str| MysqlError::Url { reason: reason.to_owned() };
        if tls == Tls::Disabled {
            let unused = self.authority.is_none() && self.certificate.is_none() && self.private_key.is_none();
            return if unused {
                Ok(None)
            } else {
                Err(refused("ssl-mode=DISABLED leaves the certificates unused"))
            };
        }
        let identity = match (self.certificate, self.private_key) {
            (Some(certificate), Some(key)) => Some(ClientIdentity::new(certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(refused("ssl-cert and ssl-key go together")),
        };
        let opts = SslOpts::default()
            .with_client_identity(identity)
            // An authority that is named is the only one.
            .with_disable_built_in_roots(self.authority.is_some())
            .with_root_certs(self.authority.into_iter().map(Into::into).collect())
            .with_danger_accept_invalid_certs(tls == Tls::Required)
            .with_danger_skip_domain_validation(tls != Tls::VerifyIdentity);
        Ok(Some(opts))
    }
}

impl Tls {
    fn parse(word: &str) -> Result<Self, MysqlError> {
        match word.to_ascii_uppercase().as_str() {
            "DISABLED" => Ok(Self::Disabled),
            "REQUIRED" => Ok(Self::Required),
            "VERIFY_CA" => Ok(Self::VerifyCa),
            "VERIFY_IDENTITY" => Ok(Self::VerifyIdentity),
            // PREFERRED would fall back to plain text for whoever stands between.
            _ => Err(MysqlError::Url {
                reason: format!(
                    "ssl-mode={word} is not one of DISABLED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY (the default beyond loopback)"
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssl(url: &str) -> Option<(bool, bool, bool, usize)> {
        let address = Address::parse(url).expect("a sound URL");
        address.opts.ssl_opts().map(|ssl| {
            let roots = ssl.root_certs().len();
            (ssl.accept_invalid_certs(), ssl.skip_domain_validation(), ssl.disable_built_in_roots(), roots)
        })
    }

    #[test]
    fn a_way_that_leaves_the_machine_is_verified_unless_it_says_otherwise() {
        assert_eq!(ssl("mysql://u:p@127.0.0.1/d"), None);
        assert_eq!(ssl("mysql://u:p@db.example/d"), Some((false, false, false, 0)));
        assert_eq!(ssl("mariadb://u:p@db.example/d?ssl-ca=%2Fca.pem"), Some((false, false, true, 1)));
        assert_eq!(
            ssl("mysql://u:p@db.example/d?ssl-mode=VERIFY_CA&ssl-ca=ca"),
            Some((false, true, true, 1))
        );
        assert_eq!(ssl("mysql://u:p@db.example/d?ssl-mode=required"), Some((true, true, false, 0)));
        assert_eq!(ssl("mysql://u:p@db.example/d?ssl-mode=DISABLED"), None);
    }

    // covers: K6
    #[test]
    fn a_password_is_in_no_text() {
        let secret = "s3cr3t-w0rd";
        let address =
            Address::parse(&format!("mysql://user:{secret}@db.example:3307/shop")).expect("a sound URL");
        assert_eq!(address.to_string(), "mysql://db.example:3307/shop");
        assert_eq!(format!("{address:?}"), "Address(mysql://db.example:3307/shop)");
        let wrong = [
            format!("postgres://user:{secret}@db.example/shop"),
            format!("mysql://user:{secret}@db.example:port/shop"),
            format!("mysql://user:{secret}@db.example/shop?ssl-mode=PREFERRED"),
            format!("mysql://user:{secret}@db.example/shop?pool_max=3"),
            format!("mysql://user:{secret}@db.example"),
            format!("mysql://user:{secret}@db.example/shop?ssl-cert=a"),
            format!("user:{secret}@db.example/shop"),
        ];
        for url in wrong {
            let error = Address::parse(&url).expect_err(&url);
            assert!(!format!("{error:?} {error}").contains(secret), "{error:?}");
        }
    }
}
