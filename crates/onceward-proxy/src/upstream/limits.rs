//! The limits of the upstream side, each with its unit and reason.

use std::time::Duration;

/// Names and routes that answer at all do so within 3 s (one lost SYN costs 1 s, two cost 3 s); 10 s leaves
/// room for a second address.
const CONNECT: Duration = Duration::from_secs(10);

/// Two round trips and a certificate check; slower than this is a stalled peer.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// The upstream proxy resolves and dials within its own answer to CONNECT, so it gets what we give ourselves.
const PROXY_HANDSHAKE: Duration = Duration::from_secs(10);

/// Node.js and Apache close an idle connection after 5 s: leaving earlier keeps requests out of the race
/// between our write and their close, which nothing could tell from a lost answer.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// No server in use closes an idle connection this early (gunicorn's 2 s is the shortest default known), so that a
/// write taken to such a connection meets only the close of a server that stops. Its answer is a 502 then, and it is
/// never sent again.
const POOL_IDLE_UNSAFE: Duration = Duration::from_secs(1);

/// As many as a busy gateway has requests under way: with fewer, some of its clients would dial for each request.
/// Only connections that were in use within the last seconds are among them.
const IDLE_PER_ORIGIN_MAX: usize = 256;

/// Guarded requests are a person's or an agent's writes, never a page's worth of them. The cap keeps a burst
/// from using up file descriptors (1,024 is a common limit) and ephemeral ports (28,000 on Linux, each held
/// for a minute after its close).
const FRESH_CONNECTIONS_MAX: usize = 256;

/// As long as a connect may take: a burst drains by then, or the origin hangs.
const FRESH_WAIT: Duration = Duration::from_secs(10);

/// Limits of the connections that an [`Upstream`](super::Upstream) makes.
///
/// There is no limit on how long an unguarded response head may take: long polls are legitimate, and the
/// client that leaves ends its request. Guarded requests carry their caller's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Name resolution and TCP connect together, over all addresses of the name.
    pub connect: Duration,
    /// One TLS handshake.
    pub tls_handshake: Duration,
    /// TLS with the upstream proxy, and as much again for its answer to CONNECT.
    pub proxy_handshake: Duration,
    /// How long an unused pooled connection is kept.
    pub pool_idle: Duration,
    /// How long a pooled HTTP/1.1 connection may have been unused and still take a request that is not safe.
    pub pool_idle_unsafe: Duration,
    /// Unused HTTP/1.1 connections kept to one origin, in number, by each worker; as many again for plain requests.
    pub idle_per_origin_max: usize,
    /// Simultaneous connections of guarded requests, in number.
    pub fresh_connections_max: usize,
    /// How long a guarded request waits for one of them.
    pub fresh_wait: Duration,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            connect: CONNECT,
            tls_handshake: TLS_HANDSHAKE,
            proxy_handshake: PROXY_HANDSHAKE,
            pool_idle: POOL_IDLE,
            pool_idle_unsafe: POOL_IDLE_UNSAFE,
            idle_per_origin_max: IDLE_PER_ORIGIN_MAX,
            fresh_connections_max: FRESH_CONNECTIONS_MAX,
            fresh_wait: FRESH_WAIT,
        }
    }
}
