//! Judges the bytes of an HTTP/1 request head before anything else reads them.
//!
//! hyper is lenient where two servers may come to different readings: it takes a bare LF for a line end, drops
//! `Content-Length` beside `Transfer-Encoding`, and reads `Content-Length: 03`. What passes here has one reading
//! (RFC 9112), so that the boundary between this message and the next is beyond dispute.

use http::{Method, StatusCode, Uri};

use crate::hop::has_token;
use crate::target::TargetFault;

/// Where a message ends, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) body: BodyLength,
    pub(super) then: Then,
}

/// The length of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    Chunked,
}

/// What the bytes after a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next head.
    Head,
    /// Another protocol if the answer is 101, else the next head.
    Switch,
    /// The inside of a tunnel.
    Tunnel,
}

/// Why a request head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// A line ends in LF without CR, or has a CR inside.
    #[error("a line does not end in cr lf")]
    LineEnd,
    /// The first line is not `method SP target SP HTTP/1.x`.
    #[error("the request line is malformed")]
    RequestLine,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    #[error("the http version is not known")]
    Version,
    /// The request target is no URI, or carries a fragment.
    #[error("the request target is malformed")]
    RequestTarget,
    /// The target's authority or the Host field names no valid host and port.
    #[error("the request names no valid host")]
    Target(#[from] TargetFault),
    /// A scheme other than http and https.
    #[error("the scheme is not http or https")]
    Scheme,
    /// A field line without a valid name, or with space before its colon.
    #[error("a field name is malformed")]
    FieldName,
    /// A field value with control characters.
    #[error("a field value is malformed")]
    FieldValue,
    /// A field that goes on in the next line.
    #[error("a field is folded over several lines")]
    FieldFolded,
    /// No Host field.
    #[error("the host field is missing")]
    HostMissing,
    /// More than one Host field.
    #[error("the host field is repeated")]
    HostRepeated,
    /// Host and target, or Host and tunnel, disagree.
    #[error("the host field differs from the target")]
    HostDiffers,
    /// More than one Content-Length, or a list.
    #[error("the content length is repeated")]
    LengthRepeated,
    /// A Content-Length that is not a plain decimal number.
    #[error("the content length is malformed")]
    LengthMalformed,
    /// Both Content-Length and Transfer-Encoding.
    #[error("content length and transfer encoding are both given")]
    LengthAndEncoding,
    /// A Transfer-Encoding other than a single `chunked`, or in HTTP/1.0.
    #[error("the transfer encoding is not chunked alone")]
    Encoding,
    /// A body where the method has none.
    #[error("the method takes no body")]
    BodyUnexpected,
    /// A `Connection` field names a field that is meant for the origin.
    #[error("the connection field names an end-to-end field")]
    ConnectionNames,
    /// `CONNECT` inside of a tunnel.
    #[error("a tunnel cannot be opened inside of a tunnel")]
    ConnectNested,
    /// `CONNECT` to a server that stands for one origin.
    #[error("this server opens no tunnels")]
    ConnectRefused,
    /// Bytes past [`Limits::head_bytes_max`](crate::limits::Limits::head_bytes_max).
    #[error("the request head is too long")]
    TooLong,
    /// Fields past [`Limits::head_fields_max`](crate::limits::Limits::head_fields_max).
    #[error("the request head has too many fields")]
    TooManyFields,
    /// Not whole within [`Limits::head_time`](crate::limits::Limits::head_time).
    #[error("the request head did not arrive in time")]
    TooSlow,
    /// The client closed in the middle of the head.
    #[error("the request head is incomplete")]
    Incomplete,
}

impl HeadFault {
    /// 431 where only the size is wrong, else 400. Never 408, upon which browsers send the request again.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The end of the head that starts at the beginning of `bytes`, if it is there.
///
/// # Errors
/// [`HeadFault::LineEnd`] as soon as a line does not end in CR LF, so that no reading of a bare LF is awaited.
pub(super) fn end(bytes: &[u8], scanned: usize) -> Result<Option<usize>, HeadFault> {
    // Two bytes are looked at again: a CR at the end could not be judged before its LF.
    let from = scanned.saturating_sub(2);
    let mut previous = from.checked_sub(1).and_then(|at| bytes.get(at)).copied();
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        if (byte == b'\n') != (previous == Some(b'\r')) {
            return Err(HeadFault::LineEnd);
        }
        if byte == b'\n' && bytes.get(..=at).is_some_and(|head| head.ends_with(b"\r\n\r\n")) {
            return Ok(Some(at + 1));
        }
        previous = Some(byte);
    }
    Ok(None)
}

