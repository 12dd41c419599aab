//! Whose traffic a request is.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::PROXY_AUTHORIZATION;

/// One browser or agent: the actor of its requests.
///
/// A listener is a session; proxy credentials name another one by their user name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Session(Arc<str>);

impl Session {
    /// The session of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name by which the control API knows the session.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A user name may be a credential, so it stays out of logs.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}

/// User name and password of a `Proxy-Authorization` field (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// The user name, never empty.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, which may be empty. To be compared in constant time.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Reads the field, if there is one.
    fn read(headers: &HeaderMap) -> Result<Option<Self>, Unreadable> {
        let mut fields = headers.get_all(PROXY_AUTHORIZATION).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(Unreadable);
        }
        Self::parse(field.as_bytes()).map(Some).ok_or(Unreadable)
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let (scheme, token) = std::str::from_utf8(field).ok()?.split_once(' ')?;
        let pair = BASE64.decode(token.trim_ascii()).ok()?;
        let (user, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        let is_usable = scheme.eq_ignore_ascii_case("basic") && !user.is_empty();
        is_usable.then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Decides whether credentials are good.
pub type CredentialsCheck = Arc<dyn Fn(&Credentials) -> bool + Send + Sync>;

/// Who may use a listener.
#[derive(Clone)]
pub enum Access {
    /// Anyone who reaches it. Credentials are optional and only name a session.
    Open,
    /// Only requests with credentials that pass the check.
    Checked(CredentialsCheck),
}

impl Access {
    /// The session of a request with these fields, on a listener that is `own`.
    ///
    /// Credentials that cannot be read are refused, never taken for none: their sender's records would be shared with
    /// whoever sends none.
    pub(crate) fn session(&self, headers: &HeaderMap, own: &Session) -> Result<Session, AccessDenied> {
        match (Credentials::read(headers), self) {
            (Err(Unreadable), _) => Err(AccessDenied::Unreadable),
            (Ok(None), Self::Open) => Ok(own.clone()),
            (Ok(None), Self::Checked(_)) => Err(AccessDenied::Missing),
            (Ok(Some(credentials)), Self::Checked(check)) if !check(&credentials) => Err(AccessDenied::Wrong),
            (Ok(Some(credentials)), _) => Ok(Session::new(credentials.user())),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Checked(_) => "Checked(..)",
        })
    }
}

struct Unreadable;

/// Why a request has no session; answered 407.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessDenied {
    #[error("proxy credentials are needed")]
    Missing,
    #[error("the proxy credentials are not one readable Basic field")]
    Unreadable,
    #[error("the proxy credentials are wrong")]
    Wrong,
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn fields(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (PROXY_AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    // covers: B1
    #[test]
    fn credentials_name_a_session() {
        let own = Session::new("own");
        // "agent:" and "agent:pass" in Base64.
        for value in ["Basic YWdlbnQ6", "basic YWdlbnQ6cGFzcw=="] {
            assert_eq!(Access::Open.session(&fields(&[value]), &own), Ok(Session::new("agent")), "{value}");
        }
        assert_eq!(Access::Open.session(&HeaderMap::new(), &own), Ok(own));
    }

    // covers: K4
    #[test]
    fn credentials_that_cannot_be_read_are_refused() {
        let own = Session::new("own");
        let cases: [&[&'static str]; 6] = [
            &["Bearer abc"],
            &["Basic"],
            &["Basic ???"],
            &["Basic YWdlbnQ="],
            &["Basic OnBhc3M="],
            &["Basic YWdlbnQ6", "Basic YWdlbnQ6"],
        ];
        for case in cases {
            let denied = Access::Open.session(&fields(case), &own);
            assert_eq!(denied, Err(AccessDenied::Unreadable), "{case:?}");
        }
    }

    #[test]
    fn a_checked_listener_wants_good_credentials() {
        let own = Session::new("own");
        let access = Access::Checked(Arc::new(|credentials| credentials.password() == "pass"));
        assert_eq!(access.session(&HeaderMap::new(), &own), Err(AccessDenied::Missing));
        assert_eq!(access.session(&fields(&["Basic YWdlbnQ6"]), &own), Err(AccessDenied::Wrong));
        let good = access.session(&fields(&["Basic YWdlbnQ6cGFzcw=="]), &own);
        assert_eq!(good, Ok(Session::new("agent")));
    }
}
