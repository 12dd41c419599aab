//! One request to a gateway, and what its answer says.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::history::Saw;

/// How long an answer may take: longer than a gateway is frozen, and than it waits for another's end.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What is ordered.
const BODY: &str = r#"{"tea":1}"#;

/// Asks once; `None` where nobody listens.
///
/// # Errors
/// An answer that the protocol has no place for, and none within 30 s from a gateway that lives.
pub(crate) fn ask(gateway: SocketAddr, key: &str) -> Result<Option<Saw>> {
    let Ok(mut stream) = TcpStream::connect(gateway) else { return Ok(None) };
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).context("a connection to a gateway")?;
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut text = String::new();
    let exchanged = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
    match exchanged {
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            bail!("no answer within {} s", ANSWER_TIME_MAX.as_secs())
        }
        Ok(_) | Err(_) => saw(&text).with_context(|| format!("answer to {key}: {text}")).map(Some),
    }
}

/// What an answer says; a part of one says nothing.
fn saw(text: &str) -> Result<Saw> {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(Saw::Lost) };
    let head = head.to_ascii_lowercase();
    let field = |wanted: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(name, value)| (name == wanted).then_some(value))
    };
    if field("content-length").and_then(|len| len.parse().ok()) != Some(body.len()) {
        return Ok(Saw::Lost);
    }
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "201" {
        let number = body.parse().context("the number of a booking")?;
        return Ok(if field("idempotent-replayed").is_some() { Saw::Told(number) } else { Saw::Ran(number) });
    }
    let problem: Value = serde_json::from_str(body).context("a problem")?;
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = text("type").rsplit('/').next().unwrap_or_default();
    match (kind, text("effect")) {
        ("in-progress", _) => Ok(Saw::Busy),
        ("outcome-unknown", _) => Ok(Saw::Unknown),
        // It ran, and what came of it may be stored yet.
        ("store-unavailable", "unknown") => Ok(Saw::Lost),
        ("store-unavailable" | "overloaded" | "upstream-unreachable", "none") => Ok(Saw::Refused),
        (kind, effect) => bail!("a problem that has no place in a storm: {kind}, effect {effect}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Saw {
        saw(text).unwrap()
    }

    #[test]
    fn an_answer_is_read_for_what_it_says() {
        let whole = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n";
        assert_eq!(told(&format!("{whole}\r\n17")), Saw::Ran(17));
        assert_eq!(told(&format!("{whole}Idempotent-Replayed: true\r\n\r\n17")), Saw::Told(17));
        assert_eq!(told(&format!("{whole}\r\n1")), Saw::Lost, "cut in its body");
        assert_eq!(told("HTTP/1.1 201 Cre"), Saw::Lost);
        assert_eq!(told(""), Saw::Lost);
        let problem = |kind: &str, effect: &str| {
            let body = format!(r#"{{"type":"http://127.0.0.1/problems/{kind}","effect":"{effect}"}}"#);
            saw(&format!("HTTP/1.1 503 X\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
        };
        assert_eq!(problem("in-progress", "unknown").unwrap(), Saw::Busy);
        assert_eq!(problem("outcome-unknown", "unknown").unwrap(), Saw::Unknown);
        assert_eq!(problem("store-unavailable", "unknown").unwrap(), Saw::Lost);
        assert_eq!(problem("overloaded", "none").unwrap(), Saw::Refused);
        assert!(problem("key-reused", "none").is_err(), "nobody reuses a key here");
    }
}
