//! The bounds of the control API (S1). Its callers are a command line, a dashboard and a few probes.

use std::time::Duration;

/// Connections of one door at once; the next are answered 503. A dashboard's browser opens six.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// One request head in bytes; answered 431. Twice what a browser sends.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Fields of one request head; answered 431.
pub(crate) const HEAD_FIELDS_MAX: usize = 64;

/// From a connection's start, or its last answer, to the end of the next head; the connection is closed.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// One request body in bytes; answered 413. A verdict with its reason takes some hundred.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024;

/// From the end of a head to the answer; answered 503. Three store operations of the engine's default time each fit.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);

/// How long a connection lives: one whose client takes no answer would hold its place for ever.
pub(crate) const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// How long requests may finish once the connection or the door is to close.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the 503 to a surplus connection may take: it fits the empty send buffer of a new socket.
pub(crate) const TURN_AWAY_TIME_MAX: Duration = Duration::from_millis(100);

/// After a failed accept: descriptors are freed by connections that end, not by trying again at once.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When a caller that met an overload or a silent store may try again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Entries or lines of a page unless the caller says how many.
pub(crate) const PAGE_DEFAULT: usize = 100;

/// Entries or lines of a page at the most; more are refused, so that no caller takes a shorter page for the whole.
pub(crate) const PAGE_MAX: usize = 1_000;

/// Audit lines shown with one effect; the rest are read from the log itself.
pub(crate) const EFFECT_AUDIT_LINES_MAX: usize = 200;

/// Characters of a verdict's reason; answered 400. It is kept with the audit log for as long as that is.
pub(crate) const REASON_CHARS_MAX: usize = 1_000;

/// Bytes of an answer that the client takes: a full page of entries with the longest paths stays far below.
pub(crate) const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long the client waits for an answer: longer than the server does.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
