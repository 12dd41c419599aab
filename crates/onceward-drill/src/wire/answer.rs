//! Answers as they were read.

use std::io;

use tokio::time::error::Elapsed;

use super::Line;

/// The longest head of an answer; no server sends more without meaning harm.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest body; the suites' own answers have up to 2 MiB.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a body that a report shows.
const SHOWN_BYTES_MAX: usize = 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireFault {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Late(#[from] Elapsed),
    #[error("the connection was closed without an answer")]
    Closed,
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    #[error("HTTP/2 failed: {0}")]
    Http2(#[from] hyper::Error),
}

/// An answer. Names of fields are lower-case, repeated ones stand one line each.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) version: &'static str,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// Whether its framing says that it ended where it ended.
    pub(crate) is_whole: bool,
}

pub(crate) type Fields = Vec<(String, Vec<u8>)>;

impl Answer {
    /// The lines of a name, which is lower-case.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.fields.iter().filter(|(known, _)| known == name);
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The value of a field that stands once.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut lines = self.lines(name).into_iter();
        match (lines.next(), lines.next()) {
            (only, None) => only,
            (_, Some(_)) => None,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// For a report.
    pub(crate) fn shown(&self) -> String {
        let mut text = format!("{} {}\n", self.version, self.status);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value)));
        }
        text.push('\n');
        text.push_str(&excerpt(&self.body));
        for (name, value) in &self.trailers {
            text.push_str(&format!("\n{name}: {} (trailer)", String::from_utf8_lossy(value)));
        }
        if !self.is_whole {
            text.push_str("\n(broken off)");
        }
        text
    }
}

/// The beginning of content; bytes that are no text as escapes.
pub(crate) fn excerpt(content: &[u8]) -> String {
    let (shown, rest) = content.split_at(content.len().min(SHOWN_BYTES_MAX));
    let mut text = match std::str::from_utf8(shown) {
        Ok(text) => text.to_owned(),
        Err(_) => shown.escape_ascii().to_string(),
    };
    if !rest.is_empty() {
        text.push_str(&format!("… ({} bytes)", content.len()));
    }
    text
}

/// Reads the final answer of a request; interim ones are passed over (RFC 9110, 15.2).
pub(super) async fn read(line: &mut Line, method: &str) -> Result<Answer, WireFault> {
    loop {
        let head = read_head(line).await?;
        let mut answer = parse_head(&head)?;
        if (100..200).contains(&answer.status) && answer.status != 101 {
            continue;
        }
        read_body(line, method, &mut answer).await?;
        return Ok(answer);
    }
}

async fn read_head(line: &mut Line) -> Result<Vec<u8>, WireFault> {
    loop {
        if let Some(end) = find(&line.held, b"\r\n\r\n") {
            return Ok(line.held.drain(..end + 4).collect());
        }
        if line.held.len() > HEAD_BYTES_MAX {
            return Err(WireFault::Malformed("its head does not end"));
        }
        if line.more().await? == 0 {
            return Err(if line.held.is_empty() {
                WireFault::Closed
            } else {
                WireFault::Malformed("half a head")
            });
        }
    }
}

fn parse_head(head: &[u8]) -> Result<Answer, WireFault> {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.next().unwrap_or_default();
    let malformed = WireFault::Malformed("no status line");
    let Some(rest) = status_line.strip_prefix(b"HTTP/1.") else { return Err(malformed) };
    let Some(Ok(Ok(status))) = rest.get(2..5).map(|code| std::str::from_utf8(code).map(str::parse)) else {
        return Err(malformed);
    };
    let mut fields = Fields::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(WireFault::Malformed("a field line without a colon"));
        };
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
    Ok(Answer {
        version: "HTTP/1.1",
        status,
        fields,
        body: Vec::new(),
        trailers: Fields::new(),
        is_whole: true,
    })
}

/// Where the body of an answer ends (RFC 9112, 6.3).
enum Length {
    Bytes(usize),
    Chunked,
    UntilClose,
}

async fn read_body(line: &mut Line, method: &str, answer: &mut Answer) -> Result<(), WireFault> {
    let chunked =
        answer.lines("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked"));
    let length = match (method, answer.status) {
        ("HEAD", _) | (_, 101 | 204 | 304) => Length::Bytes(0),
        _ if chunked => Length::Chunked,
        _ => match answer.field("content-length").map(|len| len.parse()) {
            Some(Ok(len)) => Length::Bytes(len),
            Some(Err(_)) => return Err(WireFault::Malformed("its length is no number")),
            None => Length::UntilClose,
        },
    };
    match length {
        Length::Bytes(len) => {
            answer.is_whole = fill(line, len).await?;
            let end = len.min(line.held.len());
            answer.body = line.held.drain(..end).collect();
        }
        Length::Chunked => answer.is_whole = read_chunks(line, answer).await?,
        Length::UntilClose => {
            while line.held.len() <= BODY_BYTES_MAX && line.more().await? > 0 {}
            answer.body = std::mem::take(&mut line.held);
        }
    }
    Ok(())
}