/// Judges a whole head, up to and with its empty line.
pub(super) fn judge(head: &[u8], fields_max: usize) -> Result<Framing, HeadFault> {
    let text = head.strip_suffix(b"\r\n\r\n").ok_or(HeadFault::Incomplete)?;
    let mut lines = split_lines(text);
    let request = RequestLine::parse(lines.next().ok_or(HeadFault::RequestLine)?)?;
    let mut fields = Fields::default();
    for (count, line) in lines.enumerate() {
        if count == fields_max {
            return Err(HeadFault::TooManyFields);
        }
        fields.read(line)?;
    }
    let body = fields.body(request.minor)?;
    let then = match request.method {
        Method::CONNECT if body != BodyLength::Bytes(0) => return Err(HeadFault::BodyUnexpected),
        Method::CONNECT => Then::Tunnel,
        _ if fields.switches(request.minor) => Then::Switch,
        _ => Then::Head,
    };
    Ok(Framing { body, then })
}

/// Lines of a text in which LF stands only after CR, as [`end`] has seen to.
pub(super) fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

struct RequestLine {
    method: Method,
    minor: u8,
}

impl RequestLine {
    fn parse(line: &[u8]) -> Result<Self, HeadFault> {
        let mut words = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadFault::RequestLine);
        };
        let Ok(method) = Method::from_bytes(method) else { return Err(HeadFault::RequestLine) };
        // `http` drops a fragment silently, so that what is sent on would not be what was asked for.
        if target.contains(&b'#') || Uri::try_from(target).is_err() {
            return Err(HeadFault::RequestTarget);
        }
        let minor = match version {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            _ => return Err(HeadFault::Version),
        };
        Ok(Self { method, minor })
    }
}

/// The fields that decide where a message ends.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    connection_upgrade: bool,
    upgrade: bool,
}

impl Fields {
    fn read(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(HeadFault::FieldFolded);
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(HeadFault::FieldName)?;
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte)) {
            return Err(HeadFault::FieldName);
        }
        if !value.iter().all(|&byte| is_value_byte(byte)) {
            return Err(HeadFault::FieldValue);
        }
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        let is_encoding = name.eq_ignore_ascii_case(b"transfer-encoding");
        // Not every server takes a tab for white space where it frames a message.
        if (is_length || is_encoding) && value.contains(&b'\t') {
            return Err(HeadFault::FieldValue);
        }
        let value = value.trim_ascii();
        if is_length {
            self.read_length(value)?;
        } else if is_encoding {
            self.read_encoding(value)?;
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.connection_upgrade |= has_token(value, b"upgrade");
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade |= !has_token(value, b"h2c");
        }
        Ok(())
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.length.is_some() || value.contains(&b',') {
            return Err(HeadFault::LengthRepeated);
        }
        self.length = Some(parse_length(value).ok_or(HeadFault::LengthMalformed)?);
        Ok(())
    }

    fn read_encoding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadFault::Encoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn body(&self, minor: u8) -> Result<BodyLength, HeadFault> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(HeadFault::LengthAndEncoding),
            (None, true) if minor == 0 => Err(HeadFault::Encoding),
            (None, true) => Ok(BodyLength::Chunked),
            (length, false) => Ok(BodyLength::Bytes(length.unwrap_or(0))),
        }
    }

    fn switches(&self, minor: u8) -> bool {
        minor == 1 && self.connection_upgrade && self.upgrade
    }
}

/// What names are made of (RFC 9110, section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~')
}

