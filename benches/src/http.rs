//! A single request beside the load, to see that a server does what it is measured for.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Sends one request and returns the answer as it came, head and body.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, fields: &str, body: &str) -> Result<String> {
    let asking = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asking().with_context(|| format!("{method} {path} at {address}"))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{method} {path} at {address} was answered:\n{answer}");
    }
    Ok(answer)
}

/// Whether a repeat of a keyed request is answered from the record.
pub(crate) fn prove_replay(address: SocketAddr) -> Result<()> {
    let post = || ask(address, "POST", "/orders", "Idempotency-Key: a-probe\r\n", "{}");
    let (first, repeat) = (post()?, post()?);
    let status = |answer: &str| {
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
        head.lines().find_map(|line| Some(line.strip_prefix("intent-status:")?.trim().to_owned()))
    };
    match (status(&first).as_deref(), status(&repeat).as_deref()) {
        (Some("committed"), Some("replayed")) => Ok(()),
        _ => bail!("{address} does not guard: a request and its repeat were answered\n{first}\n{repeat}"),
    }
}
