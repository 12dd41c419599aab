//! The head of an answer as it passes, and where its body ends.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};

use crate::server::chunks::{ChunkFault, Chunks};

/// Fields of an answer's head, as on other shared connections.
const FIELDS_MAX: usize = 100;

/// Bytes of an answer's head, as on other shared connections: Chromium's own limit.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a chunked body that are not data, beside those that data pays for.
const OVERHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX;

/// Fields of one connection that no `Connection` field needs to name, and challenges of a proxy that stands nowhere.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The bytes that came are not the answer to a plain request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be read")]
pub(crate) struct Unreadable;

/// What a head says.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Bytes of the head.
    pub(crate) head_bytes: usize,
    /// Whether another answer follows, which is the one that was asked for (RFC 9110 section 15.2).
    pub(crate) is_interim: bool,
    pub(crate) body: Body,
    /// Whether the connection may carry another exchange behind it.
    pub(crate) is_persistent: bool,
    /// Whether it says when it was made (RFC 9110 section 6.6.1).
    pub(crate) is_dated: bool,
}

/// Follows a body to its end (RFC 9112 section 6.3).
#[derive(Debug)]
pub(crate) enum Body {
    /// So many bytes are left.
    Sized(u64),
    Chunked(Chunks),
    /// As long as the connection.
    ToClose,
}

impl Body {
    /// Whether nothing of it is left.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Sized(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::ToClose => false,
        }
    }

    /// How many of `bytes` belong to it.
    ///
    /// # Errors
    /// When its chunks are malformed.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<usize, ChunkFault> {
        match self {
            Self::Sized(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                Ok(here)
            }
            Self::Chunked(chunks) => chunks.follow(bytes, OVERHEAD_BYTES_MAX),
            Self::ToClose => Ok(bytes.len()),
        }
    }
}

impl Answer {
    /// Reads the head that `bytes` begin with, and writes to `out` what of it passes, without its empty line: nothing of the
    /// hop, and none of the fields that `replaced` has. `None` while it is not whole.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub(crate) fn read(
        bytes: &[u8],
        is_bodiless: bool,
        replaced: &HeaderMap,
        out: &mut BytesMut,
    ) -> Result<Option<Self>, Unreadable> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut fields,
        );
        let head_bytes = match parsed {
            Ok(httparse::Status::Complete(head_bytes)) if head_bytes <= HEAD_BYTES_MAX => head_bytes,
            Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
            Ok(_) | Err(_) => return Err(Unreadable),
        };
        let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Unreadable)?;
        let is_interim = status.is_informational();
        // Nobody has asked to leave HTTP.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Unreadable);
        }
        let seen = Seen::of(response.headers, response.version == Some(1))?;
        let body = match &seen {
            _ if is_bodiless || is_interim => Body::Sized(0),
            _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Body::Sized(0),
            Seen { coding: Some(Coding::Chunked), .. } => Body::Chunked(Chunks::default()),
            Seen { coding: Some(Coding::Other), .. } => Body::ToClose,
            Seen { length: Some(length), .. } => Body::Sized(*length),
            Seen { .. } => Body::ToClose,
        };
        let is_persistent = seen.is_persistent && !matches!(body, Body::ToClose);
        if !is_interim {
            let is_sized = seen.coding.is_none() && status != StatusCode::NO_CONTENT;
            let is_passed = |name: &str| {
                !HOP_BY_HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name))
                    && !seen.names.iter().any(|named| named.eq_ignore_ascii_case(name))
                    && !replaced.contains_key(name)
                    && (is_sized || !name.eq_ignore_ascii_case("content-length"))
            };
            write_head(&response, status, is_passed, out);
            if !matches!(body, Body::Sized(_)) {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        }
        Ok(Some(Self { head_bytes, is_interim, body, is_persistent, is_dated: seen.is_dated }))
    }
}