/// What values are made of (RFC 9110, section 5.5).
fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Decimal digits without sign or leading zero (RFC 9110, section 8.6, less what it lets be repaired).
fn parse_length(value: &[u8]) -> Option<u64> {
    let plain = value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || !value.starts_with(b"0"));
    if plain { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(head: &str) -> Result<Framing, HeadFault> {
        let bytes = head.as_bytes();
        match end(bytes, 0)? {
            Some(end) => judge(&bytes[..end], 4),
            None => Err(HeadFault::Incomplete),
        }
    }

    fn framing(body: BodyLength, then: Then) -> Result<Framing, HeadFault> {
        Ok(Framing { body, then })
    }

    // covers: S6
    #[test]
    fn heads_with_one_reading_pass() {
        let cases = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::Bytes(0), Then::Head),
            ("GET http://a/b?c HTTP/1.0\r\n\r\n", BodyLength::Bytes(0), Then::Head),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", BodyLength::Bytes(0), Then::Head),
            ("POST / HTTP/1.1\r\ncontent-length:30 \r\n\r\n", BodyLength::Bytes(30), Then::Head),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", BodyLength::Chunked, Then::Head),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", BodyLength::Bytes(0), Then::Tunnel),
            (
                "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
                BodyLength::Bytes(0),
                Then::Switch,
            ),
            (
                "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                BodyLength::Bytes(0),
                Then::Head,
            ),
            ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", BodyLength::Bytes(0), Then::Head),
        ];
        for (head, body, then) in cases {
            assert_eq!(judged(head), framing(body, then), "{head}");
        }
    }

    // covers: S6
    #[test]
    fn names_and_values_have_the_bytes_that_fields_have() {
        for byte in 0..=u8::MAX {
            let (mut name, mut value) = (Fields::default(), Fields::default());
            let line = [b'a', byte, b'b', b':', b'c'];
            let is_name = http::HeaderName::from_bytes(&line[..3]).is_ok() || byte == b':';
            assert_eq!(name.read(&line).is_ok(), is_name, "{byte}");
            let line = [b'a', b':', b'b', byte, b'c'];
            let is_value = http::HeaderValue::from_bytes(&line[2..]).is_ok();
            assert_eq!(value.read(&line).is_ok(), is_value, "{byte}");
        }
    }

    // covers: S6
    #[test]
    fn heads_with_two_readings_are_refused() {
        let cases = [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", HeadFault::LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\n\n", HeadFault::LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", HeadFault::LineEnd),
            ("GET  / HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("GET / HTTP/1.1 \r\n\r\n", HeadFault::RequestLine),
            ("GET /\r\n\r\n", HeadFault::RequestLine),
            ("G(T / HTTP/1.1\r\n\r\n", HeadFault::RequestLine),
            ("GET / HTTP/1.2\r\n\r\n", HeadFault::Version),
            ("PRI * HTTP/2.0\r\n\r\n", HeadFault::Version),
            ("GET http://a/b#c HTTP/1.1\r\n\r\n", HeadFault::RequestTarget),
            ("GET http://[::1/ HTTP/1.1\r\n\r\n", HeadFault::RequestTarget),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadFault::FieldName),
            ("GET / HTTP/1.1\r\nHost\r\n\r\n", HeadFault::FieldName),
            ("GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", HeadFault::FieldFolded),
            ("GET / HTTP/1.1\r\nX: a\0\r\n\r\n", HeadFault::FieldValue),
            ("POST / HTTP/1.1\r\nContent-Length:\t3\r\n\r\n", HeadFault::FieldValue),
            ("POST / HTTP/1.1\r\nContent-Length: 3\x0c\r\n\r\n", HeadFault::FieldValue),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\t\r\n\r\n", HeadFault::FieldValue),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", HeadFault::LengthRepeated),
            ("POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n", HeadFault::LengthRepeated),
            ("POST / HTTP/1.1\r\nContent-Length: 03\r\n\r\n", HeadFault::LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n", HeadFault::LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\n", HeadFault::LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", HeadFault::LengthMalformed),
            ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", HeadFault::LengthMalformed),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                HeadFault::LengthAndEncoding,
            ),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HeadFault::Encoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", HeadFault::Encoding),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                HeadFault::Encoding,
            ),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadFault::Encoding),
            ("CONNECT a:443 HTTP/1.1\r\nContent-Length: 3\r\n\r\n", HeadFault::BodyUnexpected),
            ("GET / HTTP/1.1\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\n\r\n", HeadFault::TooManyFields),
            ("GET / HTTP/1.1\r\nHost: a\r\n", HeadFault::Incomplete),
        ];
        for (head, fault) in cases {
            assert_eq!(judged(head), Err(fault), "{head:?}");
        }
    }

    #[test]
    fn the_end_is_found_in_any_pieces() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for seen in 0..head.len() {
            let first = end(&head[..seen], 0);
            assert_eq!(first, Ok((seen >= 27).then_some(27)), "{seen}");
            assert_eq!(end(head, seen.min(26)), Ok(Some(27)), "{seen}");
        }
    }
}
