//! What is proven about a request that got no answer.

use std::fmt;

/// What a failed exchange proves about its request.
///
/// Only [`Evidence::Untouched`] allows a record to be released (L5); everything else is doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Proof that the origin did nothing.
    Untouched(Untouched),
    /// No proof: the origin may have acted.
    Unknown(Unknown),
}

/// A proof that the request had no effect at its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untouched {
    /// No TCP connection came about: the name did not resolve, or every address refused or timed out.
    ConnectFailed,
    /// The TLS handshake with the origin failed, so that no request byte could be sent.
    TlsFailed,
    /// The upstream proxy did not open the way: TLS with it failed, or it answered other than 2xx to CONNECT.
    ProxyHandshakeFailed {
        /// The status that the upstream proxy answered, where it answered at all.
        status: Option<u16>,
    },
    /// The connection was made and ended before a byte of the request reached the socket.
    NothingWritten,
    /// HTTP/2 `RST_STREAM(REFUSED_STREAM)`: closed before any processing (RFC 9113 section 8.7).
    StreamRefused,
    /// HTTP/2 `GOAWAY` whose last stream lies below ours: never processed (RFC 9113 section 6.8).
    GoAwayBelow,
    /// The target is one that this proxy does not dial.
    TargetRefused,
    /// All fresh connections stayed in use for as long as the request could wait.
    LimitReached,
}

/// How an exchange broke off without proof either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The connection ended after request bytes had reached the socket.
    BrokeAfterSend,
    /// The origin reset the HTTP/2 stream with a code that does not rule out processing.
    StreamReset {
        /// The error code of the `RST_STREAM` frame (RFC 9113 section 7).
        code: u32,
    },
    /// The origin answered with bytes that are no valid response head.
    AnswerUnreadable,
    /// The deadline passed with the request sent in part or in whole.
    TimedOut,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untouched(proof) => proof.fmt(f),
            Self::Unknown(reason) => reason.fmt(f),
        }
    }
}

impl fmt::Display for Untouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailed => f.write_str("no connection to the origin"),
            Self::TlsFailed => f.write_str("tls handshake with the origin failed"),
            Self::ProxyHandshakeFailed { status: Some(status) } => {
                write!(f, "the upstream proxy answered {status}")
            }
            Self::ProxyHandshakeFailed { status: None } => {
                f.write_str("handshake with the upstream proxy failed")
            }
            Self::NothingWritten => f.write_str("the connection ended before the request was sent"),
            Self::StreamRefused => f.write_str("the origin refused the stream unprocessed"),
            Self::GoAwayBelow => f.write_str("the origin went away before the stream"),
            Self::TargetRefused => f.write_str("this proxy does not dial the target"),
            Self::LimitReached => f.write_str("too many upstream connections"),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokeAfterSend => f.write_str("the connection broke after the request had left"),
            Self::StreamReset { code } => write!(f, "the origin reset the stream with code {code}"),
            Self::AnswerUnreadable => f.write_str("the origin's answer is not http"),
            Self::TimedOut => f.write_str("no answer before the deadline"),
        }
    }
}
