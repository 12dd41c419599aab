//! Tells from the first bytes of a tunnel what is spoken in it.

/// The longest first line that is waited for; a longer one is no HTTP that this proxy would serve.
pub(crate) const LOOK_BYTES_MAX: usize = 16 * 1024;

/// First bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest method that is registered is `UPDATEREDIRECTREF`; anything much longer is not HTTP.
const METHOD_BYTES_MAX: usize = 32;

/// Bytes of a TLS record up to the type of its first message.
const TLS_LOOK_BYTES: usize = 6;

/// What the first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// A TLS ClientHello.
    Tls,
    /// An HTTP/1 request.
    Http1,
    /// An HTTP/2 connection without TLS.
    Http2,
    /// Anything else.
    Other,
    /// Not enough bytes to tell.
    Unclear,
}

/// Judges the first bytes.
///
/// A request line is only recognised as a whole: SSH, SMTP and others begin with upper-case words too.
pub(crate) fn speech(bytes: &[u8]) -> Speech {
    match bytes {
        [] => Speech::Unclear,
        [0x16, ..] => tls(bytes),
        _ if may_become_http2(bytes) => Speech::Unclear,
        _ if bytes.starts_with(H2_PREFACE) => Speech::Http2,
        _ => http1(bytes),
    }
}

/// Whether the bytes are the beginning of an HTTP/2 preface, and not yet the whole.
pub(crate) fn may_become_http2(bytes: &[u8]) -> bool {
    bytes.len() < H2_PREFACE.len() && H2_PREFACE.starts_with(bytes)
}

/// Handshake record, major version 3, first message a ClientHello.
fn tls(bytes: &[u8]) -> Speech {
    match bytes {
        [_, 0x03, _, _, _, 0x01, ..] => Speech::Tls,
        [_] | [_, 0x03, ..] if bytes.len() < TLS_LOOK_BYTES => Speech::Unclear,
        _ => Speech::Other,
    }
}

fn http1(bytes: &[u8]) -> Speech {
    let mut lines = bytes.splitn(2, |&byte| byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let is_whole = lines.next().is_some();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if is_whole {
        let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        return if begins_with_method(line) && version.starts_with(b"HTTP/") {
            Speech::Http1
        } else {
            Speech::Other
        };
    }
    let may_go_on = bytes.len() < LOOK_BYTES_MAX && begins_with_method(line);
    if may_go_on { Speech::Unclear } else { Speech::Other }
}

/// Whether the line is a method, or one and a space and more. Lower case counts: `post` must not slip by.
fn begins_with_method(line: &[u8]) -> bool {
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    !method.is_empty()
        && method.len() <= METHOD_BYTES_MAX
        && method.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
        && line.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_name_the_protocol() {
        let cases: [(&[u8], Speech); 19] = [
            (b"", Speech::Unclear),
            (b"\x16", Speech::Unclear),
            (b"\x16\x03\x01\x02\x00", Speech::Unclear),
            (b"\x16\x03\x01\x02\x00\x01", Speech::Tls),
            (b"\x16\x03\x01\x02\x00\x02", Speech::Other),
            (b"\x16\x02", Speech::Other),
            (b"P", Speech::Unclear),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", Speech::Unclear),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Speech::Http2),
            (b"POST /a", Speech::Unclear),
            (b"POST /a HTTP/1.1\r\nHost", Speech::Http1),
            (b"post /a HTTP/1.1\r\n", Speech::Http1),
            (b"GET /a HTTP/1.1\n", Speech::Http1),
            (b"M-SEARCH * HTTP/1.1\r\n", Speech::Http1),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Speech::Other),
            (b"EHLO a.example\r\n", Speech::Other),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Speech::Other),
            (b"*1\r\n$4\r\nPING\r\n", Speech::Other),
            (b" GET / HTTP/1.1\r\n", Speech::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(speech(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn an_endless_first_line_is_not_awaited() {
        let line = [b"GET /".as_slice(), &vec![b'a'; LOOK_BYTES_MAX]].concat();
        assert_eq!(speech(&line), Speech::Other);
    }
}
