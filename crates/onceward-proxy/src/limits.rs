//! The limits of the server side, each with its unit and reason.

use std::time::Duration;

/// A listener serves a handful of browsers; Chromium opens up to 32 connections to a proxy, and each needs one more to
/// its origin. 1,024 is what
/// some thirty browsers need.
const CONNECTIONS_MAX: usize = 1_024;

/// Enough to tell a burst of callers why they are refused; past it they wait in the listen queue.
const OVERFLOW_ANSWERS_MAX: usize = 64;

/// Chromium and nginx stop at 256 KiB and 32 KiB; sites with many cookies come near the latter.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A browser sends some 20 fields. Up to 100, hyper reads an HTTP/1 head without allocating for it.
const HEAD_FIELDS_MAX: usize = 100;

/// A head fits a few segments; a lost one is sent again within seconds.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Chromium drops an unused connection after 300 s. Closing later than the browser keeps its next POST out of the race
/// with our close, which would have it sent twice.
const IDLE_TIME: Duration = Duration::from_secs(330);

/// A client that shuts down its sending side after the request gets its answer if that comes within this time.
const HALF_CLOSE_TIME: Duration = Duration::from_secs(30);

/// A body that stands still for this long has no sender any more.
const BODY_IDLE_TIME: Duration = Duration::from_mins(2);

/// A client that takes nothing for this long is not reading.
const WRITE_STALL_TIME: Duration = Duration::from_mins(2);

/// How long unread input is taken in after an early answer: a close with input unread makes TCP discard the answer.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Two round trips on a slow link.
const TLS_HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// Hosts that a few agents visit between restarts; a leaf takes some 4 KiB.
const LEAVES_MAX: usize = 1_024;

/// Each tunnel was a connection before: the same number.
const TUNNELS_MAX: usize = 1_024;

/// As HAProxy's usual `timeout tunnel`: WebSockets and shells stay silent for long.
const TUNNEL_IDLE_TIME: Duration = Duration::from_hours(1);

/// A client that speaks first does so at once; after this, the server of the tunnel is asked too.
const TUNNEL_SILENCE_TIME: Duration = Duration::from_millis(500);

/// RFC 9113, section 6.5.2, recommends no fewer than 100.
const H2_STREAMS_MAX: u32 = 128;

/// Streams that a client resets before they were looked at (CVE-2023-44487).
const H2_RESETS_PENDING_MAX: usize = 20;

/// Finds clients that vanished without a close.
const H2_PING_INTERVAL: Duration = Duration::from_secs(60);

/// An answer to a ping takes a round trip.
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Short of the 30 s that service managers give before they kill.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Limits of the connections that a [`Server`](crate::server::Server) accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one listener at the same time, in number; the next are answered 503.
    pub connections_max: usize,
    /// Simultaneous 503 answers to connections past the maximum, in number; further ones are not accepted yet.
    pub overflow_answers_max: usize,
    /// One request head, and the trailer section of one body, in bytes; answered 431.
    pub head_bytes_max: usize,
    /// Fields of one request head, in number; answered 431.
    pub head_fields_max: usize,
    /// From the first byte of a head to its last; answered 400.
    pub head_time: Duration,
    /// How long a connection without a request is kept.
    pub idle_time: Duration,
    /// How long a request goes on whose client has closed its sending side.
    pub half_close_time: Duration,
    /// Between two pieces of a request body; the body ends in an error.
    pub body_idle_time: Duration,
    /// How long a client may take no byte that is ready for it; the connection is closed.
    pub write_stall_time: Duration,
    /// How long unread input is discarded after the last answer.
    pub linger_time: Duration,
    /// One TLS handshake with a client.
    pub tls_handshake_time: Duration,
    /// Certificates of intercepted hosts kept, in number; the least used goes.
    pub leaves_max: usize,
    /// Tunnels, intercepted ones among them, and switched protocols of one listener at the same time, in number;
    /// answered 503. A connection that became a tunnel counts here alone.
    pub tunnels_max: usize,
    /// How long a tunnel may carry nothing in either direction.
    pub tunnel_idle_time: Duration,
    /// How long a tunnel's client may be silent before its server is listened to as well.
    pub tunnel_silence_time: Duration,
    /// Streams of one HTTP/2 connection at the same time, in number.
    pub h2_streams_max: u32,
    /// Streams reset by the client before they were accepted, in number; past it the connection is closed.
    pub h2_resets_pending_max: usize,
    /// Between two pings on an HTTP/2 connection.
    pub h2_ping_interval: Duration,
    /// How long an answer to a ping may take.
    pub h2_ping_timeout: Duration,
    /// How long requests may finish after the shutdown began.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            overflow_answers_max: OVERFLOW_ANSWERS_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            head_fields_max: HEAD_FIELDS_MAX,
            head_time: HEAD_TIME,
            idle_time: IDLE_TIME,
            half_close_time: HALF_CLOSE_TIME,
            body_idle_time: BODY_IDLE_TIME,
            write_stall_time: WRITE_STALL_TIME,
            linger_time: LINGER_TIME,
            tls_handshake_time: TLS_HANDSHAKE_TIME,
            leaves_max: LEAVES_MAX,
            tunnels_max: TUNNELS_MAX,
            tunnel_idle_time: TUNNEL_IDLE_TIME,
            tunnel_silence_time: TUNNEL_SILENCE_TIME,
            h2_streams_max: H2_STREAMS_MAX,
            h2_resets_pending_max: H2_RESETS_PENDING_MAX,
            h2_ping_interval: H2_PING_INTERVAL,
            h2_ping_timeout: H2_PING_TIMEOUT,
            drain_time: DRAIN_TIME,
        }
    }
}
