//! Which servers a URL names.

use std::fmt;

use redis::{
    Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult, TlsCertificates,
    io::tcp::TcpSettings,
};

use crate::url::percent_decoded;

/// The port of a server where the URL has none.
const PORT: u16 = 6379;

/// The port of a Sentinel where the URL has none.
const SENTINEL_PORT: u16 = 26379;

/// One server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    pub(super) fn parse(text: &str, port: u16) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if rest.is_empty() => port,
            None => return None,
        };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }

    /// Reads where a redirection of a Cluster leads: `host:port`, an IPv6 address without its brackets; without a host, where `from`
    /// is.
    pub(super) fn redirected(target: &str, from: &Self) -> Option<Self> {
        let (host, port) = target.rsplit_once(':')?;
        let host = if host.is_empty() || host == "?" { &from.host } else { host };
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// On one server.
    Alone(Address),
    /// On the master that Sentinels name so.
    Sentinel { sentinels: Vec<Address>, master: String },
    /// On the masters of a Cluster, of which these are some servers.
    Cluster { seeds: Vec<Address> },
}

/// How servers are entered.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
    pub(super) tls: bool,
    /// Certificates of the authority that the servers' certificates are from, in PEM; the system's where there are none.
    pub(super) authority_pem: Option<Vec<u8>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, password: _, database, tls, authority_pem: _ } = self;
        f.debug_struct("Access")
            .field("user", user)
            .field("database", database)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// A client of one server.
    pub(super) fn client(&self, address: &Address) -> RedisResult<Client> {
        let Address { host, port } = address.clone();
        let place = match self.tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let place = place.into_connection_info()?;
        let place =
            place.set_redis_settings(login).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        match &self.authority_pem {
            Some(authority_pem) if self.tls => {
                let root_cert = Some(authority_pem.clone());
                Client::build_with_tls(place, TlsCertificates { client_tls: None, root_cert })
            }
            Some(_) | None => Client::open(place),
        }
    }

    /// The same without a login: Sentinels often have none of their own.
    pub(super) fn without_login(&self) -> Self {
        Self { user: None, password: None, database: 0, ..self.clone() }
    }
}

/// Reads `redis://`, `redis+sentinel://` and `redis-cluster://`, with `rediss` for TLS.
///
/// # Errors
/// With what is wrong. It never says what the URL holds: there may be a password in it.
pub(super) fn parse(url: &str) -> Result<(Target, Access), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let (tls, kind) = match scheme {
        "redis" => (false, Kind::Alone),
        "rediss" => (true, Kind::Alone),
        "redis+sentinel" => (false, Kind::Sentinel),
        "rediss+sentinel" => (true, Kind::Sentinel),
        "redis-cluster" => (false, Kind::Cluster),
        "rediss-cluster" => (true, Kind::Cluster),
        _ => return Err("its scheme is none of redis, rediss, redis+sentinel, redis-cluster"),
    };
    if rest.contains(['?', '#']) {
        return Err("it has a query or a fragment");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
    let (user, password) = match login {
        None => (None, None),
        Some(login) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let plain =
                |text: &str| percent_decoded(text).ok_or("its user or password is not percent-encoded");
            (
                Some(plain(user)?).filter(|user| !user.is_empty()),
                Some(plain(password)?).filter(|word| !word.is_empty()),
            )
        }
    };
    let port = if kind == Kind::Sentinel { SENTINEL_PORT } else { PORT };
    let servers = hosts.split(',').map(|host| Address::parse(host, port)).collect::<Option<Vec<_>>>();
    let servers = servers.ok_or("a host or a port in it cannot be read")?;
    let (master, database) = match kind {
        Kind::Sentinel => path.split_once('/').unwrap_or((path, "")),
        Kind::Alone | Kind::Cluster => ("", path),
    };
    let database = if database.is_empty() { Ok(0) } else { database.parse() };
    let Ok(database) = database else { return Err("its database is not a number") };
    let target = match (kind, servers.as_slice()) {
        (Kind::Alone, [server]) => Target::Alone(server.clone()),
        (Kind::Alone, _) => return Err("it names several servers: use redis+sentinel or redis-cluster"),
        (Kind::Sentinel, _) if master.is_empty() => {
            return Err("it does not name the master: end it with /NAME");
        }
        (Kind::Sentinel, _) => Target::Sentinel { sentinels: servers, master: master.to_owned() },
        (Kind::Cluster, _) if database != 0 => return Err("a Cluster has no other database than 0"),
        (Kind::Cluster, _) => Target::Cluster { seeds: servers },
    };
    Ok((target, Access { user, password, database, tls, authority_pem: None }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Alone,
    Sentinel,
    Cluster,
}

#[cfg(test)]
mod tests {
    use super::{Access, Address, Target, parse};

    fn at(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    fn open(tls: bool) -> Access {
        Access { user: None, password: None, database: 0, tls, authority_pem: None }
    }

    #[test]
    fn each_kind_of_url_names_its_servers() {
        let named = |user: &str, password: &str| Access {
            user: Some(user.to_owned()),
            password: Some(password.to_owned()),
            ..open(false)
        };
        let rows = [
            ("redis://localhost", Target::Alone(at("localhost", 6379)), open(false)),
            ("rediss://[::1]:7000/3", Target::Alone(at("::1", 7000)), Access { database: 3, ..open(true) }),
            ("redis://shop:p%40ss%3A@db:1", Target::Alone(at("db", 1)), named("shop", "p@ss:")),
            (
                "redis://:word@db",
                Target::Alone(at("db", 6379)),
                Access { password: Some("word".to_owned()), ..open(false) },
            ),
            (
                "redis+sentinel://a,b:7,c/orders/2",
                Target::Sentinel {
                    sentinels: vec![at("a", 26379), at("b", 7), at("c", 26379)],
                    master: "orders".to_owned(),
                },
                Access { database: 2, ..open(false) },
            ),
            (
                "rediss-cluster://a,b:7",
                Target::Cluster { seeds: vec![at("a", 6379), at("b", 7)] },
                open(true),
            ),
        ];
        for (url, target, access) in rows {
            assert_eq!(parse(url), Ok((target, access)), "{url}");
        }
    }

    // covers: K6
    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        let wrong = [
            "shop:secret@db",
            "http://shop:secret@db",
            "redis://shop:secret@a,b",
            "redis://shop:secret@db:port",
            "redis://shop:se%cret@db",
            "redis+sentinel://shop:secret@a,b",
            "redis-cluster://shop:secret@a/1",
            "redis://shop:secret@db/x",
            "redis://shop:secret@db?x=1",
        ];
        for url in wrong {
            let error = parse(url).expect_err("refused");
            assert!(!error.contains("secret"), "{error}");
        }
        let (_, access) = parse("redis://shop:secret@db").expect("read");
        assert!(!format!("{access:?}").contains("secret"));
    }

    #[test]
    fn a_redirection_without_a_host_stays_on_it() {
        let from = at("db", 7000);
        assert_eq!(Address::redirected(":7001", &from), Some(at("db", 7001)));
        assert_eq!(Address::redirected("fd00::1:7001", &from), Some(at("fd00::1", 7001)));
        assert_eq!(Address::redirected("", &from), None);
    }
}
