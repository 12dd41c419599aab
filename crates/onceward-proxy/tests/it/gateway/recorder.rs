//! A service that reads HTTP/1.1 in one way only, and notes what it read.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinSet,
};

/// One request that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: String,
}

impl Heard {
    /// What the request asks for: method, target without its authority, host and body.
    pub(super) fn told(&self) -> String {
        let path = self.target.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
        format!("{} {} {} {}", self.method, path.unwrap_or(&self.target), self.host, self.body)
    }

    /// The values of a field, in their order.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// The service; it ends with its test.
pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    _task: JoinSet<()>,
}

impl Recorder {
    /// A service that answers every request with an empty 200.
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::default();
        let log = Arc::clone(&heard);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut talks = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                talks.spawn(async move { drop(talk(socket, &log).await) });
            }
        });
        Self { address, heard, _task: task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(super) fn told(&self) -> Vec<String> {
        self.heard().iter().map(Heard::told).collect()
    }

    /// Forgets what it was asked.
    pub(super) fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }
}

async fn talk(socket: impl AsyncRead + AsyncWrite + Unpin, log: &Mutex<Vec<Heard>>) -> io::Result<()> {
    let mut socket = BufReader::new(socket);
    while let Some(heard) = read(&mut socket).await? {
        let ends = heard.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"));
        log.lock().unwrap().push(heard);
        let connection = if ends { "Connection: close\r\n" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\n{connection}Content-Length: 0\r\n\r\n");
        socket.write_all(answer.as_bytes()).await?;
        if ends {
            return Ok(());
        }
    }
    Ok(())
}

/// What strict reading makes of bytes: the requests up to their end or the first thing that is out of order.
pub(super) async fn strictly(bytes: &[u8]) -> Vec<String> {
    let mut rest = BufReader::new(bytes);
    let mut told = Vec::new();
    while let Ok(Some(heard)) = read(&mut rest).await {
        told.push(heard.told());
    }
    told
}

/// Reads one request; `None` at the end of the connection.
async fn read(io: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Heard>> {
    let Some(mut line) = line(io).await? else { return Ok(None) };
    if line.is_empty() {
        // One is let go before a request (RFC 9112, section 2.2).
        line = self::line(io).await?.ok_or_else(|| odd("end"))?;
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1" | "HTTP/1.0"] = words[..] else { return Err(odd("request line")) };
    if method.is_empty()
        || !method.bytes().all(is_token)
        || !(target.starts_with('/') || target.contains("://"))
    {
        return Err(odd("method or target"));
    }
    let mut fields = Vec::new();
    loop {
        let line = self::line(io).await?.ok_or_else(|| odd("end"))?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| odd("field"))?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(odd("field name"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let one = |name: &str| {
        let mut values = fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(odd("repeated field")),
            (value, None) => Ok(value),
        }
    };
    let body = match (one("content-length")?, one("transfer-encoding")?) {
        (None, None) => Vec::new(),
        (Some(len), None) if len.bytes().all(|byte| byte.is_ascii_digit()) => {
            let mut body = vec![0; len.parse().or(Err(odd("length")))?];
            io.read_exact(&mut body).await?;
            body
        }
        (None, Some(encoding)) if encoding.eq_ignore_ascii_case("chunked") => chunks(io).await?,
        (Some(_) | None, _) => return Err(odd("framing")),
    };
    let host = one("host")?.ok_or_else(|| odd("host"))?.to_owned();
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Some(Heard { method, target, host, fields, body: String::from_utf8_lossy(&body).into_owned() }))
}

async fn chunks(io: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = line(io).await?.ok_or_else(|| odd("end"))?;
        let size = line.split(';').next().unwrap_or_default();
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(odd("chunk size"));
        }
        let size = usize::from_str_radix(size, 16).or(Err(odd("chunk size")))?;
        if size == 0 {
            while !self::line(io).await?.ok_or_else(|| odd("end"))?.is_empty() {}
            return Ok(body);
        }
        let mut data = vec![0; size];
        io.read_exact(&mut data).await?;
        body.extend(data);
        if self::line(io).await?.as_deref() != Some("") {
            return Err(odd("chunk end"));
        }
    }
}

/// A line up to CR LF, with no other control characters; `None` at the end of the connection.
async fn line(io: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if io.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\r\n").ok_or_else(|| odd("line end"))?;
    if text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(odd("control character"));
    }
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
