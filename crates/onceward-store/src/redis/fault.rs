//! What a failure of the server or of the way to it proves.

use redis::{RedisError, ServerError};

use crate::{port::StoreError, shared::backend::Swapped};

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// Whether it is proven that nothing of the call happened.
    pub(super) nothing_happened: bool,
    /// A fixed text.
    pub(super) reason: &'static str,
    pub(super) source: Option<RedisError>,
}

impl Fault {
    /// Nothing happened.
    pub(super) const fn unavailable(reason: &'static str) -> Self {
        Self { nothing_happened: true, reason, source: None }
    }

    /// It may have happened.
    pub(super) const fn unknown(reason: &'static str) -> Self {
        Self { nothing_happened: false, reason, source: None }
    }

    pub(super) fn because(self, source: RedisError) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The answer to one swap among others.
    pub(super) fn swapped(&self) -> Swapped {
        let reason = self.reason;
        if self.nothing_happened { Swapped::Unavailable { reason } } else { Swapped::Unknown { reason } }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let Fault { nothing_happened, reason, source } = fault;
        let source = source.map(|source| Box::new(source) as Box<dyn std::error::Error + Send + Sync>);
        if nothing_happened { Self::Unavailable { reason, source } } else { Self::Unknown { reason, source } }
    }
}

/// What a server's refusal asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The slot is another server's.
    Moved(String),
    /// The slot is on its way to another server, and these keys are there already or new.
    Ask(String),
    /// The slot is on its way, and these keys are on both sides.
    TryAgain,
    /// The server does not know the script, so it did not run.
    NoScript,
    /// The server is not the master, under the reign, that the call was made for.
    Reign,
    /// The server does not serve this now. Nothing happened.
    Refused(&'static str),
    /// The server failed in the middle, for all that is known.
    Broken,
}

/// Codes that a server refuses with before the first write of a script: nothing happened.
const REFUSED: [(&str, &str); 12] = [
    ("OOM", "the server's memory is full"),
    ("READONLY", "the server is a replica"),
    ("LOADING", "the server is loading its data"),
    ("MASTERDOWN", "the server is a replica without its master"),
    ("CLUSTERDOWN", "the cluster does not serve this slot"),
    ("NOREPLICAS", "the server has too few replicas"),
    ("MISCONF", "the server cannot write to its disk"),
    ("BUSY", "the server is busy with a script"),
    ("NOAUTH", "the server wants a password"),
    ("NOPERM", "the user may not do this"),
    ("CROSSSLOT", "the server is of a cluster: name it by redis-cluster://"),
    ("UNKILLABLE", "the server is busy with a script"),
];

impl Refusal {
    pub(super) fn of(error: &ServerError) -> Self {
        let details = error.details().unwrap_or_default();
        let target = || details.split(' ').nth(1).unwrap_or_default().to_owned();
        match error.code() {
            "MOVED" => Self::Moved(target()),
            "ASK" => Self::Ask(target()),
            "TRYAGAIN" => Self::TryAgain,
            "NOSCRIPT" => Self::NoScript,
            "REIGN" => Self::Reign,
            // Before 7.0 a script's failing command is wrapped in an error of the script.
            "ERR" => REFUSED
                .iter()
                .find(|(code, _)| details.contains(&format!(": -{code} ")))
                .map_or(Self::Broken, |(_, reason)| Self::Refused(reason)),
            code => REFUSED
                .iter()
                .find(|(refused, _)| *refused == code)
                .map_or(Self::Broken, |(_, reason)| Self::Refused(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::Refusal;

    fn refusal(reply: &str) -> Refusal {
        match parse_redis_value(format!("-{reply}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => Refusal::of(&error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_says_what_it_proves() {
        let rows = [
            ("MOVED 12182 127.0.0.1:7002", Refusal::Moved("127.0.0.1:7002".to_owned())),
            ("ASK 12182 shop.example:7003", Refusal::Ask("shop.example:7003".to_owned())),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Refusal::TryAgain),
            ("NOSCRIPT No matching script.", Refusal::NoScript),
            ("REIGN another one", Refusal::Reign),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 0123, on @user_script:3.",
                Refusal::Refused("the server's memory is full"),
            ),
            (
                "ERR Error running script (call to f_0123): @user_script:3: @user_script: 3: -OOM command not allowed",
                Refusal::Refused("the server's memory is full"),
            ),
            (
                "READONLY You can't write against a read only replica.",
                Refusal::Refused("the server is a replica"),
            ),
            ("CLUSTERDOWN Hash slot not served", Refusal::Refused("the cluster does not serve this slot")),
            ("ERR value is not a valid float", Refusal::Broken),
            ("WRONGTYPE Operation against a key", Refusal::Broken),
        ];
        for (reply, expected) in rows {
            assert_eq!(refusal(reply), expected, "{reply}");
        }
    }
}