/// Reads until `len` bytes are held; `false` where the connection ends before.
async fn fill(line: &mut Line, len: usize) -> Result<bool, WireFault> {
    if len > BODY_BYTES_MAX {
        return Err(WireFault::Malformed("its body is too large"));
    }
    while line.held.len() < len {
        match line.more().await {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Reads chunks and trailers (RFC 9112, 7.1); `false` where the connection ends before them.
async fn read_chunks(line: &mut Line, answer: &mut Answer) -> Result<bool, WireFault> {
    loop {
        let Some(size) = read_line(line).await? else { return Ok(false) };
        let digits = size.split(|byte| *byte == b';').next().unwrap_or_default();
        let size =
            std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok());
        let Some(size) = size else { return Err(WireFault::Malformed("a chunk's size is no number")) };
        if size == 0 {
            break;
        }
        if answer.body.len() + size > BODY_BYTES_MAX {
            return Err(WireFault::Malformed("its body is too large"));
        }
        if !fill(line, size + 2).await? {
            answer.body.append(&mut line.held);
            return Ok(false);
        }
        answer.body.extend(line.held.drain(..size));
        line.held.drain(..2);
    }
    loop {
        let Some(trailer) = read_line(line).await? else { return Ok(false) };
        if trailer.is_empty() {
            return Ok(true);
        }
        let text = String::from_utf8_lossy(&trailer).into_owned();
        let Some((name, value)) = text.split_once(':') else {
            return Err(WireFault::Malformed("a trailer without a colon"));
        };
        answer.trailers.push((name.to_ascii_lowercase(), value.trim().as_bytes().to_vec()));
    }
}

/// Reads a line without its end; `None` where the connection ends before it.
async fn read_line(line: &mut Line) -> Result<Option<Vec<u8>>, WireFault> {
    loop {
        if let Some(end) = find(&line.held, b"\r\n") {
            let text = line.held.drain(..end).collect();
            line.held.drain(..2);
            return Ok(Some(text));
        }
        match line.more().await {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    /// What is read of an answer after which the connection ends.
    async fn answer(method: &str, bytes: &str) -> Result<Answer, String> {
        let (mut server, client) = duplex(1024);
        server.write_all(bytes.as_bytes()).await.unwrap();
        drop(server);
        let mut line = Line { io: Box::new(client), held: Vec::new() };
        line.read(method).await.map_err(|fault| fault.to_string())
    }

    fn shown(answer: &Answer) -> (u16, String, bool) {
        (answer.status, answer.text(), answer.is_whole)
    }

    #[tokio::test]
    async fn the_end_of_a_body_is_where_its_framing_says() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", (200, "ab", true)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", (200, "abc", false)),
            ("HTTP/1.0 200 OK\r\n\r\nabc", (200, "abc", true)),
            ("HTTP/1.1 204 No Content\r\n\r\nabc", (204, "", true)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 C\r\nContent-Length: 1\r\n\r\na", (201, "a", true)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                (200, "abc", true),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n4\r\nc", (200, "abc", false)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", (200, "ab", false)),
        ];
        for (bytes, (status, body, is_whole)) in cases {
            let answer = answer("POST", bytes).await.unwrap();
            assert_eq!(shown(&answer), (status, body.to_owned(), is_whole), "{bytes}");
        }
        let head = answer("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await.unwrap();
        assert_eq!(shown(&head), (200, String::new(), true));
    }

    #[tokio::test]
    async fn every_line_of_fields_and_trailers_is_kept() {
        let bytes = "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie:  b \r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 9\r\n\r\n";
        let answer = answer("POST", bytes).await.unwrap();
        assert_eq!(answer.lines("set-cookie"), ["a", "b"]);
        assert_eq!((answer.field("set-cookie"), answer.field("x")), (None, Some("1".to_owned())));
        assert_eq!(answer.trailers, [("x-sum".to_owned(), b"9".to_vec())]);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        for (bytes, told) in [
            ("", "the connection was closed without an answer"),
            ("HTTP/1.1 200", "the answer is malformed: half a head"),
            ("SSH-2.0\r\n\r\n", "the answer is malformed: no status line"),
            ("HTTP/1.1 200 OK\r\nnone\r\n\r\n", "the answer is malformed: a field line without a colon"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                "the answer is malformed: its length is no number",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
                "the answer is malformed: a chunk's size is no number",
            ),
        ] {
            assert_eq!(
                answer("POST", bytes).await.map(|answer| answer.status),
                Err(told.to_owned()),
                "{bytes}"
            );
        }
    }

    #[test]
    fn long_content_is_cut_for_a_report() {
        assert_eq!(excerpt(b"a\xff"), "a\\xff");
        assert_eq!(excerpt(&[b'a'; 1025]), format!("{}… (1025 bytes)", "a".repeat(1024)));
    }
}
