//! Every setting, declared once: its flag, its variable, its place in the file, its default and its help.

/// One setting.
pub(crate) struct Spec {
    /// Section and name in `onceward.toml`.
    pub(crate) key: &'static str,
    /// The flag without its dashes; its id in clap and, upper-case behind `ONCEWARD_`, its variable.
    pub(crate) flag: &'static str,
    /// What stands behind the flag in help.
    pub(crate) value_name: &'static str,
    /// The default, where it does not depend on the machine.
    pub(crate) default: Option<&'static str>,
    /// One line of help.
    pub(crate) help: &'static str,
    /// Which commands take it.
    pub(crate) taken_by: TakenBy,
}

/// Which commands take a setting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenBy {
    /// Every command that touches a store.
    All,
    /// The forward proxy, and the commands about its authority.
    Authority,
    /// The forward proxy alone.
    Proxy,
}

const fn spec(
    key: &'static str,
    flag: &'static str,
    value_name: &'static str,
    default: Option<&'static str>,
    taken_by: TakenBy,
    help: &'static str,
) -> Spec {
    Spec { key, flag, value_name, default, help, taken_by }
}

/// All settings, in the order of the file.
pub(crate) const SPECS: &[Spec] = &[
    spec(
        "store.url",
        "store",
        "URL",
        None,
        TakenBy::All,
        "Where records are kept: sqlite:PATH or memory: [default: a file in the state directory]",
    ),
    spec(
        "store.durability",
        "durability",
        "power|process",
        Some("power"),
        TakenBy::All,
        "What an acknowledged record survives: the loss of power, or only the death of the process",
    ),
    spec(
        "store.secret_file",
        "secret-file",
        "FILE",
        None,
        TakenBy::All,
        "The deployment's secret, made at first use [default: `secret` in the state directory]",
    ),
    spec(
        "policy.retention",
        "retention",
        "TIME",
        Some("24h"),
        TakenBy::Proxy,
        "How long an answer is kept for replays",
    ),
    spec(
        "policy.remember",
        "remember",
        "TIME",
        Some("400d"),
        TakenBy::Proxy,
        "How long a key is remembered after its answer went",
    ),
    spec(
        "policy.wait",
        "wait",
        "TIME",
        Some("60s"),
        TakenBy::Proxy,
        "How long a duplicate waits for the first request's answer",
    ),
    spec(
        "policy.run_time_max",
        "run-time-max",
        "TIME",
        Some("15m"),
        TakenBy::Proxy,
        "How long a guarded request may take before its outcome counts as unknown",
    ),
    spec(
        "policy.lease",
        "lease",
        "TIME",
        Some("15s"),
        TakenBy::Proxy,
        "How long a claim holds without being renewed",
    ),
    spec(
        "policy.outcome_bytes_max",
        "outcome-bytes-max",
        "BYTES",
        Some("1048576"),
        TakenBy::Proxy,
        "How many bytes of an answer are kept; larger ones pass and are not replayed",
    ),
    spec(
        "policy.request_bytes_max",
        "request-bytes-max",
        "BYTES",
        Some("16777216"),
        TakenBy::Proxy,
        "How many bytes a guarded request may have",
    ),
    spec(
        "proxy.listen",
        "listen",
        "ADDR",
        Some("127.0.0.1:8473"),
        TakenBy::Proxy,
        "Where the proxy listens; port 0 takes a free one",
    ),
    spec(
        "proxy.intercept",
        "intercept",
        "all|none|HOST,…",
        Some("all"),
        TakenBy::Proxy,
        "Which hosts' TLS is decrypted; `*.shop.example` stands for all names under it",
    ),
    spec(
        "proxy.tunnel",
        "tunnel",
        "HOST,…",
        Some(""),
        TakenBy::Proxy,
        "Hosts whose TLS is never decrypted, such as ones that pin their certificate",
    ),
    spec(
        "proxy.ca_dir",
        "ca-dir",
        "DIR",
        None,
        TakenBy::Authority,
        "Where the certificate authority lives [default: `ca` in the state directory]",
    ),
    spec(
        "proxy.upstream_proxy",
        "upstream-proxy",
        "URL",
        Some(""),
        TakenBy::Proxy,
        "The proxy that connections to sites go through",
    ),
    spec(
        "proxy.no_proxy",
        "no-proxy",
        "HOST,…",
        Some(""),
        TakenBy::Proxy,
        "Hosts that are dialled directly in spite of --upstream-proxy",
    ),
    spec(
        "proxy.upstream_ca",
        "upstream-ca",
        "FILE",
        Some(""),
        TakenBy::Proxy,
        "Certificates (PEM) that sites may be issued under, beside those that the system trusts",
    ),
    spec(
        "proxy.upstream_insecure",
        "upstream-insecure",
        "true|false",
        Some("false"),
        TakenBy::Proxy,
        "Accept any certificate from sites; whoever sits in between can then read and change everything",
    ),
    spec(
        "proxy.allow_private",
        "allow-private",
        "true|false",
        None,
        TakenBy::Proxy,
        "Dial loopback and private addresses [default: only when listening on a loopback address]",
    ),
    spec(
        "control.listen",
        "control",
        "ADDR",
        Some(""),
        TakenBy::Proxy,
        "Where the control API, /readyz and /metrics listen, beside the socket next to the store",
    ),
    spec(
        "control.token_file",
        "control-token-file",
        "FILE",
        None,
        TakenBy::Proxy,
        "The token of the control API, made at first use [default: `control-token` in the state directory]",
    ),
    spec(
        "drain.patience",
        "drain-patience",
        "TIME",
        Some("20s"),
        TakenBy::Proxy,
        "How long requests under way may take after SIGTERM",
    ),
];
