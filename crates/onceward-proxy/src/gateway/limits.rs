//! The limits of the gateway beside those of its two sides, each with its unit and reason.

use std::time::Duration;

/// The service is in the same network: a second covers a lost SYN, and the rest another one.
const CONNECT: Duration = Duration::from_secs(5);

/// What nginx and HAProxy's documentation take for a service's answer.
const RESPONSE_HEAD: Duration = Duration::from_secs(60);

/// Streams of events send a comment every 15 to 60 s; five minutes without a byte is a dead one.
const BODY_IDLE: Duration = Duration::from_mins(5);

/// A day's stream of events is somebody's; nothing that an answer says takes longer.
const WHOLE: Duration = Duration::from_hours(24);

/// Longer than any single policy lets an effect run, which is what ends it (L12).
const GUARDED: Duration = Duration::from_hours(24);

/// Failed connects in a row after which an instance gets no requests. One is what a restart costs; three are no accident.
pub(super) const CONNECT_FAILURES_MAX: u32 = 3;

/// How long such an instance is left alone, as nginx's `fail_timeout`.
pub(super) const EJECTION: Duration = Duration::from_secs(10);

/// Failed checks in a row after which an instance gets no requests, as HAProxy's `fall`.
pub(super) const CHECK_FAILURES_MAX: u32 = 3;

/// Passed checks in a row after which it gets them again, as HAProxy's `rise`.
pub(super) const CHECK_PASSES_MIN: u32 = 2;

/// How long one check may take, where its interval is not shorter.
pub(super) const CHECK_TIME_MAX: Duration = Duration::from_secs(5);

/// Between two looks at the files of a certificate: renewals are a matter of days, impatience of seconds.
pub(super) const CERTIFICATE_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long the steps of an exchange with the service may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Name resolution and TCP connect to one instance; answered 502, or tried at the next instance.
    pub connect: Duration,
    /// From the last byte of an unguarded request to the head of its answer; answered 504.
    pub response_head: Duration,
    /// Between two pieces of an answer's body; the answer is cut.
    pub body_idle: Duration,
    /// From an unguarded request's arrival to the last byte of its answer; the answer is cut.
    pub whole: Duration,
    /// From a guarded request's dispatch to the head of its answer. Its route's policy is to be shorter, and ends it in doubt.
    pub guarded: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: CONNECT,
            response_head: RESPONSE_HEAD,
            body_idle: BODY_IDLE,
            whole: WHOLE,
            guarded: GUARDED,
        }
    }
}