fn write_head(
    response: &httparse::Response<'_, '_>,
    status: StatusCode,
    is_passed: impl Fn(&str) -> bool,
    out: &mut BytesMut,
) {
    // An intermediary states its own version (RFC 9110 section 6.2).
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(response.reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for field in response.headers.iter().filter(|field| is_passed(field.name)) {
        for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// How a body is coded for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// Up to a last chunk.
    Chunked,
    /// In another way, up to the close.
    Other,
}

/// The fields that say where an answer ends.
#[derive(Debug)]
struct Seen<'a> {
    length: Option<u64>,
    coding: Option<Coding>,
    is_persistent: bool,
    is_dated: bool,
    /// What `Connection` names. It cannot name away what frames an answer.
    names: Vec<&'a str>,
}

impl<'a> Seen<'a> {
    fn of(fields: &[httparse::Header<'a>], is_version_1_1: bool) -> Result<Self, Unreadable> {
        let mut seen = Self {
            length: None,
            coding: None,
            is_persistent: is_version_1_1,
            is_dated: false,
            names: Vec::new(),
        };
        for field in fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let length = length(field.value).ok_or(Unreadable)?;
                if seen.length.is_some_and(|known| known != length) {
                    return Err(Unreadable);
                }
                seen.length = Some(length);
            } else if is("transfer-encoding") {
                let last = field.value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
                let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                // HTTP/1.0 has no codings of this kind: whoever writes one may mean anything (RFC 9112 section 6.1).
                if !is_version_1_1 {
                    return Err(Unreadable);
                }
                seen.coding = Some(if is_chunked { Coding::Chunked } else { Coding::Other });
            } else if is("connection") {
                seen.read_connection(field.value);
            } else if is("date") {
                seen.is_dated = true;
            }
        }
        Ok(seen)
    }

    fn read_connection(&mut self, value: &'a [u8]) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        for option in text.split(',').map(str::trim) {
            if option.eq_ignore_ascii_case("close") {
                self.is_persistent = false;
            } else if !option.eq_ignore_ascii_case("content-length") && !option.is_empty() {
                self.names.push(option);
            }
        }
    }
}

/// Decimal digits alone (RFC 9110 section 8.6).
fn length(value: &[u8]) -> Option<u64> {
    let is_plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if is_plain { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of a head, and how its body ends.
    fn read(head: &str, is_bodiless: bool) -> Result<Option<(String, String, bool)>, Unreadable> {
        let mut out = BytesMut::new();
        let answer = Answer::read(head.as_bytes(), is_bodiless, &HeaderMap::new(), &mut out)?;
        let passed = String::from_utf8(out.to_vec()).unwrap();
        Ok(answer.map(|answer| {
            let body = match answer.body {
                Body::Sized(length) => length.to_string(),
                Body::Chunked(_) => "chunked".to_owned(),
                Body::ToClose => "to the close".to_owned(),
            };
            (passed, body, answer.is_persistent)
        }))
    }

    fn read_as(
        passed: &str,
        body: &str,
        is_persistent: bool,
    ) -> Result<Option<(String, String, bool)>, Unreadable> {
        Ok(Some((passed.to_owned(), body.to_owned(), is_persistent)))
    }

    // covers: S6
    #[test]
    fn a_body_ends_where_its_head_says() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";
        let cases = [
            ("200 OK\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "3", true),
            ("200 OK\r\nConnection: close\r\n\r\n", chunked, "to the close", false),
            ("200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", chunked, "chunked", true),
            ("200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", chunked, "chunked", true),
            ("204 No\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 204 No\r\n", "0", true),
            ("304 X\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 304 X\r\nContent-Length: 3\r\n", "0", true),
            ("100 Continue\r\n\r\n", "", "0", true),
        ];
        for (head, passed, body, is_persistent) in cases {
            assert_eq!(
                read(&format!("HTTP/1.1 {head}"), false),
                read_as(passed, body, is_persistent),
                "{head}"
            );
        }
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n";
        assert_eq!(read(&format!("{sized}\r\n"), true), read_as(sized, "0", true));
        let old = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(read(old, false), read_as(sized, "3", false));
        assert_eq!(read(sized, false), Ok(None));
    }

    // covers: S6
    #[test]
    fn a_head_with_two_readings_is_none() {
        for fields in [
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "X: a\r\n b\r\n",
            "X : a\r\n",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(read(&head, false), Err(Unreadable), "{head}");
        }
        assert_eq!(read("HTTP/1.1 101 X\r\n\r\n", false), Err(Unreadable));
        assert_eq!(read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false), Err(Unreadable));
    }
}
