//! The head of an answer as it passes, and where its body ends.

use std::fmt::Write as _;
use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};

use super::super::length::content_length;
use crate::hop::{Hop, Way, has_token};
use crate::server::chunks::{ChunkFault, Chunks, Piece};

/// Fields of an answer's head, as on other shared connections.
const FIELDS_MAX: usize = 100;

/// Bytes of an answer's head, as on other shared connections: Chromium's own limit.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a chunked body that are not data, beside those that data pays for.
const OVERHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX;

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
    /// Whether what passes of it says when it was made (RFC 9110 section 6.6.1).
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

    /// What of it `bytes` begin with.
    ///
    /// # Errors
    /// When its chunks are malformed.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> Result<Piece, ChunkFault> {
        match self {
            Self::Sized(left) => {
                let data_bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= data_bytes as u64;
                Ok(Piece { framing_bytes: 0, data_bytes })
            }
            Self::Chunked(chunks) => chunks.piece(bytes, OVERHEAD_BYTES_MAX),
            Self::ToClose => Ok(Piece { framing_bytes: 0, data_bytes: bytes.len() }),
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
        let body = match seen.coding {
            _ if is_bodiless || is_interim => Body::Sized(0),
            _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Body::Sized(0),
            Some(Coding::Chunked) => Body::Chunked(Chunks::of_answer()),
            Some(Coding::Other) => Body::ToClose,
            None => seen.length?.map_or(Body::ToClose, Body::Sized),
        };
        let is_persistent = seen.is_persistent && !matches!(body, Body::ToClose);
        let mut is_dated = false;
        if !is_interim {
            let is_sized = seen.coding.is_none() && status != StatusCode::NO_CONTENT;
            let length = seen.length.unwrap_or_default().filter(|_| is_sized);
            let is_passed = |name: &str| !seen.hop.ends(name.as_bytes()) && !replaced.contains_key(name);
            let passed = response.headers.iter().filter(|field| is_passed(field.name));
            is_dated = passed.clone().any(|field| field.name.eq_ignore_ascii_case("date"));
            write_line(status, response.reason.unwrap_or_default(), out);
            write_fields(passed, length, out);
            if !matches!(body, Body::Sized(_)) {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        }
        Ok(Some(Self { head_bytes, is_interim, body, is_persistent, is_dated }))
    }
}

fn write_line(status: StatusCode, reason: &str, out: &mut BytesMut) {
    // An intermediary states its own version (RFC 9110 section 6.2).
    out.extend_from_slice(b"HTTP/1.1 ");
    for part in [status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Whatever says the length, one field does.
fn write_fields<'a>(
    fields: impl Iterator<Item = &'a httparse::Header<'a>>,
    mut length: Option<u64>,
    out: &mut BytesMut,
) {
    for field in fields {
        if field.name.eq_ignore_ascii_case("content-length") {
            if let Some(length) = length.take() {
                // Writing to memory does not fail.
                write!(out, "{}: {length}\r\n", field.name).unwrap_or_default();
            }
            continue;
        }
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

/// What a head says of its own passage.
#[derive(Debug)]
struct Seen {
    length: Result<Option<u64>, Unreadable>,
    coding: Option<Coding>,
    is_persistent: bool,
    hop: Hop,
}

impl Seen {
    fn of(fields: &[httparse::Header<'_>], is_version_1_1: bool) -> Result<Self, Unreadable> {
        let values = |name: &'static str| {
            let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
            named.map(|field| field.value)
        };
        let coding = values("transfer-encoding").next_back().map(|value| {
            let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
            let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if is_chunked { Coding::Chunked } else { Coding::Other }
        });
        // HTTP/1.0 has no codings of this kind: whoever writes one may mean anything (RFC 9112 section 6.1).
        if coding.is_some() && !is_version_1_1 {
            return Err(Unreadable);
        }
        let is_framed_twice = coding.is_some() && values("content-length").next().is_some();
        let is_last = values("connection").any(|value| has_token(value, b"close"));
        Ok(Self {
            length: content_length(values("content-length")),
            coding,
            // What follows an answer with two framings is not trusted to be the next one (RFC 9112 section 6.3).
            is_persistent: is_version_1_1 && !is_last && !is_framed_twice,
            hop: Hop::of(Way::Answer, values("connection")),
        })
    }
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
            ("200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", chunked, "chunked", false),
            (
                "200 OK\r\nContent-Length: 3, 3\r\ncontent-length: 3\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
                "3",
                true,
            ),
            ("304 X\r\nContent-Length: 3, 4\r\n\r\n", "HTTP/1.1 304 X\r\n", "0", true),
            ("204 No\r\nConnection: X-Hop, close\r\nx-hop: 1\r\n\r\n", "HTTP/1.1 204 No\r\n", "0", false),
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
            "Content-Length: 3, 4\r\n",
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
